//! What a backup would take: a dry run tells what would be replaced or removed, and how much that holds.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use keros_protocol::TaskRef;
use keros_protocol::executor::{Event, TaskStatus};
use keros_protocol::limits::shorten;

use super::dpkg::installed_bytes;
use crate::Script;
use crate::run::{Observer, RunOptions, run_on};
use crate::system::{Depth, FileKind, LastLink, Model, System, SystemError, Upcoming, Watched, Watcher};

/// What the record takes for each thing that is kept, bytes, and for the list of packages.
const STEP_BYTES: u64 = 512;
const PACKAGES_BYTES: u64 = 256 * 1024;
/// Tasks that are named.
const MAX_UNKNOWN: usize = 20;

/// What a backup of a run would take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupEstimate {
    /// Bytes, for what can be told before the run.
    pub bytes: u64,
    /// Tasks of which it cannot be told what they would change; they count nothing. At most 20 are named.
    pub unknown: Vec<String>,
}

/// Tells, by a dry run, what a backup would take. Content that is there twice is counted twice; packages count as they are installed,
/// though their archives are smaller.
pub fn estimate_backup(script: &Script, system: &mut dyn System, options: &RunOptions) -> BackupEstimate {
    let options = RunOptions { dry_run: true, diff: false, backup: None, ..options.clone() };
    let mut doubts = Doubts::default();
    let mut model = Model::new(system);
    let mut watched = Watched::new(&mut model, Counter::default());
    let _ = run_on(script, &mut watched, &options, &mut doubts);
    BackupEstimate { bytes: watched.watcher.bytes, unknown: doubts.0 }
}

/// Sums up.
#[derive(Default)]
struct Counter {
    bytes: u64,
    /// What is counted already.
    seen: HashSet<PathBuf>,
    packages: HashSet<String>,
}

impl Counter {
    fn count(&mut self, below: &mut dyn System, path: &Path, last: LastLink) {
        if !self.seen.insert(path.to_owned()) {
            return;
        }
        let is = match last {
            LastLink::Follow => below.metadata(path),
            LastLink::Keep => below.link_metadata(path),
        };
        let content = is.ok().flatten().filter(|is| is.kind == FileKind::File).map_or(0, |is| is.size_bytes);
        self.bytes = self.bytes.saturating_add(content).saturating_add(STEP_BYTES);
    }

    fn count_tree(&mut self, below: &mut dyn System, path: &Path) {
        self.count(below, path, LastLink::Keep);
        let inside = below.list_tree(path).unwrap_or_default();
        inside.iter().for_each(|entry| self.count(below, entry, LastLink::Keep));
    }
}

impl Watcher for Counter {
    fn path(
        &mut self,
        below: &mut dyn System,
        path: &Path,
        last: LastLink,
        depth: Depth,
    ) -> Result<(), SystemError> {
        match depth {
            Depth::Whole => self.count(below, path, last),
            // The content may be about to change later on, and counts then.
            Depth::Attributes => self.bytes = self.bytes.saturating_add(STEP_BYTES),
        }
        Ok(())
    }

    fn tree(&mut self, below: &mut dyn System, path: &Path) -> Result<(), SystemError> {
        self.count_tree(below, path);
        Ok(())
    }

    fn upcoming(&mut self, below: &mut dyn System, upcoming: &Upcoming<'_>) -> Result<(), SystemError> {
        match upcoming {
            Upcoming::Tree(path) => self.count_tree(below, path),
            Upcoming::Service(..) => self.bytes = self.bytes.saturating_add(STEP_BYTES),
            Upcoming::Packages(names) => {
                self.bytes = self.bytes.saturating_add(PACKAGES_BYTES);
                for name in names.iter().filter(|name| self.packages.insert((*name).clone())) {
                    let installed = installed_bytes(below, name).unwrap_or(0);
                    self.bytes = self.bytes.saturating_add(installed);
                }
            }
        }
        Ok(())
    }

    fn program(&mut self) -> Result<(), SystemError> {
        Ok(())
    }

    fn begin_task(&mut self, _: &TaskRef, _: &str) {}

    fn only_looked(&mut self) -> Result<(), SystemError> {
        Ok(())
    }
}

/// Tasks of which a dry run cannot tell what they would do.
#[derive(Default)]
struct Doubts(Vec<String>);

impl Observer for Doubts {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        if let Event::TaskEnded { task, result, .. } = event
            && result.status == TaskStatus::Skipped
            && result.message.is_some()
            && self.0.len() < MAX_UNKNOWN
        {
            self.0.push(shorten(&format!("task {} {:?}", task.number, task.name), 300));
        }
        Ok(())
    }
}
