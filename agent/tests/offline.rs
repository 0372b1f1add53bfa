//! The technician beside a gateway whose broker is gone: the daemon as a process, its commands as processes.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const EUI: &str = "7076FF0056070123";

/// A daemon on folders of its own, with a broker that nobody is. It ends with the test.
struct Daemon {
    folder: tempfile::TempDir,
    process: Child,
}

impl Daemon {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        for name in ["state", "run", "trust"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let config = format!(
            "broker: {{host: 127.0.0.1, port: 1}}\n\
             identity: {{eui: \"{EUI}\", keros_version: \"6.3.1\"}}\n\
             state_folder: {path}/state\nruntime_folder: {path}/run\ntrust_folder: {path}/trust\n\
             executor: {{socket: {path}/executor.sock}}\nfuture_option: 1\n"
        );
        std::fs::write(folder.path().join("config.yaml"), config).unwrap();
        let mut command = command(folder.path(), &["run"]);
        let process =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let daemon = Self { folder, process };
        daemon.wait_for_socket();
        daemon
    }

    fn wait_for_socket(&self) {
        let socket = self.folder.path().join("run/status.sock");
        let limit = Instant::now() + Duration::from_secs(20);
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(Instant::now() < limit, "nobody serves {} yet", socket.display());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        command(self.folder.path(), arguments).output().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keros-agent"));
    command.arg("--config").arg(folder.join("config.yaml")).args(arguments).env_clear();
    command
}

#[test]
fn status_and_jobs_are_answered_without_a_broker() {
    let daemon = Daemon::start();
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
    let mut daemon = Daemon::start();
    let second = daemon.ask(&["run"]);
    assert!(!second.status.success());
    assert!(daemon.process.try_wait().unwrap().is_none(), "the first one goes on");
    assert!(daemon.ask(&["status"]).status.success());
}
