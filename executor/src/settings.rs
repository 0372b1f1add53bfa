//! Where things are: the options that every subcommand shares, with the platform's paths as defaults.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
    /// What reboots the gateway, words with blanks between [default: `systemctl reboot`, or `reboot` without systemd; with --root
    /// nothing does]
    #[arg(long, value_name = "COMMAND")]
    pub(crate) reboot_command: Option<String>,
    #[command(flatten)]
    pub(crate) bounds: BoundSettings,
}

/// How long things may take, and how much room.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct BoundSettings {
    /// Seconds that the task under way may go on when its job is cancelled
    #[arg(long, value_name = "SECONDS", default_value_t = 30, hide_short_help = true)]
    pub(crate) cancel_grace_s: u32,
    /// Seconds that the center may take to be heard of, before the gateway reboots for what could not be undone: more than the
    /// agent pauses between two attempts (300 by default), and time to connect
    #[arg(long, value_name = "SECONDS", default_value_t = 600, hide_short_help = true)]
    pub(crate) reboot_grace_s: u32,
    /// Seconds after which a reboot that did not come is asked for again, twice at most
    #[arg(long, value_name = "SECONDS", default_value_t = 300, hide_short_help = true)]
    pub(crate) reboot_patience_s: u32,
    /// A job goes on after a reboot when the gateway has been up for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 20, hide_short_help = true)]
    pub(crate) resume_after_s: u32,
    /// Most that one job may put aside to be undone, MiB; a job that needs more is refused as no_space
    #[arg(long, value_name = "MIB", default_value_t = 64, hide_short_help = true)]
    pub(crate) backup_mib: u32,
    /// Most that all jobs together have put aside, MiB; the oldest goes first
    #[arg(long, value_name = "MIB", default_value_t = 256, hide_short_help = true)]
    pub(crate) backups_mib: u32,
    /// Most that copies of Magic Links' bundles take whose jobs have ended, MiB: they only save copying when a link comes again
    #[arg(long, value_name = "MIB", default_value_t = 64, hide_short_help = true)]
    pub(crate) bundles_mib: u32,
}

impl BoundSettings {
    /// Options and values, for a process of its own.
    fn to_arguments(&self) -> Vec<OsString> {
        let pairs = [
            ("--cancel-grace-s", self.cancel_grace_s),
            ("--reboot-grace-s", self.reboot_grace_s),
            ("--reboot-patience-s", self.reboot_patience_s),
            ("--resume-after-s", self.resume_after_s),
            ("--backup-mib", self.backup_mib),
            ("--backups-mib", self.backups_mib),
            ("--bundles-mib", self.bundles_mib),
        ];
        pairs.into_iter().flat_map(|(name, value)| [name.into(), value.to_string().into()]).collect()
    }

    /// The times that the life of a job depends on.
    pub(crate) fn of_life(&self) -> crate::life::Bounds {
        crate::life::Bounds {
            reboot_patience_ms: u64::from(self.reboot_patience_s) * 1000,
            reboot_grace_ms: u64::from(self.reboot_grace_s) * 1000,
            resume_after_boot_ms: u64::from(self.resume_after_s) * 1000,
        }
    }

    /// How long a task may go on when its job is cancelled.
    pub(crate) const fn cancel_grace(&self) -> Duration {
        Duration::from_secs(self.cancel_grace_s as u64)
    }

    /// Most that one job may put aside.
    pub(crate) const fn backup_bytes(&self) -> u64 {
        self.backup_mib as u64 * 1024 * 1024
    }

    /// Most that all jobs together have put aside.
    pub(crate) const fn backups_bytes(&self) -> u64 {
        self.backups_mib as u64 * 1024 * 1024
    }

    /// Most that bundles of jobs that have ended take.
    pub(crate) const fn bundles_bytes(&self) -> u64 {
        self.bundles_mib as u64 * 1024 * 1024
    }
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

    /// What verifies the center's statements.
    pub(crate) fn verifier(&self) -> crate::statement::Verifier {
        crate::statement::Verifier {
            trust_folder: self.trust_folder.clone(),
            platform_root: self.platform_root().to_owned(),
        }
    }

    /// What reboots the gateway, in words; none: nothing does.
    pub(crate) fn reboot_command(&self) -> Vec<String> {
        let words = |text: &str| text.split_ascii_whitespace().map(str::to_owned).collect();
        match &self.reboot_command {
            Some(text) => words(text),
            // Work on a tree must never reboot the machine that it is on.
            None if self.root != Path::new("/") => Vec::new(),
            None if Path::new("/run/systemd/system").is_dir() => words("systemctl reboot"),
            None => words("reboot"),
        }
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
        if let Some(command) = &self.reboot_command {
            arguments.extend(["--reboot-command".into(), command.into()]);
        }
        arguments.extend(self.bounds.to_arguments());
        arguments
    }
}
