//! A fault at a chosen system call of a program: it is killed there, or the call fails. strace does it.

use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::{Random, system_program};

/// The calls that change or sync a file, those that say something to others, and how many of each the life of a
/// short command takes.
const CALLS: [(&str, u64); 6] = [
    ("fsync,fdatasync", 20),
    ("rename,renameat,renameat2", 10),
    ("openat", 60),
    ("write,pwrite64,writev", 35),
    ("unlink,unlinkat", 3),
    ("sendto,sendmsg", 10),
];
/// What a failing disk says.
const ERRORS: [&str; 2] = ["EIO", "ENOSPC"];

/// What happens at which call.
#[derive(Debug, Clone, Copy)]
pub struct Injection {
    calls: &'static str,
    /// Of all these calls of one thread, from 1.
    number: u64,
    /// None: SIGKILL.
    error: Option<&'static str>,
}

/// Whom the fault is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// The first thread of the program; what it starts has faults of its own.
    First,
    /// Every thread, and every program that it starts.
    All,
}

impl fmt::Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at call {} of {}", self.error.unwrap_or("SIGKILL"), self.number, self.calls)
    }
}

impl Injection {
    /// A kill in the middle of a sync.
    #[must_use]
    pub const fn kill_at_sync(number: u64) -> Self {
        Self { calls: CALLS[0].0, number, error: None }
    }

    /// Two of three are kills.
    pub fn random(random: &mut Random) -> Self {
        let (calls, most) = random.one_of(&CALLS);
        let error = (random.below(3) == 0 && !calls.starts_with("send")).then(|| random.one_of(&ERRORS));
        Self { calls, number: 1 + random.below(most), error }
    }

    /// A command that runs a program with this fault, in its first thread alone or in all; it is the program itself that is
    /// started, and killed. What the calls came to is added to a log.
    ///
    /// # Errors
    /// When strace is not installed.
    pub fn command(&self, program: &Path, log: &Path, threads: Threads) -> Result<Command> {
        let mut command = Command::new(system_program("strace")?);
        command.args(self.arguments(log, threads)).arg(program);
        Ok(command)
    }

    /// Writes a program that does this once, and is the program itself from then on.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn once(&self, program: &Path, script: &Path, log: &Path) -> Result<()> {
        let (strace, arguments) = (system_program("strace")?, self.arguments(log, Threads::All).join(" "));
        let (program, marker) = (program.display(), script.with_extension("done"));
        let _ = std::fs::remove_dir(&marker);
        let text = format!(
            "#!/bin/sh\nif mkdir {} 2>/dev/null; then exec {} {arguments} {program} \"$@\"; fi\nexec {program} \"$@\"\n",
            marker.display(),
            strace.display()
        );
        let new = script.with_extension("new");
        std::fs::write(&new, text)?;
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755))?;
        Ok(std::fs::rename(&new, script)?)
    }

    fn arguments(&self, log: &Path, threads: Threads) -> Vec<String> {
        let what = self.error.map_or("signal=SIGKILL".to_owned(), |error| format!("error={error}"));
        let (calls, number) = (self.calls, self.number);
        // The tracer is the one that goes aside (-D): who ends the program must not end strace instead.
        let mut arguments = ["-D", "-qq", "-A", "-o"].map(str::to_owned).to_vec();
        arguments.push(log.display().to_string());
        if threads == Threads::All {
            arguments.push("-f".to_owned());
        }
        arguments.extend(["-e".to_owned(), format!("trace={calls}")]);
        arguments.extend(["-e".to_owned(), format!("inject={calls}:{what}:when={number}")]);
        arguments
    }
}

/// How many kills and errors such logs tell of.
#[must_use]
pub fn injected(logs: &[PathBuf]) -> (usize, usize) {
    let texts = logs.iter().filter_map(|log| std::fs::read_to_string(log).ok());
    texts.fold((0, 0), |(kills, errors), text| {
        // A thread that dies with its program is told of as well: one process, one kill.
        let killed = text.contains("= ?") && text.contains("+++ killed by SIGKILL +++");
        (kills + usize::from(killed), errors + text.matches("(INJECTED)").count())
    })
}
