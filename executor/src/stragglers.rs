//! Ends what a lost runner left running, so that `interrupted` is true and the next job meets nobody.
//!
//! A runner leads a session (`setsid`), and what it starts stays in that session unless it detaches as a daemon does. So the
//! processes of that session are the job's. With systemd the control group does this before, and better.

use std::path::Path;
use std::time::{Duration, Instant};

use keros_platform::read_small;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid, getsid, setsid};
use serde::{Deserialize, Serialize};

/// How long a process may take to end by itself after SIGTERM, and how long after SIGKILL.
const PATIENCE: Duration = Duration::from_secs(3);

/// The process that runs a job, as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Runner {
    /// Its process id, which is also its session's.
    pub(crate) pid: i32,
    /// When it started, in clock ticks since the boot.
    pub(crate) started_ticks: u64,
    /// The boot that this is about.
    pub(crate) boot_id: String,
    /// It leads a session of its own; else nothing can be told about what it started.
    pub(crate) leads_session: bool,
}

/// What is read of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    pid: i32,
    session: i32,
    started_ticks: u64,
    zombie: bool,
}

/// Makes this process the leader of a session, so that a terminal or a group kill does not reach the job. A process that
/// leads a group already (started by hand from a shell) stays where it is.
pub(crate) fn lead_session() {
    let _ = setsid();
}

impl Runner {
    /// This process.
    pub(crate) fn this_process() -> Self {
        let pid = getpid();
        Self {
            pid: pid.as_raw(),
            started_ticks: process(pid.as_raw()).map_or(0, |process| process.started_ticks),
            boot_id: boot_id(),
            leads_session: getsid(None) == Ok(pid),
        }
    }

    /// Ends what is left of its session: asks first, then kills. Processes that even that does not end are waiting for a
    /// device.
    pub(crate) fn end_stragglers(&self) {
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            let deadline = Instant::now() + PATIENCE;
            for process in self.stragglers() {
                let _ = kill(Pid::from_raw(process.pid), signal);
            }
            while !self.stragglers().is_empty() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    fn stragglers(&self) -> Vec<Process> {
        if !self.leads_session || self.boot_id != boot_id() || getsid(None) == Ok(Pid::from_raw(self.pid)) {
            return Vec::new();
        }
        self.stragglers_among(&processes())
    }

    /// A process id is not given again while its session has members; a leader with another start says that it was.
    fn stragglers_among(&self, processes: &[Process]) -> Vec<Process> {
        let given_again = processes
            .iter()
            .any(|process| process.pid == self.pid && process.started_ticks != self.started_ticks);
        if given_again {
            return Vec::new();
        }
        let ours = |process: &&Process| {
            process.session == self.pid && process.started_ticks >= self.started_ticks && !process.zombie
        };
        processes.iter().filter(ours).copied().collect()
    }
}

/// The kernel's name of this boot.
pub(crate) fn boot_id() -> String {
    read_small(Path::new("/proc/sys/kernel/random/boot_id"), 64).unwrap_or_default().trim().to_owned()
}

fn processes() -> Vec<Process> {
    let Ok(entries) = Path::new("/proc").read_dir() else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(process).collect()
}

fn process(pid: i32) -> Option<Process> {
    parse_stat(pid, &read_small(Path::new(&format!("/proc/{pid}/stat")), 4096)?)
}

/// proc(5), `/proc/pid/stat`: fields 3 (state), 6 (session) and 22 (start time); the name before them may hold anything.
fn parse_stat(pid: i32, text: &str) -> Option<Process> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    Some(Process {
        pid,
        session: fields.get(3)?.parse().ok()?,
        started_ticks: fields.get(19)?.parse().ok()?,
        zombie: matches!(*fields.first()?, "Z" | "X"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runner() -> Runner {
        Runner { pid: 100, started_ticks: 50, boot_id: boot_id(), leads_session: true }
    }

    fn member(pid: i32, session: i32, started_ticks: u64) -> Process {
        Process { pid, session, started_ticks, zombie: false }
    }

    #[test]
    fn the_members_of_the_session_are_the_jobs() {
        let processes = [member(1, 1, 0), member(101, 100, 60), member(102, 102, 60), member(103, 100, 40)];
        assert_eq!(runner().stragglers_among(&processes), [member(101, 100, 60)]);
    }

    #[test]
    fn a_process_id_that_was_given_again_is_left_alone() {
        let processes = [member(100, 100, 70), member(101, 100, 80)];
        assert_eq!(runner().stragglers_among(&processes), []);
    }

    #[test]
    fn another_boot_has_no_stragglers() {
        let runner = Runner { boot_id: "another".to_owned(), ..runner() };
        assert_eq!(runner.stragglers(), []);
    }

    #[test]
    fn stat_is_read_behind_any_name() {
        let text = "7 (a) b) c) S 1 2 3 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 12345 0 0\n";
        assert_eq!(parse_stat(7, text), Some(member(7, 3, 12345)));
        assert_eq!(parse_stat(7, "7 (a"), None);
        let own = process(getpid().as_raw()).unwrap();
        assert!(own.started_ticks > 0 && !own.zombie);
    }
}
