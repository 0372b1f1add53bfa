//! What crosses a process or a network between the center, the agent and the executor.
//!
//! This crate is pure: it has no clock, disk or network. `README.md` beside it says the same in words, so that
//! somebody else can write a gateway or a center. Every wire form is frozen by a test in `tests/wire.rs`.
//!
//! Reading order: who ([`Eui`]), what is ordered ([`Command`]), how it is signed ([`Envelope`]), how it travels
//! ([`topics`], [`Telemetry`], [`Downlink`], [`Report`]), whether it may run ([`eligibility`], [`magic_link`]), how the
//! executor is asked and answers ([`executor`]), how a gateway joins a center ([`enroll`]).

pub mod certificate;
mod command;
mod der;
mod downlink;
pub mod eligibility;
pub mod enroll;
mod envelope;
mod eui;
pub mod executor;
mod keros_version;
mod keys;
pub mod limits;
pub mod magic_link;
mod report;
#[cfg(feature = "schema")]
mod schema;
mod telemetry;
pub mod text;
pub mod topics;

pub use command::{Command, CommandId, Job, JobLimits, JobOptions, UpdateId};
pub use downlink::{Cancellation, Downlink, ReportPosition, Statement};
pub use envelope::{Envelope, EnvelopeError, Signature};
pub use eui::{Eui, EuiError};
pub use keros_version::KerosVersion;
pub use keys::{KeyError, KeyId, KeyPurpose, KeyRing, SigningKey, TrustedKey};
pub use report::{
    Delivery, Interruption, Outcome, Output, RefusalReason, Report, Summary, TaskRef, TimeLimit, UnknownName,
};
pub use telemetry::{BundleUnderWay, ClockState, Disk, JobUnderWay, Package, Presence, Telemetry};

/// Version of the wire forms. It is the `v1` of the topics and of the payload types; a change that an older reader
/// would misunderstand makes a new one, a new optional field does not.
pub const PROTOCOL_VERSION: u32 = 1;

/// Seconds since 1970-01-01T00:00:00Z, without leap seconds.
pub type UnixSeconds = u64;
