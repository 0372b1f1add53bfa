//! Tasks of a dry run of which it cannot be told what they would do, and handlers that they might call.

use std::collections::BTreeMap;

use keros_protocol::executor::{TaskResult, TaskStatus};
use keros_protocol::limits::{MAX_TEXT_BYTES, shorten};

use super::{Ended, Engine, Here};
use crate::modules::Scope;
use crate::task::Task;
use crate::unknown::untold;

/// Events of a play that may be raised or not.
#[derive(Default)]
pub(super) struct Doubt {
    /// The name of the task that may raise it, by event; `None` stands for any event.
    events: BTreeMap<Option<String>, String>,
}

impl<'a> Engine<'a> {
    /// What an error of a task means: that it fails, or that nothing can be told of it.
    pub(super) fn refused(&mut self, task: &Task, here: Here<'a>, message: String) -> Ended {
        match self.variables.unknown.take_untold() {
            Some(why) => self.doubted(task, here, &why),
            None => Ended::failed(message),
        }
    }

    /// The end of a task's action, unless it was of something that cannot be told.
    pub(super) fn told(&mut self, task: &Task, here: Here<'a>, ended: Ended) -> Ended {
        match self.variables.unknown.take_untold() {
            Some(why) => self.doubted(task, here, &why),
            None => ended,
        }
    }

    /// A handler that no event has called for sure.
    pub(super) fn uncalled(&mut self, task: &Task, here: Here<'a>, event: &str) -> Ended {
        let events = &self.doubt.events;
        match events.get(&Some(event.to_owned())).or_else(|| events.get(&None)) {
            Some(caller) => {
                let why = untold(&format!("it is called if the task `{caller}` changes something"));
                self.doubted(task, here, &why)
            }
            None => Ended::of(TaskStatus::Skipped),
        }
    }

    /// What the task would save is unknown too, and the event that it may raise is in doubt.
    fn doubted(&mut self, task: &Task, here: Here<'a>, why: &str) -> Ended {
        let scope = Scope {
            registries: &self.registries,
            variables: &mut self.variables,
            folder: here.part.folder.as_deref(),
        };
        let saves = task.module.saves(&scope);
        let event = task.and.notify.as_ref().map(|event| scope.text(event).ok());
        if let Some(event) = event.filter(|_| !here.is_handler) {
            self.doubt.events.entry(event).or_insert_with(|| task.name.clone());
        }
        saves.iter().for_each(|name| self.variables.forget(name));
        // Rendering the names may have met something unknown once more; all of it is said already.
        self.variables.unknown.take_untold();
        let message = Some(shorten(why, MAX_TEXT_BYTES));
        let result = TaskResult { message, ..TaskResult::of(TaskStatus::Skipped) };
        Ended { result, ..Ended::of(TaskStatus::Skipped) }
    }
}
