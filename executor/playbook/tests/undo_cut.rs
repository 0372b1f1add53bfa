//! The process is killed at any instant, in the run and in its undoing: undone again, the tree is what it was before.
//!
//! What is cut is this test itself, started once more with the one test that works on a tree.

#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

mod picture;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use keros_playbook::{
    BackupLog, BackupSpec, Durability, HostSystem, Observer, RunOptions, Script, ScriptSource, ShellPlace,
};
use keros_protocol::executor::Event;
use picture::{differences, picture};

const SCRIPT: &str = r#"
- name: everything
  groups: [all]
  tasks:
    - !copy { content: "new\n", dest: /etc/app.conf, attributes: { mode: "0640" } }
    - !copy { content: "new\n", dest: /etc/fresh.conf }
    - !directory { path: /etc/tree, remove: true, recurse: true }
    - !copy { content: "a file\n", dest: /etc/tree }
    - !directory { path: /var/a/b/c, attributes: { mode: "0700" } }
    - !copy { content: "x", dest: "/var/a/b/c/{{ item }}", with: { items: [one, two, three, four] } }
    - !file { path: /etc/link, remove: true }
    - !directory { path: /etc/link/now }
    - !file { path: /etc/app.conf, attributes: { mode: "0600" } }
    - !file { path: /etc/names/first, remove: true }
    - !copy { content: "large", dest: /etc/large }
"#;

fn plant(root: &Path) {
    for (path, text) in [
        ("etc/app.conf", "old\n"),
        ("etc/tree/a/b/c", "deep\n"),
        ("etc/tree/d", "d"),
        ("etc/names/first", "n"),
    ] {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), text).unwrap();
    }
    fs::create_dir(root.join("var")).unwrap();
    fs::write(root.join("etc/large"), vec![b'l'; 300_000]).unwrap();
    fs::set_permissions(root.join("etc/tree/d"), fs::Permissions::from_mode(0o4711)).unwrap();
    fs::hard_link(root.join("etc/names/first"), root.join("etc/names/second")).unwrap();
    symlink("app.conf", root.join("etc/link")).unwrap();
}

struct Bench {
    folder: tempfile::TempDir,
    root: PathBuf,
    before: BTreeMap<PathBuf, String>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir(&root).unwrap();
        plant(&root);
        Self { before: picture(&root), folder, root }
    }
}

struct Nobody;

impl Observer for Nobody {
    fn event(&mut self, _: &Event) -> std::io::Result<()> {
        Ok(())
    }
}

fn undo(folder: &Path) -> Vec<String> {
    let mut system = HostSystem::new(folder.join("root"), ShellPlace::Root);
    let until = Instant::now() + Duration::from_secs(300);
    BackupLog::read(&folder.join("backup")).unwrap().undo(&mut system, until, &mut |_, _| {})
}

#[test]
#[ignore = "the other test runs this, and kills it"]
fn work_on_the_tree() {
    let folder = PathBuf::from(std::env::var("KEROS_CUT_FOLDER").unwrap());
    if std::env::var("KEROS_CUT_STEP").unwrap() == "undo" {
        assert_eq!(undo(&folder), Vec::<String>::new());
        return;
    }
    let source = ScriptSource { text: SCRIPT.to_owned(), file: "s".to_owned(), ..ScriptSource::default() };
    let script = Script::parse(&source).unwrap();
    let mut system = HostSystem::new(folder.join("root"), ShellPlace::Root);
    system.durability = Durability::Grouped;
    let spec = BackupSpec { folder: folder.join("backup"), max_bytes: 1 << 30 };
    let options = RunOptions { backup: Some(spec), ..RunOptions::default() };
    let outcome = keros_playbook::run(&script, &mut system, &options, &mut Nobody).without_reboot();
    assert_eq!(outcome.name(), "succeeded", "{outcome}");
}

/// How often a step makes each of the system calls that change something.
fn count(folder: &Path, step: &str) -> Vec<(&'static str, usize)> {
    let log = folder.join("calls");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(&log).arg(format!("--trace={}", CALLS.join(",")));
    assert!(on_the_tree(command, folder, step));
    let text = fs::read_to_string(log).unwrap();
    let times = |call: &str| text.lines().filter(|line| line.contains(&format!(" {call}("))).count();
    CALLS.iter().map(|call| (*call, times(call))).filter(|(_, times)| *times > 0).collect()
}

/// Runs a step, by another program; whether it came to its end.
fn on_the_tree(mut by: Command, folder: &Path, step: &str) -> bool {
    by.arg(std::env::current_exe().unwrap()).args(["--exact", "work_on_the_tree", "--ignored"]);
    by.envs([("KEROS_CUT_FOLDER", folder.as_os_str()), ("KEROS_CUT_STEP", step.as_ref())]);
    by.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

/// Has a step under way killed at a chosen system call that changes something; false when it came to its end before.
fn cut(folder: &Path, step: &str, call: &str, number: usize) -> bool {
    let inject = format!("--inject={call}:signal=SIGKILL:when={number}");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", &format!("--trace={call}"), &inject]);
    !on_the_tree(command, folder, step)
}

const CALLS: [&str; 12] = [
    "openat",
    "write",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "unlinkat",
    "mkdirat",
    "linkat",
    "fchmod",
    "symlinkat",
    "utimensat",
];

fn runs() -> usize {
    std::env::var("KEROS_CUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(40)
}

#[test]
fn cut_at_any_system_call_in_the_run_and_in_its_undoing_all_is_undone() {
    if !Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return keros_skip::skipped("strace is missing");
    }
    let seed: u64 =
        std::env::var("KEROS_CUT_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
            u64::from(
                std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos(),
            )
        });
    println!("KEROS_CUT_SEED={seed}");
    let mut state = seed | 1;
    let mut chance = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % bound
    };
    let mut choose = |calls: &[(&'static str, usize)]| {
        let mut number = chance(calls.iter().map(|(_, times)| times).sum());
        let found = calls.iter().find(|(_, times)| {
            let is_here = number < *times;
            number -= if is_here { 0 } else { *times };
            is_here
        });
        (found.unwrap().0, number + 1)
    };
    let first = Bench::new();
    let calls_of_run = count(first.folder.path(), "run");
    let calls_of_undoing = count(first.folder.path(), "undo");
    let (mut in_run, mut in_undoing) = (0, 0);
    for round in 0..runs() {
        let Bench { folder, before, root } = Bench::new();
        let (call, number) = choose(&calls_of_run);
        in_run += usize::from(cut(folder.path(), "run", call, number));
        let mut cuts = vec![("run", call, number)];
        for _ in 0..1 + round % 3 {
            let (call, number) = choose(&calls_of_undoing);
            in_undoing += usize::from(cut(folder.path(), "undo", call, number));
            cuts.push(("undo", call, number));
        }
        let told = format!("seed {seed}, round {round}, {cuts:?}");
        assert_eq!(undo(folder.path()), Vec::<String>::new(), "{told}");
        let differ = differences(&before, &picture(&root));
        assert!(differ.is_empty(), "{told}: {differ:#?}");
    }
    println!("{} rounds: {in_run} runs and {in_undoing} undoings were cut", runs());
    assert!(in_run > 0 && in_undoing > 0, "something was cut: {in_run}, {in_undoing}");
}
