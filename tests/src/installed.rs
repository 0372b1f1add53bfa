//! Our programs as the package installs them, in a tree that boots, with its configuration.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::{booted, packages, run_ok, system_program};

/// What the gateway in that tree is, and how it reaches its center.
#[derive(Debug, Clone, Copy)]
pub struct Installed<'a> {
    /// Its EUI.
    pub eui: &'a str,
    /// Its KerOS version.
    pub keros: &'a str,
    /// The broker's address.
    pub host: &'a str,
    /// The broker's port.
    pub port: u16,
    /// Folder with the center's public keys.
    pub trust: &'a Path,
    /// Further arguments of the executor, for shorter times.
    pub executor_arguments: &'a str,
    /// Further lines of the agent's configuration.
    pub more: &'a str,
}

impl<'a> Installed<'a> {
    /// On KerOS 6, with nothing further.
    #[must_use]
    pub fn keros_6(eui: &'a str, host: &'a str, port: u16, trust: &'a Path) -> Self {
        Self { eui, keros: crate::KEROS_6, host, port, trust, executor_arguments: "", more: "" }
    }

    /// Installs all of it; the agent starts with the system.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn into(self, root: &Path) -> Result<()> {
        packages::unpack_agent(root)?;
        let config = format!(
            "broker: {{ host: {}, port: {}, reconnect_max_s: 1 }}\n\
             telemetry: {{ interval_s: 3600, min_interval_s: 1 }}\n{}",
            self.host, self.port, self.more
        );
        fs::write(root.join("etc/keros-agent/config.d/rig.yaml"), config)?;
        for key in fs::read_dir(self.trust)? {
            let key = key?;
            fs::copy(key.path(), root.join("etc/keros-agent/trust").join(key.file_name()))?;
        }
        fs::write(root.join("etc/version"), format!("{}\n", self.keros))?;
        let identity = format!(
            "f /run/boardinfo.env 0644 root root - export EUI64={}\\nexport CODENAME=wiis\\n\n",
            self.eui
        );
        fs::write(root.join("etc/tmpfiles.d/board.conf"), identity)?;
        // Not its first boot: nothing is preset, and the identity of the machine stays.
        fs::write(root.join("etc/machine-id"), format!("{:032x}\n", 0x5eed))?;
        booted::enable(root, "multi-user.target", "keros-agent.service")?;
        booted::enable(root, "sockets.target", "keros-executor.socket")?;
        for (unit, subcommand) in [("keros-executor@", "session"), ("keros-executor-settle", "settle")] {
            let folder = root.join(format!("etc/systemd/system/{unit}.service.d"));
            fs::create_dir_all(&folder)?;
            let arguments = self.executor_arguments;
            let start = format!(
                "[Service]\nExecStart=\nExecStart=-/usr/bin/keros-executor {subcommand} {arguments}\n"
            );
            fs::write(folder.join("rig.conf"), start)?;
        }
        Ok(())
    }
}

/// Copies a program without its debug information: it is read over a slow disk.
pub(crate) fn strip(from: &Path, to: &Path) -> Result<()> {
    run_ok(&system_program("strip")?, ["-o".as_ref(), to.as_os_str(), from.as_os_str()]).map(drop)
}
