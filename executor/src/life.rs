//! The life of a job after its record says that it began: pure, no clock, no disk. Whoever holds the job's locks folds the
//! journal into a [`Life`], asks [`next`] what is to be done, does it, and asks again. The process that began the job and one
//! that takes it over after a crash or a boot use the same table.
//!
//! Store, then act: each step is an event that is recorded first; what follows it can be done again after a crash.

mod next;
mod phase;
#[cfg(test)]
mod tests;

pub(crate) use next::{Action, Bounds, Concluded, Known, after_tasks, next};
pub(crate) use phase::{Life, Phase, Provisional};

use serde::{Deserialize, Serialize};

/// Who asked for the end of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CancelledBy {
    /// The center, by a signed statement. It says so again with each statement.
    Center,
    /// Root, on the gateway.
    Root,
}
