//! How long an action that works piece by piece may go on.

use std::io;
use std::time::{Duration, Instant};

use crate::Cancel;

/// Until the deadline, or until the run is cancelled.
#[derive(Debug, Clone)]
pub(super) struct Time {
    pub(super) deadline: Instant,
    pub(super) cancel: Option<Cancel>,
}

impl Time {
    pub(super) fn is_over(&self) -> bool {
        self.left().is_zero() || self.cancel.as_ref().is_some_and(Cancel::is_asked)
    }

    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// An error when the time is over.
    pub(super) fn check(&self) -> io::Result<()> {
        if self.is_over() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
}
