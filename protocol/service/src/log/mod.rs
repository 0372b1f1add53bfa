//! Where log lines go: to the journal with their fields when standard error is connected to it, else to standard error
//! as text. The level comes from the environment variable `KEROS_LOG`.
//!
//! A line about a job has the fields `KEROS_JOB_ID` and `KEROS_COMMAND_ID` (a job is a command: one id), `KEROS_UPDATE_ID` where it is
//! known, and `MESSAGE_ID` when the event has a name. So `journalctl KEROS_JOB_ID=…` tells a job's story over both programs. All other
//! fields are prefixed with `KEROS_`, so that none can be taken for one of systemd's.

mod line;
mod lines;

use std::fmt::Display;
use std::os::fd::AsFd as _;

use keros_protocol::{CommandId, UpdateId};
use tracing::Level;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::Named;
use lines::{JOBS, Lines};

/// The name of the variable: `error`, `warn`, `info` (the default), `debug` or `trace`, or `off`.
const LEVEL_VARIABLE: &str = "KEROS_LOG";

/// How a line looks as text, where there is no journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Time and level first.
    Service,
    /// The program's name first: a person may be at the terminal, and the system's log adds the time.
    Program(&'static str),
}

/// The job that a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// Its command.
    pub command_id: CommandId,
    /// Its update, where it is known.
    pub update_id: Option<UpdateId>,
}

impl From<CommandId> for Subject {
    fn from(command_id: CommandId) -> Self {
        Self { command_id, update_id: None }
    }
}

/// Starts logging for the whole process; a second call does nothing.
pub fn start(style: Style) {
    let given = std::env::var(LEVEL_VARIABLE).unwrap_or_default();
    let level = given.parse::<LevelFilter>().ok().filter(|_| !given.is_empty());
    let filter = level.unwrap_or(LevelFilter::INFO);
    let journal = is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref());
    let lines = journal.then(|| Lines::to_journal().ok()).flatten().unwrap_or(Lines::to_text(style));
    let started = tracing_subscriber::registry().with(filter).with(lines).try_init();
    if started.is_ok() && level.is_none() && !given.is_empty() {
        tracing::warn!(
            value = given,
            "{LEVEL_VARIABLE} is off, error, warn, info, debug or trace; info is used"
        );
    }
}

/// Whether standard error is the stream that systemd made (systemd.exec(5), `$JOURNAL_STREAM`: `device:inode`). A
/// process started from the service with its output elsewhere still has the variable, so the numbers must agree.
fn is_journal(variable: Option<&str>) -> bool {
    let Some((device, inode)) = variable.and_then(|text| text.split_once(':')) else { return false };
    let Ok(status) = nix::sys::stat::fstat(std::io::stderr().as_fd()) else { return false };
    device.parse() == Ok(status.st_dev) && inode.parse() == Ok(status.st_ino)
}

/// Logs an event that is about no job.
pub fn tell(event: Named, text: &dyn Display) {
    emit(event.level(), Some(event), None, text);
}

/// Logs an event of a job.
pub fn tell_of(event: Named, subject: impl Into<Subject>, text: &dyn Display) {
    emit(event.level(), Some(event), Some(subject.into()), text);
}

/// Logs an event that may be of a job.
pub fn tell_about(event: Named, subject: Option<Subject>, text: &dyn Display) {
    emit(event.level(), Some(event), subject, text);
}

/// Logs a line about a job that is no named event.
pub fn remark(level: Level, subject: impl Into<Subject>, text: &dyn Display) {
    emit(level, None, Some(subject.into()), text);
}

fn emit(level: Level, event: Option<Named>, subject: Option<Subject>, text: &dyn Display) {
    let id = event.map(Named::message_id);
    let job = subject.map(|subject| subject.command_id.to_string());
    let update = subject.and_then(|subject| subject.update_id).map(|update| update.to_string());
    let (job, update) = (job.as_deref(), update.as_deref());
    // The level is part of each place of a line, so there is one place for each.
    macro_rules! line {
        ($level:ident) => {
            tracing::event!(
                target: JOBS,
                Level::$level,
                MESSAGE_ID = id,
                KEROS_JOB_ID = job,
                KEROS_COMMAND_ID = job,
                KEROS_UPDATE_ID = update,
                "{text}"
            )
        };
    }
    match level {
        Level::ERROR => line!(ERROR),
        Level::WARN => line!(WARN),
        Level::INFO => line!(INFO),
        Level::DEBUG => line!(DEBUG),
        Level::TRACE => line!(TRACE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stream_itself_is_the_journal() {
        let status = nix::sys::stat::fstat(std::io::stderr().as_fd()).unwrap();
        let itself = format!("{}:{}", status.st_dev, status.st_ino);
        assert!(is_journal(Some(&itself)));
        let other = format!("{}:{}", status.st_dev, status.st_ino + 1);
        for text in [None, Some(""), Some("8"), Some("x:y"), Some(other.as_str())] {
            assert!(!is_journal(text), "{text:?}");
        }
    }
}
