//! The table: what is to be done next.

use keros_protocol::executor::Event;
use keros_protocol::{Outcome, Summary, TaskRef, UnixSeconds};

use super::{CancelledBy, Life, Phase, Provisional};

/// A reboot is asked for so often; then it is taken that there will be none.
const MAX_REBOOTS_ASKED: u32 = 3;
/// Undoing is begun so often: one that takes the gateway down each time must not do so for ever.
const MAX_UNDOS_BEGUN: u32 = 5;
/// A job is resumed so often without a task that began.
const MAX_RESUMED: u32 = 3;

/// Times that are settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// How long a reboot that was asked for may take to end this process.
    pub(crate) reboot_patience_ms: u64,
    /// How long the center may take to be heard of before the gateway reboots for what could not be undone.
    pub(crate) reboot_grace_ms: u64,
    /// A job is resumed when the gateway has been up for so long: its services are then, too.
    pub(crate) resume_after_boot_ms: u64,
}

/// What is known at this moment, besides the journal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    /// This boot.
    pub(crate) boot_id: &'a str,
    /// `CLOCK_BOOTTIME`.
    pub(crate) boottime_ms: u64,
    /// The executor's clock.
    pub(crate) unix_s: UnixSeconds,
    /// This process recorded the event that led to the phase; else it took the job over, and what followed may have been done
    /// in part.
    pub(crate) recorded_here: bool,
    /// This process has asked for the reboot of the phase.
    pub(crate) reboot_asked: bool,
    /// Since this process recorded that event, or took the job over.
    pub(crate) in_phase_ms: u64,
    /// There is a way to reboot: a tree has none.
    pub(crate) can_reboot: bool,
    /// Somebody who may has asked for the job's end.
    pub(crate) cancelled: Option<CancelledBy>,
    /// Why the job may not stay, as far as the trusted keys go; only while it waits for its confirmation.
    pub(crate) keys_lost: Option<&'a str>,
    /// Nonces that the center has signed.
    pub(crate) signed_nonces: &'a [String],
    /// For the next event that needs one.
    pub(crate) new_nonce: &'a str,
    /// Settings.
    pub(crate) bounds: Bounds,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// Run the tasks from the first.
    RunTasks,
    /// Run the tasks behind the one that rebooted.
    ResumeTasks,
    /// The tasks are over: record what [`after_tasks`] says.
    Conclude(Concluded),
    /// Record this event.
    Record(Event),
    /// Put back what can be put back, then record `Undone`.
    Undo,
    /// Ask for the reboot that is recorded.
    AskReboot,
    /// Look again after at most so long, or when a request comes.
    Wait {
        /// Milliseconds.
        at_most_ms: u64,
    },
    /// Nothing is owed any more.
    Nothing,
}

/// How the tasks of a job came to their end without saying so themselves.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Concluded {
    /// Their process is gone.
    Interrupted,
    /// What became of them is not on record.
    Damaged,
    /// Cancelled between this task, which asked for a reboot, and the next.
    Cancelled(TaskRef),
    /// This task asked for a reboot that never came; why, in words.
    NoReboot(TaskRef, String),
}

/// The table. Left-over cases are named, so that a new phase does not compile until somebody decides.
pub(crate) fn next(life: &Life, known: &Known<'_>) -> Action {
    let doubt = life.in_doubt;
    match &life.phase {
        Phase::Ended { .. } => Action::Nothing,
        Phase::Unborn => Action::Conclude(Concluded::Damaged),
        Phase::Tasks { .. } | Phase::PartEnded { .. } if doubt => Action::Conclude(Concluded::Damaged),
        Phase::Tasks { resumed: 0 } if known.recorded_here => Action::RunTasks,
        Phase::Tasks { .. } if known.recorded_here => Action::ResumeTasks,
        // No task has begun since it was resumed, so it may be again.
        Phase::Tasks { resumed: 1..MAX_RESUMED } => after_boot(known),
        Phase::Tasks { .. } => Action::Conclude(Concluded::Interrupted),
        Phase::PartEnded { task, boot_id, .. } if known.cancelled.is_some() => {
            // The next job must not begin before a reboot that may have been asked for.
            let may_come = boot_id == known.boot_id && (!known.recorded_here || known.reboot_asked);
            let left_ms = known.bounds.reboot_patience_ms.saturating_sub(known.in_phase_ms);
            match left_ms {
                at_most_ms @ 1.. if may_come && known.can_reboot => Action::Wait { at_most_ms },
                _ => Action::Conclude(Concluded::Cancelled(task.clone())),
            }
        }
        Phase::PartEnded { boot_id, .. } if boot_id != known.boot_id => after_boot(known),
        Phase::PartEnded { task, boot_id, asked } => {
            let again = Event::PartEnded { task: task.clone(), boot_id: boot_id.clone() };
            reboot(*asked, again, known)
                .unwrap_or_else(|why| Action::Conclude(Concluded::NoReboot(task.clone(), why)))
        }
        Phase::Provisional(provisional) => provisional_next(provisional, doubt, known),
        Phase::Confirmed { outcome } => end(outcome.as_deref().cloned().unwrap_or_else(|| {
            failed("the job was confirmed, but its record on the gateway is damaged".to_owned())
        })),
        // What was put back already is put back again: that changes nothing.
        Phase::RollingBack { .. } if known.recorded_here => Action::Undo,
        Phase::RollingBack { reason, begun } if *begun < MAX_UNDOS_BEGUN => {
            Action::Record(Event::RollingBack { reason: reason.clone() })
        }
        Phase::RollingBack { begun, .. } => {
            let remains = vec![format!("undoing was cut off {begun} times, so not all may be as it was")];
            Action::Record(Event::Undone { remains, nonce: None })
        }
        Phase::Undone { reason, remains, nonce } => match nonce {
            // A damaged record may hide that the gateway has rebooted.
            Some(nonce) if known.can_reboot && !doubt && !known.signed_nonces.contains(nonce) => {
                match known.bounds.reboot_grace_ms.saturating_sub(known.in_phase_ms) {
                    0 => Action::Record(Event::Rebooting { boot_id: known.boot_id.to_owned() }),
                    at_most_ms => Action::Wait { at_most_ms },
                }
            }
            _ => end(rolled_back(reason, remains)),
        },
        Phase::Rebooting { reason, remains, boot_id, .. } if boot_id != known.boot_id || doubt => {
            end(rolled_back(reason, remains))
        }
        Phase::Rebooting { reason, remains, boot_id, asked } => {
            reboot(*asked, Event::Rebooting { boot_id: boot_id.clone() }, known).unwrap_or_else(|why| {
                let mut remains = remains.clone();
                remains.push(why);
                end(rolled_back(reason, &remains))
            })
        }
    }
}

/// A job whose tasks are over waits for its confirmation.
fn provisional_next(provisional: &Provisional, doubt: bool, known: &Known<'_>) -> Action {
    let back = |reason: String| Action::Record(Event::RollingBack { reason });
    match known.cancelled {
        // What the tasks have obeyed is forgotten then: who asks again means the undoing.
        Some(CancelledBy::Root) => return back("cancelled on the gateway".to_owned()),
        // That comes again with each statement, and means no more than it did.
        Some(CancelledBy::Center) if matches!(*provisional.outcome, Outcome::Cancelled { .. }) => {}
        Some(CancelledBy::Center) => return back("cancelled".to_owned()),
        None => {}
    }
    if let Some(reason) = known.keys_lost {
        return back(with_end(reason, &provisional.outcome));
    }
    // What is damaged may be the beginning of its undoing.
    if doubt {
        return back("the job's journal on the gateway is damaged".to_owned());
    }
    if known.signed_nonces.contains(&provisional.nonce) {
        return Action::Record(Event::Confirmed {});
    }
    let window_s = provisional.window_s;
    if provisional.boot_id == known.boot_id {
        return match provisional.until_boottime_ms.saturating_sub(known.boottime_ms) {
            0 => back(format!("not confirmed within {window_s} s")),
            at_most_ms => Action::Wait { at_most_ms },
        };
    }
    if provisional.renewed {
        return back("not confirmed, and the gateway booted twice meanwhile".to_owned());
    }
    Action::Record(confirming(&provisional.outcome, window_s, true, known))
}

/// The reason, and how the tasks had ended where that was not well.
fn with_end(reason: &str, outcome: &Outcome) -> String {
    match outcome {
        Outcome::Succeeded { .. } => reason.to_owned(),
        _ => format!("{reason}; its tasks had ended as {outcome}"),
    }
}

/// What is recorded when the tasks are over: the end, or first what decides whether the job stays. That comes also where there is no window,
/// when the trusted keys are not what they must be.
pub(crate) fn after_tasks(outcome: Outcome, window_s: u32, must_wait: bool, known: &Known<'_>) -> Event {
    if must_wait { confirming(&outcome, window_s, false, known) } else { Event::Ended { outcome } }
}

fn confirming(outcome: &Outcome, window_s: u32, renewed: bool, known: &Known<'_>) -> Event {
    Event::Confirming {
        outcome: Box::new(outcome.clone()),
        nonce: known.new_nonce.to_owned(),
        window_s,
        until_unix_s: known.unix_s.saturating_add(window_s.into()),
        boot_id: known.boot_id.to_owned(),
        until_boottime_ms: known.boottime_ms.saturating_add(u64::from(window_s) * 1000),
        renewed,
    }
}

fn after_boot(known: &Known<'_>) -> Action {
    match known.bounds.resume_after_boot_ms.saturating_sub(known.boottime_ms) {
        0 => Action::Record(Event::Resumed { boot_id: known.boot_id.to_owned(), time_unix_s: known.unix_s }),
        at_most_ms => Action::Wait { at_most_ms },
    }
}

/// Asks for a reboot, waits for it, asks again.
///
/// # Errors
/// Why there will be none.
fn reboot(asked: u32, again: Event, known: &Known<'_>) -> Result<Action, String> {
    if !known.can_reboot {
        return Err("a tree cannot reboot".to_owned());
    }
    if known.recorded_here && !known.reboot_asked {
        return Ok(Action::AskReboot);
    }
    match known.bounds.reboot_patience_ms.saturating_sub(known.in_phase_ms) {
        0 if asked < MAX_REBOOTS_ASKED => Ok(Action::Record(again)),
        0 => Err(format!("the gateway did not reboot, although that was asked for {asked} times")),
        at_most_ms => Ok(Action::Wait { at_most_ms }),
    }
}

const fn end(outcome: Outcome) -> Action {
    Action::Record(Event::Ended { outcome })
}

fn rolled_back(reason: &str, remains: &[String]) -> Outcome {
    let reason = if reason.is_empty() { "the reason is not on record".to_owned() } else { reason.to_owned() };
    Outcome::RolledBack { reason, complete: remains.is_empty(), remains: remains.to_vec() }
}

fn failed(message: String) -> Outcome {
    Outcome::Failed { task: None, exit_code: None, message, output: None, summary: Summary::default() }
}
