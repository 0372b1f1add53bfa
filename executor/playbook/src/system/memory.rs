//! What a program of a script may take of the machine's memory, and who goes first when there is none left.

use std::io;
use std::process::{Child, Command};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Where the size of the machine cannot be read, bytes: half of the smallest gateway.
const SMALLEST_BYTES: u64 = 120 * 1024 * 1024;

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
pub(super) fn spawn(command: &mut Command, most_bytes: u64) -> io::Result<Child> {
    // The program inherits this limit; here it is for the moment of the start only, and this process holds far less.
    let own = getrlimit(Resource::Data);
    let most = own.maximum.map_or(most_bytes, |maximum| maximum.min(most_bytes));
    setrlimit(Resource::Data, Rlimit { current: Some(most), maximum: own.maximum })?;
    let child = command.spawn();
    setrlimit(Resource::Data, own)?;
    let child = child?;
    // A shell takes longer to start its first program than this takes. Where it is refused, the program runs all the same.
    let _ = std::fs::write(format!("/proc/{}/oom_score_adj", child.id()), "1000");
    Ok(child)
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
