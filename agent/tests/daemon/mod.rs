//! The daemon as a process.
#![allow(dead_code, reason = "no test needs all of it")]

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub(crate) const EUI: &str = "7076FF0056070123";

/// A daemon on folders of its own. It ends with the test.
pub(crate) struct Daemon {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) process: Child,
}

impl Daemon {
    /// With a broker at this port of the machine, and with these variables.
    pub(crate) fn start(port: u16, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        for name in ["state", "run", "trust"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let config = format!(
            "broker: {{host: 127.0.0.1, port: {port}}}\n\
             identity: {{eui: \"{EUI}\", keros_version: \"6.3.1\"}}\n\
             state_folder: {path}/state\nruntime_folder: {path}/run\ntrust_folder: {path}/trust\n\
             executor: {{socket: {path}/executor.sock}}\nfuture_option: 1\n"
        );
        std::fs::write(folder.path().join("config.yaml"), config).unwrap();
        let mut command = command(folder.path(), &["run"]);
        command.envs(variables.iter().copied());
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let daemon = Self { folder, process };
        daemon.wait_for_sockets();
        daemon
    }

    fn wait_for_sockets(&self) {
        let limit = Instant::now() + Duration::from_secs(20);
        for socket in ["run/status.sock", "run/control.sock"].map(|name| self.folder.path().join(name)) {
            while std::os::unix::net::UnixStream::connect(&socket).is_err() {
                assert!(Instant::now() < limit, "nobody serves {} yet", socket.display());
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// A command that follows a job which never ends is ended with the code 124.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Output {
        let asked = command(self.folder.path(), arguments);
        let mut limited = limited(asked.get_program());
        limited.args(asked.get_args()).output().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// This program, but for no more than a minute.
pub(crate) fn limited(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("/usr/bin/timeout");
    command.arg("60").arg(program).env_clear();
    command
}

pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keros-agent"));
    command.arg("--config").arg(folder.join("config.yaml")).args(arguments).env_clear();
    command
}
