//! Runs a checked script, task by task.

use std::io;

use keros_protocol::executor::{Event, TaskResult};
use keros_protocol::limits::{MAX_TEXT_BYTES, shorten};
use keros_protocol::{JobLimits, Outcome, Output, Summary, TaskRef, TimeLimit};

use crate::engine::Engine;
use crate::{Script, System};

/// How to run.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Change nothing, report what would change.
    pub dry_run: bool,
    /// Time and output limits.
    pub limits: JobLimits,
    /// Run only tasks with one of these tags; all when there are none.
    pub tags: Vec<String>,
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
    system: &mut dyn System,
    options: &RunOptions,
    observer: &mut dyn Observer,
) -> Outcome {
    let mut engine = Engine::new(script, system, options, observer);
    let ended = engine.plays();
    // However it ended: what tasks did before is done.
    let durable = engine.checkpoint();
    let outcome = match ended {
        Ok(()) => Outcome::Succeeded { summary: engine.summary, dry_run: options.dry_run },
        Err(stop) => stop.outcome(engine.summary),
    };
    match durable {
        Ok(()) => outcome,
        Err(error) => not_durable(outcome, &error.to_string(), engine.summary),
    }
}

/// What tasks called done is not done: no run succeeds then, and one that failed for another reason says both.
fn not_durable(outcome: Outcome, error: &str, summary: Summary) -> Outcome {
    let (task, exit_code, message, output) = match outcome {
        Outcome::Failed { task, exit_code, message, output, .. } => {
            // The task that an error first came up in says it already.
            let both = if message.contains(error) { message } else { format!("{message}; and {error}") };
            (task, exit_code, both, output)
        }
        Outcome::TimedOut { limit, task, output, .. } => {
            (task, None, format!("ended by its time limit ({}); and {error}", limit.as_str()), output)
        }
        _ => (None, None, error.to_owned(), None),
    };
    Outcome::Failed { task, exit_code, message: shorten(&message, MAX_TEXT_BYTES), output, summary }
}

/// Why a run ends before its last task.
pub(crate) enum Stop {
    Failed { task: TaskRef, result: Box<TaskResult> },
    TimedOut { limit: TimeLimit, task: Option<TaskRef>, output: Option<Output> },
    Observer(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Observer(error)
    }
}

impl Stop {
    fn outcome(self, summary: Summary) -> Outcome {
        match self {
            Self::Failed { task, result } => Outcome::Failed {
                task: Some(task),
                exit_code: result.exit_code,
                message: result.message.unwrap_or_default(),
                output: result.output,
                summary,
            },
            Self::TimedOut { limit, task, output } => Outcome::TimedOut { limit, task, output, summary },
            Self::Observer(error) => Outcome::Failed {
                task: None,
                exit_code: None,
                message: format!("an event could not be recorded, so the run was ended: {error}"),
                output: None,
                summary,
            },
        }
    }
}
