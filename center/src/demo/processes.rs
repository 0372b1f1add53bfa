//! Finds and ends every process that the demo started, and those that these started. It must never touch another one: what
//! is ended descends from this process.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid};

/// How long processes get after SIGTERM, and again after SIGKILL.
const LIMIT: Duration = Duration::from_secs(3);

const PAUSE: Duration = Duration::from_millis(20);

/// From now on, a descendant whose parent ends becomes our child, instead of getting out of sight: an executor leads a
/// session of its own and outlives its agent on purpose.
pub(super) fn adopt_orphans() -> nix::Result<()> {
    nix::sys::prctl::set_child_subreaper(true)
}

/// Ends all descendants: SIGTERM, then SIGKILL until none is left.
pub(super) fn end_all() {
    for (signal, limit) in [(Signal::SIGTERM, LIMIT), (Signal::SIGKILL, LIMIT)] {
        let deadline = Instant::now() + limit;
        let mut told = Vec::new();
        loop {
            let alive = descendants_of(getpid(), &processes());
            if alive.is_empty() {
                return;
            }
            // Each is told once; one that is new, started by another that has ended meanwhile, is told too.
            for pid in alive.iter().filter(|pid| !told.contains(*pid)) {
                let _ = kill(*pid, signal);
            }
            told = alive;
            if Instant::now() > deadline {
                break;
            }
            std::thread::sleep(PAUSE);
        }
    }
    tracing::error!("some processes of the demo did not end");
}

/// One line of the process table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    parent: Pid,
    /// It has ended, and only its parent has not looked yet.
    is_zombie: bool,
}

fn processes() -> BTreeMap<Pid, Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return BTreeMap::new() };
    entries
        .filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
            Some((Pid::from_raw(pid), parse_stat(&String::from_utf8_lossy(&stat))?))
        })
        .collect()
}

/// Reads `/proc/<pid>/stat` (proc(5)): the program's name is in parentheses and may itself have some.
fn parse_stat(stat: &str) -> Option<Process> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let is_zombie = matches!(fields.next()?, "Z" | "X");
    Some(Process { parent: Pid::from_raw(fields.next()?.parse().ok()?), is_zombie })
}

fn descendants_of(ancestor: Pid, processes: &BTreeMap<Pid, Process>) -> Vec<Pid> {
    let descends = |mut pid: Pid| {
        // No chain of parents is longer than the table.
        for _ in 0..=processes.len() {
            match processes.get(&pid) {
                Some(process) if process.parent == ancestor => return true,
                Some(process) => pid = process.parent,
                None => return false,
            }
        }
        false
    };
    processes
        .iter()
        .filter(|(pid, process)| !process.is_zombie && descends(**pid))
        .map(|(pid, _)| *pid)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_process_table_is_read() {
        let parent = Pid::from_raw(7);
        assert_eq!(parse_stat("12 (a) b) S 7 12 12 0"), Some(Process { parent, is_zombie: false }));
        assert_eq!(parse_stat("12 (x) Z 7 12"), Some(Process { parent, is_zombie: true }));
        assert_eq!(parse_stat("12"), None);
    }

    #[test]
    fn only_descendants_are_found() {
        let table =
            [(2, 1, false), (10, 2, false), (11, 10, false), (12, 10, true), (13, 12, false), (20, 1, false)];
        let table = table.map(|(pid, parent, is_zombie)| {
            (Pid::from_raw(pid), Process { parent: Pid::from_raw(parent), is_zombie })
        });
        let found = descendants_of(Pid::from_raw(2), &BTreeMap::from(table));
        assert_eq!(found, [10, 11, 13].map(Pid::from_raw));
    }

    #[test]
    fn own_children_are_seen_until_they_have_ended() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        assert!(descendants_of(getpid(), &processes()).contains(&pid));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!descendants_of(getpid(), &processes()).contains(&pid));
    }
}
