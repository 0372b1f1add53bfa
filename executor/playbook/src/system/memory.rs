//! What a program of a script may take of the machine's memory, and who goes first when there is none left.

use std::io;
use std::process::Child;
use std::sync::{Mutex, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Where the size of the machine cannot be read, bytes: half of the smallest gateway.
const SMALLEST_BYTES: u64 = 120 * 1024 * 1024;

/// Who is ended first when memory runs out: -1000 to 1000 (proc_pid_oom_score_adj(5)).
const OOM_ORDER: &str = "/proc/self/oom_score_adj";
const FIRST_TO_GO: &str = "1000";

static STARTING: Mutex<()> = Mutex::new(());

/// Half of the machine's memory, bytes: the other half is for what the gateway is there for.
pub(super) fn half_of_machine() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    total_bytes(&text).map_or(SMALLEST_BYTES, |total| (total / 2).max(SMALLEST_BYTES))
}

fn total_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// Starts a program, each of whose processes may hold so much data. When memory runs out all the same, the kernel ends these
/// processes before any other.
///
/// A program inherits both from the one that starts it, from its first moment on. So for that moment this process has them
/// too; it holds far less.
pub(super) fn start(most_bytes: u64, spawn: impl FnOnce() -> io::Result<Child>) -> io::Result<Child> {
    // One at a time: another would take what is set for the moment for what was before.
    let _alone = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    let own = getrlimit(Resource::Data);
    let most = own.maximum.map_or(most_bytes, |maximum| maximum.min(most_bytes));
    setrlimit(Resource::Data, Rlimit { current: Some(most), maximum: own.maximum })?;
    let order = std::fs::read_to_string(OOM_ORDER).ok();
    // Where it is refused, the program runs all the same.
    let _ = std::fs::write(OOM_ORDER, FIRST_TO_GO);
    let child = spawn();
    if let Some(order) = order {
        let _ = std::fs::write(OOM_ORDER, order.trim());
    }
    setrlimit(Resource::Data, own)?;
    child
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_the_machine_is_read() {
        assert_eq!(total_bytes("MemFree: 1 kB\nMemTotal:         245760 kB\n"), Some(240 * 1024 * 1024));
        assert_eq!(total_bytes("MemTotal: many kB\n"), None);
        assert!(half_of_machine() >= SMALLEST_BYTES);
    }
}
