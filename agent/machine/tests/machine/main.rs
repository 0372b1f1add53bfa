//! The machine's tests, in reading order: single rules by short stories, then whole histories.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

/// A machine, its clock, and short ways to tell it something.
mod story;

/// What becomes of a cancellation at each moment of a job.
mod by_root;
mod cancel;
/// What time it is.
mod clock;
/// The center is heard of after a job's end, or the job is undone.
mod confirm;
/// A job waits for its bundle.
mod fetch;
/// Jobs, one after the other.
mod jobs;
/// Commands that came after the state was lost.
mod lost;
/// Reports and their bounds.
mod reports;
/// How long the executor is waited for.
mod sessions;
/// When telemetry is due.
mod telemetry;

/// Random histories in it.
mod histories;
/// What a program printed, cut down.
mod output;
/// What the technician and telemetry are told.
mod telling;

/// A world around the machine in which everything fails.
mod world;

/// The diagram of the table.
mod diagram;
/// What the machine must not use.
mod purity;
