//! Runs a checked script, task by task.

use std::io;

use keros_protocol::executor::{Event, TaskResult};
use keros_protocol::limits::{MAX_TEXT_BYTES, shorten};
use keros_protocol::{JobLimits, Outcome, Output, Summary, TaskRef, TimeLimit};

use crate::engine::Engine;
use crate::secrets::Secrets;
use crate::system::{Model, SystemError};
use crate::undo::{BackupSpec, keep_before};
use crate::{Barrier, Cancel, Resume, RunEnd, Script, System};

/// How to run.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Change nothing, report what would change.
    pub dry_run: bool,
    /// Show how contents change, line by line; a dry run always does.
    pub diff: bool,
    /// Time and output limits.
    pub limits: JobLimits,
    /// Run only tasks with one of these tags; all when there are none.
    pub tags: Vec<String>,
    /// Ends the run early. The system that it runs on must have the same one, to end its programs.
    pub cancel: Option<Cancel>,
    /// Ends the run before its next task: the one under way goes on to its end.
    pub stop: Option<Cancel>,
    /// Goes on behind a reboot, as if nothing had happened.
    pub resume: Option<Resume>,
    /// The user that tasks act as when neither they nor their play name one; `None`: the one that runs this program.
    pub sudo: Option<String>,
    /// Keep what is changed, so that it can be undone; never in a dry run.
    pub backup: Option<BackupSpec>,
}

/// Hears of each step, before and after. `TaskStarted` must be durable when it returns: the task is not begun before.
pub trait Observer {
    /// Takes one event; an error ends the run before the next change.
    ///
    /// # Errors
    /// When the event cannot be kept.
    fn event(&mut self, event: &Event) -> io::Result<()>;

    /// What makes the events so far durable. With it the start of a task that is `grouped` need not be durable at once: the
    /// barrier is passed before anything that the task does can be seen on the machine. `None`: there are no such tasks.
    fn barrier(&self) -> Option<Barrier> {
        None
    }
}

/// Runs a script: `TaskStarted`, `ItemEnded`, `Retrying` and `TaskEnded` go to the observer, how it ended is returned.
pub fn run(
    script: &Script,
    system: &mut dyn System,
    options: &RunOptions,
    observer: &mut dyn Observer,
) -> RunEnd {
    let (mut model, mut keeper);
    let system: &mut dyn System = match &options.backup {
        _ if options.dry_run => {
            model = Model::new(system);
            &mut model
        }
        Some(spec) => match keep_before(system, spec) {
            Ok(begun) => {
                keeper = begun;
                &mut keeper
            }
            Err(error) => return RunEnd::Ended(no_backup(spec, &error)),
        },
        None => system,
    };
    run_on(script, system, options, observer)
}

/// Runs a script on the very system: in a dry run a model.
pub(crate) fn run_on(
    script: &Script,
    system: &mut dyn System,
    options: &RunOptions,
    observer: &mut dyn Observer,
) -> RunEnd {
    if let Some(Err(message)) = options.resume.as_ref().map(|resume| resume.check(script)) {
        let summary = Summary::default();
        return RunEnd::Ended(Outcome::Failed {
            task: None,
            exit_code: None,
            message,
            output: None,
            summary,
        });
    }
    if let Some(barrier) = observer.barrier() {
        system.guard(barrier);
    }
    let secrets = Secrets::of(script);
    options.resume.iter().for_each(|resume| secrets.remember(&resume.secrets));
    let mut observer = secrets.around(observer);
    let mut engine = Engine::new(script, system, options, &mut observer, secrets.clone());
    let ended = engine.plays();
    // However it ended: what tasks did before is done.
    let durable = engine.checkpoint();
    let mut end = match ended {
        Ok(()) => RunEnd::Ended(Outcome::Succeeded {
            summary: engine.summary,
            dry_run: options.dry_run,
            differences: None,
        }),
        Err(stop) => stop.end(engine.summary),
    };
    if let Err(error) = durable {
        end = RunEnd::Ended(not_durable(end, &error.to_string(), engine.summary));
    }
    match &mut end {
        RunEnd::Ended(outcome) => secrets.hide(outcome),
        RunEnd::Reboot { task, .. } => secrets.hide_in_task(task),
    }
    end
}

/// Nothing is run that could not be undone.
fn no_backup(spec: &BackupSpec, error: &io::Error) -> Outcome {
    let message = format!("no backup can be kept in {}, so nothing was run: {error}", spec.folder.display());
    let message = shorten(&message, MAX_TEXT_BYTES);
    Outcome::Failed { task: None, exit_code: None, message, output: None, summary: Summary::default() }
}

/// What tasks called done is not done: no run ends well then, and one that ended badly for another reason says both.
fn not_durable(end: RunEnd, error: &str, summary: Summary) -> Outcome {
    let outcome = match end {
        RunEnd::Ended(outcome) => outcome,
        RunEnd::Reboot { .. } => Outcome::Succeeded { summary, dry_run: false, differences: None },
    };
    let before = match outcome {
        // The task that the error first came up in says it already.
        Outcome::Failed { ref message, .. } if message.contains(error) => return outcome,
        Outcome::Failed { task: Some(task), message, .. } => {
            format!("task {} {}: {message}; and ", task.number, task.name)
        }
        Outcome::Failed { message, .. } => format!("{message}; and "),
        Outcome::Succeeded { .. } => String::new(),
        other => format!("{other}; and "),
    };
    let message = shorten(&format!("{before}{error}"), MAX_TEXT_BYTES);
    Outcome::Failed { task: None, exit_code: None, message, output: None, summary }
}

/// Why a run ends before its last task.
pub(crate) enum Stop {
    Failed {
        task: TaskRef,
        result: Box<TaskResult>,
    },
    TimedOut {
        limit: TimeLimit,
        task: Option<TaskRef>,
        output: Option<Output>,
    },
    Cancelled {
        task: Option<TaskRef>,
    },
    Reboot {
        task: TaskRef,
        resume: Box<Resume>,
    },
    Observer(io::Error),
    /// What tasks said they did is not so.
    Lost(SystemError),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Observer(error)
    }
}

impl Stop {
    fn end(self, summary: Summary) -> RunEnd {
        RunEnd::Ended(match self {
            Self::Reboot { task, resume } => return RunEnd::Reboot { task, resume: *resume },
            Self::Failed { task, result } => Outcome::Failed {
                task: Some(task),
                exit_code: result.exit_code,
                message: result.message.unwrap_or_default(),
                output: result.output,
                summary,
            },
            Self::TimedOut { limit, task, output } => Outcome::TimedOut { limit, task, output, summary },
            Self::Cancelled { task } => Outcome::Cancelled { task, summary, by_root: false },
            Self::Lost(error) => Outcome::Failed {
                task: None,
                exit_code: None,
                message: error.to_string(),
                output: None,
                summary,
            },
            Self::Observer(error) => Outcome::Failed {
                task: None,
                exit_code: None,
                message: format!("an event could not be recorded, so the run was ended: {error}"),
                output: None,
                summary,
            },
        })
    }
}
