//! The parts of a run between reboots: how one ends, and how the next one goes on.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use keros_protocol::TaskRef;
use keros_protocol::executor::{Event, TaskResult, TaskStatus};

use super::{Engine, failed, ms_since, shown};
use crate::modules::Failure;
use crate::resume::{Resume, other_script};
use crate::run::Stop;
use crate::task::Task;

impl Engine<'_> {
    /// What this part takes over from the one before; the time that is left of the whole run.
    pub(super) fn take_over(&mut self, resume: &Resume) {
        self.variables.restore(resume.stored.clone(), resume.facts.clone());
        self.summary = resume.summary;
        self.used_ms = resume.used_ms;
        let left = Duration::from_secs(self.limits.total_s.into())
            .saturating_sub(Duration::from_millis(resume.used_ms));
        self.deadline = Instant::now() + left;
    }

    /// The end of a part: all that the next one needs.
    pub(super) fn part_end(&self, task: TaskRef, notified: BTreeSet<String>) -> Resume {
        let (stored, facts) = self.variables.kept();
        Resume {
            stored: stored.clone(),
            facts: facts.clone(),
            raised: self.raised.union(&notified).cloned().collect(),
            notified,
            summary: self.summary,
            used_ms: self.used_ms + ms_since(self.began),
            secrets: self.variables.secrets().learned(),
            ..Resume::behind(task)
        }
    }

    /// A task that was over before the boot. The last of them is the one that asked for it, and ends now.
    pub(super) fn pass(&mut self, task: &Task, resume: &Resume) -> Result<(), Stop> {
        if self.number < resume.task.number {
            return Ok(());
        }
        let reference = self.reference(task);
        if !task.module.reboots() || reference != resume.task {
            let failure = Failure::from(other_script());
            let result = Box::new(failed(failure, TaskStatus::Failed));
            return Err(Stop::Failed { task: reference, result });
        }
        self.raised = resume.raised.clone();
        let result = TaskResult::of(TaskStatus::Executed);
        self.summary.count(result.status);
        self.last = Some(reference.clone());
        let notified = shown(&resume.notified);
        self.observer.event(&Event::TaskEnded { task: reference, result, notified, duration_ms: 0 })?;
        Ok(())
    }
}
