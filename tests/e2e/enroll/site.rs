//! A center that gateways can join, and a gateway that has not.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use keros_tests::{Broker, Center, Gateway, GatewayOptions, KEROS_6, Pki, free_port, keros_program};

/// The gateway of most tests.
pub(crate) const EUI: &str = "7076FF0000000001";

/// All of it in one folder.
pub(crate) struct Site {
    pub(crate) center: Center,
    folder: tempfile::TempDir,
}

impl Site {
    /// With passwords.
    pub(crate) fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// With further arguments of `keros-center serve`.
    pub(crate) fn start_with(more: &[&str]) -> Result<Self> {
        Self::prepared(free_port()?, more, |_| Ok(()))
    }

    /// With certificates, by the center's own authority.
    pub(crate) fn with_certificates(more: &[&str]) -> Result<Self> {
        Self::with_certificates_at(free_port()?, more)
    }

    /// The same, with the registry at this port.
    pub(crate) fn with_certificates_at(registry: u16, more: &[&str]) -> Result<Self> {
        Self::prepared(registry, more, |folder| {
            let data = folder.join("center/data");
            let arguments = ["ca", "create", "--data-folder", &data.to_string_lossy()].map(str::to_owned);
            keros_tests::run_ok(&keros_program("keros-center")?, arguments).map(drop)
        })
    }

    fn prepared(registry: u16, more: &[&str], prepare: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let pki = Pki::new(&folder.path().join("pki"))?;
        let (cert, key) = pki.issue("center", "localhost")?;
        prepare(folder.path())?;
        let registry = format!("127.0.0.1:{registry}");
        let ca = pki.path("ca.pem").display().to_string();
        let mut arguments = vec!["--registry-tls".to_owned(), registry, "--ca".to_owned(), ca];
        arguments.extend(more.iter().map(ToString::to_string));
        let broker = Broker::EmbeddedTls(cert, key);
        let center = Center::start_with(&folder.path().join("center"), broker, arguments)?;
        Ok(Self { center, folder })
    }

    /// One that was started otherwise.
    pub(crate) fn of(center: Center, folder: tempfile::TempDir) -> Self {
        Self { center, folder }
    }

    /// A line for a gateway.
    pub(crate) fn line(&self, eui: &str) -> Result<String> {
        Ok(self.center.command_line(&["enroll", eui])?.trim().to_owned())
    }

    /// A gateway that knows no center.
    pub(crate) fn gateway(&self, eui: &str) -> Result<Gateway> {
        self.gateway_in(eui, eui)
    }

    /// The same in a folder of this name.
    pub(crate) fn gateway_in(&self, name: &str, eui: &str) -> Result<Gateway> {
        let folder = self.path(name);
        let options = GatewayOptions { trust: folder.join("trust"), ..GatewayOptions::default() };
        let gateway = Gateway::prepare(&folder, eui, KEROS_6, &options)?;
        let text = std::fs::read_to_string(gateway.config())?;
        let kept = text.lines().filter(|line| !line.starts_with("  host:") && !line.starts_with("  port:"));
        let text = kept.map(|line| format!("{line}\n")).collect::<String>();
        std::fs::write(gateway.config(), text)?;
        Ok(gateway)
    }

    /// A path in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// How a program ended, and what it printed.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) text: String,
}

/// The folder of a gateway's configuration.
pub(crate) fn folder(gateway: &Gateway) -> Result<PathBuf> {
    Ok(gateway.config().parent().context("a file is in a folder")?.to_owned())
}

/// `keros-agent enroll -` with this line, and further arguments.
pub(crate) fn enroll(gateway: &Gateway, line: &str, more: &[&str]) -> Result<Ended> {
    let mut command = Command::new(keros_program("keros-agent")?);
    command.args(["enroll", "-"]).args(more).arg("--config").arg(gateway.config());
    feed(&mut command, line)
}

/// Runs a program with this input.
pub(crate) fn feed(command: &mut Command, input: &str) -> Result<Ended> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    // It may not read all of it, or nothing.
    let _ = child.stdin.take().context("its input")?.write_all(format!("{input}\n").as_bytes());
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Ok(Ended { code: output.status.code().unwrap_or(-1), text })
}
