//! Each module's task, run with a backup and undone: the tree is what it was before, bit for bit.

#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

mod picture;
mod scratch;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::process::Command;

use keros_playbook::{BackupLog, BackupSpec, RunOptions, Script, ScriptSource, estimate_backup};
use keros_protocol::Outcome;
use picture::{differences, picture};
use scratch::Scratch;

/// A tree with something of everything, and a backup beside it.
struct Bench {
    machine: Scratch,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self { machine: Scratch::new(), folder: tempfile::tempdir().unwrap() };
        let machine = &bench.machine;
        machine.write("etc/passwd", "root:x:0:0::/root:/bin/sh\nolaf:x:1001:1001::/home/olaf:/bin/sh\n");
        machine.write("etc/group", "root:x:0:\nolaf:x:1001:\n");
        machine.write("etc/shadow", "root:*:1::::::\nolaf:!:1::::::\n");
        machine.write("etc/gshadow", "root:*::\nolaf:!::\n");
        machine.write("etc/app/app.conf", "old\n");
        machine.write("etc/app/deep/er/file", "x");
        machine.write("home/olaf/.profile", "p");
        machine.write("big", &"0123456789".repeat(10_000));
        symlink("app/app.conf", machine.path("etc/link")).unwrap();
        symlink("/etc/app", machine.path("etc/way")).unwrap();
        fs::hard_link(machine.path("etc/app/app.conf"), machine.path("etc/other-name")).unwrap();
        fs::set_permissions(machine.path("etc/app/app.conf"), fs::Permissions::from_mode(0o4750)).unwrap();
        bench.bound(1 << 30);
        bench
    }

    fn bound(&mut self, max_bytes: u64) {
        self.machine.backup = Some(BackupSpec { folder: self.folder.path().join("backup"), max_bytes });
    }

    fn log(&self) -> BackupLog {
        BackupLog::read(&self.folder.path().join("backup")).unwrap()
    }

    /// Runs tasks, which must all do something, and undoes them.
    fn there_and_back(&mut self, tasks: &[&str]) {
        let before = picture(self.machine.root());
        let outcome = self.machine.run(tasks).unwrap();
        assert!(matches!(outcome, Outcome::Succeeded { .. }), "{tasks:?}: {outcome}");
        for result in &self.machine.results {
            assert!(result.status.is_change(), "{tasks:?}: {result:?}");
        }
        assert!(
            !differences(&before, &picture(self.machine.root())).is_empty(),
            "{tasks:?}: nothing changed"
        );
        assert!(self.log().changed_anything());
        assert_eq!(self.machine.undo(), Vec::<String>::new(), "{tasks:?}");
        let differ = differences(&before, &picture(self.machine.root()));
        assert!(differ.is_empty(), "{tasks:?}: {differ:#?}");
        fs::remove_dir_all(self.folder.path().join("backup")).unwrap();
    }
}

fn is_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        keros_skip::skipped("files of several users need root");
    }
    is_root
}

#[test]
fn what_file_modules_did_is_undone() {
    if !is_root() {
        return;
    }
    let mut bench = Bench::new();
    chown(bench.machine.path("etc/app/app.conf"), Some(7), Some(8)).unwrap();
    for tasks in [
        &["!copy { content: new, dest: /etc/app/app.conf }"][..],
        &["!copy { content: new, dest: /etc/link, attributes: { owner: olaf, mode: \"0600\" } }"],
        &["!template { content: 'plain', dest: /etc/way/fresh.conf }"],
        &["!file { path: /etc/app/empty }", "!file { path: /etc/app/app.conf, remove: true }"],
        &["!file { path: /etc/way, remove: true }", "!directory { path: /etc/way/now/a/folder }"],
        &["!file { path: /etc/app/app.conf, attributes: { owner: olaf, group: olaf, mode: \"0000\" } }"],
        &["!directory { path: /var/lib/made/on/the/way, attributes: { mode: \"0700\" } }"],
        &["!directory { path: /etc/app, remove: true, recurse: true }"],
        &["!directory { path: /etc/app/deep, attributes: { owner: olaf, mode: \"0711\" }, recurse: true }"],
        &[
            "!directory { path: /etc/app, remove: true, recurse: true }",
            "!copy { content: a file now, dest: /etc/app }",
            "!file { path: /etc/app, remove: true }",
            "!directory { path: /etc/app/deep }",
            "!copy { content: again, dest: /etc/app/app.conf }",
        ],
    ] {
        bench.there_and_back(tasks);
    }
}

#[test]
fn users_groups_and_their_homes_are_undone() {
    if !is_root() {
        return;
    }
    let mut bench = Bench::new();
    bench.there_and_back(&["!group { group: lora }", "!user { user: fwd, gid: lora, create_home: true }"]);
    chown(bench.machine.path("home/olaf"), Some(1001), Some(1001)).unwrap();
    bench.there_and_back(&["!user { user: olaf, remove: true, cleanup: true }"]);
}

#[test]
fn what_a_task_does_as_another_user_is_undone() {
    if !is_root() {
        return;
    }
    let mut bench = Bench::new();
    for path in ["home/olaf", "home/olaf/.profile"] {
        chown(bench.machine.path(path), Some(1001), Some(1001)).unwrap();
    }
    fs::set_permissions(bench.machine.root(), fs::Permissions::from_mode(0o755)).unwrap();
    let task = "!copy { content: mine, dest: /home/olaf/.profile, with: { sudo: olaf } }";
    bench.there_and_back(&[task, "!directory { path: /home/olaf/a/b, with: { sudo: olaf } }"]);
}

#[test]
fn what_was_unpacked_is_undone() {
    let mut bench = Bench::new();
    let mut tar = tar::Builder::new(Vec::new());
    for (path, text) in [("app/app.conf", "unpacked"), ("app/deep/new", "n"), ("fresh/file", "f")] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o640);
        header.set_size(text.len() as u64);
        tar.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    let tar = tar.into_inner().unwrap();
    fs::write(bench.machine.path("a.tar"), tar).unwrap();
    bench.there_and_back(&["!unpack { src: /a.tar, dest: /etc }"]);
}

#[test]
fn what_git_did_is_undone_with_all_that_it_made() {
    let made = tempfile::tempdir().unwrap();
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=x", "-c", "user.email=x@example.net"]).args(arguments);
        let status = command.current_dir(made.path()).stdout(std::process::Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    if !git(&["init", "-q", "-b", "main"]) || !nix::unistd::geteuid().is_root() {
        return keros_skip::skipped("git or root is missing");
    }
    fs::write(made.path().join("file"), "1").unwrap();
    assert!(git(&["add", "."]) && git(&["commit", "-q", "-m", "1"]));
    let mut bench = Bench::new();
    bench.machine.whole_machine = true;
    let (repo, path) = (made.path().display(), bench.machine.path("opt/on/the/way").display().to_string());
    let task = format!("!git {{ repo: 'file://{repo}', path: '{path}', update: true }}");
    bench.there_and_back(&[&task]);
    bench.machine.backup = None;
    bench.machine.run(&[&task]).unwrap();
    bench.bound(1 << 30);
    fs::write(made.path().join("file"), "2").unwrap();
    assert!(git(&["commit", "-q", "-a", "-m", "2"]));
    bench.there_and_back(&[&task]);
}

#[test]
fn what_programs_do_is_named_unless_they_only_look() {
    let mut bench = Bench::new();
    let tasks = [
        "!shell { cmd: 'true', with: { condition: 'true' } }",
        "!shell { cmd: 'true', changed_when: 'false' }",
        "!copy { content: x, dest: /fresh }",
        "!command { argv: [/bin/sh, -c, 'exit 1'], failed_when: 'false' }",
    ];
    bench.machine.search_path = "/stubs:/bin".to_owned();
    bench.machine.program("bin/sh", "#!/bin/sh\nexit 0\n");
    bench.machine.run(&tasks).unwrap();
    let log = bench.log();
    assert_eq!(log.irreversible().len(), 2, "{:?}", log.irreversible());
    assert!(log.irreversible()[0].starts_with("task 1 ") && log.irreversible()[0].ends_with("(shell)"));
    assert!(log.irreversible()[1].starts_with("task 4 ") && log.irreversible()[1].ends_with("(command)"));
    assert_eq!(bench.machine.undo(), log.irreversible());
    assert!(!bench.machine.path("fresh").exists());
}

#[test]
fn a_run_that_changed_nothing_says_so() {
    let mut bench = Bench::new();
    let task = "!copy { content: \"old\\n\", dest: /etc/app/app.conf }";
    bench.machine.run(&[task, "!stat { path: /etc, save: s }"]).unwrap();
    assert!(!bench.log().changed_anything());
    assert!(!BackupLog::read(&bench.folder.path().join("never")).unwrap().changed_anything());
}

#[test]
fn what_would_not_fit_fails_before_it_changes_anything() {
    let mut bench = Bench::new();
    bench.bound(60_000);
    let before = picture(bench.machine.root());
    let outcome = bench.machine.run(&["!copy { content: small, dest: /big }"]).unwrap();
    let Outcome::Failed { message, .. } = outcome else { panic!("{outcome}") };
    assert!(message.starts_with("no room for the backup of /big (100000 bytes)"), "{message}");
    assert!(message.contains("may hold 60000"), "{message}");
    assert_eq!(picture(bench.machine.root()), before);
}

#[test]
fn what_a_backup_would_take_is_told_before() {
    let bench = Bench::new();
    let text = "- name: p\n  groups: [all]\n  tasks:\n    - !copy { content: small, dest: /big }\n    \
                - !copy { content: smaller, dest: /big }\n    - !directory { path: /etc/app, remove: true, recurse: true }\n    \
                - !shell { cmd: 'cat x', save: r }\n    - !template { content: '{{ r.out }}', dest: /x }\n";
    let source = ScriptSource { text: text.to_owned(), file: "s".to_owned(), ..ScriptSource::default() };
    let script = Script::parse(&source).unwrap();
    let before = picture(bench.machine.root());
    let estimate = estimate_backup(&script, &mut bench.machine.system(), &RunOptions::default());
    assert!((100_000..110_000).contains(&estimate.bytes), "{estimate:?}");
    assert_eq!(estimate.unknown.len(), 1, "{estimate:?}");
    assert!(estimate.unknown[0].starts_with("task 5 "), "{estimate:?}");
    assert_eq!(picture(bench.machine.root()), before);
}

#[test]
fn a_service_is_brought_back_to_what_it_was_and_restarted_when_its_files_are_back() {
    let script = "#!/bin/sh\nread -r now < \"$KEROS_ROOT/etc/app/app.conf\"; echo \"$1 $now\" >> \"$KEROS_ROOT/log\"\n\
                  case \"$1\" in start|restart) echo runs > \"$KEROS_ROOT/state\";; stop) : > \"$KEROS_ROOT/state\";;\n\
                  status) [ -s \"$KEROS_ROOT/state\" ] && exit 0; exit 3;; esac\n";
    for runs in [true, false] {
        let mut bench = Bench::new();
        bench.machine.program("etc/init.d/fwd", script);
        bench.machine.write("state", if runs { "runs" } else { "" });
        let tasks = [
            "!copy { content: new, dest: /etc/app/app.conf }",
            "!sd_service { service: fwd, restart: true }",
        ];
        bench.machine.run(&tasks).unwrap();
        assert_eq!(bench.log().irreversible(), [""; 0]);
        bench.machine.log();
        assert_eq!(bench.machine.undo(), Vec::<String>::new());
        let log = bench.machine.log();
        let orders: Vec<_> = log.iter().filter(|line| !line.starts_with("status")).collect();
        assert_eq!(orders, [if runs { "restart old" } else { "stop new" }], "{runs}: {log:?}");
        assert_eq!(!bench.machine.read("state").is_empty(), runs);
    }
}

/// Whoever owns the folder can put another file there, between the run and its undoing.
#[test]
fn rights_are_not_given_back_to_what_somebody_else_has_put_there() {
    if !is_root() {
        return;
    }
    for task in [
        "!file { path: /home/olaf/tool, attributes: { mode: \"0755\" } }",
        "!copy { content: new, dest: /home/olaf/tool }",
    ] {
        let mut bench = Bench::new();
        bench.machine.write("home/olaf/tool", "true");
        let tool = bench.machine.path("home/olaf/tool");
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o6755)).unwrap();
        chown(bench.machine.path("home/olaf"), Some(1001), Some(1001)).unwrap();
        assert!(matches!(bench.machine.run(&[task]).unwrap(), Outcome::Succeeded { .. }));
        fs::remove_file(&tool).unwrap();
        // The same content, and he may have it open for writing.
        fs::write(&tool, "true").unwrap();
        chown(&tool, Some(1001), Some(1001)).unwrap();
        let his = fs::metadata(&tool).unwrap().ino();
        let remains = bench.machine.undo();
        let is = fs::metadata(&tool).unwrap();
        let runs_as_root = is.uid() == 0 && is.mode() & 0o6000 != 0;
        assert!(!(is.ino() == his && runs_as_root), "{task}");
        assert_eq!(runs_as_root, remains.is_empty(), "{task}: {remains:?}");
    }
}
