//! Tasks whose effects become durable together. Consecutive tasks that only touch files share one sync of the record and one
//! checkpoint of their files; every other task has both for itself.
//!
//! A group ends before a task of another kind, at the end of the run, before a pause, and when it is long: what was done must not
//! be lost to a power cut much later.

use std::time::{Duration, Instant};

use keros_protocol::executor::Event;

use super::{Ended, Engine};
use crate::barrier::Barrier;
use crate::run::Stop;
use crate::task::Task;

/// A group ends with the task in which it becomes that old.
const MAX_AGE: Duration = Duration::from_secs(1);
/// Or with so many tasks.
const MAX_TASKS: u32 = 512;

/// The group under way. Without a barrier nobody records the tasks one by one, and there are no groups.
#[derive(Debug)]
pub(super) struct Group {
    barrier: Option<Barrier>,
    begun: Instant,
    /// Tasks in it that have ended.
    tasks: u32,
    /// The last of them.
    last: u32,
}

impl Group {
    pub(super) fn new(barrier: Option<Barrier>) -> Self {
        Self { barrier, begun: Instant::now(), tasks: 0, last: 0 }
    }

    /// A task has ended in it.
    fn add(&mut self, number: u32) {
        self.tasks += 1;
        self.last = number;
    }

    fn is_long(&self) -> bool {
        self.tasks >= MAX_TASKS || self.begun.elapsed() >= MAX_AGE
    }
}

impl Engine<'_> {
    /// Whether a task's effects become durable with those of others. One that is for itself ends the group before it.
    ///
    /// # Errors
    /// When what was done before is not as it was told.
    pub(super) fn join_group(&mut self, task: &Task) -> Result<bool, Stop> {
        let is_grouped =
            self.group.barrier.is_some() && (self.options.dry_run || task.module.only_touches_files());
        if !is_grouped {
            self.end_group()?;
        } else if self.group.tasks == 0 {
            self.group.begun = Instant::now();
        }
        Ok(is_grouped)
    }

    /// What a task that is for itself did is durable before its end is told.
    pub(super) fn settled(&mut self, ended: Ended, is_grouped: bool) -> Ended {
        if is_grouped || self.group.barrier.is_none() {
            return ended;
        }
        self.system.checkpoint().map_or_else(|error| Ended::failed(error.to_string()), |()| ended)
    }

    /// A grouped task's end was told.
    ///
    /// # Errors
    /// As [`Engine::end_group`].
    pub(super) fn count_in_group(&mut self) -> Result<(), Stop> {
        self.group.add(self.number);
        if self.group.is_long() { self.end_group_now() } else { Ok(()) }
    }

    /// Makes durable what the tasks of the group did; that they did it is durable with the next task, or the end.
    ///
    /// # Errors
    /// When it is not as it was told.
    pub(super) fn end_group(&mut self) -> Result<(), Stop> {
        if self.group.tasks == 0 {
            return Ok(());
        }
        self.system.checkpoint().map_err(Stop::Lost)?;
        self.group.tasks = 0;
        self.observer.event(&Event::Durable { number: self.group.last })?;
        Ok(())
    }

    /// The same, and that they did it is durable too.
    ///
    /// # Errors
    /// As [`Engine::end_group`].
    pub(super) fn end_group_now(&mut self) -> Result<(), Stop> {
        self.end_group()?;
        self.group.begun = Instant::now();
        self.group.barrier.as_ref().map_or(Ok(()), Barrier::pass)?;
        Ok(())
    }
}
