//! SIGINT, SIGTERM and SIGHUP end a run by hand in order: the program under way with its process group, then nothing more is begun.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use keros_playbook::Cancel;
use nix::sys::signal::Signal;
use signal_hook::{flag, low_level::pipe};

/// Watches for the end that somebody asks for by a signal.
pub(super) struct Signals {
    received: Arc<AtomicUsize>,
    pub(super) cancel: Cancel,
}

impl Signals {
    /// From here on these signals do not end this program at once. One that is ignored (nohup, a job in the background) stays
    /// ignored.
    pub(super) fn watch() -> io::Result<Self> {
        let watching = Self { received: Arc::new(AtomicUsize::new(0)), cancel: Cancel::new()? };
        let ignored = ignored_signals();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            let number = signal as i32;
            if ignored >> (number - 1) & 1 == 1 {
                continue;
            }
            // The number first: whoever sees the run cancelled must find it.
            flag::register_usize(number, Arc::clone(&watching.received), signal as usize)?;
            pipe::register(number, watching.cancel.writer()?)?;
        }
        Ok(watching)
    }

    /// 128 + the signal's number, as a shell says it.
    pub(super) fn exit_code(&self) -> Option<u8> {
        let number = u8::try_from(self.received.load(Ordering::SeqCst)).ok()?;
        (number > 0).then_some(128 + number)
    }
}

/// A bit for each signal that this process ignores.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
