//! Files that become durable together: what the run sees of them before, and what is there after it, however it ends.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use keros_playbook::{
    Attributes, Content, Durability, FileKind, HostSystem, Observer, RunOptions, Script, ScriptSource,
    ShellPlace, System as _,
};
use keros_protocol::executor::Event;
use keros_protocol::{JobLimits, Outcome};
use serde_json::Map;

const NONE: Attributes = Attributes { uid: None, gid: None, mode: None };

struct Bench {
    root: tempfile::TempDir,
    system: HostSystem,
}

impl Bench {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut system = HostSystem::new(root.path().to_owned(), ShellPlace::Host);
        system.durability = Durability::Grouped;
        Self { root, system }
    }

    fn put(&mut self, path: &str, text: &str) {
        self.system.put_file(Path::new(path), &Content::Bytes(text.as_bytes()), NONE, 0o644).unwrap();
    }

    fn read(&mut self, path: &str) -> String {
        String::from_utf8(self.system.read(Path::new(path), 1000).unwrap()).unwrap()
    }

    fn on_disk(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    /// Names of all files in the tree's root.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn run(&mut self, tasks: &str, observer: &mut dyn Observer) -> Outcome {
        let text = format!("- name: p\n  groups: [all]\n  tasks:\n{tasks}");
        let source = ScriptSource {
            text,
            file: "s.yml".to_owned(),
            folder: None,
            extra_vars: Map::new(),
            ..ScriptSource::default()
        };
        let script = Script::parse(&source).unwrap();
        let limits = JobLimits { total_s: 2, ..JobLimits::default() };
        let options = RunOptions { limits, ..RunOptions::default() };
        keros_playbook::run(&script, &mut self.system, &options, observer).without_reboot()
    }
}

/// Hears of nothing.
struct Deaf;

impl Observer for Deaf {
    fn event(&mut self, _: &Event) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_file_that_waits_is_seen_as_if_it_were_in_place() {
    let mut bench = Bench::new();
    fs::write(bench.on_disk("/a"), "old").unwrap();
    fs::set_permissions(bench.on_disk("/a"), fs::Permissions::from_mode(0o600)).unwrap();
    bench.put("/a", "new");
    bench.put("/b", "new");
    assert_eq!(fs::read_to_string(bench.on_disk("/a")).unwrap(), "old", "it waits");
    assert_eq!(bench.names(), [".a.keros-new", ".b.keros-new", "a"]);

    let (a, b) = (Path::new("/a"), Path::new("/b"));
    let is = bench.system.metadata(b).unwrap().unwrap();
    assert_eq!((is.kind, is.size_bytes, is.mode), (FileKind::File, 3, 0o644));
    assert_eq!(bench.system.link_metadata(a).unwrap().unwrap().mode, 0o600, "kept from the old file");
    assert_eq!(bench.read("/a"), "new");
    assert!(bench.system.holds(a, &Content::Bytes(b"new")).unwrap());
    assert!(bench.system.holds(a, &Content::Machine(b)).unwrap());
    assert_eq!(bench.system.read_link(b).unwrap(), None);
    bench.system.set_attributes(b, Attributes { mode: Some(0o640), ..NONE }).unwrap();
    bench.system.put_file(Path::new("/c"), &Content::Machine(b), NONE, 0o644).unwrap();
    assert!(bench.system.metadata(Path::new("/.a.keros-new")).unwrap().is_none(), "no name for anybody");
    assert!(bench.names().contains(&".a.keros-new".to_owned()), "looking changed nothing");

    bench.system.checkpoint().unwrap();
    assert_eq!(bench.names(), ["a", "b", "c"]);
    assert_eq!(fs::read_to_string(bench.on_disk("/a")).unwrap(), "new");
    assert_eq!(fs::read_to_string(bench.on_disk("/c")).unwrap(), "new");
    assert_eq!(fs::metadata(bench.on_disk("/b")).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn a_file_that_waits_is_replaced_and_written_around() {
    let mut bench = Bench::new();
    bench.put("/a", "1");
    bench.system.set_attributes(Path::new("/a"), Attributes { mode: Some(0o600), ..NONE }).unwrap();
    bench.put("/a", "2");
    assert_eq!(bench.system.metadata(Path::new("/a")).unwrap().unwrap().mode, 0o600);
    // Their temporaries have one name, and one of them is named like the other's temporary.
    let long = format!("/{}", "l".repeat(240));
    bench.put(&format!("{long}1"), "long 1");
    bench.put(&format!("{long}2"), "long 2");
    bench.put("/.a.keros-new", "mine");
    assert_eq!((bench.read("/a"), bench.read(&format!("{long}1"))), ("2".to_owned(), "long 1".to_owned()));
    bench.system.checkpoint().unwrap();
    assert_eq!(bench.read(&format!("{long}2")), "long 2");
    assert_eq!(fs::read_to_string(bench.on_disk("/.a.keros-new")).unwrap(), "mine");
    assert_eq!(bench.names().len(), 4);
}

#[test]
fn a_path_through_a_file_that_waits_is_judged_as_through_a_file() {
    let message = |durability: Durability| {
        let mut bench = Bench::new();
        bench.system.durability = durability;
        bench.put("/a", "x");
        let inside = Path::new("/a/b");
        let found = bench.system.metadata(inside).unwrap_err().to_string();
        bench.put("/c", "x");
        let put = bench.system.put_file(Path::new("/c/d"), &Content::Bytes(b""), NONE, 0o644).unwrap_err();
        bench.put("/e", "x");
        let made = bench.system.make_directory(Path::new("/e/f"), NONE).unwrap_err();
        (found, put.to_string(), made.to_string())
    };
    assert_eq!(message(Durability::Grouped), message(Durability::EachFile));
}

#[test]
fn users_of_a_file_that_waits_are_known() {
    let mut bench = Bench::new();
    bench.system.make_directory(Path::new("/etc"), NONE).unwrap();
    assert!(bench.system.user_id("anna").is_err());
    bench.put("/etc/passwd", "anna:x:7:7::/:\n");
    assert_eq!(bench.system.user_id("anna"), Ok(7));
    bench.put("/etc/passwd", "anna:x:8:8::/:\n");
    assert_eq!((bench.system.user_id("anna"), bench.system.user_name(8)), (Ok(8), "anna".to_owned()));
    bench.system.checkpoint().unwrap();
    assert_eq!(bench.system.user_id("anna"), Ok(8));
    fs::write(bench.on_disk("/etc/passwd"), "anna:x:9:9::/:\n\n").unwrap();
    assert_eq!(bench.system.user_id("anna"), Ok(9), "changed by somebody else");
}

#[test]
fn programs_lists_and_removals_find_everything_in_place() {
    let mut bench = Bench::new();
    let tasks = "    - !copy { content: x, dest: /a }\n    - !shell { cmd: 'cat \"$KEROS_ROOT/a\"' }\n    \
                 - !copy { content: x, dest: /b }\n    - !file { path: /b, remove: true }\n    \
                 - !directory { path: /d }\n    - !copy { content: x, dest: /d/c }\n    \
                 - !directory { path: /d, recurse: true, attributes: { mode: '0700' } }\n    \
                 - !copy { content: y, dest: /d/e }\n    - !directory { path: /d, remove: true, recurse: true }\n";
    let outcome = bench.run(tasks, &mut Deaf);
    assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome}");
    assert_eq!(bench.names(), ["a"]);
}

#[test]
fn however_a_run_ends_what_was_done_is_in_place_and_no_temporary_is_left() {
    let copies = "    - !copy { content: x, dest: /a }\n    - !copy { content: x, dest: /b }\n";
    for last in ["!echo { msg: x }", "!fail { msg: x }", "!shell { cmd: sleep 60 }", "!file { path: /no/c }"]
    {
        let mut bench = Bench::new();
        let outcome = bench.run(&format!("{copies}    - {last}\n"), &mut Deaf);
        assert_eq!(matches!(outcome, Outcome::Succeeded { .. }), last.contains("echo"), "{outcome}");
        assert_eq!(bench.names(), ["a", "b"], "{last}");
    }
    struct Full(u32);
    impl Observer for Full {
        fn event(&mut self, _: &Event) -> io::Result<()> {
            self.0 += 1;
            if self.0 == 4 { Err(io::Error::other("full")) } else { Ok(()) }
        }
    }
    let mut bench = Bench::new();
    bench.run(&format!("{copies}    - !file {{ path: /c }}\n"), &mut Full(0));
    assert_eq!(bench.names(), ["a", "b"]);
    bench.put("/c", "x");
    let Bench { root, system } = bench;
    drop(system);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2, "without a checkpoint it was never there");
}

#[test]
fn thousands_of_files_never_wait_together() {
    let mut bench = Bench::new();
    let waiting = |bench: &Bench| bench.names().iter().filter(|name| name.ends_with(".keros-new")).count();
    let mut most = 0;
    for n in 0..1_100 {
        bench.put(&format!("/{n}"), "x");
        most = most.max(waiting(&bench));
    }
    assert!((100..=512).contains(&most), "{most}");
    let large = "x".repeat(9 * 1024 * 1024);
    bench.put("/large1", &large);
    bench.put("/large2", &large);
    assert_eq!(waiting(&bench), 0, "so many bytes do not wait");
}

#[test]
fn a_file_that_cannot_get_its_name_fails_the_run_by_name_and_the_others_are_in_place() {
    /// Puts a directory where a file shall be, before the file gets its name.
    struct InTheWay(PathBuf);
    impl Observer for InTheWay {
        fn event(&mut self, event: &Event) -> io::Result<()> {
            if let Event::TaskEnded { task, .. } = event
                && task.number == 2
            {
                fs::create_dir(&self.0)?;
            }
            Ok(())
        }
    }
    let copies = "    - !copy { content: x, dest: /a }\n    - !copy { content: x, dest: /b }\n    - !copy { content: x, dest: /c }\n";
    for (last, also) in [
        ("!echo { msg: x }", None),
        ("!shell { cmd: 'true', and: { ignore_errors: true } }", None),
        ("!shell { cmd: 'true' }", None),
        ("!fail { msg: enough }", Some("task 4 fail: enough; and ")),
    ] {
        let mut bench = Bench::new();
        let mut observer = InTheWay(bench.on_disk("/b"));
        let outcome = bench.run(&format!("{copies}    - {last}\n"), &mut observer);
        let Outcome::Failed { message, .. } = outcome else { panic!("{last}: {outcome}") };
        assert_eq!(message, format!("{}cannot write /b: it is a directory", also.unwrap_or_default()));
        assert_eq!(bench.names(), ["a", "b", "c"], "{last}");
        assert!(bench.on_disk("/a").is_file() && bench.on_disk("/c").is_file());
    }
}
