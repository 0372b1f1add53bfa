//! Undoes: stage by stage from the last to the first.
//!
//! Within a stage the order of the changes does not matter, since only what was there at its begin counts: first what is in the way
//! is removed, the deepest first; then all is put back, what is above first; at last directories get their owners and modes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::BackupLog;
use super::read::{blob_path, name_path};
use super::record::{Kept, Kind, Step, Was};
use crate::System;
use crate::system::HostSystem;

/// Things that are told of, and that are named among what remains; the others are counted.
const MAX_TOLD: usize = 200;
const MAX_REMAINS: usize = 50;

/// Paths of one stage, as they were.
#[derive(Debug, Default)]
struct Stage {
    paths: BTreeMap<PathBuf, Option<Was>>,
    trees: Vec<PathBuf>,
}

impl Stage {
    fn add(&mut self, step: &Step) {
        match step {
            Step::Path { path, was } => match self.paths.get_mut(&path.0) {
                None => _ = self.paths.insert(path.0.clone(), was.clone()),
                // Kept once more, because its content was about to change too: owner and mode were kept before.
                Some(Some(first)) => {
                    if let (Kind::File { content: content @ None, .. }, Some(was)) = (&mut first.kind, was)
                        && let Kind::File { content: Some(kept), .. } = &was.kind
                    {
                        *content = Some(kept.clone());
                    }
                }
                Some(None) => {}
            },
            Step::Tree { path } => self.trees.push(path.0.clone()),
            _ => {}
        }
    }
}

/// An undoing under way.
struct Undoing<'a> {
    log: &'a BackupLog,
    host: &'a mut HostSystem,
    until: Instant,
    tell: &'a mut dyn FnMut(&str, Option<&str>),
    told: usize,
    remains: Vec<String>,
    /// Things beyond those that are named.
    more: usize,
}

pub(super) fn undo(
    log: &BackupLog,
    system: &mut dyn System,
    until: Instant,
    tell: &mut dyn FnMut(&str, Option<&str>),
) -> Vec<String> {
    let Some(host) = system.host() else {
        return vec!["all: what the run worked on is no machine".to_owned()];
    };
    let mut undoing = Undoing { log, host, until, tell, told: 0, remains: Vec::new(), more: 0 };
    undoing.everything();
    let (mut remains, more) = (undoing.remains, undoing.more);
    if more > 0 {
        remains.push(format!("and {more} more"));
    }
    remains.extend(log.irreversible.iter().cloned());
    remains
}

impl Undoing<'_> {
    fn everything(&mut self) {
        for line in &self.log.record.damaged {
            self.remain(&format!("line {line} of the record of the backup"), "it is damaged");
        }
        let mut stage = Stage::default();
        self.log.record.steps.iter().for_each(|step| stage.add(step));
        self.stage(stage);
    }

    fn stage(&mut self, mut stage: Stage) {
        for tree in std::mem::take(&mut stage.trees) {
            self.add_what_came(&tree, &mut stage);
        }
        let paths = stage.paths;
        for (path, was) in paths.iter().rev() {
            let what = path.display();
            let result = self.in_time().and_then(|()| self.host.clear_for(path, was.as_ref()));
            match was {
                None => self.done(&format!("remove {what}"), result),
                Some(_) => self.done(&format!("remove what is in the place of {what}"), result),
            }
        }
        for (path, was) in &paths {
            if let Some(was) = was {
                let result = self.in_time().and_then(|()| self.put_back(path, was));
                self.done(&format!("put back {}", path.display()), result);
            }
        }
        // What was put into them may have changed what they are given; and a mode may forbid it.
        for (path, was) in paths.iter().rev() {
            if let Some(was) = was.as_ref().filter(|was| was.kind == Kind::Directory) {
                let result = self.in_time().and_then(|()| self.host.put_back(path, was, &mut no_content));
                self.done(&format!("put back {}", path.display()), result);
            }
        }
    }

    /// What was made in a tree by programs was not there before.
    fn add_what_came(&mut self, tree: &Path, stage: &mut Stage) {
        let is_there =
            self.host.snapshot(tree).is_ok_and(|is| is.is_some_and(|is| is.was.kind == Kind::Directory));
        if !is_there {
            return;
        }
        match self.host.list_tree(tree) {
            Ok(inside) => inside.into_iter().for_each(|path| _ = stage.paths.entry(path).or_insert(None)),
            Err(error) => self.remain(&format!("what came into {}", tree.display()), &error.to_string()),
        }
    }

    fn put_back(&mut self, path: &Path, was: &Was) -> io::Result<bool> {
        let folder = &self.log.folder;
        let mut is_done = false;
        if let Kind::File { content: Some(_), inode: Some(inode) } = was.kind {
            let name = name_path(folder, inode);
            is_done = name.exists() && self.host.put_back_name(&name, path)?;
        }
        let mut content = |kept: &Kept| File::open(blob_path(folder, &kept.sha256));
        Ok(self.host.put_back(path, was, &mut content)? || is_done)
    }

    fn in_time(&self) -> io::Result<()> {
        if Instant::now() < self.until {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "the time for undoing was over"))
    }

    fn done(&mut self, what: &str, result: io::Result<bool>) {
        match result {
            Ok(false) => {}
            Ok(true) => self.say(what, None),
            Err(error) => self.remain(what, &error.to_string()),
        }
    }

    fn remain(&mut self, what: &str, why: &str) {
        self.say(what, Some(why));
        if self.remains.len() < MAX_REMAINS {
            self.remains.push(format!("{what}: {why}"));
        } else {
            self.more += 1;
        }
    }

    fn say(&mut self, what: &str, error: Option<&str>) {
        self.told += 1;
        if self.told <= MAX_TOLD {
            (self.tell)(what, error);
        }
    }
}

fn no_content(_: &Kept) -> io::Result<File> {
    Err(io::Error::other("a directory has no content"))
}
