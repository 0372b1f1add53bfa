//! A gateway: a scratch tree that looks like KerOS, and a real agent and executor that work on it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::{Injection, LIMIT, Process, Threads, keros_program, run, system_program};

/// A KerOS 6 version.
pub const KEROS_6: &str = "6.3.1";
/// A KerOS 5 version.
pub const KEROS_5: &str = "5.10.1-0-gc7e2b007";

/// How the gateway reaches its broker, and whom it trusts.
#[derive(Debug, Clone, Default)]
pub struct GatewayOptions {
    /// Address of the broker; none: 127.0.0.1.
    pub host: Option<String>,
    /// Port of the broker.
    pub port: u16,
    /// Network namespace that the agent, and with it the executor, is in.
    pub namespace: Option<String>,
    /// Seconds; none: the default.
    pub keep_alive_s: Option<u32>,
    /// Seconds; none: the default.
    pub telemetry_interval_s: Option<u32>,
    /// Folder with the center's public keys.
    pub trust: PathBuf,
    /// Password, sent with the EUI as user name.
    pub password: Option<String>,
    /// CA file: TLS.
    pub ca: Option<PathBuf>,
    /// Certificate and key.
    pub client: Option<(PathBuf, PathBuf)>,
    /// Another build of the agent than the one beside the tests.
    pub agent: Option<PathBuf>,
    /// Another build of the executor than the one beside the tests.
    pub executor: Option<PathBuf>,
    /// Further lines of the agent's configuration.
    pub more: String,
}

/// A gateway whose agent can be killed and started again.
#[derive(Debug)]
pub struct Gateway {
    /// Its EUI.
    pub eui: String,
    /// Its scratch tree.
    pub root: PathBuf,
    folder: PathBuf,
    namespace: Option<String>,
    agent: PathBuf,
    process: Option<Process>,
}

impl Gateway {
    /// Makes the tree and the configuration in `folder`, and starts the agent.
    ///
    /// # Errors
    /// When a file cannot be written or the agent not started.
    pub fn start(folder: &Path, eui: &str, keros: &str, options: &GatewayOptions) -> Result<Self> {
        let mut gateway = Self::prepare(folder, eui, keros, options)?;
        gateway.restart()?;
        Ok(gateway)
    }

    /// As [`Gateway::start`], without starting the agent.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn prepare(folder: &Path, eui: &str, keros: &str, options: &GatewayOptions) -> Result<Self> {
        let root = folder.join("root");
        make_root(&root, eui, keros)?;
        let (eui, folder, namespace) = (eui.to_owned(), folder.to_owned(), options.namespace.clone());
        let agent = match &options.agent {
            Some(path) => path.clone(),
            None => keros_program("keros-agent")?,
        };
        let gateway = Self { eui, root, folder, namespace, agent, process: None };
        std::fs::write(gateway.config(), gateway.configuration(options)?)?;
        Ok(gateway)
    }

    /// Starts the agent.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn restart(&mut self) -> Result<()> {
        self.start_program(&self.agent.clone())
    }

    /// Starts the agent with a fault in it; what came of it is added to a log.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn restart_with(&mut self, injection: &Injection, log: &Path) -> Result<()> {
        let command = injection.command(&self.agent, log, Threads::First)?;
        self.start_command(command)
    }

    /// Whether the agent has not ended.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    /// Starts another build of the agent.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_program(&mut self, agent: &Path) -> Result<()> {
        self.start_command(match &self.namespace {
            None => Command::new(agent),
            Some(namespace) => {
                let mut command = Command::new(system_program("ip")?);
                command.args(["netns", "exec", namespace]).arg(agent);
                command
            }
        })
    }

    fn start_command(&mut self, mut command: Command) -> Result<()> {
        command.arg("run").arg("--config").arg(self.config());
        self.process = Some(Process::start(&mut command, &self.folder.join("agent.log"))?);
        Ok(())
    }

    /// Ends the agent with SIGKILL; a running executor goes on.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.kill())
    }

    /// The agent's process.
    #[must_use]
    pub fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// Ends every executor of this gateway with SIGKILL: they are the processes that name its state folder.
    ///
    /// # Errors
    /// When a signal cannot be sent.
    pub fn kill_executor(&self) -> Result<usize> {
        use nix::sys::signal::{Signal, kill};
        let mut killed = 0;
        for pid in self.executors() {
            killed += usize::from(kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).is_ok());
        }
        Ok(killed)
    }

    /// Process ids of the executors of this gateway.
    #[must_use]
    pub fn executors(&self) -> Vec<i32> {
        let state = self.executor_state().display().to_string();
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|pid| {
            let text = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<_> = text.split(|b| *b == 0).map(String::from_utf8_lossy).collect();
            // Not only the first: an emulator comes before it.
            words.iter().any(|word| word.ends_with("keros-executor"))
                && words.iter().any(|word| *word == state.as_str())
        })
        .collect()
    }

    /// Its configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.join("config.yaml")
    }

    /// The agent's state folder.
    #[must_use]
    pub fn agent_state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The executor's state folder.
    #[must_use]
    pub fn executor_state(&self) -> PathBuf {
        self.folder.join("executor")
    }

    /// What the agent logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("agent.log")).unwrap_or_default()
    }

    /// Runs a technician's command; one that follows a job which never ends is ended with the code 124.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn technician(&self, arguments: &[&str]) -> Result<(i32, String)> {
        let mut all = vec![LIMIT.as_secs().to_string(), self.agent.display().to_string()];
        all.extend(arguments.iter().map(ToString::to_string));
        all.extend(["--config".to_owned(), self.config().display().to_string()]);
        let output = run(&system_program("timeout")?, all)?;
        let text = [output.stdout, output.stderr].concat();
        Ok((output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned()))
    }

    fn configuration(&self, options: &GatewayOptions) -> Result<String> {
        let at = |name: &str| self.folder.join(name).display().to_string();
        let mut text = format!(
            "platform_root: {}\nstate_folder: {}\nruntime_folder: {}\ntrust_folder: {}\n",
            self.root.display(),
            at("state"),
            at("run"),
            options.trust.display()
        );
        let interval_s = options.telemetry_interval_s.unwrap_or(3600);
        writeln!(text, "telemetry: {{ interval_s: {interval_s}, min_interval_s: 1 }}")?;
        // A test does not wait for minutes after a broker was killed many times.
        let host = options.host.as_deref().unwrap_or("127.0.0.1");
        writeln!(text, "broker:\n  host: {host}\n  port: {}\n  reconnect_max_s: 1", options.port)?;
        if let Some(keep_alive_s) = options.keep_alive_s {
            writeln!(text, "  keep_alive_s: {keep_alive_s}")?;
        }
        if let Some(password) = &options.password {
            let file = self.folder.join("password");
            std::fs::write(&file, password)?;
            std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o640))?;
            writeln!(text, "  username: \"{}\"\n  password_file: {}", self.eui, at("password"))?;
        }
        if let Some(ca) = &options.ca {
            writeln!(text, "  tls:\n    ca_file: {}", ca.display())?;
        }
        if let Some((cert, key)) = &options.client {
            writeln!(
                text,
                "    client_cert_file: {}\n    client_key_file: {}",
                cert.display(),
                key.display()
            )?;
        }
        text.push_str(&options.more);
        writeln!(text, "executor:\n  command:")?;
        let executor = match &options.executor {
            Some(path) => path.clone(),
            None => keros_program("keros-executor")?,
        };
        let executor = executor.display().to_string();
        let root = self.root.display().to_string();
        let (state, trust) =
            (self.executor_state().display().to_string(), options.trust.display().to_string());
        for word in [
            executor.as_str(),
            "session",
            "--host-shell",
            "--root",
            &root,
            "--state-folder",
            &state,
            "--trust-folder",
            &trust,
        ] {
            writeln!(text, "    - {word}")?;
        }
        Ok(text)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.process.take());
        let _ = self.kill_executor();
    }
}

fn make_root(root: &Path, eui: &str, keros: &str) -> Result<()> {
    for folder in ["etc", "run", "tmp", "var/lib/dpkg"] {
        std::fs::create_dir_all(root.join(folder))?;
    }
    for folder in ["proc", "sys"] {
        std::os::unix::fs::symlink(Path::new("/").join(folder), root.join(folder))?;
    }
    std::fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    std::fs::write(root.join("etc/group"), "root:x:0:\n")?;
    let package = format!("Package: keros\nStatus: install ok installed\nVersion: {keros}\n\n");
    std::fs::write(root.join("var/lib/dpkg/status"), package)?;
    if keros.starts_with('6') {
        std::fs::write(root.join("etc/version"), format!("{keros}\n"))?;
        std::fs::write(
            root.join("run/boardinfo.env"),
            format!("export EUI64=\"{eui}\"\nexport CODENAME=\"wiis\"\n"),
        )?;
    } else {
        std::fs::write(root.join("tmp/board_info.json"), format!("{{\"EUI64\": \"{eui}\"}}"))?;
        std::fs::write(root.join("tmp/sys_startup_status.json"), format!("{{\"sw_version\": \"{keros}\"}}"))?;
    }
    Ok(())
}
