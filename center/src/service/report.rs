//! What a report changes. Pure: the rules of promise 2, that every command gets exactly one terminal outcome.

use std::cmp::Ordering;

use keros_protocol::{Delivery, Eui, Outcome, ReportPosition};

use super::incoming::ReceivedReport;
use crate::store::CommandRow;

/// What the center knows when a report arrives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    /// Up to where the report's stream is kept.
    pub(crate) position: Option<ReportPosition>,
    /// A backup was restored since: what the gateway was told before is not known.
    pub(crate) has_lost_reports: bool,
    /// This very report is kept already.
    pub(crate) is_kept: bool,
    /// The command of the report's name, whoever it is for.
    pub(crate) command: Option<&'a CommandRow>,
}

/// What is to be done about a report.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// It is kept already: only acknowledge.
    Duplicate,
    /// One before it is missing: put it aside until that one has come, and do not acknowledge it.
    Gap {
        /// The number that is missing.
        missing: u64,
    },
    /// Keep it, then acknowledge.
    Keep {
        /// The command's outcome becomes this one, and its delivery `received`.
        outcome: Option<Outcome>,
        /// What is odd about it.
        note: Option<Note>,
    },
}

/// What is odd about a report that is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Note {
    /// No such command.
    #[error("it is about a command that this center does not know")]
    UnknownCommand,
    /// A command of another gateway: it must not change that gateway's delivery.
    #[error("it is about a command for gateway {0}")]
    OthersCommand(Eui),
    /// Of a newer agent.
    #[error("its status is not known to this center")]
    UnknownStatus,
    /// The command is further already.
    #[error("the command is already {0}")]
    Stale(&'static str),
    /// A second, different end.
    #[error("it contradicts the outcome {0}, which stays")]
    Contradiction(&'static str),
}

/// Judges one report.
pub(crate) fn judge(report: &ReceivedReport, known: Known<'_>) -> Verdict {
    if known.is_kept {
        return Verdict::Duplicate;
    }
    let kept_up_to = known.position.map_or(0, |position| position.number);
    if report.after > kept_up_to && !known.has_lost_reports {
        return Verdict::Gap { missing: report.after };
    }
    let Some(command) = known.command else { return noted(Note::UnknownCommand) };
    if command.eui != report.eui {
        return noted(Note::OthersCommand(command.eui));
    }
    let Some(outcome) = &report.outcome else { return noted(Note::UnknownStatus) };
    let late = report.position.number < kept_up_to;
    match step(command.outcome.as_ref(), outcome, late) {
        Ok(true) => Verdict::Keep { outcome: Some(outcome.clone()), note: None },
        // The outcome says the same already; the delivery may not.
        Ok(false) if command.delivery != Delivery::Received => {
            Verdict::Keep { outcome: command.outcome.clone(), note: None }
        }
        Ok(false) => Verdict::Keep { outcome: None, note: None },
        Err(note) => noted(note),
    }
}

fn noted(note: Note) -> Verdict {
    Verdict::Keep { outcome: None, note: Some(note) }
}

/// Whether `new` replaces `old`. `late`: a later report of the stream is kept already, so that of equals the old one is newer.
fn step(old: Option<&Outcome>, new: &Outcome, late: bool) -> Result<bool, Note> {
    let Some(old) = old else { return Ok(true) };
    if old.is_terminal() {
        return match (old == new, new.is_terminal()) {
            (true, _) => Ok(false),
            (false, true) => Err(Note::Contradiction(old.name())),
            (false, false) => Err(Note::Stale(old.name())),
        };
    }
    match new.rank().cmp(&old.rank()) {
        Ordering::Greater => Ok(true),
        Ordering::Equal if !late => Ok(new != old),
        Ordering::Equal | Ordering::Less => Err(Note::Stale(old.name())),
    }
}
