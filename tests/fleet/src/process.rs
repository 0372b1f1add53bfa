//! What a process has used, as the kernel counts it.

use anyhow::{Context as _, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::Serialize;

/// The kernel's clock ticks in a second, in `/proc`: 100 on every architecture that Linux still has.
const TICKS_PER_S: f64 = 100.0;

/// What a process has used.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Usage {
    /// CPU time of all its threads, user and system, seconds.
    pub(crate) cpu_s: f64,
    /// Memory in use, MiB.
    pub(crate) rss_mib: f64,
    /// The most that it ever was, MiB.
    pub(crate) peak_mib: f64,
}

/// Asks the kernel.
///
/// # Errors
/// When there is no such process.
pub(crate) fn usage(process: u32) -> Result<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in brackets, may have blanks; utime and stime are the 14th and 15th field (proc(5)).
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| -> Result<f64> { Ok(fields.get(index).context("/proc/…/stat")?.parse()?) };
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let mib = |name: &str| -> Result<f64> {
        let line = status.lines().find(|line| line.starts_with(name)).context("/proc/…/status")?;
        Ok(line.split_whitespace().nth(1).context("/proc/…/status")?.parse::<f64>()? / 1024.0)
    };
    Ok(Usage {
        cpu_s: (ticks(11)? + ticks(12)?) / TICKS_PER_S,
        rss_mib: mib("VmRSS:")?,
        peak_mib: mib("VmHWM:")?,
    })
}

/// Raises this process's limit of open files as far as it may, also for those that it starts. What it is then.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn raise_open_files() -> Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}
