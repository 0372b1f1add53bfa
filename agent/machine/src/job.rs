//! One job: its phases, and the one table that says how it moves between them.

use keros_protocol::magic_link::Digest;
use keros_protocol::{
    CommandId, Interruption, Outcome, RefusalReason, Summary, TaskRef, UnixSeconds, UpdateId,
    executor::CancelAnswer,
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
    /// It waits for its turn for this long at most, counted by the clock that never jumps: what was left of its time when it
    /// came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_s: Option<u64>,
    /// Time limit of the whole job; the executor enforces it.
    pub total_s: u32,
    /// The Magic Link that it runs; absent also in what older versions have stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Digest>,
    /// It cannot be handed over before its bundle was fetched.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_bundle: bool,
    /// A technician has brought it: it starts with any clock.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_hand: bool,
    /// The center wants it cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<Cancel>,
    /// Root wants it cancelled, on the gateway.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancelled_by_root: bool,
    /// It came after the state was lost, and the executor has not yet said whether it knows it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unasked: bool,
    /// How far it has come.
    pub phase: Phase,
}

/// What has become of a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cancel {
    /// The executor has not answered yet.
    Asked,
    /// The job stops after the task under way.
    Stopping,
    /// The job is undone.
    RollingBack,
    /// The job had ended, or was being undone already.
    TooLate,
}

impl Cancel {
    /// What an answer of the executor means; a job that it has not started may still be on its way to it.
    #[must_use]
    pub const fn of(answer: CancelAnswer) -> Self {
        match answer {
            CancelAnswer::Stopping => Self::Stopping,
            CancelAnswer::RollingBack => Self::RollingBack,
            CancelAnswer::TooLate => Self::TooLate,
            CancelAnswer::Unknown => Self::Asked,
        }
    }
}

/// How far a job has come. There is no phase between the two messages `received` and `accepted`: a command is judged as it
/// is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// It waits for its bundle or its turn. It was certainly not started.
    Accepted {},
    /// It is being handed to the executor. Whether it was started only the executor knows.
    Starting {},
    /// The executor has said that it was started.
    Running {},
    /// Its tasks are over; it is undone unless the center is heard of in time.
    Confirming {
        /// When the window ends, by the executor's clock.
        until_unix_s: UnixSeconds,
        /// Length of the window.
        window_s: u32,
        /// What the center's statement must carry; absent once the executor has decided.
        nonce: Option<String>,
    },
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
    /// The Magic Link that it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Digest>,
    /// When it came, by the gateway's clock.
    pub received_at_unix_s: UnixSeconds,
    /// When it ended.
    pub ended_at_unix_s: UnixSeconds,
    /// Its id must be remembered until then.
    pub until_unix_s: UnixSeconds,
    /// Its outcome, without a program's output.
    pub outcome: Outcome,
    /// What became of its cancellation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<Cancel>,
}

/// What can happen to a job.
#[derive(Debug, Clone, PartialEq)]
pub enum JobEvent {
    /// It is its turn, its bundle is there, and no session with the executor is open.
    Turn,
    /// Its time is over.
    Expired,
    /// Its bundle cannot be had.
    NotFetched(RefusalReason, String),
    /// The center wants it cancelled.
    CancelAsked,
    /// Root wants it cancelled.
    RootCancels,
    /// The executor: it was started.
    Started,
    /// The executor: a task has begun.
    TaskStarted(TaskRef),
    /// The executor: its tasks are over, and it waits for its confirmation.
    Provisional {
        /// What the center's statement must carry.
        nonce: String,
        /// Length of the window.
        window_s: u32,
        /// Its end by the executor's clock.
        until_unix_s: UnixSeconds,
    },
    /// The executor: it is confirmed, or is being undone.
    Decided,
    /// The executor: it is undone; with a nonce the center can spare the gateway a reboot.
    Undone(Option<String>),
    /// The executor: it has ended.
    Ended(Outcome),
    /// The executor has never seen the command: the session could not be opened, or it says so.
    NeverHandedOver,
    /// The executor does not start it: the copy of its bundle is bad.
    BadCopy,
    /// The session is over without the job's end.
    SessionLost,
    /// The executor was reached again and again, for longer than the job may take, and knows nothing of it.
    Unknown,
    /// The executor has said nothing about it for a day longer than the job may take.
    GivenUp,
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
    /// It waits for its confirmation, or no longer: `Confirming`.
    Confirm {
        /// What the center's statement must carry.
        nonce: Option<String>,
        /// Length of the window.
        window_s: u32,
        /// Its end.
        until_unix_s: UnixSeconds,
    },
    /// The executor is asked to cancel it.
    AskCancel,
    /// It ends.
    End(Outcome),
    /// The event does not fit.
    Unexpected(&'static str),
}

const UNREADABLE: &str = "the stored command could not be read any more";

/// How long the center is asked to spare the gateway its reboot; the executor reboots much earlier.
const UNDONE_WINDOW_S: u32 = 3600;

/// The table of a job's phases.
#[must_use]
pub fn advance(phase: &Phase, event: JobEvent) -> Move {
    use JobEvent as E;
    use Phase as P;
    match (phase, event) {
        (P::Accepted {} | P::Starting {}, E::Turn) => Move::HandOver,
        (P::Running {} | P::Confirming { .. }, E::Turn) => Move::Follow,

        (P::Accepted {}, E::Expired) => {
            Move::End(refused(RefusalReason::Expired, "its time was over before its turn"))
        }
        // From here on the executor judges: it alone knows whether the job was started in time.
        (P::Starting {} | P::Running {} | P::Confirming { .. }, E::Expired) => Move::Stay,

        (P::Accepted {}, E::NotFetched(reason, detail)) => Move::End(refused(reason, &detail)),
        (P::Starting {} | P::Running {} | P::Confirming { .. }, E::NotFetched(..)) => {
            Move::Unexpected("a bundle is not fetched once its job was handed over")
        }

        (P::Accepted {}, E::CancelAsked) => Move::End(cancelled(false)),
        (P::Accepted {}, E::RootCancels) => Move::End(cancelled(true)),
        // The executor stops or undoes nothing on the agent's word; root asks it directly.
        (P::Starting {} | P::Running {} | P::Confirming { .. }, E::RootCancels) => Move::Stay,
        (P::Starting {} | P::Running {} | P::Confirming { .. }, E::CancelAsked) => Move::AskCancel,

        (P::Starting {} | P::Running {}, E::Started) => Move::Run,
        (P::Starting {} | P::Running {}, E::TaskStarted(task)) => Move::RunTask(task),
        // A session that is opened anew repeats all events from the beginning.
        (P::Confirming { .. }, E::Started | E::TaskStarted(_)) => Move::Stay,

        (
            P::Starting {} | P::Running {} | P::Confirming { .. },
            E::Provisional { nonce, window_s, until_unix_s },
        ) => Move::Confirm { nonce: Some(nonce), window_s, until_unix_s },
        (&P::Confirming { until_unix_s, window_s, .. }, E::Decided) => {
            Move::Confirm { nonce: None, window_s, until_unix_s }
        }
        (&P::Confirming { until_unix_s, .. }, E::Undone(nonce)) => {
            Move::Confirm { nonce, window_s: UNDONE_WINDOW_S, until_unix_s }
        }
        (P::Starting {} | P::Running {}, E::Decided | E::Undone(_)) => {
            Move::Unexpected("a decision about a job that does not wait for one")
        }

        (P::Starting {} | P::Running {} | P::Confirming { .. }, E::Ended(outcome))
            if outcome.is_terminal() =>
        {
            Move::End(outcome)
        }
        (P::Starting {} | P::Running {} | P::Confirming { .. }, E::Ended(_)) => {
            Move::Unexpected("an end that is no terminal outcome")
        }

        (P::Starting {}, E::NeverHandedOver | E::BadCopy) => Move::Back,
        (P::Starting {} | P::Running {} | P::Confirming { .. }, E::SessionLost)
        | (P::Running {} | P::Confirming { .. }, E::NeverHandedOver) => Move::Stay,

        (P::Running {} | P::Confirming { .. }, E::BadCopy) => {
            Move::Unexpected("a bundle is checked before its job starts")
        }

        // It was started, and whoever ran it has left no trace: that is an interruption.
        (P::Running {} | P::Confirming { .. }, E::Unknown) => Move::End(interrupted()),
        // The executor is asked to attach to such a job only when its command cannot be read any more.
        (P::Starting {}, E::Unknown) => Move::End(refused(RefusalReason::Unparsable, UNREADABLE)),
        // No later job is held up for ever, and the center is told something in the end.
        (P::Starting {} | P::Running {} | P::Confirming { .. }, E::GivenUp) => Move::End(interrupted()),

        (P::Accepted {}, E::EnvelopeLost) => Move::End(refused(RefusalReason::Unparsable, UNREADABLE)),
        // The executor is asked whether it knows the job, at the next turn.
        (P::Starting {}, E::EnvelopeLost) => Move::Stay,
        (P::Running {} | P::Confirming { .. }, E::EnvelopeLost) => {
            Move::Unexpected("a stored command is not needed once its job was started")
        }

        (
            P::Accepted {},
            E::Started
            | E::TaskStarted(_)
            | E::Provisional { .. }
            | E::Decided
            | E::Undone(_)
            | E::Ended(_)
            | E::NeverHandedOver
            | E::BadCopy
            | E::SessionLost
            | E::Unknown
            | E::GivenUp,
        ) => Move::Unexpected("an event of the executor for a job that waits"),
    }
}

fn cancelled(by_root: bool) -> Outcome {
    Outcome::Cancelled { task: None, summary: Summary::default(), by_root }
}

fn interrupted() -> Outcome {
    Outcome::Interrupted { interruption: Interruption::default() }
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
