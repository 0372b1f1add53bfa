//! A stand-in for the service manager: it hears what the agent tells systemd, at the moment it does.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::measure::gateway_program;

const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Manager {
    socket: UnixDatagram,
    /// Starts the agent with this manager.
    pub(crate) program: PathBuf,
}

impl Manager {
    /// Listens; the agent is to give a sign of life each third of this time.
    pub(crate) fn new(folder: &Path, watchdog: Duration) -> Result<Self> {
        let at = folder.join("notify");
        let socket = UnixDatagram::bind(&at)?;
        socket.set_read_timeout(Some(LIMIT))?;
        let program = folder.join("agent.sh");
        let script = format!(
            "#!/bin/sh\nexport NOTIFY_SOCKET={} WATCHDOG_USEC={}\nexec {} \"$@\"\n",
            at.display(),
            watchdog.as_micros(),
            gateway_program("keros-agent")?.display()
        );
        std::fs::write(&program, script)?;
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
        Ok(Self { socket, program })
    }

    /// Waits until the agent says something with this in it.
    pub(crate) fn hear(&self, what: &str) -> Result<()> {
        let mut buffer = [0; 4096];
        loop {
            let length = self.socket.recv(&mut buffer).with_context(|| format!("waiting for {what:?}"))?;
            if String::from_utf8_lossy(&buffer[..length]).contains(what) {
                return Ok(());
            }
        }
    }
}
