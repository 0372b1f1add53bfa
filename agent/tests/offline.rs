//! The technician beside a gateway whose broker is gone: the daemon as a process, its commands as processes.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

mod daemon;

use daemon::{Daemon, EUI};

/// Nobody listens there.
const NO_PORT: u16 = 1;

#[test]
fn status_and_jobs_are_answered_without_a_broker() {
    let daemon = Daemon::start(NO_PORT, &[]);
    let output = daemon.ask(&["status"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    for part in [EUI, "KerOS 6.3.1", "127.0.0.1:1", "unknown option `future_option`"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(text.lines().count() <= 24 && text.lines().all(|line| line.chars().count() <= 80), "{text}");

    let output = daemon.ask(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status["eui"], EUI);
    assert_ne!(status["connection"]["state"], "connected");

    let output = daemon.ask(&["jobs"]);
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "Open jobs: none\nEnded jobs, newest first: none\n"
    );
    assert_eq!(daemon.ask(&["job", "0192"]).status.code(), Some(1));
}

#[test]
fn a_second_daemon_does_not_take_the_first_ones_socket() {
    let mut daemon = Daemon::start(NO_PORT, &[]);
    let second = daemon.ask(&["run"]);
    assert!(!second.status.success());
    assert!(daemon.process.try_wait().unwrap().is_none(), "the first one goes on");
    assert!(daemon.ask(&["status"]).status.success());
}
