//! One job: its phases, and the one table that says how it moves between them.

use keros_protocol::{
    CommandId, Interruption, Outcome, RefusalReason, Summary, TaskRef, UnixSeconds, UpdateId,
};
use serde::{Deserialize, Serialize};

/// An open job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its command.
    pub command_id: CommandId,
    /// Its update.
    pub update_id: Option<UpdateId>,
    /// `jetporch`, `magic_link`.
    pub kind: String,
    /// When it came, by the gateway's clock.
    pub received_at_unix_s: UnixSeconds,
    /// When its phase last changed.
    pub changed_at_unix_s: UnixSeconds,
    /// From this second on it may not be started.
    pub expires_at_unix_s: UnixSeconds,
    /// Time limit of the whole job; the executor enforces it.
    pub total_s: u32,
    /// How far it has come.
    pub phase: Phase,
}

/// How far a job has come. There is no phase between the two messages `received` and `accepted`: a command is judged as it
/// is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// It waits for its turn. It was certainly not started.
    Accepted {},
    /// It is being handed to the executor. Whether it was started only the executor knows.
    Starting {},
    /// The executor has said that it was started.
    Running {},
}

/// A job that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndedJob {
    /// Its command.
    pub command_id: CommandId,
    /// Its update, when it could be read.
    pub update_id: Option<UpdateId>,
    /// Its kind, when it could be read.
    pub kind: Option<String>,
    /// When it came, by the gateway's clock.
    pub received_at_unix_s: UnixSeconds,
    /// When it ended.
    pub ended_at_unix_s: UnixSeconds,
    /// Its id must be remembered until then.
    pub until_unix_s: UnixSeconds,
    /// Its outcome, without a program's output.
    pub outcome: Outcome,
}

/// What can happen to a job.
#[derive(Debug, Clone, PartialEq)]
pub enum JobEvent {
    /// It is its turn, and no session with the executor is open.
    Turn,
    /// Its time is over.
    Expired,
    /// The center wants it cancelled.
    CancelAsked,
    /// The executor: it was started.
    Started,
    /// The executor: a task has begun.
    TaskStarted(TaskRef),
    /// The executor: it has ended.
    Ended(Outcome),
    /// The session could not be opened, so the executor has never seen the command.
    NeverHandedOver,
    /// The session is over without the job's end.
    SessionLost,
    /// The executor was reached again and again, for longer than the job may take, and knows nothing of it.
    Unknown,
    /// The stored command cannot be read.
    EnvelopeLost,
}

/// What becomes of a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Move {
    /// Nothing.
    Stay,
    /// Hand it over: `Starting`.
    HandOver,
    /// It was not handed over after all: `Accepted`.
    Back,
    /// Follow it again.
    Follow,
    /// It runs.
    Run,
    /// It runs, and is at this task.
    RunTask(TaskRef),
    /// It ends.
    End(Outcome),
    /// It is too late for that.
    TooLate,
    /// The event does not fit.
    Unexpected(&'static str),
}

const UNREADABLE: &str = "the stored command could not be read any more";

/// The table of a job's phases.
#[must_use]
pub fn advance(phase: &Phase, event: JobEvent) -> Move {
    use JobEvent as E;
    use Phase as P;
    match (phase, event) {
        (P::Accepted {} | P::Starting {}, E::Turn) => Move::HandOver,
        (P::Running {}, E::Turn) => Move::Follow,

        (P::Accepted {}, E::Expired) => {
            Move::End(refused(RefusalReason::Expired, "its time was over before its turn"))
        }
        // From here on the executor judges: it alone knows whether the job was started in time.
        (P::Starting {} | P::Running {}, E::Expired) => Move::Stay,

        (P::Accepted {}, E::CancelAsked) => {
            Move::End(Outcome::Cancelled { task: None, summary: Summary::default() })
        }
        (P::Starting {} | P::Running {}, E::CancelAsked) => Move::TooLate,

        (P::Starting {} | P::Running {}, E::Started) => Move::Run,
        (P::Starting {} | P::Running {}, E::TaskStarted(task)) => Move::RunTask(task),
        (P::Starting {} | P::Running {}, E::Ended(outcome)) if outcome.is_terminal() => Move::End(outcome),
        (P::Starting {} | P::Running {}, E::Ended(_)) => {
            Move::Unexpected("an end that is no terminal outcome")
        }

        (P::Starting {}, E::NeverHandedOver) => Move::Back,
        (P::Starting {} | P::Running {}, E::SessionLost) | (P::Running {}, E::NeverHandedOver) => Move::Stay,

        // It was started, and whoever ran it has left no trace: that is an interruption.
        (P::Running {}, E::Unknown) => {
            Move::End(Outcome::Interrupted { interruption: Interruption::default() })
        }
        // The executor is asked to attach to such a job only when its command cannot be read any more.
        (P::Starting {}, E::Unknown) => Move::End(refused(RefusalReason::Unparsable, UNREADABLE)),

        (P::Accepted {}, E::EnvelopeLost) => Move::End(refused(RefusalReason::Unparsable, UNREADABLE)),
        // The executor is asked whether it knows the job, at the next turn.
        (P::Starting {}, E::EnvelopeLost) => Move::Stay,
        (P::Running {}, E::EnvelopeLost) => {
            Move::Unexpected("a stored command is not needed while its job runs")
        }

        (
            P::Accepted {},
            E::Started | E::TaskStarted(_) | E::Ended(_) | E::NeverHandedOver | E::SessionLost | E::Unknown,
        ) => Move::Unexpected("an event of the executor for a job that waits"),
    }
}

fn refused(reason: RefusalReason, detail: &str) -> Outcome {
    Outcome::Refused { reason, detail: detail.to_owned() }
}

/// The outcome without what a program printed.
pub(crate) fn without_output(outcome: &Outcome) -> Outcome {
    let mut outcome = outcome.clone();
    if let Outcome::Failed { output, .. } | Outcome::TimedOut { output, .. } = &mut outcome {
        *output = None;
    }
    outcome
}
