//! What the executor needs of the machine besides its disk: clocks and processes. A trait, so that tests can let time
//! jump and power fail.

use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use keros_protocol::UnixSeconds;

use crate::clock;
use crate::settings::Settings;
use crate::stragglers::{self, Runner};

/// The machine under the executor.
pub(crate) trait Host: fmt::Debug + Send + Sync {
    /// The time by which expiry is judged.
    fn now_unix_s(&self) -> UnixSeconds;

    /// Milliseconds since the boot, also while suspended. It never goes back.
    fn boottime_ms(&self) -> u64;

    /// Waits until something comes on `wake`, at most this long. Nothing may ever come.
    fn wait(&self, wake: &Receiver<()>, at_most: Duration);

    /// Waits this long.
    fn sleep(&self, time: Duration);

    /// Starts a thread of this process. `false` when it cannot be had.
    fn start_thread(&self, body: Box<dyn FnOnce() + Send>) -> bool;

    /// This process, as it is written down with the job that it runs.
    fn this_process(&self) -> Runner;

    /// Ends what a runner that is gone left running.
    fn end_stragglers(&self, runner: &Runner);

    /// Names this boot.
    fn boot_id(&self) -> String;

    /// Whether [`Host::reboot`] can do anything: a tree cannot reboot.
    fn can_reboot(&self) -> bool;

    /// Asks for a reboot. It comes later, or not at all.
    ///
    /// # Errors
    /// Why it will not come, in words.
    fn reboot(&self) -> Result<(), String>;

    /// A text that nobody can guess.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    fn new_nonce(&self) -> io::Result<String>;

    /// Bytes that are free where this folder is; `None` when that cannot be told.
    fn free_bytes(&self, folder: &Path) -> Option<u64>;
}

/// The kernel's name of a boot, below a root folder.
const BOOT_ID: &str = "proc/sys/kernel/random/boot_id";

/// The machine itself.
#[derive(Debug, Clone)]
pub(crate) struct RealHost {
    /// Where the boot id is read first; the kernel's own comes after.
    platform_root: PathBuf,
    /// The program that reboots, with its arguments; none for a tree.
    reboot_command: Vec<String>,
}

impl Default for RealHost {
    fn default() -> Self {
        Self { platform_root: PathBuf::from("/"), reboot_command: Vec::new() }
    }
}

impl RealHost {
    /// The machine that these settings are about.
    pub(crate) fn of(settings: &Settings) -> Self {
        Self { platform_root: settings.platform_root().to_owned(), reboot_command: settings.reboot_command() }
    }
}

impl Host for RealHost {
    fn now_unix_s(&self) -> UnixSeconds {
        clock::now_unix_s()
    }

    fn boottime_ms(&self) -> u64 {
        clock::boottime_ms()
    }

    fn wait(&self, wake: &Receiver<()>, at_most: Duration) {
        if wake.recv_timeout(at_most) == Err(RecvTimeoutError::Disconnected) {
            self.sleep(at_most);
        }
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn start_thread(&self, body: Box<dyn FnOnce() + Send>) -> bool {
        std::thread::Builder::new().spawn(body).is_ok()
    }

    fn this_process(&self) -> Runner {
        Runner::this_process()
    }

    fn end_stragglers(&self, runner: &Runner) {
        runner.end_stragglers();
    }

    fn boot_id(&self) -> String {
        let below_root = keros_platform::read_small(&self.platform_root.join(BOOT_ID), 64);
        below_root.map_or_else(stragglers::boot_id, |text| text.trim().to_owned())
    }

    fn can_reboot(&self) -> bool {
        !self.reboot_command.is_empty()
    }

    fn reboot(&self) -> Result<(), String> {
        let [program, arguments @ ..] = &self.reboot_command[..] else {
            return Err("a tree cannot reboot".to_owned());
        };
        let mut command = Command::new(program);
        command.args(arguments).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
        // It is not waited for: a program that shuts down may take this process with it before it ends.
        command.spawn().map(drop).map_err(|error| format!("cannot start {program}: {error}"))
    }

    fn new_nonce(&self) -> io::Result<String> {
        let mut bytes = [0; 16];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    #[allow(clippy::useless_conversion, reason = "on 32-bit machines they are u32")]
    fn free_bytes(&self, folder: &Path) -> Option<u64> {
        let found = nix::sys::statvfs::statvfs(folder).ok()?;
        Some(u64::from(found.blocks_available()).saturating_mul(u64::from(found.fragment_size())))
    }
}
