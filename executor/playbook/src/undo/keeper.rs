//! The machine, with a backup in front of it: before anything is changed, what is there is kept.
//!
//! Within a stage only the first backup of a path counts. A stage ends where packages change: what is kept behind that is undone
//! before the packages are, what is kept before it after them.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use keros_protocol::TaskRef;
use keros_protocol::limits::shorten;

use super::BackupSpec;
use super::record::{Kind, Name, Packages, Step, Was, can_name};
use super::write::Writer;
use super::{dpkg, services};
use crate::Barrier;
use crate::system::{
    Depth, FileKind, HostSystem, LastLink, Manager, Snapshot, System, SystemError, Upcoming, Watched,
    Watcher, ancestors,
};

/// A line of the record but for long paths and attributes, bytes.
const LINE_BYTES: u64 = 4096;

/// Keeps what is about to change.
pub(crate) struct Keeper {
    writer: Writer,
    /// What is kept of this stage.
    kept: HashMap<PathBuf, Depth>,
    /// Of this stage, files with several names as they were when the first of them was kept.
    inodes: HashMap<(u64, u64), Was>,
    /// Of this stage, what is kept with all that is below it.
    trees: Vec<PathBuf>,
    services: Vec<(Manager, String)>,
    /// The task that acts, as it is told of.
    task: String,
    /// What its programs change is kept.
    is_covered: bool,
    /// Steps of programs so far.
    programs: u32,
    /// The task's own such step.
    program: Option<u32>,
    /// The last task that is named for its programs; it is not named for each of its items.
    named: String,
}

/// Begins a backup of what is changed on a machine, or goes on with one.
///
/// # Errors
/// When its folder cannot be made or read, or there is no machine.
pub(crate) fn keep_before<'a>(
    system: &'a mut dyn System,
    spec: &BackupSpec,
) -> io::Result<Watched<'a, Keeper>> {
    system.host().ok_or_else(|| io::Error::other("what is worked on is no machine"))?;
    let keeper = Keeper::open(spec)?;
    system.guard(keeper.writer.barrier());
    Ok(Watched::new(system, keeper))
}

/// The machine below a keeper; there always is one.
fn host_of(below: &mut dyn System) -> Result<&mut HostSystem, SystemError> {
    below.host().ok_or_else(|| SystemError::text("what is worked on is no machine"))
}

impl Keeper {
    fn open(spec: &BackupSpec) -> io::Result<Self> {
        let (writer, record) = Writer::open(spec)?;
        let mut keeper = Self {
            writer,
            kept: HashMap::new(),
            inodes: HashMap::new(),
            trees: Vec::new(),
            services: Vec::new(),
            task: String::new(),
            is_covered: false,
            programs: 0,
            program: None,
            named: String::new(),
        };
        record.steps.into_iter().for_each(|step| keeper.know(step));
        Ok(keeper)
    }

    /// Takes up what was kept before a reboot.
    fn know(&mut self, step: Step) {
        match step {
            Step::Path { path, was } => {
                let depth = match was.as_ref().map(|was| &was.kind) {
                    Some(Kind::File { content: None, .. }) => Depth::Attributes,
                    _ => Depth::Whole,
                };
                if let Some(was) = was {
                    self.know_inode(was);
                }
                let kept = self.kept.entry(path.0).or_insert(depth);
                *kept = depth.max(*kept);
            }
            Step::Program { number, .. } => self.programs = self.programs.max(number),
            Step::Service(service) => self.services.push((service.manager, service.name)),
            Step::Packages(_) => self.begin_stage(),
            Step::Tree { path } => self.trees.push(path.0),
            Step::Begun { .. } | Step::OnlyLooked { .. } | Step::Undone { .. } => {}
        }
    }

    /// What a file with several names was, by whichever name.
    fn know_inode(&mut self, was: Was) -> Was {
        let Some(inode) = was.kind.inode() else { return was };
        let kind = was.kind.clone();
        let first = self.inodes.entry(inode).or_insert(was).clone();
        Was { kind, ..first }
    }

    fn append(&mut self, step: &Step, path: &Path) -> Result<(), SystemError> {
        // A line is bounded by what the file system allows in names and attributes.
        self.writer.refuse_no_room(path, LINE_BYTES)?;
        self.writer.append(step).map_err(|error| SystemError::new("keep a backup of", path, &error))
    }

    fn begin_stage(&mut self) {
        self.kept.clear();
        self.inodes.clear();
        self.trees.clear();
    }

    fn keep_real(&mut self, host: &mut HostSystem, real: &Path, depth: Depth) -> Result<(), SystemError> {
        if self.kept.get(real).is_some_and(|kept| *kept >= depth) {
            return Ok(());
        }
        if !can_name(real) {
            return Err(SystemError::text(format!("no backup can be made of {}", real.display())));
        }
        let has_come = self.has_come(real);
        let was = match host.snapshot(real)? {
            _ if has_come => None,
            Some(is) if depth == Depth::Whole => {
                self.keep_name(host, &is, real)?;
                Some(self.with_content(is, real)?)
            }
            is => is.map(|is| is.was),
        };
        let was = was.map(|was| self.know_inode(was));
        let is_partial = matches!(was, Some(Was { kind: Kind::File { content: None, .. }, .. }));
        self.append(&Step::Path { path: Name(real.to_owned()), was }, real)?;
        let depth = if is_partial { Depth::Attributes } else { Depth::Whole };
        self.kept.insert(real.to_owned(), depth);
        Ok(())
    }

    /// Whether it came into a tree after all of that was kept.
    fn has_come(&self, real: &Path) -> bool {
        !self.kept.contains_key(real) && self.trees.iter().any(|tree| real.starts_with(tree))
    }

    /// Gives what has several names one more. On another file system it cannot be: undone, each name is a file by itself.
    fn keep_name(&self, host: &mut HostSystem, is: &Snapshot, real: &Path) -> Result<(), SystemError> {
        if let Some(name) = is.was.kind.inode().and_then(|inode| self.writer.new_name(inode))
            && host.keep_name(real, &name).is_ok()
        {
            let keeping = |error: io::Error| SystemError::new("keep a backup of", real, &error);
            self.writer.sync_names().map_err(keeping)?;
        }
        Ok(())
    }

    /// Keeps a file's content; all else has none.
    fn with_content(&mut self, mut is: Snapshot, real: &Path) -> Result<Was, SystemError> {
        let keeping = |error: io::Error| SystemError::new("keep a backup of", real, &error);
        let (Kind::File { inode, .. }, Some(mut file)) = (&is.was.kind, is.content.take()) else {
            return Ok(is.was);
        };
        let inode = *inode;
        self.writer.refuse_no_room(real, is.bytes)?;
        let (sha256, bytes) = self.writer.keep(&mut file, self.writer.room_bytes()).map_err(keeping)?;
        Ok(Was { kind: Kind::File { content: Some(is.kept(sha256, bytes)), inode }, ..is.was })
    }

    /// Keeps what is at a real path, and all that is below it.
    fn keep_below(&mut self, host: &mut HostSystem, real: &Path) -> Result<(), SystemError> {
        let is = host.snapshot(real)?;
        self.keep_real(host, real, Depth::Whole)?;
        if is.is_none_or(|is| is.was.kind != Kind::Directory) {
            return Ok(());
        }
        let inside = host.list_tree(real)?;
        inside.iter().try_for_each(|entry| self.keep_real(host, entry, Depth::Whole))
    }

    /// Keeps a tree that programs are about to change, and directories on the way to it that they are about to make.
    fn keep_tree(&mut self, host: &mut HostSystem, path: &Path) -> Result<(), SystemError> {
        let mut real = None;
        for above in ancestors(path) {
            real = match real {
                None if host.metadata(above)?.is_some() && above != path => None,
                None => Some(host.real_path(above, LastLink::Follow)?),
                Some(real) => Some(Path::join(&real, above.file_name().unwrap_or_default())),
            };
            if let Some(real) = real.as_deref().filter(|_| above != path) {
                self.keep_real(host, real, Depth::Whole)?;
            }
        }
        let Some(real) = real else { return Err(SystemError::never_removed(path)) };
        self.keep_below(host, &real)?;
        self.append(&Step::Tree { path: Name(real.clone()) }, path)?;
        self.trees.push(real);
        Ok(())
    }

    fn keep_service(
        &mut self,
        host: &mut HostSystem,
        manager: Manager,
        name: &str,
    ) -> Result<(), SystemError> {
        if self.services.iter().any(|(known, service)| *known == manager && service == name) {
            return Ok(());
        }
        let service = services::state(host, manager, name)?;
        self.append(&Step::Service(service), Path::new(name))?;
        self.services.push((manager, name.to_owned()));
        Ok(())
    }

    /// Keeps packages: their archives, their configuration files as they are, and what there is of all others.
    fn keep_packages(&mut self, host: &mut HostSystem, names: &[String]) -> Result<(), SystemError> {
        let before = dpkg::list(host)?;
        for path in dpkg::files_of(host, names)? {
            if let Ok(real) = host.real_path(&path, LastLink::Keep) {
                self.keep_real(host, &real, Depth::Whole)?;
            }
        }
        let mut kept = Vec::new();
        for package in before.iter().filter(|package| names.contains(&package.name)) {
            kept.push(dpkg::keep(host, package, &mut self.writer)?);
        }
        let step = Step::Packages(Packages { before, kept });
        self.append(&step, Path::new("the list of packages"))?;
        self.begin_stage();
        Ok(())
    }
}

impl Watcher for Keeper {
    fn barrier(&self) -> Option<Barrier> {
        Some(self.writer.barrier())
    }

    fn path(
        &mut self,
        below: &mut dyn System,
        path: &Path,
        last: LastLink,
        depth: Depth,
    ) -> Result<(), SystemError> {
        let host = host_of(below)?;
        // Where the way ends, the change itself fails, in its own words.
        let Ok(real) = host.real_path(path, last) else { return Ok(()) };
        self.keep_real(host, &real, depth)
    }

    fn tree(&mut self, below: &mut dyn System, path: &Path) -> Result<(), SystemError> {
        let host = host_of(below)?;
        let is = host.link_metadata(path).ok().flatten();
        let Ok(real) = host.real_path(path, LastLink::Keep) else { return Ok(()) };
        // What is no directory is refused by the change itself.
        match is.filter(|is| is.kind == FileKind::Directory) {
            Some(_) => self.keep_below(host, &real),
            None => Ok(()),
        }
    }

    fn upcoming(&mut self, below: &mut dyn System, upcoming: &Upcoming<'_>) -> Result<(), SystemError> {
        let host = host_of(below)?;
        match upcoming {
            Upcoming::Tree(path) => self.keep_tree(host, path)?,
            Upcoming::Service(manager, name) => self.keep_service(host, *manager, name)?,
            Upcoming::Packages(names) => self.keep_packages(host, names)?,
        }
        self.is_covered = true;
        Ok(())
    }

    /// A program whose effects nobody knows.
    fn program(&mut self) -> Result<(), SystemError> {
        if self.is_covered || self.program.is_some() || self.named == self.task {
            return Ok(());
        }
        self.programs += 1;
        let (number, task) = (self.programs, self.task.clone());
        self.append(&Step::Program { number, task: task.clone() }, Path::new(&task))?;
        self.program = Some(number);
        self.named = task;
        Ok(())
    }

    fn begin_task(&mut self, task: &TaskRef, module: &str) {
        self.task = shorten(&format!("task {} {:?} ({module})", task.number, task.name), 300);
        self.is_covered = false;
        self.program = None;
    }

    fn only_looked(&mut self) -> Result<(), SystemError> {
        match self.program.take() {
            Some(number) => {
                self.named.clear();
                self.append(&Step::OnlyLooked { number }, Path::new(&self.task.clone()))
            }
            None => Ok(()),
        }
    }
}
