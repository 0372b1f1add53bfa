//! Backups of what a run changes, and its undoing.
//!
//! A backup is a folder: `steps.jsonl` says what was there before each change, `blobs/` holds contents by their digests. Before a
//! change its step is on the disk ([`keeper`], [`write`]), so that whatever happens after that can be undone ([`restore`]).
//!
//! It must not know of jobs and commands: it gets a folder.

mod deb;
mod dpkg;
mod estimate;
mod keeper;
mod programs;
mod read;
pub(crate) mod record;
mod restore;
mod services;
#[cfg(test)]
mod tests;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

pub use estimate::{BackupEstimate, estimate_backup};
pub(crate) use keeper::keep_before;

use self::read::Record;
use self::record::Step;
pub use self::record::with_sums;
use crate::System;

/// Where a run keeps what it changes, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSpec {
    /// The folder, outside of what is worked on; for root alone. A run that goes on after a reboot gets the same one again.
    pub folder: PathBuf,
    /// Bound of all that is in it, bytes. A task whose backup would not fit fails before it changes anything.
    pub max_bytes: u64,
}

/// A backup that was taken.
#[derive(Debug, Clone)]
pub struct BackupLog {
    folder: PathBuf,
    record: Record,
    irreversible: Vec<String>,
}

impl BackupLog {
    /// Reads the backup in a folder. One that was never begun is empty; a last line that a power cut tore off is left out.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let record = Record::read(folder)?;
        let irreversible = irreversible(&record);
        Ok(Self { folder: folder.to_owned(), record, irreversible })
    }

    /// Whether anything was changed, or about to be, also by what can't be undone.
    #[must_use]
    pub fn changed_anything(&self) -> bool {
        let is_change = |step: &Step| {
            matches!(step, Step::Path { .. } | Step::Tree { .. } | Step::Service(_) | Step::Packages(_))
        };
        !self.irreversible.is_empty()
            || !self.record.damaged.is_empty()
            || self.record.steps.iter().any(is_change)
    }

    /// Tasks that can't be undone, as they are told of: `task 3 "restart modem" (shell)`.
    #[must_use]
    pub fn irreversible(&self) -> &[String] {
        &self.irreversible
    }

    /// Undoes the run in reverse, until this moment at the latest; tells of each thing and of why it could not be undone, and
    /// returns what remains. It can be cut off at any instant and done again.
    pub fn undo(
        &self,
        system: &mut dyn System,
        until: Instant,
        tell: &mut dyn FnMut(&str, Option<&str>),
    ) -> Vec<String> {
        restore::undo(self, system, until, tell)
    }
}

/// Programs whose effects nobody knows, each task once.
fn irreversible(record: &Record) -> Vec<String> {
    let mut programs = BTreeMap::new();
    for step in &record.steps {
        match step {
            Step::Program { number, task } => _ = programs.insert(*number, task.clone()),
            Step::OnlyLooked { number } => _ = programs.remove(number),
            _ => {}
        }
    }
    let mut seen = BTreeSet::new();
    programs.into_values().filter(|task| seen.insert(task.clone())).collect()
}
