//! The jobs whose power is cut, the moments of the cut, and what a status says about the tasks.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use serde_json::{Value, json};

/// Odd ones run a program that adds a line to a file, even ones write a file of some 20 KiB.
pub(crate) const TASKS: u64 = 10;
pub(crate) const FOLDER: &str = "/var/lib/rig";
/// The task that reboots the gateway, in a job that has one.
const REBOOT: u64 = 5;
/// Of a job that nobody confirms.
const SHORT_WINDOW_S: u64 = 12;

/// What sort of job it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    /// Final at its end.
    Plain,
    /// Confirmed by the center at its end.
    Confirmed,
    /// The center is away at its end: it is undone.
    Unconfirmed,
    /// It reboots the gateway in the middle.
    Reboots,
    /// Final at its end; it comes as a Magic Link.
    Link,
}

/// When the power is cut.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Moment {
    /// The center has just been told to send.
    Sent,
    /// The center knows that the gateway has this status.
    Status(&'static str),
    /// This task's program has done its work.
    Task(u64),
    /// The disk is asked for this flush after the job was sent, and does not carry it out any more.
    Flush(u64),
    /// The same, counted from this task.
    After(u64, u64),
    /// The same, counted from when the job waits for its confirmation.
    InWindow(u64),
    /// So many MiB of the bundle's greatest file have come.
    Fetched(u64),
}

/// The first is the one of each run. A job comes to its first task after some 32 flushes, and each task takes some eight.
pub(crate) const CUTS: [(Job, Moment); 20] = [
    (Job::Plain, Moment::Flush(46)),
    (Job::Unconfirmed, Moment::InWindow(2)),
    (Job::Reboots, Moment::After(3, 16)),
    (Job::Confirmed, Moment::After(9, 6)),
    (Job::Plain, Moment::Sent),
    (Job::Plain, Moment::Flush(1)),
    (Job::Plain, Moment::Status("received")),
    (Job::Plain, Moment::Flush(12)),
    (Job::Plain, Moment::Flush(28)),
    (Job::Plain, Moment::Status("running")),
    (Job::Plain, Moment::Task(1)),
    (Job::Plain, Moment::Task(5)),
    (Job::Plain, Moment::Flush(70)),
    (Job::Confirmed, Moment::After(9, 10)),
    (Job::Confirmed, Moment::After(9, 14)),
    (Job::Unconfirmed, Moment::InWindow(1)),
    (Job::Unconfirmed, Moment::InWindow(4)),
    (Job::Unconfirmed, Moment::InWindow(8)),
    (Job::Reboots, Moment::After(3, 24)),
    (Job::Reboots, Moment::Task(7)),
];

/// Those of a Magic Link, as many again. Its bundle is there after some 90 flushes.
pub(crate) const LINK_CUTS: [(Job, Moment); 8] = [
    (Job::Link, Moment::Fetched(8)),
    (Job::Link, Moment::Task(3)),
    (Job::Link, Moment::Flush(100)),
    (Job::Link, Moment::Fetched(1)),
    (Job::Link, Moment::Flush(40)),
    (Job::Link, Moment::Flush(120)),
    (Job::Link, Moment::After(5, 6)),
    (Job::Link, Moment::Flush(80)),
];

impl Job {
    pub(crate) fn options(self) -> Value {
        let window_s = match self {
            Self::Plain | Self::Reboots | Self::Link => 0,
            Self::Confirmed => 600,
            Self::Unconfirmed => SHORT_WINDOW_S,
        };
        json!({ "confirm_window_s": window_s })
    }

    pub(crate) fn script(self, round: u64) -> String {
        let mut text = "- name: ten steps\n  groups: [all]\n  tasks:\n".to_owned();
        for number in 1..=TASKS {
            if self.reboots_at(number) {
                let _ = writeln!(text, "    - !reboot {{ name: t{number} }}");
            } else if number % 2 == 1 {
                let mark = mark(round, number);
                let cmd = format!(
                    "echo \"{mark}\" >> {FOLDER}/done; sync {FOLDER}/done; echo \"{mark}\" > /dev/ttyS0; sleep 0.3"
                );
                let _ = writeln!(text, "    - !shell {{ name: t{number}, cmd: '{cmd}' }}");
            } else if self == Self::Link {
                let _ = writeln!(
                    text,
                    "    - !copy {{ name: t{number}, dest: {FOLDER}/{number}.conf, src: {number}.conf }}"
                );
            } else {
                let content = content(round, number).replace('\n', "\\n");
                let _ = writeln!(
                    text,
                    "    - !copy {{ name: t{number}, dest: {FOLDER}/{number}.conf, content: \"{content}\" }}"
                );
            }
        }
        text
    }

    /// Such a task leaves no trace.
    pub(crate) fn reboots_at(self, number: u64) -> bool {
        self == Self::Reboots && number == REBOOT
    }
}

/// What a status says about the tasks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Says {
    /// All before the first are done, none behind the last is.
    UnderWay { first: u64, last: u64 },
    /// Every file is as it was.
    FilesPutBack,
}

impl Says {
    pub(crate) fn of(outcome: &Value) -> Result<Self> {
        match outcome["status"].as_str() {
            Some("succeeded") => Ok(Self::UnderWay { first: TASKS + 1, last: TASKS + 1 }),
            Some("interrupted") => {
                let first = outcome["task"]["number"].as_u64().unwrap_or(0);
                Ok(Self::UnderWay { first, last: outcome["last_task"]["number"].as_u64().unwrap_or(first) })
            }
            Some("rolled_back") => Ok(Self::FilesPutBack),
            _ => bail!("such an end is not to be expected: {outcome:#}"),
        }
    }

    /// Whether a task must have left its trace; none: it may or may not.
    pub(crate) fn expected(self, number: u64) -> Option<bool> {
        match self {
            Self::UnderWay { first, .. } if number < first => Some(true),
            Self::UnderWay { last, .. } if number > last => Some(false),
            Self::FilesPutBack if number.is_multiple_of(2) => Some(false),
            Self::UnderWay { .. } | Self::FilesPutBack => None,
        }
    }
}

pub(crate) fn mark(round: u64, number: u64) -> String {
    format!("round {round} task {number}.")
}

pub(crate) fn content(round: u64, number: u64) -> String {
    (0..500).fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "round {round} file {number} line {line:06}");
        text
    })
}
