//! All that can happen.

use keros_protocol::magic_link::Digest;
use keros_protocol::{CommandId, Envelope, Eui, RefusalReason, Statement, UnixSeconds, UpdateId, executor};

/// The time, as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The wall clock; it may be wrong and may jump.
    pub unix_s: UnixSeconds,
    /// Milliseconds since the agent started; never goes back. It means nothing after a restart.
    pub monotonic_ms: u64,
}

/// What does not change while the agent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// The gateway.
    pub eui: Eui,
    /// The regular interval of telemetry.
    pub telemetry_interval_ms: u64,
    /// Telemetry is never sent more often than this.
    pub telemetry_min_interval_ms: u64,
    /// It cannot be earlier than this.
    pub built_at_unix_s: UnixSeconds,
}

/// All that can happen.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The agent has started and read its state.
    Booted,
    /// The state can be stored again, after it could not: what was owed meanwhile was not done.
    StoreRecovered,
    /// Time has passed.
    Woken,
    /// The broker has accepted the connection and the subscription.
    Connected {
        /// A text that nobody can guess and that was never used.
        fresh_nonce: String,
    },
    /// The connection is gone.
    Disconnected,
    /// A command has come, and was judged.
    CommandArrived(Arrival),
    /// The center says something; its signature and the gateway that it is for were checked.
    StatementVerified(Box<Heard>),
    /// The center has answered the last telemetry.
    TelemetryAnswered {
        /// Digest of the package list that the center has now, when it is known to have one.
        packages_known: Option<String>,
    },
    /// Somebody wants telemetry now: the center's nudge, or the technician.
    TelemetryWanted,
    /// Root wants a job cancelled, on the gateway: what that can mean, [`crate::State::root_cancel`] says before.
    CancelledByRoot {
        /// The command.
        command_id: CommandId,
    },
    /// The executor says something about the job of this session.
    Executor {
        /// The session's number.
        session: u64,
        /// What it says.
        event: executor::Event,
    },
    /// A session with the executor is over, or never began.
    SessionClosed {
        /// The session's number.
        session: u64,
        /// The executor may have seen the request.
        handed_over: bool,
        /// Why, in words.
        message: String,
    },
    /// An attempt to fetch a bundle is over.
    FetchEnded {
        /// The command.
        command_id: CommandId,
        /// How.
        end: FetchEnd,
    },
    /// The stored command of an open job cannot be read, so it cannot be handed over.
    EnvelopeLost {
        /// The command.
        command_id: CommandId,
    },
}

/// A statement whose signature holds, for this gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// What it says.
    pub statement: Statement,
    /// As it came: the executor does not believe the agent, and checks it by itself.
    pub envelope: Envelope,
    /// A text that nobody can guess and that was never used.
    pub fresh_nonce: String,
}

/// A command that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Its id; only claimed when the verdict is a refusal.
    pub command_id: CommandId,
    /// Its update, when it could be read.
    pub update_id: Option<UpdateId>,
    /// May it run?
    pub verdict: Verdict,
}

impl Arrival {
    /// Whether it may run.
    #[must_use]
    pub const fn is_eligible(&self) -> bool {
        matches!(self.verdict, Verdict::Eligible { .. })
    }
}

/// How an attempt to fetch a job's bundle ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchEnd {
    /// All of it is on the disk, and each blob has its digest.
    Complete,
    /// No further attempt can help.
    Refused {
        /// By name.
        reason: RefusalReason,
        /// In words.
        detail: String,
    },
    /// A later attempt goes on where this one ended.
    Failed {
        /// Why, in words.
        message: String,
        /// It brought the bundle nearer to its end.
        progressed: bool,
    },
}

/// What the check of a command has given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Signed, for this gateway, in time and of a kind that can be run; its envelope is stored.
    Eligible {
        /// `jetporch`, `magic_link`.
        kind: String,
        /// From this second on it may not be started.
        expires_at_unix_s: UnixSeconds,
        /// Time limit of the whole job.
        total_s: u32,
        /// The Magic Link that it runs: it cannot be handed over before that was fetched.
        link: Option<Digest>,
        /// A technician has brought it, and root vouches for the time: it starts with any clock.
        by_hand: bool,
    },
    /// It may not run.
    Refused {
        /// By name.
        reason: RefusalReason,
        /// In words.
        detail: String,
    },
}
