//! A run by hand on a terminal: colours, and the line that says what is under way.

#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use std::fs::{self, File};
use std::io::Read as _;
use std::process::{Command, Stdio};

use nix::pty::openpty;

const SCRIPT: &str = "\
- name: p
  groups: [all]
  tasks:
    - !shell { name: \"take \\e[2J time\", cmd: 'sleep 2.5' }
    - !file { path: /made }
";

/// What a terminal gets.
fn on_terminal(variables: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("tree")).unwrap();
    fs::write(folder.path().join("s.yml"), SCRIPT).unwrap();
    let terminal = openpty(None, None).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_keros-executor"));
    command.args(["playbook", "s.yml", "--root", "tree", "--host-shell"]).current_dir(folder.path());
    command.env("TERM", "xterm").env_remove("NO_COLOR").envs(variables.iter().copied());
    let mut child = command.stdout(Stdio::from(terminal.slave)).spawn().unwrap();
    // It holds the other end open: without it the reading would not end.
    drop(command);
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    let mut master = File::from(terminal.master);
    // The end of a terminal is an error.
    while let Ok(count @ 1..) = master.read(&mut buffer) {
        text.extend_from_slice(&buffer[..count]);
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
    String::from_utf8(text).unwrap()
}

#[test]
fn a_terminal_gets_colours_and_a_line_of_progress_that_goes_away() {
    let text = on_terminal(&[]);
    assert!(text.contains("\x1b[32m✓\x1b[0m 2/2 file: created"), "{text:?}");
    let line = "\r\x1b[2K\x1b[?7l[1/2] take \\u{1b}[2J time … ";
    assert!(text.contains(line), "{text:?}");
    assert!(text.contains("\x1b[?7h\r\x1b[2K\x1b[32m✓\x1b[0m 1/2 take"), "the line must be gone: {text:?}");
    assert_eq!(text.matches("[2/2]").count(), 0, "a short task has no such line: {text:?}");
}

#[test]
fn no_color_means_no_colours() {
    let text = on_terminal(&[("NO_COLOR", "1")]);
    assert!(text.contains("✓ 2/2 file: created") && !text.contains("\x1b[32m"), "{text:?}");
    let text = on_terminal(&[("TERM", "dumb")]);
    assert!(!text.contains('\x1b'), "{text:?}");
}
