//! Where things are: the options that every subcommand shares, with the platform's paths as defaults.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use keros_platform::paths;
use keros_playbook::ShellPlace;

/// Options of everything that can run a job.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Settings {
    /// Work on this tree instead of the machine itself
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(crate) root: PathBuf,
    /// With --root: run shell tasks outside of the tree, on this machine (for demos and tests)
    #[arg(long)]
    pub(crate) host_shell: bool,
    #[command(flatten)]
    pub(crate) state: StateFolder,
    /// Trusted public keys, files command-*.pem; only root may be able to write there
    #[arg(long, value_name = "DIR", default_value = paths::TRUST_FOLDER)]
    pub(crate) trust_folder: PathBuf,
    /// Read this gateway's EUI and KerOS version below this folder [default: the same as --root]
    #[arg(long, value_name = "DIR")]
    pub(crate) platform_root: Option<PathBuf>,
}

/// Where the executor keeps what it did.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct StateFolder {
    /// The executor's own record of jobs; only root can read it
    #[arg(long, value_name = "DIR", default_value = paths::EXECUTOR_STATE_FOLDER)]
    pub(crate) state_folder: PathBuf,
}

impl Settings {
    /// Where identity is read.
    pub(crate) fn platform_root(&self) -> &Path {
        self.platform_root.as_deref().unwrap_or(&self.root)
    }

    /// Where shell tasks run.
    pub(crate) const fn shell_place(&self) -> ShellPlace {
        if self.host_shell { ShellPlace::Host } else { ShellPlace::Root }
    }

    /// The same options again, for a process of its own that may be in another folder.
    pub(crate) fn to_arguments(&self) -> Vec<OsString> {
        let mut arguments = Vec::new();
        let mut folder = |option: &str, path: &Path| {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            arguments.extend([option.into(), path.into()]);
        };
        folder("--root", &self.root);
        folder("--state-folder", &self.state.state_folder);
        folder("--trust-folder", &self.trust_folder);
        if let Some(path) = &self.platform_root {
            folder("--platform-root", path);
        }
        if self.host_shell {
            arguments.push("--host-shell".into());
        }
        arguments
    }
}
