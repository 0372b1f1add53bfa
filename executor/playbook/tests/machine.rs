//! What tasks do to a machine: files that never leave the tree, programs that never hang the run.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keros_playbook::{HostSystem, Observer, RunOptions, Script, ScriptSource, ShellPlace};
use keros_protocol::executor::{Event, TaskResult};
use keros_protocol::{JobLimits, Outcome, TimeLimit};

struct Bench {
    root: tempfile::TempDir,
    results: Vec<TaskResult>,
    events: usize,
    fail_at_event: Option<usize>,
    limits: JobLimits,
    tags: Vec<String>,
}

impl Observer for Bench {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.events += 1;
        if self.fail_at_event == Some(self.events) {
            return Err(io::Error::other("the journal is full"));
        }
        if let Event::TaskEnded { result, .. } = event {
            self.results.push(result.clone());
        }
        Ok(())
    }
}

impl Bench {
    fn new() -> Self {
        let (root, limits) = (tempfile::tempdir().unwrap(), JobLimits::default());
        Self { root, results: Vec::new(), events: 0, fail_at_event: None, limits, tags: Vec::new() }
    }

    fn run(&mut self, tasks: &str) -> Outcome {
        self.run_in(tasks, ShellPlace::Host)
    }

    fn run_in(&mut self, tasks: &str, shell: ShellPlace) -> Outcome {
        let text = format!("- name: p\n  groups: [all]\n  tasks:\n{tasks}");
        let source = ScriptSource { text, file: "s.yml".to_owned(), ..ScriptSource::default() };
        let script = Script::parse(&source).unwrap();
        let mut system = HostSystem::new(self.root.path().to_owned(), shell);
        let options = RunOptions { limits: self.limits, tags: self.tags.clone(), ..RunOptions::default() };
        self.results.clear();
        keros_playbook::run(&script, &mut system, &options, self).without_reboot()
    }

    /// Runs one task and gives its status and message.
    fn one(&mut self, task: &str) -> (&'static str, String) {
        self.run(&format!("    - {task}\n"));
        let result = &self.results[0];
        (result.status.as_str(), result.message.clone().unwrap_or_default())
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }
}

#[test]
fn no_path_and_no_link_leads_out_of_the_tree() {
    let mut bench = Bench::new();
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().display();
    symlink(outside.path(), bench.path("absolute")).unwrap();
    symlink("../../../../../../../../../..", bench.path("up")).unwrap();
    bench.run(&format!(
        "    - !file {{ path: '/absolute/a', and: {{ ignore_errors: true }} }}\n    \
         - !file {{ path: '/up{target}/b', and: {{ ignore_errors: true }} }}\n    \
         - !file {{ path: '/../../../../../../../../..{target}/c', and: {{ ignore_errors: true }} }}\n    \
         - !copy {{ content: x, dest: '{target}/d', and: {{ ignore_errors: true }} }}\n"
    ));
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    bench.one("!file { path: /../../../e }");
    assert!(bench.path("e").is_file(), "above the root is the root");
    bench.one(&format!("!directory {{ path: '{target}/deep' }}"));
    assert!(bench.path(&format!("{target}/deep")[1..]).is_dir(), "the same path, inside");
    bench.one("!directory { path: '/absolute/within' }");
    assert!(
        bench.path(&format!("{target}/within")[1..]).is_dir(),
        "an absolute link means a place in the tree"
    );
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn removing_never_follows_links_and_never_takes_the_root() {
    let mut bench = Bench::new();
    fs::create_dir_all(bench.path("keep/in")).unwrap();
    fs::write(bench.path("keep/in/file"), "x").unwrap();
    fs::create_dir(bench.path("gone")).unwrap();
    symlink("../keep", bench.path("gone/link")).unwrap();
    symlink("keep", bench.path("link")).unwrap();
    assert_eq!(bench.one("!directory { path: /gone, remove: true, recurse: true }").0, "removed");
    assert!(bench.path("keep/in/file").exists());
    assert_eq!(bench.one("!directory { path: /link, remove: true, recurse: true }").0, "failed");
    assert_eq!(bench.one("!file { path: /link, remove: true }").0, "removed");
    assert!(bench.path("keep/in/file").exists());
    for root in ["/", "//", "/.", "/keep/..", "/keep/../../.."] {
        let (status, _) = bench.one(&format!("!directory {{ path: '{root}', remove: true, recurse: true }}"));
        assert_eq!(status, "failed", "{root}");
        assert!(bench.path("keep/in/file").exists(), "{root}");
    }
}

#[test]
fn links_in_a_circle_are_an_error() {
    let mut bench = Bench::new();
    symlink("b", bench.path("a")).unwrap();
    symlink("a", bench.path("b")).unwrap();
    let (status, message) = bench.one("!copy { content: x, dest: /a }");
    assert_eq!(status, "failed");
    assert!(message.contains("too many symbolic links"), "{message}");
}

#[test]
fn a_link_at_the_destination_is_followed_and_stays() {
    let mut bench = Bench::new();
    fs::write(bench.path("real"), "old").unwrap();
    symlink("real", bench.path("link")).unwrap();
    symlink("not-yet", bench.path("dangling")).unwrap();
    assert_eq!(bench.one("!copy { content: new, dest: /link }").0, "modified");
    assert_eq!(bench.one("!copy { content: made, dest: /dangling }").0, "created");
    assert!(bench.path("link").is_symlink() && bench.path("dangling").is_symlink());
    assert_eq!(fs::read_to_string(bench.path("real")).unwrap(), "new");
    assert_eq!(fs::read_to_string(bench.path("not-yet")).unwrap(), "made");
}

#[test]
fn a_new_content_keeps_mode_owner_and_extended_attributes() {
    let mut bench = Bench::new();
    let file = bench.path("f");
    fs::write(&file, "old").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4711)).unwrap();
    let tagged = rustix::fs::setxattr(&file, "user.note", b"kept", rustix::fs::XattrFlags::empty()).is_ok();
    let is_root = nix::unistd::geteuid().is_root();
    if is_root {
        std::os::unix::fs::chown(&file, Some(1234), Some(4321)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o4711)).unwrap();
    }
    let old_inode = fs::metadata(&file).unwrap().ino();
    assert_eq!(bench.one("!copy { content: new, dest: /f }").0, "modified");
    let metadata = fs::metadata(&file).unwrap();
    assert_ne!(metadata.ino(), old_inode, "replaced, not written over");
    assert_eq!(metadata.mode() & 0o7777, 0o4711);
    if is_root {
        assert_eq!((metadata.uid(), metadata.gid()), (1234, 4321));
    }
    if tagged {
        let mut value = [0_u8; 16];
        let length = rustix::fs::getxattr(&file, "user.note", &mut value[..]).unwrap();
        assert_eq!(&value[..length], b"kept");
    }
    assert_eq!(fs::read_dir(bench.root.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn a_file_of_the_machine_is_copied_with_its_mode_and_a_template_of_it_rendered() {
    let mut bench = Bench::new();
    fs::write(bench.path("source"), vec![b'x'; 300_000]).unwrap();
    fs::set_permissions(bench.path("source"), fs::Permissions::from_mode(0o750)).unwrap();
    assert_eq!(bench.one("!copy { src: /source, dest: /copy }").0, "created");
    assert_eq!(bench.one("!copy { src: /source, dest: /copy }").0, "matched");
    assert_eq!(fs::metadata(bench.path("copy")).unwrap().len(), 300_000);
    assert_eq!(fs::metadata(bench.path("copy")).unwrap().mode() & 0o7777, 0o750);
    fs::write(bench.path("source"), "{{ENV_HOME}}\n").unwrap();
    assert_eq!(bench.one("!template { src: /source, dest: /copy }").0, "modified");
    assert_eq!(fs::read_to_string(bench.path("copy")).unwrap(), "/root\n");
}

#[test]
fn what_a_power_cut_left_beside_a_file_is_replaced() {
    let mut bench = Bench::new();
    fs::write(bench.path(".f.keros-new"), "half").unwrap();
    assert_eq!(bench.one("!copy { content: whole, dest: /f }").0, "created");
    assert_eq!(fs::read_dir(bench.root.path()).unwrap().count(), 1);
    // Cut off again, but beside a file that is as it should be.
    fs::write(bench.path(".f.keros-new"), "half").unwrap();
    assert_eq!(bench.one("!copy { content: whole, dest: /f }").0, "matched");
    assert_eq!(fs::read_dir(bench.root.path()).unwrap().count(), 1);
}

#[test]
fn names_of_users_come_from_the_trees_own_files() {
    if !nix::unistd::geteuid().is_root() {
        keros_skip::skipped("only root may give files away");
        return;
    }
    let mut bench = Bench::new();
    fs::create_dir(bench.path("etc")).unwrap();
    fs::write(bench.path("etc/passwd"), "lora:x:4242:4343::/:/bin/sh\n").unwrap();
    fs::write(bench.path("etc/group"), "radio:x:4343:\n").unwrap();
    let task = "!file { path: /f, attributes: { owner: lora, group: radio, mode: 0o2750 } }";
    assert_eq!(bench.one(task).0, "created");
    let metadata = fs::metadata(bench.path("f")).unwrap();
    assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (4242, 4343, 0o2750));
    assert_eq!(bench.one(task).0, "matched");
    assert_eq!(bench.one("!file { path: /f, attributes: { owner: 4242, group: '4343' } }").0, "matched");
    assert_eq!(bench.one("!file { path: /f, attributes: { owner: 0 } }").0, "modified");
    let (status, message) = bench.one("!file { path: /g, attributes: { owner: nobody-here } }");
    assert_eq!(status, "failed");
    assert!(message.contains("no user \"nobody-here\""), "{message}");
    assert!(!bench.path("g").exists(), "the name is looked up before anything is made");
}

#[test]
fn what_stands_in_the_way_is_named() {
    let mut bench = Bench::new();
    fs::create_dir(bench.path("d")).unwrap();
    fs::write(bench.path("f"), "x").unwrap();
    let cases = [
        ("!file { path: /d }", "/d is a directory"),
        ("!copy { content: x, dest: /d }", "/d is a directory"),
        ("!directory { path: /f }", "/f is not a directory"),
        ("!copy { content: x, dest: /no/f }", "the directory /no is not there"),
        ("!copy { content: x, dest: /f/g }", "not a directory"),
        ("!copy { src: /nothing, dest: /g }", "no such file: /nothing"),
        ("!file { path: relative }", "must begin with /"),
        ("!template { content: '{{undefined}}', dest: /g }", "Variable \"undefined\" not found"),
    ];
    for (task, words) in cases {
        let (status, message) = bench.one(task);
        assert_eq!(status, "failed", "{task}");
        assert!(message.contains(words), "{task}: {message}");
    }
}

#[test]
fn every_character_works_in_a_path_but_nul() {
    let mut bench = Bench::new();
    for name in ["-rf", "a'b", "a\\\"b", "$(touch x)", "`id`", "a;b", "a\\nb", "*", "é", "{x}", "a%=b"] {
        let (status, message) = bench.one(&format!("!file {{ path: \"/{name}\" }}"));
        assert_eq!(status, "created", "{name}: {message}");
    }
    assert_eq!(fs::read_dir(bench.root.path()).unwrap().count(), 11);
    assert!(bench.path("a\nb").is_file() && bench.path("$(touch x)").is_file());
    assert!(bench.one("!file { path: \"/a\\0b\" }").1.contains("NUL"));
}

#[test]
fn values_that_mean_something_to_a_shell_are_refused_and_words_are_not() {
    for value in [
        "a;b", "a b|c", "$HOME", "`id`", "a'b", "a\"b", "a\\b", "a\nb", "a\0b", "a&b", "*", "~", "# x",
        "a>b", "(a)",
    ] {
        let mut bench = Bench::new();
        let tasks = format!(
            "    - !set {{ vars: {{ v: {} }} }}\n    - !shell {{ cmd: 'touch $KEROS_ROOT/ran; echo {{{{v}}}}' }}\n",
            serde_json::to_string(value).unwrap()
        );
        bench.run(&tasks);
        assert_eq!(bench.results[1].status.as_str(), "failed", "{value:?}");
        assert!(!bench.path("ran").exists(), "{value:?}");
        let message = bench.results[1].message.clone().unwrap();
        assert!(message.contains("variable `v`"), "{message}");
    }
    for value in ["two words", "-x", "a=b", "1.0~rc1", "a#b", "/etc/x", "50%", "a,b:c@d+e", "é"] {
        let mut bench = Bench::new();
        let tasks = format!(
            "    - !set {{ vars: {{ v: {value:?} }} }}\n    - !shell {{ cmd: 'printf \"%s,\" {{{{{{v}}}}}}' }}\n"
        );
        bench.run(&tasks);
        let output = bench.results[1].output.as_ref().unwrap().head.clone();
        let expected: String = value.split(' ').map(|word| format!("{word},")).collect();
        assert_eq!(output, expected);
    }
}

#[test]
fn a_task_that_takes_too_long_is_ended_with_all_its_children() {
    let mut bench = Bench::new();
    bench.limits.task_s = 1;
    let task = "    - !shell { cmd: 'trap \"\" TERM; echo begun; (trap \"\" TERM; sleep 60) & echo $! > $KEROS_ROOT/pid; sleep 60' }\n";
    let began = Instant::now();
    let outcome = bench.run(task);
    assert!(began.elapsed() < Duration::from_secs(10));
    let Outcome::TimedOut { limit: TimeLimit::Task, task: Some(task), output: Some(output), .. } = outcome
    else {
        panic!("{outcome:?}");
    };
    assert_eq!((task.number, output.head.as_str()), (1, "begun\n"));
    assert_eq!(bench.results[0].exit_code, Some(128 + 9));
    let pid = fs::read_to_string(bench.path("pid")).unwrap();
    let gone = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    };
    let until = Instant::now() + Duration::from_secs(5);
    while !gone() && Instant::now() < until {
        std::thread::yield_now();
    }
    assert!(gone(), "the child of the shell is still there");
}

#[test]
fn the_total_limit_ends_a_run_between_and_within_tasks() {
    let mut bench = Bench::new();
    bench.limits.total_s = 1;
    let outcome = bench
        .run("    - !shell { cmd: 'false', and: { retry: 100, delay: 30 } }\n    - !file { path: /x }\n");
    assert!(matches!(outcome, Outcome::TimedOut { limit: TimeLimit::Total, .. }), "{outcome:?}");
    assert!(!bench.path("x").exists());
}

#[test]
fn a_program_left_in_the_background_does_not_hang_the_run() {
    let mut bench = Bench::new();
    let began = Instant::now();
    let outcome =
        bench.run("    - !shell { cmd: 'echo before; sleep 30 & echo $! > $KEROS_ROOT/pid; echo after' }\n");
    assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(bench.results[0].output.as_ref().unwrap().head, "before\nafter\n");
    let pid: i32 = fs::read_to_string(bench.path("pid")).unwrap().trim().parse().unwrap();
    // It was left alone; the test must not leave it.
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
}

#[test]
fn a_hundred_megabytes_of_output_keep_head_and_tail_in_bounded_memory() {
    let mut bench = Bench::new();
    bench.run("    - !shell { cmd: 'echo first; head -c 100000000 /dev/zero | tr \"\\\\0\" x; echo; echo last', save: r }\n");
    let output = bench.results[0].output.clone().unwrap();
    assert!(output.head.starts_with("first\nxxx") && output.tail.ends_with("xxx\nlast\n"));
    assert!(output.head.len() + output.tail.len() <= 65_536);
    assert_eq!(output.omitted_bytes, 100_000_012 - 65_536);
}

#[test]
fn exit_codes_and_signals_are_told() {
    let mut bench = Bench::new();
    for (command, code) in
        [("exit 255", 255), ("kill -9 $$", 137), ("no-such-command", 127), ("kill -TERM $$", 143)]
    {
        assert_eq!(bench.one(&format!("!shell {{ cmd: '{command}' }}")).0, "failed");
        assert_eq!(bench.results[0].exit_code, Some(code), "{command}");
    }
}

#[test]
fn programs_have_a_clean_environment_and_no_input() {
    let mut bench = Bench::new();
    bench.run("    - !shell { cmd: 'cat; env | grep -v ^_ | grep -v ^SHLVL | sort' }\n");
    let output = bench.results[0].output.as_ref().unwrap().head.clone();
    let names: Vec<&str> = output.lines().filter_map(|line| line.split('=').next()).collect();
    assert_eq!(names, ["HOME", "KEROS_ROOT", "LANG", "LOGNAME", "PATH", "PWD", "SHELL", "USER"]);
}

#[test]
fn shell_in_a_tree_without_a_shell_fails_and_says_why() {
    let mut bench = Bench::new();
    let outcome = bench.run_in("    - !shell { cmd: 'true' }\n", ShellPlace::Root);
    let Outcome::Failed { message, .. } = outcome else { panic!("{outcome:?}") };
    assert!(message.contains("there is no /bin/sh in"), "{message}");
}

#[test]
fn shell_in_a_tree_sees_only_the_tree() {
    let busybox = Path::new("/bin/busybox");
    // ldd fails for a static program.
    let ldd = std::process::Command::new("ldd").arg(busybox).output();
    let is_static = busybox.exists() && ldd.is_ok_and(|output| !output.status.success());
    if !nix::unistd::geteuid().is_root() || !is_static {
        keros_skip::skipped("needs root and a static /bin/busybox");
        return;
    }
    let mut bench = Bench::new();
    fs::create_dir_all(bench.path("bin")).unwrap();
    fs::copy(busybox, bench.path("bin/busybox")).unwrap();
    for name in ["sh", "ls", "pwd"] {
        symlink("busybox", bench.path("bin").join(name)).unwrap();
    }
    bench.run_in("    - !shell { cmd: 'pwd; ls /; echo made > /made' }\n", ShellPlace::Root);
    assert_eq!(bench.results[0].output.as_ref().unwrap().head, "/\nbin\n");
    assert_eq!(fs::read_to_string(bench.path("made")).unwrap(), "made\n");
    assert!(Path::new("/proc/self/exe").exists(), "this program kept its own root");
}

#[test]
fn an_observer_that_cannot_keep_an_event_ends_the_run_before_the_next_change() {
    let mut bench = Bench::new();
    bench.fail_at_event = Some(3);
    let outcome = bench.run("    - !file { path: /a }\n    - !file { path: /b }\n");
    let Outcome::Failed { task: None, message, summary, .. } = outcome else { panic!("{outcome:?}") };
    assert!(message.contains("the journal is full"));
    assert_eq!(summary.created, 1);
    assert!(bench.path("a").exists() && !bench.path("b").exists());
}

#[test]
fn only_tasks_with_a_wanted_tag_run_and_numbers_stay() {
    let mut bench = Bench::new();
    bench.tags = vec!["t2".to_owned()];
    bench.run("    - !file { path: /a }\n    - !file { path: /b, with: { tags: [t1, t2] } }\n    - !file { path: /c, with: { tags: [t1] } }\n");
    assert_eq!(bench.results.len(), 1);
    assert!(bench.path("b").exists() && !bench.path("a").exists() && !bench.path("c").exists());
}

/// The answers of systemctl for units of several names, and a log of what was ordered.
const SYSTEMCTL: &str = r#"#!/bin/sh
case "$1 $2" in
  "is-enabled static"*) echo static;;
  "is-enabled masked"*) echo masked; exit 1;;
  "is-enabled missing"*) echo "Failed to get unit file state: No such file or directory"; exit 1;;
  "is-enabled off"*) echo disabled; exit 1;;
  "is-enabled"*) echo enabled;;
  "is-active off"* | "is-active missing"* | "is-active masked"*) echo inactive; exit 3;;
  "is-active failed"*) echo failed; exit 3;;
  "is-active slow"*) echo activating; exit 3;;
  "is-active"*) echo active;;
  *bad*) echo "Job failed"; exit 1;;
  *) echo "$*" >> "$KEROS_ROOT/orders";;
esac
"#;

#[test]
fn services_are_started_enabled_and_refused_by_their_state() {
    let mut bench = Bench::new();
    fs::create_dir_all(bench.path("usr/bin")).unwrap();
    fs::write(bench.path("usr/bin/systemctl"), SYSTEMCTL).unwrap();
    fs::set_permissions(bench.path("usr/bin/systemctl"), fs::Permissions::from_mode(0o755)).unwrap();
    let cases = [
        ("{ service: on, started: true, enabled: true }", "matched", ""),
        ("{ service: off, started: true, enabled: true }", "modified", "start off\nenable off\n"),
        ("{ service: on, started: false, enabled: false }", "modified", "stop on\ndisable on\n"),
        ("{ service: on, restart: true }", "modified", "restart on\n"),
        ("{ service: off, restart: true }", "modified", "start off\n"),
        ("{ service: failed, started: true }", "modified", "start failed\n"),
        ("{ service: slow, started: true }", "matched", ""),
        ("{ service: static, started: true }", "matched", ""),
        ("{ service: static, enabled: true }", "failed", ""),
        ("{ service: static, enabled: false }", "matched", ""),
        ("{ service: masked, started: true }", "failed", ""),
        ("{ service: masked, started: false, enabled: false }", "matched", ""),
        ("{ service: missing, enabled: true }", "failed", ""),
        ("{ service: bad, restart: true }", "failed", ""),
        ("{ service: '-H x' }", "failed", ""),
        ("{ service: --help }", "failed", ""),
    ];
    for (fields, status, orders) in cases {
        let seen = bench.one(&format!("!sd_service {fields}"));
        assert_eq!(seen.0, status, "{fields}: {}", seen.1);
        let log = bench.path("orders");
        assert_eq!(fs::read_to_string(&log).unwrap_or_default(), orders, "{fields}");
        let _ = fs::remove_file(log);
    }
}
