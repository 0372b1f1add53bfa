//! Files of a run by hand: the order in which they reach the disk, a disk that fails, a program that is killed.
//!
//! That what was synced is there after a power cut is the kernel's promise, and the order of the system calls is ours: that is
//! what is tested. A kill leaves the page cache as it is, so it shows only that every file is whole at every instant.

#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const FILES: usize = 40;

/// A tree, and a script that writes files of 8 KiB of one letter into it.
fn bench(letter: char) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("tree")).unwrap();
    write_script(folder.path(), letter);
    folder
}

fn content(letter: char) -> String {
    letter.to_string().repeat(8192)
}

fn write_script(folder: &Path, letter: char) {
    let mut script =
        format!("- name: p\n  groups: [all]\n  vars: {{ text: {} }}\n  tasks:\n", content(letter));
    for n in 0..FILES {
        writeln!(script, "    - !template {{ content: '{{{{ text }}}}', dest: /f{n} }}").unwrap();
    }
    fs::write(folder.join("files.yml"), script).unwrap();
}

const ARGUMENTS: [&str; 4] = ["playbook", "files.yml", "--root", "tree"];

fn traced(folder: &Path, options: &[&str]) -> Option<(Output, String)> {
    let works = Command::new("strace").args(["-o", "/dev/null", "true"]).status();
    if !works.is_ok_and(|status| status.success()) {
        keros_skip::skipped("strace is not installed, or may not trace here");
        return None;
    }
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-o", "trace"]).args(options).arg(env!("CARGO_BIN_EXE_keros-executor"));
    let output = command.args(ARGUMENTS).current_dir(folder).output().unwrap();
    Some((output, fs::read_to_string(folder.join("trace")).unwrap()))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("tree")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn all_files_are_durable_before_one_gets_its_name_and_the_folder_after_all() {
    let folder = bench('a');
    let Some((output, trace)) = traced(folder.path(), &["-e", "trace=fsync,rename,renameat,renameat2"])
    else {
        return;
    };
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lines: Vec<&str> = trace.lines().filter(|line| line.ends_with("= 0")).collect();
    let is_sync = |line: &&str| line.contains("fsync(");
    let is_rename = |line: &&str| line.contains("rename");
    let first_rename = lines.iter().position(is_rename).unwrap();
    let last_rename = lines.iter().rposition(is_rename).unwrap();
    for n in 0..FILES {
        let (temporary, name) = (format!("/.f{n}.keros-new>)"), format!(", \"f{n}\""));
        let synced = lines.iter().position(|line| is_sync(line) && line.contains(&temporary)).unwrap();
        assert!(synced < first_rename, "{n}: {trace}");
        assert_eq!(lines.iter().filter(|line| is_rename(line) && line.contains(&name)).count(), 1);
    }
    let of_folder: Vec<_> = lines.iter().filter(|line| is_sync(line) && line.contains("/tree>)")).collect();
    assert_eq!(of_folder.len(), 1, "{trace}");
    assert!(lines[last_rename + 1..].contains(of_folder[0]), "{trace}");
}

#[test]
fn a_disk_that_loses_a_file_fails_the_run_by_its_name_and_keeps_the_old_content() {
    let folder = bench('a');
    fs::write(folder.path().join("tree/f1"), "old").unwrap();
    let inject = ["-e", "trace=fsync", "-e", "inject=fsync:error=EIO:when=2"];
    let Some((output, trace)) = traced(folder.path(), &inject) else { return };
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("cannot write /f1: Input/output error"), "{text}\n{trace}");
    assert_eq!(fs::read_to_string(folder.path().join("tree/f1")).unwrap(), "old");
    let names = names(folder.path());
    assert!(names.len() == FILES && !names.iter().any(|name| name.contains("keros-new")), "{names:?}");
}

#[test]
fn every_file_is_whole_whenever_the_program_is_killed() {
    let folder = bench('a');
    let (a, b) = (content('a'), content('b'));
    for round in 0..40 {
        write_script(folder.path(), if round % 2 == 0 { 'a' } else { 'b' });
        let mut command = Command::new(env!("CARGO_BIN_EXE_keros-executor"));
        command.args(ARGUMENTS).current_dir(folder.path()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_micros(1_000 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        for name in names(folder.path()).iter().filter(|name| !name.starts_with('.')) {
            let text = fs::read_to_string(folder.path().join("tree").join(name)).unwrap();
            assert!(text == a || text == b, "{name} after round {round}: {} bytes", text.len());
        }
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_keros-executor"));
    let output = command.args(ARGUMENTS).current_dir(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let names = names(folder.path());
    assert!(names.len() == FILES && !names.iter().any(|name| name.starts_with('.')), "{names:?}");
}
