//! The real mosquitto broker, and its two clients.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::{Pki, Process, free_port, project_root, system_program, wait_for};

/// How the broker is set up.
#[derive(Debug, Clone, Copy)]
pub enum MosquittoMode<'a> {
    /// Plain TCP, everybody may do everything.
    Open,
    /// The same for a whole fleet: the queues of the shipped example, and next to no log.
    Busy,
    /// The shipped example: TLS, client certificates, ACL.
    Shipped(&'a Pki),
}

/// A broker that can be killed and started again on the same port.
#[derive(Debug)]
pub struct Mosquitto {
    /// Its port on 127.0.0.1.
    pub port: u16,
    config: PathBuf,
    log: PathBuf,
    namespace: Option<String>,
    process: Option<Process>,
}

impl Mosquitto {
    /// Starts a broker with its files in `folder`.
    ///
    /// # Errors
    /// When it is not installed or does not come up.
    pub fn start(folder: &Path, mode: MosquittoMode<'_>) -> Result<Self> {
        Self::start_in(None, folder, mode)
    }

    /// As [`Mosquitto::start`], on the loopback interface of a network namespace.
    ///
    /// # Errors
    /// When it is not installed or does not come up.
    pub fn start_in(namespace: Option<&str>, folder: &Path, mode: MosquittoMode<'_>) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let port = free_port()?;
        let namespace = namespace.map(str::to_owned);
        let config = folder.join("mosquitto.conf");
        let text = match mode {
            MosquittoMode::Open => format!("listener {port} 127.0.0.1\nallow_anonymous true\n"),
            MosquittoMode::Busy => busy_config(port)?,
            MosquittoMode::Shipped(pki) => shipped_config(pki, port)?,
        };
        let log_type = if matches!(mode, MosquittoMode::Busy) { "error" } else { "all" };
        std::fs::write(&config, format!("{text}\nuser root\nlog_type {log_type}\n"))?;
        let mut broker = Self { port, config, log: folder.join("mosquitto.log"), namespace, process: None };
        broker.restart()?;
        Ok(broker)
    }

    /// Starts it again, after a kill.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> Result<()> {
        let mosquitto = system_program("mosquitto")?;
        let mut command = match &self.namespace {
            None => Command::new(mosquitto),
            Some(namespace) => {
                let mut command = Command::new(system_program("ip")?);
                command.args(["netns", "exec", namespace]).arg(mosquitto);
                command
            }
        };
        self.process = Some(Process::start(command.arg("-c").arg(&self.config), &self.log)?);
        wait_for("mosquitto listens", || {
            let listens = match &self.namespace {
                None => std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok(),
                // It cannot be connected to from here.
                Some(_) => self.log().contains(" running"),
            };
            Ok(listens.then_some(()))
        })
    }

    /// Ends it with SIGKILL.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.kill())
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// The sizes of the shipped example's queues and its way of sending, without its log-in.
fn busy_config(port: u16) -> Result<String> {
    let text = std::fs::read_to_string(project_root().join("packaging/mosquitto/keros.conf"))?;
    let sizes = text
        .lines()
        .filter(|line| line.starts_with("max_") || line.starts_with("set_"))
        .collect::<Vec<_>>()
        .join("\n");
    Ok(format!("listener {port} 127.0.0.1\nallow_anonymous true\n{sizes}\n"))
}

/// The shipped example with the paths and the port of this test.
fn shipped_config(pki: &Pki, port: u16) -> Result<String> {
    let shipped = project_root().join("packaging/mosquitto");
    let (cert, key) = pki.issue("broker", "localhost")?;
    let text = std::fs::read_to_string(shipped.join("keros.conf"))?;
    let lines = text.lines().map(|line| match line.split_whitespace().next() {
        Some("listener") => format!("listener {port} 127.0.0.1"),
        Some("cafile") => format!("cafile {}", pki.path("ca.pem").display()),
        Some("certfile") => format!("certfile {}", cert.display()),
        Some("keyfile") => format!("keyfile {}", key.display()),
        Some("acl_file") => format!("acl_file {}", shipped.join("keros.acl").display()),
        _ => line.to_owned(),
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// A command line of `mosquitto_pub` or `mosquitto_sub` for MQTT 5 on this port.
///
/// # Errors
/// When it is not installed.
pub fn mosquitto_client(program: &str, port: u16) -> Result<Command> {
    let mut command = Command::new(system_program(program)?);
    command.args(["-V", "5", "-h", "127.0.0.1", "-p", &port.to_string()]);
    Ok(command)
}
