//! What the sockets ask of the main loop.

use keros_protocol::{CommandId, Envelope, Outcome, RefusalReason, UnixSeconds};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// One request. The main loop answers at once; a sender that is dropped unanswered becomes an error to the technician.
#[derive(Debug)]
pub(crate) enum LocalRequest {
    /// Send telemetry now.
    TelemetryNow {
        /// Takes the answer.
        answer: oneshot::Sender<TelemetryAnswer>,
    },
    /// Take a command that root has brought.
    Command {
        /// As the center has signed it.
        envelope: Box<Envelope>,
        /// Only say what would become of it.
        only_check: bool,
        /// Takes the answer.
        answer: oneshot::Sender<CommandAnswer>,
    },
    /// Cancel a job: root wants it.
    Cancel {
        /// Its command.
        command_id: CommandId,
        /// Takes the answer.
        answer: oneshot::Sender<CancelAnswer>,
    },
}

/// What became of the wish for telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub(crate) enum TelemetryAnswer {
    /// It is sent at this time, which may be now.
    Due {
        /// By the gateway's clock.
        at_unix_s: UnixSeconds,
    },
    /// It is sent as soon as there is a connection to the broker.
    WhenConnected {},
    /// The last one was sent too short a time ago.
    TooSoon {
        /// Ask again after so many seconds.
        retry_after_s: u64,
    },
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum CommandAnswer {
    /// It was judged.
    Judged(JudgedCommand),
    /// It does not even say its id.
    Unreadable(String),
    /// It could not be taken now.
    NotTaken(&'static str),
}

/// What became of root's wish to cancel a job.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum CancelAnswer {
    /// This.
    Done(CancelledJob),
    /// There is no such job.
    Unknown,
    /// It could not be done for certain now.
    NotDone(&'static str),
}

/// The answer to `POST /v1/jobs/{id}/cancel`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CancelledJob {
    /// Its command.
    pub(crate) command_id: CommandId,
    /// What became of it.
    #[serde(flatten)]
    pub(crate) result: CancelResult,
}

/// Is it cancelled?
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub(crate) enum CancelResult {
    /// It waited, and has ended as cancelled.
    Cancelled {},
    /// The executor has it, which takes a cancellation from root alone: root asks it directly.
    HandedOver {},
    /// It had ended before.
    TooLate {
        /// How; absent when it ended so long ago that only its id is kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outcome: Option<Outcome>,
    },
}

/// What a command was judged to be: the answer to `POST /v1/commands`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct JudgedCommand {
    /// Its id; only claimed when it is refused.
    pub(crate) command_id: CommandId,
    /// The judgement.
    #[serde(flatten)]
    pub(crate) judgement: Judgement,
}

/// May it run?
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub(crate) enum Judgement {
    /// It is stored, and runs when its turn comes; or it would be.
    Accepted {},
    /// It does not run.
    Refused {
        /// By name.
        reason: RefusalReason,
        /// In words.
        detail: String,
    },
    /// It is here already, and does not run once more.
    Duplicate {
        /// What has become of it; absent when it ended so long ago that only its id is kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outcome: Option<Outcome>,
    },
}
