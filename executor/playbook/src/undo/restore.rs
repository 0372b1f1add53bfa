//! Undoes: stage by stage from the last to the first.
//!
//! Within a stage the order of the changes does not matter, since only what was there at its begin counts: first what is in the way
//! is removed, the deepest first; then all is put back, what is above first; at last directories get their owners and modes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::read::{blob_path, name_path};
use super::record::{Kept, Kind, Packages, Service, Step, Was};
use super::services::{self, Orders};
use super::write::append;
use super::{BackupLog, dpkg};
use crate::system::{HostSystem, Manager, System, SystemError};

/// Things that are told of, and that are named among what remains; the others are counted.
const MAX_TOLD: usize = 200;
const MAX_REMAINS: usize = 50;

/// Paths of one stage, as they were, and the packages whose change began it.
#[derive(Debug, Default)]
struct Stage<'a> {
    packages: Option<&'a Packages>,
    paths: BTreeMap<PathBuf, Option<Was>>,
    trees: Vec<PathBuf>,
}

impl Stage<'_> {
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
    // Whoever cancelled the run wants it undone.
    let cancel = host.cancel.take();
    let acting = host.act_as(None);
    let mut undoing = Undoing { log, host, until, tell, told: 0, remains: Vec::new(), more: 0 };
    match acting {
        Ok(()) => undoing.everything(),
        Err(error) => undoing.remain("all", &error.to_string()),
    }
    undoing.host.cancel = cancel;
    let (mut remains, more) = (undoing.remains, undoing.more);
    if more > 0 {
        remains.push(format!("and {more} more"));
    }
    remains.extend(log.irreversible.iter().cloned());
    remains
}

impl Undoing<'_> {
    fn everything(&mut self) {
        let steps = &self.log.record.steps;
        for line in &self.log.record.damaged {
            self.remain(&format!("line {line} of the record of the backup"), "it is damaged");
        }
        let services = services_of(steps);
        for was in services.iter().rev() {
            self.service(was, services::orders_before);
        }
        self.stages();
        let touches_units = |step: &Step| match step {
            Step::Path { path, .. } => services::is_of_systemd(&path.0),
            Step::Service(service) => service.manager == Manager::Systemd,
            _ => false,
        };
        if steps.iter().any(touches_units) {
            let result = services::reload(self.host, self.until).map(|()| true);
            self.done("have systemd read its units again", result);
        }
        let is_of_monit =
            |step: &Step| matches!(step, Step::Path { path, .. } if services::is_of_monit(&path.0));
        if steps.iter().any(is_of_monit) {
            let result = services::reload_monit(self.host, self.until).map(|()| true);
            self.done("have monit read its files again", result);
        }
        for was in &services {
            self.service(was, services::orders_after);
        }
    }

    /// All stages from the last to the first, but those that an undoing before has left behind.
    fn stages(&mut self) {
        let mut stages = vec![Stage::default()];
        let mut left_behind = (usize::MAX, false);
        for step in &self.log.record.steps {
            match (step, stages.last_mut()) {
                (Step::Packages(packages), _) => {
                    stages.push(Stage { packages: Some(packages), ..Stage::default() });
                }
                (Step::Undone { stage, packages, remains }, _) => {
                    left_behind = (*stage, *packages);
                    let new = remains.iter().filter(|remains| !self.remains.contains(remains));
                    let new: Vec<String> = new.cloned().collect();
                    self.remains.extend(new);
                }
                (step, Some(last)) => last.add(step),
                (_, None) => {}
            }
        }
        for (number, mut stage) in stages.into_iter().enumerate().rev() {
            let packages = stage.packages.take();
            let (done, with_packages) = left_behind;
            if number < done {
                self.stage(stage);
            }
            let Some(packages) = packages else { continue };
            if number < done {
                // What was made by the packages that come now must not be made again afterwards.
                self.leave_behind(number, false);
            }
            if number < done || (number == done && !with_packages) {
                self.packages(packages);
                self.leave_behind(number, true);
            }
        }
    }

    fn packages(&mut self, packages: &Packages) {
        for missing in &packages.kept {
            if let Some(why) = &missing.missing {
                self.remain(&format!("put back the package {}", missing.name), why);
            }
        }
        let (folder, until) = (&self.log.folder, self.until);
        let mut notes = Notes::default();
        let result = self.in_time().map_err(|error| SystemError::text(error.to_string()));
        let result = result.and_then(|()| dpkg::undo(self.host, folder, packages, until, &mut notes));
        notes.0.into_iter().for_each(|(what, result)| self.done(&what, result.map(|()| true)));
        self.done("put back packages", result.map(|()| false));
    }

    /// Writes down that a stage is undone, and what remains of it. Where it cannot be written, it is undone again.
    fn leave_behind(&mut self, stage: usize, packages: bool) {
        let step = Step::Undone { stage, packages, remains: self.remains.clone() };
        if let Err(error) = append(&self.log.folder, &step) {
            self.say("write down how far all is undone", Some(&error.to_string()));
        }
    }

    fn service(&mut self, was: &Service, orders: impl FnOnce(&Service, &Service) -> Orders) {
        let name = &was.name;
        let is = match self.in_time().map_err(|error| SystemError::text(error.to_string())) {
            Ok(()) => services::state(self.host, was.manager, name),
            Err(error) => Err(error),
        };
        let is = match is {
            Ok(is) => is,
            Err(error) => return self.remain(&format!("bring back the service {name}"), &error.to_string()),
        };
        for (what, words) in orders(was, &is) {
            let result = services::give(self.host, &words, self.until).map(|()| true);
            self.done(&what, result);
        }
    }

    fn stage(&mut self, mut stage: Stage<'_>) {
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
    fn add_what_came(&mut self, tree: &Path, stage: &mut Stage<'_>) {
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
        let is_whole = !matches!(was.kind, Kind::File { content: None, .. });
        if let Some(inode) = was.kind.inode().filter(|_| is_whole) {
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

    fn done<E: std::fmt::Display>(&mut self, what: &str, result: Result<bool, E>) {
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

/// What services were before any task touched them; each once.
fn services_of(steps: &[Step]) -> Vec<&Service> {
    let mut services: Vec<&Service> = Vec::new();
    for step in steps {
        if let Step::Service(was) = step
            && !services.iter().any(|known| (known.manager, &known.name) == (was.manager, &was.name))
        {
            services.push(was);
        }
    }
    services
}

/// What was told of packages.
#[derive(Default)]
struct Notes(Vec<(String, Result<(), SystemError>)>);

impl dpkg::Told for Notes {
    fn told(&mut self, what: &str, result: Result<(), SystemError>) {
        self.0.push((what.to_owned(), result));
    }
}

fn no_content(_: &Kept) -> io::Result<File> {
    Err(io::Error::other("a directory has no content"))
}
