//! The agent's decisions: jobs, reports and telemetry as one pure state machine.
//!
//! [`step`] takes the time, the state and one event, and gives the new state and what is to be done. There is no clock,
//! disk or network here; `Cargo.toml` is the proof. The shell stores [`State::kept`] before it carries out any effect
//! that [`Effect::needs_store`], and may carry out an effect twice; after a start it sends [`Event::Booted`], and what
//! was owed is asked for again.
//!
//! Reading order: what happens and what is done ([`Event`], [`Effect`]), the table of a job's phases ([`Phase`],
//! [`advance`]), the fetching of bundles, the sessions that follow a job and those beside it, the reports that are owed ([`Outbox`]), what the center
//! is asked to sign, when telemetry is due, what time it is ([`TimeJudge`]).

mod by_root;
mod effect;
mod event;
mod fetch;
mod hearing;
mod intake;
mod job;
mod outbox;
mod output;
mod progress;
mod proof;
mod session;
mod side;
mod state;
mod step;
mod telemetry;
mod time;

pub use by_root::RootCancel;
pub use effect::{Effect, Note, SessionRequest};
pub use event::{Arrival, Event, FetchEnd, Heard, Now, Setup, Verdict};
pub use job::{Cancel, EndedJob, Job, JobEvent, Move, Phase, advance};
pub use outbox::{Entry, Outbox};
pub use output::{output_of, shorten_output};
pub use state::{Kept, State};
pub use step::{next_wake_ms, step};
pub use time::{ClockFit, TimeJudge};

/// Jobs that have not ended. A command beyond it is not taken: the center sends it again with each answer.
pub const MAX_OPEN_JOBS: usize = 16;

/// Ended jobs that are remembered with their outcome, for the technician and for commands that come again.
pub const MAX_ENDED_JOBS: usize = 50;

/// Ids that are remembered beyond those, until the command has expired. The executor remembers all by itself.
pub const MAX_KNOWN_IDS: usize = 256;

/// Ids of commands that were cancelled before they came; the center repeats each of them until it knows the end.
pub const MAX_CANCELLED_IDS: usize = 64;

/// Reports waiting for the center, beyond which no new command is taken. Those that were taken may still add theirs:
/// three each, so at most 64 + 3 × 16.
pub const MAX_OUTBOX: usize = 64;
