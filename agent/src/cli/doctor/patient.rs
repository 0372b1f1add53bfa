//! What several checks need: the configuration, who the gateway is, what the agent says of itself.

use std::path::{Path, PathBuf};

use keros_platform::{Identity, IdentityError};
use keros_protocol::UnixSeconds;

use super::super::time;
use crate::config::{Finding, Settings};
use crate::local::{Client, ClientError, StatusView};

/// The gateway, as far as this user can see it.
pub(super) struct Patient {
    pub(super) settings: Settings,
    /// What is wrong with the configuration.
    pub(super) wrong: Vec<Finding>,
    /// Nothing but the center is missing: the daemon waits for it, and serves no socket.
    pub(super) lacks_center: bool,
    /// What the daemon only warns of.
    pub(super) odd: Vec<Finding>,
    pub(super) identity: Result<Identity, IdentityError>,
    /// The agent's socket.
    pub(super) socket: PathBuf,
    pub(super) agent: Result<StatusView, ClientError>,
    pub(super) is_root: bool,
    pub(super) now_unix_s: UnixSeconds,
}

impl Patient {
    /// Reads the configuration, and asks the agent.
    pub(super) fn see(file: Option<&Path>, socket: Option<PathBuf>) -> Self {
        let loaded = crate::config::load(file);
        let lacks_center = loaded.lacks_only_the_center();
        let (settings, wrong, odd) = loaded.for_doctor();
        let environment_eui = std::env::var("EUI64").ok();
        let identity =
            Identity::read(&settings.platform_root, &settings.identity, environment_eui.as_deref());
        let socket = socket.unwrap_or_else(|| crate::local::socket_path(&settings.runtime_folder));
        let agent = Client::new(socket.clone()).get("/v1/status");
        let is_root = nix::unistd::geteuid().is_root();
        Self {
            settings,
            wrong,
            lacks_center,
            odd,
            identity,
            socket,
            agent,
            is_root,
            now_unix_s: time::now_unix_s(),
        }
    }

    /// A file of the platform.
    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.settings.platform_root.join(path)
    }

    /// systemd is process 1 (sd_booted(3)).
    pub(super) fn has_systemd(&self) -> bool {
        self.at("run/systemd/system").is_dir()
    }

    pub(super) fn eui(&self) -> String {
        self.identity.as_ref().map_or_else(|_| "EUI".to_owned(), |identity| identity.eui.to_string())
    }

    /// The user that the agent runs as: of the running one, or the one that the package makes.
    pub(super) fn agent_uid(&self) -> Option<u32> {
        let running = || {
            let stream = std::os::unix::net::UnixStream::connect(&self.socket).ok()?;
            let peer =
                nix::sys::socket::getsockopt(&stream, nix::sys::socket::sockopt::PeerCredentials).ok()?;
            Some(peer.uid())
        };
        let installed = || {
            let is_installed =
                self.settings.state_folder == Path::new(keros_platform::paths::AGENT_STATE_FOLDER);
            let user = nix::unistd::User::from_name(USER).ok().flatten()?;
            is_installed.then(|| user.uid.as_raw())
        };
        running().or_else(installed)
    }
}

/// The user that the package makes for the agent.
pub(super) const USER: &str = "keros-agent";

/// Why what only root can see was not looked at.
pub(super) const SUDO: &str = "only root may look: run with sudo";
