//! Debian's docker-registry, and skopeo, which copies between it and folders: a registry and a client that nobody here wrote.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{Pki, Process, free_port, system_program, wait_for};

/// A registry with TLS that can be killed and started again on the same port.
#[derive(Debug)]
pub struct Registry {
    /// Its port on 127.0.0.1.
    pub port: u16,
    config: PathBuf,
    log: PathBuf,
    process: Option<Process>,
}

impl Registry {
    /// Starts an empty registry with its files in `folder`.
    ///
    /// # Errors
    /// When it is not installed or does not come up.
    pub fn start(folder: &Path, pki: &Pki) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let port = free_port()?;
        let (cert, key) = pki.issue("registry", "localhost")?;
        let text = format!(
            "version: 0.1\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\n\
             http: {{ addr: '127.0.0.1:{port}', tls: {{ certificate: {}, key: {} }} }}\n",
            folder.join("data").display(),
            cert.display(),
            key.display()
        );
        let config = folder.join("registry.yml");
        std::fs::write(&config, text)?;
        let mut registry = Self { port, config, log: folder.join("registry.log"), process: None };
        registry.restart()?;
        Ok(registry)
    }

    /// Starts it again, after a kill.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> Result<()> {
        let mut command = Command::new(system_program("docker-registry")?);
        self.process = Some(Process::start(command.arg("serve").arg(&self.config), &self.log)?);
        wait_for(
            "docker-registry listens",
            || Ok(std::net::TcpStream::connect(("127.0.0.1", self.port)).ok()),
        )
        .map(drop)
    }

    /// Ends it with SIGKILL.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.kill())
    }

    /// A repository as gateways are told of it.
    #[must_use]
    pub fn source(&self, name: &str) -> String {
        format!("https://127.0.0.1:{}/v2/{name}", self.port)
    }

    /// A repository as skopeo calls it.
    #[must_use]
    pub fn repository(&self, name: &str) -> String {
        format!("docker://127.0.0.1:{}/{name}", self.port)
    }

    /// How often something was asked for that has this in its path.
    #[must_use]
    pub fn gets(&self, part: &str) -> usize {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().filter(|line| line.contains("\"GET /v2/") && line.contains(part)).count()
    }
}

/// skopeo with a home of its own, in which it finds whom to trust.
#[derive(Debug)]
pub struct Skopeo {
    home: PathBuf,
}

impl Skopeo {
    /// Trusts this authority's certificate of the registry.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn new(home: &Path, registry: &Registry, pki: &Pki) -> Result<Self> {
        let folder = home.join(format!(".config/containers/certs.d/127.0.0.1:{}", registry.port));
        std::fs::create_dir_all(&folder)?;
        std::fs::copy(pki.path("ca.pem"), folder.join("ca.crt"))?;
        Ok(Self { home: home.to_owned() })
    }

    /// Where `HOME` must point to for a shell that calls skopeo itself.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Copies an artifact as it is; with another digest it would fail.
    ///
    /// # Errors
    /// When skopeo fails, with what it printed.
    pub fn copy(&self, from: &str, to: &str) -> Result<()> {
        self.run(&["copy", "--insecure-policy", "--preserve-digests", from, to]).map(drop)
    }

    /// The bytes of a manifest.
    ///
    /// # Errors
    /// When skopeo fails, with what it printed.
    pub fn manifest(&self, of: &str) -> Result<Vec<u8>> {
        self.run(&["inspect", "--raw", of])
    }

    fn run(&self, arguments: &[&str]) -> Result<Vec<u8>> {
        let mut command = Command::new(system_program("skopeo")?);
        let output = command.args(arguments).env("HOME", &self.home).output().context("starting skopeo")?;
        if !output.status.success() {
            bail!("skopeo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(output.stdout)
    }
}
