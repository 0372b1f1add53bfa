//! All that is done.

use std::fmt;

use keros_protocol::executor::CancelAnswer;
use keros_protocol::{CommandId, Envelope, Outcome, RefusalReason, Report};

/// One thing for the shell to do. Each may be done twice.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Publish a report.
    Publish(Box<Report>),
    /// Compose and publish telemetry.
    SendTelemetry {
        /// What the center is asked to sign.
        nonces: Vec<String>,
    },
    /// Begin a new connection: only that shows that the gateway can still reach its center.
    Reconnect,
    /// Reach the executor; what it says comes back under the session's number.
    OpenSession {
        /// Numbers sessions within one run of the agent.
        session: u64,
        /// The command.
        command_id: CommandId,
        /// What to ask.
        request: SessionRequest,
    },
    /// Let go of a session; the job goes on in the executor.
    CloseSession {
        /// Its number.
        session: u64,
    },
    /// Fetch the bundle of a stored command; [`crate::Event::FetchEnded`] follows. There is one at a time.
    Fetch {
        /// The command.
        command_id: CommandId,
        /// The executor has found the copy on the disk to be bad: each blob that is there is hashed anew.
        rehash: bool,
    },
    /// Stop fetching: the job has ended, or another one comes first. What is there may stay.
    StopFetch {
        /// The command.
        command_id: CommandId,
    },
    /// The stored command is no longer needed.
    ForgetEnvelope {
        /// The command.
        command_id: CommandId,
    },
    /// Log it.
    Note(Note),
}

/// What the executor is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionRequest {
    /// Run the stored command, or follow it if it was ever started.
    Run,
    /// Follow a command that is known to have been started.
    Attach,
    /// Stop it, or undo it: one answer, then the session ends.
    Cancel {
        /// The statement that orders it.
        statement: Box<Envelope>,
    },
    /// The center has been heard of since the job's end: one answer, then the session ends.
    Confirm {
        /// The statement that carries the nonce.
        statement: Box<Envelope>,
    },
}

impl Effect {
    /// Whether the state that ordered it must be on disk first. Telemetry is sent with a full disk too.
    #[must_use]
    pub const fn needs_store(&self) -> bool {
        match self {
            Self::Publish(_) | Self::ForgetEnvelope { .. } => true,
            Self::OpenSession { request, .. } => match request {
                SessionRequest::Run | SessionRequest::Attach => true,
                // A job that has filled the disk must not be undone for that, nor go on for ever.
                SessionRequest::Cancel { .. } | SessionRequest::Confirm { .. } => false,
            },
            // The command of a fetch is on the disk, and what it writes is found again. So none is left undone with a full disk.
            Self::Fetch { .. }
            | Self::StopFetch { .. }
            | Self::SendTelemetry { .. }
            | Self::Reconnect
            | Self::CloseSession { .. }
            | Self::Note(_) => false,
        }
    }
}

/// What is worth a line in the log. An event that does not fit the state is one of these, never a panic.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// A new command has come, and was judged.
    Received(CommandId),
    /// It may run; its job waits for its turn.
    Accepted(CommandId),
    /// It may not run.
    Refused(CommandId, RefusalReason, String),
    /// A command came again.
    Duplicate(CommandId),
    /// What came under this id is not trusted, and not answered: the id is known, or too much like it came.
    Untrusted(CommandId),
    /// No more commands are taken now.
    Full(CommandId),
    /// A job has moved on.
    Moved(CommandId, &'static str),
    /// A job's bundle is fetched from here on.
    FetchStarted(CommandId),
    /// All of it is there.
    FetchEnded(CommandId),
    /// A job waits for its confirmation.
    Confirming(CommandId),
    /// A job has ended, and its end is reported.
    Ended {
        /// The command.
        command_id: CommandId,
        /// How.
        outcome: Box<Outcome>,
        /// The executor never had it: nobody else has told of its end.
        by_agent: bool,
    },
    /// A cancellation came for a job that has ended.
    CancelTooLate(CommandId),
    /// What the executor has answered to a cancellation.
    CancelAnswered(CommandId, CancelAnswer),
    /// What the executor has answered to the center's sign of life: `None` when it is content with it.
    ConfirmAnswered(CommandId, Option<String>),
    /// An acknowledgement names another stream, or a number that was never given.
    ForeignAcknowledgement,
    /// Something came from a session that is no longer followed, or does not fit the job's phase.
    Unexpected(&'static str),
    /// The executor could not be reached, or left before the job's end; it is asked again.
    ExecutorLost(CommandId, String),
    /// An attempt to fetch a job's bundle has failed; the next one goes on.
    FetchFailed(CommandId, String),
    /// The executor has found the bundle to be bad; it is fetched again.
    BadCopy(CommandId, String),
    /// Statements raise the time floor by this much at most; the rest follows with the next ones.
    FloorCapped,
    /// The center has answered our question for the time with an earlier one.
    FloorLowered,
    /// The clock is absurd: no job is started before the center has told the time.
    ClockNotBelieved,
}

impl Note {
    /// The command that it is about.
    #[must_use]
    pub const fn command_id(&self) -> Option<CommandId> {
        match self {
            Self::Received(id)
            | Self::Accepted(id)
            | Self::Refused(id, ..)
            | Self::Duplicate(id)
            | Self::Untrusted(id)
            | Self::Full(id)
            | Self::Moved(id, _)
            | Self::FetchStarted(id)
            | Self::FetchEnded(id)
            | Self::Confirming(id)
            | Self::Ended { command_id: id, .. }
            | Self::CancelTooLate(id)
            | Self::CancelAnswered(id, _)
            | Self::ConfirmAnswered(id, _)
            | Self::ExecutorLost(id, _)
            | Self::FetchFailed(id, _)
            | Self::BadCopy(id, _) => Some(*id),
            Self::ForeignAcknowledgement
            | Self::Unexpected(_)
            | Self::FloorCapped
            | Self::FloorLowered
            | Self::ClockNotBelieved => None,
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Received(id) => write!(f, "command {id} has come"),
            Self::Accepted(id) => write!(f, "command {id}: accepted"),
            Self::Refused(id, reason, detail) => write!(f, "command {id}: refused: {reason}: {detail}"),
            Self::Duplicate(id) => write!(f, "command {id} came again"),
            Self::Untrusted(id) => {
                write!(f, "an envelope with the id of command {id} was not believed")
            }
            Self::Full(id) => write!(f, "command {id} is not taken now: too many jobs or reports are open"),
            Self::Moved(id, phase) => write!(f, "command {id}: {phase}"),
            Self::FetchStarted(id) => write!(f, "command {id}: its bundle is fetched"),
            Self::FetchEnded(id) => write!(f, "command {id}: its bundle is there"),
            Self::Confirming(id) => write!(f, "command {id}: waits for the center's sign of life"),
            Self::Ended { command_id, outcome, .. } => {
                write!(f, "command {command_id}: {outcome}")?;
                match &**outcome {
                    Outcome::Failed { message, .. } => write!(f, ": {message}"),
                    Outcome::Refused { detail, .. } => write!(f, ": {detail}"),
                    _ => Ok(()),
                }
            }
            Self::CancelTooLate(id) => write!(f, "command {id} cannot be cancelled any more: it has ended"),
            Self::CancelAnswered(id, answer) => write!(
                f,
                "command {id}, cancelled by the center: {}",
                match answer {
                    CancelAnswer::Stopping => "it stops after the task under way",
                    CancelAnswer::RollingBack => "it is undone",
                    CancelAnswer::TooLate => "too late, it has ended or is being undone",
                    CancelAnswer::Unknown => "the executor has not started it",
                }
            ),
            Self::ConfirmAnswered(id, None) => write!(f, "command {id} is confirmed by the center"),
            Self::ConfirmAnswered(id, Some(why)) => write!(f, "command {id} is not confirmed: {why}"),
            Self::ForeignAcknowledgement => f.write_str("an acknowledgement of reports that were never made"),
            Self::Unexpected(what) => write!(f, "not expected here: {what}"),
            Self::ExecutorLost(id, why) => write!(f, "command {id}: the executor is asked again: {why}"),
            Self::FetchFailed(id, why) => {
                write!(f, "command {id}: its bundle is not there yet, it is fetched again: {why}")
            }
            Self::BadCopy(id, why) => {
                write!(f, "command {id}: the copy of its bundle is bad, it is fetched again: {why}")
            }
            Self::FloorCapped => f.write_str("the center's clock is very far ahead of the time floor"),
            Self::FloorLowered => f.write_str("the center has set back the time floor"),
            Self::ClockNotBelieved => f.write_str(
                "the clock is below the time floor or very far ahead of it; jobs wait until the center has told the time",
            ),
        }
    }
}
