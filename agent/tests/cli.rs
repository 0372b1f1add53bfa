//! The program as a person starts it: exit codes, and what is printed where.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

use std::path::Path;
use std::process::{Command, Output};

fn keros_agent(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keros-agent"))
        .args(arguments)
        .env_clear()
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap()
}

fn code_and_text(arguments: &[&str]) -> (i32, String, String) {
    let output = keros_agent(arguments);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// A configuration file in a folder of its own, whose runtime folder is there too.
fn configured(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, format!("{text}runtime_folder: {}\n", folder.path().display())).unwrap();
    let file = file.display().to_string();
    (folder, file)
}

#[test]
fn help_teaches_and_wrong_usage_is_64() {
    let (code, help, _) = code_and_text(&["--help"]);
    assert_eq!(code, 0);
    for word in ["Examples:", "keros-agent telemetry --now", "keros-agent apply", "Exit codes:", "KEROS_LOG"]
    {
        assert!(help.contains(word), "{word} is not in\n{help}");
    }
    let (code, help, _) = code_and_text(&["apply", "--help"]);
    assert_eq!(code, 0);
    for word in ["FOLDER-OR-TAR", "--command <FILE>", "--no-wait", "magic-link sign", "Exit codes:"] {
        assert!(help.contains(word), "{word} is not in\n{help}");
    }
    for wrong in [
        &[][..],
        &["apply"],
        &["apply", "x", "y", "--command", "z"],
        &["stat"],
        &["job"],
        &["config"],
        &["config", "--check", "--show"],
        &["telemetry"],
    ] {
        assert_eq!(code_and_text(wrong).0, 64, "{wrong:?}");
    }
}

#[test]
fn without_the_daemon_the_technician_is_told_what_to_do() {
    let (folder, file) = configured("broker: {host: center}\n");
    for command in [&["status"][..], &["jobs"], &["job", "01"], &["telemetry", "--now"]] {
        let arguments = [&["--config", file.as_str()][..], command].concat();
        let (code, out, err) = code_and_text(&arguments);
        assert_eq!((code, out.as_str()), (69, ""), "{command:?}: {err}");
        let socket = folder.path().join("status.sock");
        assert!(err.contains(&socket.display().to_string()) && err.contains("systemctl status"), "{err}");
    }
    let (code, _, err) = code_and_text(&["--config", "/nonexistent.yaml", "status"]);
    assert_eq!(code, 78, "no other agent answers for the one that was meant");
    assert!(err.contains("/nonexistent.yaml: cannot be read"), "{err}");
    let (code, _, err) = code_and_text(&["--socket", "/nonexistent.sock", "status"]);
    assert_eq!(code, 69);
    assert!(err.contains("/nonexistent.sock"), "{err}");
}

#[test]
fn a_broken_configuration_is_78_with_file_and_line() {
    let (_folder, file) = configured("broker:\n  host: center\n  prot: 1\n");
    let (code, _, err) = code_and_text(&["config", "--check", "--config", &file]);
    assert_eq!(code, 78);
    let expected = format!("error: {file}:3: unknown option `broker.prot`: did you mean `broker.port`?\n");
    assert_eq!(err, expected);
    // The same file is good enough to be shown, and for the daemon to start with.
    let (code, out, err) = code_and_text(&["config", "--show", "--config", &file]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("host: center\n") && err.starts_with("warning: "), "{out}{err}");

    let (_folder, file) = configured("broker:\n  host: center\n  port: 0\n");
    for command in [&["config", "--check"][..], &["config", "--show"], &["run"]] {
        let (code, _, err) = code_and_text(&[command, &["--config", &file]].concat());
        assert_eq!(code, 78, "{command:?}");
        assert!(err.contains(&format!("{file}:3: `broker.port` is a whole number")), "{err}");
    }
}

#[test]
fn a_good_configuration_is_told_as_such() {
    let (_folder, file) = configured("broker: {host: center}\n");
    let (code, out, err) = code_and_text(&["config", "--check", "--config", &file]);
    assert_eq!((code, out, err.as_str()), (0, format!("good: {file}\n"), ""));
}

#[test]
fn the_default_file_is_the_shipped_one() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("packaging/config.yaml");
    let (code, out, _) = code_and_text(&["config", "--default"]);
    assert_eq!((code, out), (0, std::fs::read_to_string(shipped).unwrap()));
}

#[test]
fn completions_name_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = code_and_text(&["completions", shell]);
        assert_eq!(code, 0);
        assert!(
            out.contains("telemetry")
                && out.contains("apply")
                && out.contains("no-wait")
                && out.contains("keros-agent"),
            "{shell}"
        );
    }
}
