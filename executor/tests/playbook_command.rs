//! `keros-executor playbook` as a person sees it: what it prints, and its exit codes.

#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const SCRIPT: &str = "\
- name: demo
  groups: [all]
  vars: { site: roof }
  tasks:
    - !template { name: write it, content: \"site={{ site }}\\n\", dest: /conf, and: { notify: changed } }
    - !directory { path: '/spool/{{ item }}', with: { items: [a, b] } }
    - !shell { cmd: 'echo told; exit 3', and: { ignore_errors: true } }
    - !echo { msg: '{{ site }}', with: { tags: [say] } }
  handlers:
    - !file { name: seen, path: /seen, with: { subscribe: changed } }
";

fn playbook(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keros-executor"))
        .arg("playbook")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A run's text with its time as `in T s`.
fn timeless(output: &Output) -> String {
    let mut text = text(&output.stdout);
    if let Some(end) = text.find(" s | ") {
        let start = text[..end].rfind(' ').unwrap() + 1;
        text.replace_range(start..end, "T");
    }
    text
}

/// A folder with the script and an empty tree.
fn bench() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("demo.yml"), SCRIPT).unwrap();
    fs::create_dir(folder.path().join("tree")).unwrap();
    folder
}

const ON_TREE: [&str; 4] = ["demo.yml", "--root", "tree", "--host-shell"];

#[test]
fn a_run_prints_one_line_for_each_task_and_a_summary() {
    let folder = bench();
    let output = playbook(folder.path(), &ON_TREE);
    let expected = "\
demo.yml: 5 tasks on tree
✓ 1/5 write it: created
    content: \"site=roof\\n\"
    notified: changed
✓ directory [a]: created
✓ directory [b]: created
✓ 2/5 directory: created
! 3/5 shell: ignored
    the command failed with exit code 3
    told
· 4/5 echo: passive
    roof
✓ 5/5 seen: created

5 tasks in T s | 3 created, 1 passive, 1 failed but ignored
succeeded
";
    assert_eq!(timeless(&output), expected);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(fs::read_to_string(folder.path().join("tree/conf")).unwrap(), "site=roof\n");
}

#[test]
fn a_dry_run_changes_nothing_and_says_so_by_its_exit_code() {
    let folder = bench();
    let mut arguments = ON_TREE.to_vec();
    arguments.push("--dry-run");
    let output = playbook(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output.stdout).contains("✓ 1/5 write it: would be created"));
    assert_eq!(fs::read_dir(folder.path().join("tree")).unwrap().count(), 0);
    arguments.extend(["--tags", "say:other"]);
    assert_eq!(playbook(folder.path(), &arguments).status.code(), Some(0), "only the echo is left");
}

#[test]
fn json_gives_events_and_an_end() {
    let folder = bench();
    fs::write(folder.path().join("more.json"), "{\"site\": \"mast\"}").unwrap();
    let mut arguments = ON_TREE.to_vec();
    arguments.extend(["--json", "-e", "@more.json", "-e", "{other: [1]}"]);
    let output = playbook(folder.path(), &arguments);
    let events: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.first().unwrap()["event"], "run_started");
    assert_eq!(events[0]["tasks"], 5);
    assert_eq!(events.last().unwrap()["event"], "ended");
    assert_eq!(events.last().unwrap()["status"], "succeeded");
    assert_eq!(fs::read_to_string(folder.path().join("tree/conf")).unwrap(), "site=mast\n");
}

#[test]
fn faults_are_shown_with_their_lines() {
    let folder = bench();
    fs::write(
        folder.path().join("bad.yml"),
        "- name: x\n  groups: [all]\n  tasks:\n    - !shel { cmd: ls }\n",
    )
    .unwrap();
    let output = playbook(folder.path(), &["bad.yml", "--root", "tree"]);
    let expected = "\
bad.yml:4:7: there is no module `shel`
    4 |     - !shel { cmd: ls }
      |       ^
      = did you mean `shell`?
1 fault found: nothing was run
";
    assert_eq!(text(&output.stderr), expected);
    assert_eq!(output.status.code(), Some(65));
}

#[test]
fn the_item_that_failed_is_named() {
    let folder = bench();
    let script = "- name: x\n  groups: [all]\n  tasks:\n    - !shell { cmd: 'test {{ item }} = a', with: { items: [a, b, c] } }\n";
    fs::write(folder.path().join("fails.yml"), script).unwrap();
    let output = playbook(folder.path(), &["fails.yml", "--root", "tree", "--host-shell"]);
    let expected = "\
fails.yml: 1 task on tree
✓ shell [a]: executed
! shell [b]: failed
! 1/1 shell: failed
    the command failed with exit code 1

1 task in T s | 1 failed
failed: task 1 of 1 (shell), exit code 1
    at fails.yml:4
";
    assert_eq!(timeless(&output), expected);
}

#[test]
fn failures_and_wrong_use_have_their_exit_codes() {
    let folder = bench();
    fs::write(folder.path().join("fails.yml"), "- name: x\n  groups: [all]\n  tasks: [!fail { msg: no }]\n")
        .unwrap();
    let output = playbook(folder.path(), &["fails.yml", "--root", "tree"]);
    assert_eq!(output.status.code(), Some(1));
    let end = "1 task in T s | 1 failed\nfailed: task 1 of 1 (fail)\n    at fails.yml:3\n";
    assert!(timeless(&output).ends_with(end), "{output:?}");
    for wrong in [&["missing.yml"][..], &["demo.yml", "--root", "nowhere"], &["demo.yml", "--bogus"], &[]] {
        assert_eq!(playbook(folder.path(), wrong).status.code(), Some(64), "{wrong:?}");
    }
}

#[test]
fn a_reboot_is_refused_by_hand_and_told_of_in_a_dry_run() {
    let folder = bench();
    let script = "- name: p\n  groups: [all]\n  tasks:\n    - !file { path: /x }\n    - !reboot\n";
    fs::write(folder.path().join("demo.yml"), script).unwrap();
    let output = playbook(folder.path(), &ON_TREE);
    assert_eq!(output.status.code(), Some(65));
    let told = text(&output.stderr);
    assert!(told.contains("demo.yml:5:7: a run by hand cannot reboot and go on"), "{told}");
    assert!(!folder.path().join("tree/x").exists());
    let output = playbook(folder.path(), &[&ON_TREE[..], &["--dry-run"]].concat());
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
}
