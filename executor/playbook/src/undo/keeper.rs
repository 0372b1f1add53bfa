//! The machine, with a backup in front of it: before anything is changed, what is there is kept.
//!
//! Within a stage only the first backup of a path counts. A stage ends where packages change: what is kept behind that is undone
//! before the packages are, what is kept before it after them.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use keros_protocol::TaskRef;
use keros_protocol::limits::shorten;

use super::BackupSpec;
use super::record::{Kind, Name, Step, Was, can_name};
use super::write::Writer;
use crate::Barrier;
use crate::system::{
    Actor, Attributes, Content, FileKind, HostSystem, LastLink, Metadata, Program, ProgramEnd, Snapshot,
    System, SystemError, Upcoming,
};

/// How much of a path is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Depth {
    /// Owner, group, mode, extended attributes.
    Attributes,
    /// All.
    Whole,
}

/// The machine, with a backup in front of it.
pub(crate) struct Keeper<'a> {
    pub(super) host: &'a mut HostSystem,
    writer: Writer,
    /// What is kept of this stage.
    kept: HashMap<PathBuf, Depth>,
    /// Of this stage, files with several names as they were when the first of them was kept.
    inodes: HashMap<(u64, u64), Was>,
    /// Of this stage, what is kept with all that is below it.
    trees: Vec<PathBuf>,
    services: Vec<String>,
    actor: Option<Actor>,
    /// The task that acts, as it is told of.
    task: String,
    /// What its programs change is kept.
    is_covered: bool,
    /// Steps of programs so far.
    programs: u32,
    /// The task's own such step.
    program: Option<u32>,
}

impl<'a> Keeper<'a> {
    /// Begins a backup, or goes on with one.
    ///
    /// # Errors
    /// When its folder cannot be made or read.
    pub(crate) fn before(system: &'a mut dyn System, spec: &BackupSpec) -> io::Result<Self> {
        let host = system.host().ok_or_else(|| io::Error::other("what is worked on is no machine"))?;
        let (writer, record) = Writer::open(spec)?;
        let mut keeper = Self {
            host,
            writer,
            kept: HashMap::new(),
            inodes: HashMap::new(),
            trees: Vec::new(),
            services: Vec::new(),
            actor: None,
            task: String::new(),
            is_covered: false,
            programs: 0,
            program: None,
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
            Step::Service(service) => self.services.push(service.name),
            Step::Packages(_) => {
                self.kept.clear();
                self.inodes.clear();
                self.trees.clear();
            }
            Step::Tree { path } => self.trees.push(path.0),
            Step::Begun { .. } | Step::OnlyLooked { .. } | Step::Undone { .. } => {}
        }
    }

    /// What a file with several names was, by whichever name.
    fn know_inode(&mut self, was: Was) -> Was {
        match was.kind {
            Kind::File { inode: Some(inode), ref content } => {
                let content = content.clone();
                let first = self.inodes.entry(inode).or_insert(was).clone();
                Was { kind: Kind::File { content, inode: Some(inode) }, ..first }
            }
            _ => was,
        }
    }

    fn append(&mut self, step: &Step, path: &Path) -> Result<(), SystemError> {
        // A line is bounded by what the file system allows in names and attributes.
        self.writer.refuse_no_room(path, 4096)?;
        self.writer.append(step).map_err(|error| SystemError::new("keep a backup of", path, &error))
    }

    /// Keeps what a path means now.
    fn keep(&mut self, path: &Path, last: LastLink, depth: Depth) -> Result<(), SystemError> {
        // Where the way ends, the change itself fails, in its own words.
        let Ok(real) = self.host.real_path(path, last) else { return Ok(()) };
        self.as_own(|keeper| keeper.keep_real(&real, depth))
    }

    /// Whoever acts: the backup is taken by this program itself.
    fn as_own<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, SystemError>,
    ) -> Result<T, SystemError> {
        if self.actor.is_none() {
            return work(self);
        }
        self.host.act_as(None)?;
        let result = work(self);
        self.host.act_as(self.actor)?;
        result
    }

    fn keep_real(&mut self, real: &Path, depth: Depth) -> Result<(), SystemError> {
        if self.kept.get(real).is_some_and(|kept| *kept >= depth) {
            return Ok(());
        }
        if !can_name(real) {
            return Err(SystemError::text(format!("no backup can be made of {}", real.display())));
        }
        let has_come = self.has_come(real);
        let was = match self.host.snapshot(real)? {
            _ if has_come => None,
            Some(is) if depth == Depth::Whole => Some(self.with_content(is, real)?),
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

    /// Keeps a file's content; all else has none.
    fn with_content(&mut self, mut is: Snapshot, real: &Path) -> Result<Was, SystemError> {
        let keeping = |error: io::Error| SystemError::new("keep a backup of", real, &error);
        let (Kind::File { inode, .. }, Some(mut file)) = (&is.was.kind, is.content.take()) else {
            return Ok(is.was);
        };
        let inode = *inode;
        self.writer.refuse_no_room(real, is.bytes)?;
        let (sha256, bytes) = self.writer.keep(&mut file, self.writer.room_bytes()).map_err(keeping)?;
        // On another file system it cannot be: undone, the file is one by itself.
        if let Some(name) = inode.and_then(|inode| self.writer.new_name(inode))
            && self.host.keep_name(real, &name).is_ok()
        {
            self.writer.sync_names().map_err(keeping)?;
        }
        Ok(Was { kind: Kind::File { content: Some(is.kept(sha256, bytes)), inode }, ..is.was })
    }

    /// Keeps all that is in a directory, and it.
    fn keep_tree(&mut self, path: &Path, last: LastLink) -> Result<(), SystemError> {
        let Ok(real) = self.host.real_path(path, last) else { return Ok(()) };
        let is = self.host.link_metadata(&real)?;
        let inside = match is {
            Some(is) if is.kind == FileKind::Directory => self.host.list_tree(path)?,
            _ => Vec::new(),
        };
        self.as_own(|keeper| {
            keeper.keep_real(&real, Depth::Whole)?;
            let entries = inside.iter().filter_map(|entry| entry.strip_prefix(path).ok());
            entries.map(|entry| real.join(entry)).try_for_each(|entry| keeper.keep_real(&entry, Depth::Whole))
        })
    }

    /// A program whose effects nobody knows.
    fn keep_program(&mut self) -> Result<(), SystemError> {
        if self.is_covered || self.program.is_some() {
            return Ok(());
        }
        self.programs += 1;
        let (number, task) = (self.programs, self.task.clone());
        self.append(&Step::Program { number, task }, Path::new(&self.task.clone()))?;
        self.program = Some(number);
        Ok(())
    }
}

impl System for Keeper<'_> {
    fn metadata(&mut self, path: &Path) -> Result<Option<Metadata>, SystemError> {
        self.host.metadata(path)
    }

    fn link_metadata(&mut self, path: &Path) -> Result<Option<Metadata>, SystemError> {
        self.host.link_metadata(path)
    }

    fn open(&mut self, path: &Path) -> Result<File, SystemError> {
        self.host.open(path)
    }

    fn read(&mut self, path: &Path, max_bytes: u64) -> Result<Vec<u8>, SystemError> {
        self.host.read(path, max_bytes)
    }

    fn holds(&mut self, path: &Path, content: &Content<'_>) -> Result<bool, SystemError> {
        self.host.holds(path, content)
    }

    fn put_file(
        &mut self,
        path: &Path,
        content: &Content<'_>,
        attributes: Attributes,
        mode_if_new: u32,
    ) -> Result<(), SystemError> {
        self.keep(path, LastLink::Follow, Depth::Whole)?;
        self.host.put_file(path, content, attributes, mode_if_new)
    }

    fn open_part(&mut self, path: &Path) -> Result<File, SystemError> {
        self.keep(path, LastLink::Follow, Depth::Whole)?;
        self.host.open_part(path)
    }

    fn put_part(&mut self, path: &Path, attributes: Attributes, mode_if_new: u32) -> Result<(), SystemError> {
        self.keep(path, LastLink::Follow, Depth::Whole)?;
        self.host.put_part(path, attributes, mode_if_new)
    }

    fn remove_part(&mut self, path: &Path) -> Result<(), SystemError> {
        self.host.remove_part(path)
    }

    fn make_directory(&mut self, path: &Path, attributes: Attributes) -> Result<(), SystemError> {
        // Each for itself: the way to one may only be known when the one above it is there.
        for above in crate::system::ancestors(path).into_iter().filter(|above| *above != path) {
            if self.host.metadata(above).is_ok_and(|is| is.is_none()) {
                self.keep(above, LastLink::Follow, Depth::Whole)?;
                self.host.make_directory(above, Attributes::default())?;
            }
        }
        if self.host.metadata(path).is_ok_and(|is| is.is_none()) {
            self.keep(path, LastLink::Follow, Depth::Whole)?;
        }
        self.host.make_directory(path, attributes)
    }

    fn set_attributes(&mut self, path: &Path, attributes: Attributes) -> Result<(), SystemError> {
        self.keep(path, LastLink::Follow, Depth::Attributes)?;
        self.host.set_attributes(path, attributes)
    }

    fn list_tree(&mut self, path: &Path) -> Result<Vec<PathBuf>, SystemError> {
        self.host.list_tree(path)
    }

    fn read_link(&mut self, path: &Path) -> Result<Option<PathBuf>, SystemError> {
        self.host.read_link(path)
    }

    fn make_link(&mut self, path: &Path, target: &Path) -> Result<(), SystemError> {
        self.keep(path, LastLink::Keep, Depth::Whole)?;
        self.host.make_link(path, target)
    }

    fn remove_file(&mut self, path: &Path) -> Result<(), SystemError> {
        self.keep(path, LastLink::Keep, Depth::Whole)?;
        self.host.remove_file(path)
    }

    fn remove_directory(&mut self, path: &Path, recurse: bool) -> Result<(), SystemError> {
        if recurse {
            self.keep_tree(path, LastLink::Keep)?;
        } else {
            self.keep(path, LastLink::Keep, Depth::Whole)?;
        }
        self.host.remove_directory(path, recurse)
    }

    fn user_id(&mut self, user: &str) -> Result<u32, SystemError> {
        self.host.user_id(user)
    }

    fn group_id(&mut self, group: &str) -> Result<u32, SystemError> {
        self.host.group_id(group)
    }

    fn user_name(&mut self, uid: u32) -> String {
        self.host.user_name(uid)
    }

    fn group_name(&mut self, gid: u32) -> String {
        self.host.group_name(gid)
    }

    fn act_as(&mut self, actor: Option<Actor>) -> Result<(), SystemError> {
        self.actor = actor;
        self.host.act_as(actor)
    }

    fn own_group(&mut self, uid: u32) -> Result<u32, SystemError> {
        self.host.own_group(uid)
    }

    fn is_read_only(&mut self, folder: &Path) -> bool {
        self.host.is_read_only(folder)
    }

    fn has_tool(&mut self, name: &str) -> bool {
        self.host.has_tool(name)
    }

    fn lock_users(&mut self, until: Instant) -> Result<Option<File>, SystemError> {
        self.keep(Path::new(crate::system::USERS_LOCK), LastLink::Follow, Depth::Attributes)?;
        self.host.lock_users(until)
    }

    fn query(&mut self, program: &Program<'_>) -> Result<ProgramEnd, SystemError> {
        self.host.query(program)
    }

    fn run(&mut self, program: &Program<'_>) -> Result<ProgramEnd, SystemError> {
        self.as_own(Self::keep_program)?;
        self.host.run(program)
    }

    fn remove_remains(&mut self, path: &Path) {
        self.host.remove_remains(path);
    }

    fn begin_task(&mut self, task: &TaskRef, module: &str) {
        self.task = shorten(&format!("task {} {:?} ({module})", task.number, task.name), 300);
        self.is_covered = false;
        self.program = None;
    }

    fn only_looked(&mut self) -> Result<(), SystemError> {
        match self.program.take() {
            Some(number) => self.append(&Step::OnlyLooked { number }, Path::new(&self.task.clone())),
            None => Ok(()),
        }
    }

    fn before(&mut self, upcoming: &Upcoming<'_>) -> Result<(), SystemError> {
        match upcoming {
            Upcoming::Tree(path) => {
                self.keep_tree(path, LastLink::Follow)?;
                if let Ok(real) = self.host.real_path(path, LastLink::Follow) {
                    self.append(&Step::Tree { path: Name(real.clone()) }, path)?;
                    self.trees.push(real);
                    self.is_covered = true;
                }
            }
            Upcoming::Service(..) | Upcoming::Packages(_) => {}
        }
        Ok(())
    }

    fn guard(&mut self, barrier: Barrier) {
        self.host.guard(barrier);
    }

    fn checkpoint(&mut self) -> Result<(), SystemError> {
        self.host.checkpoint()
    }
}
