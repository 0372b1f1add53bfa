//! What other users of the machine, and programs that do not want to end, try against a run as root.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use keros_playbook::{HostSystem, Observer, RunOptions, Script, ScriptSource, ShellPlace};
use keros_protocol::JobLimits;
use keros_protocol::executor::{Event, TaskStatus};

/// Somebody who is not root.
const SOMEBODY: u32 = 65_534;

struct Results(Vec<(TaskStatus, String)>);

impl Observer for Results {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        if let Event::TaskEnded { result, .. } = event {
            self.0.push((result.status, result.message.clone().unwrap_or_default()));
        }
        Ok(())
    }
}

/// Status and message of one task on a tree, which may take a second.
fn result(root: &Path, task: &str) -> (TaskStatus, String) {
    result_within(root, task, 1)
}

/// Status and message of one task on a tree; of a dry run first, which must tell the same.
fn result_within(root: &Path, task: &str, task_s: u32) -> (TaskStatus, String) {
    let text = format!("- name: p\n  groups: [all]\n  tasks:\n    - {task}\n");
    let source = ScriptSource { text, file: "s.yml".to_owned(), ..ScriptSource::default() };
    let script = Script::parse(&source).unwrap();
    let run = |dry_run| {
        let mut system = HostSystem::new(root.to_owned(), ShellPlace::Host);
        let limits = JobLimits { task_s, ..JobLimits::default() };
        let options = RunOptions { dry_run, limits, ..RunOptions::default() };
        let mut results = Results(Vec::new());
        keros_playbook::run(&script, &mut system, &options, &mut results);
        results.0.remove(0)
    };
    let foretold = run(true);
    let seen = run(false);
    if !task.starts_with("!shell") {
        assert_eq!(foretold, seen);
    }
    seen
}

/// A tree with a `/tmp` for everybody.
fn tree() -> Option<tempfile::TempDir> {
    if !nix::unistd::geteuid().is_root() {
        keros_skip::skipped("only root can make files of other users");
        return None;
    }
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("tmp")).unwrap();
    fs::set_permissions(root.path().join("tmp"), Permissions::from_mode(0o1777)).unwrap();
    Some(root)
}

#[test]
fn a_link_of_somebody_else_leads_nowhere_else_in_a_dry_run_too() {
    let Some(root) = tree() else { return };
    let path = |name: &str| root.path().join(name);
    fs::write(path("victim"), "old").unwrap();
    symlink("/victim", path("tmp/planted")).unwrap();
    lchown(path("tmp/planted"), Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    let (status, message) = result(root.path(), "!copy { content: new, dest: /tmp/planted }");
    assert_eq!(status, TaskStatus::Failed);
    assert!(message.contains("a link of user 65534 leads to what is not that user's"), "{message}");
    assert_eq!(fs::read_to_string(path("victim")).unwrap(), "old");
    symlink("/victim", path("tmp/own")).unwrap();
    assert_eq!(result(root.path(), "!copy { content: new, dest: /tmp/own }").0, TaskStatus::Modified);
    assert_eq!(fs::read_to_string(path("victim")).unwrap(), "new");
}

#[test]
fn a_planted_file_passes_neither_its_set_id_bits_nor_its_access_list_on() {
    let Some(root) = tree() else { return };
    let planted = root.path().join("tmp/planted");
    fs::write(&planted, "x").unwrap();
    let list = "user.planted";
    let has_attributes = rustix::fs::setxattr(&planted, list, b"1", rustix::fs::XattrFlags::empty()).is_ok();
    chown(&planted, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    fs::set_permissions(&planted, Permissions::from_mode(0o6755)).unwrap();
    let task = "!copy { content: new, dest: /tmp/planted, attributes: { owner: '0', group: '0' } }";
    assert_eq!(result(root.path(), task).0, TaskStatus::Modified);
    let is = fs::metadata(&planted).unwrap();
    assert_eq!((is.uid(), is.mode() & 0o7777), (0, 0o755));
    if has_attributes {
        assert!(rustix::fs::getxattr(&planted, list, &mut [0_u8; 8][..]).is_err());
    }
}

#[test]
fn what_is_no_regular_file_is_not_opened() {
    let Some(root) = tree() else { return };
    let device = root.path().join("device");
    let mode = nix::sys::stat::Mode::from_bits_truncate(0o666);
    // The null device stands for a watchdog, which begins to count when it is opened.
    nix::sys::stat::mknod(&device, nix::sys::stat::SFlag::S_IFCHR, mode, nix::sys::stat::makedev(1, 3))
        .unwrap();
    for task in [
        "!copy { src: /device, dest: /x }",
        "!template { src: /device, dest: /x }",
        "!copy { content: x, dest: /device }",
    ] {
        assert_eq!(result(root.path(), task).0, TaskStatus::Failed, "{task}");
    }
}

#[test]
fn a_program_that_leaves_its_group_is_still_ended_at_its_time() {
    let Some(root) = tree() else { return };
    let began = Instant::now();
    // The shell's own process goes over to the group of a child of its own.
    let program = "import os,time,sys; p=os.fork()\nif p==0:\n os.setpgid(0,0); time.sleep(0.3); os._exit(time.sleep(40) or 0)\ntime.sleep(0.1); os.setpgid(0,p)\nimport signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(40)";
    fs::write(root.path().join("run.py"), program).unwrap();
    let (status, message) = result(root.path(), "!shell { cmd: 'exec python3 $KEROS_ROOT/run.py' }");
    assert_eq!(status, TaskStatus::Failed);
    assert!(message.contains("time limit"), "{message}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn a_tree_of_long_names_does_not_use_up_the_memory() {
    let Some(root) = tree() else { return };
    let name = "n".repeat(200);
    let mut folder = root.path().join("deep");
    // Some 3,400 bytes of path each: 5,000 files hold 17 MB.
    while folder.as_os_str().len() < 3_300 {
        folder = folder.join(&name);
    }
    fs::create_dir_all(&folder).unwrap();
    for number in 0..5_000 {
        fs::write(folder.join(number.to_string()), "").unwrap();
    }
    // The bound of memory is what ends it, on a slow machine too.
    let task = "!directory { path: /deep, remove: true, recurse: true }";
    let (status, message) = result_within(root.path(), task, 60);
    assert_eq!(status, TaskStatus::Failed);
    assert!(message.contains("MiB of paths"), "{message}");
}
