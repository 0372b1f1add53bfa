//! What the system knows of this process and of its disk. What cannot be found out is left out.

use std::path::Path;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::statvfs::statvfs;
use nix::sys::time::TimeVal;

/// `/proc/self/status` has some 60 short lines.
const MAX_STATUS_BYTES: u64 = 16 * 1024;

/// What this process has used.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Process {
    /// Of all threads, in the kernel and outside.
    pub(super) cpu_ms: Option<u64>,
    pub(super) resident_bytes: Option<u64>,
}

impl Process {
    pub(super) fn read() -> Self {
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok();
        let cpu_ms = usage.map(|usage| milliseconds(usage.user_time()) + milliseconds(usage.system_time()));
        let status = keros_platform::read_small(Path::new("/proc/self/status"), MAX_STATUS_BYTES);
        Self { cpu_ms, resident_bytes: status.and_then(|status| resident_bytes(&status)) }
    }
}

#[allow(clippy::useless_conversion, reason = "the fields are shorter on 32-bit targets")]
fn milliseconds(time: TimeVal) -> u64 {
    let (seconds, microseconds) = (i64::from(time.tv_sec()), i64::from(time.tv_usec()));
    u64::try_from(seconds * 1000 + microseconds / 1000).unwrap_or(0)
}

/// `VmRSS` of proc(5).
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kib.checked_mul(1024)
}

/// The file system of a folder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) size_bytes: u64,
    /// What this process may still take.
    pub(super) free_bytes: u64,
}

impl Room {
    pub(super) fn of(folder: &Path) -> Option<Self> {
        let status = statvfs(folder).ok()?;
        #[allow(clippy::useless_conversion, reason = "u32 on 32-bit targets")]
        let (blocks, available, block_bytes): (u64, u64, u64) =
            (status.blocks().into(), status.blocks_available().into(), status.fragment_size().into());
        Some(Self {
            size_bytes: blocks.saturating_mul(block_bytes),
            free_bytes: available.saturating_mul(block_bytes),
        })
    }
}
