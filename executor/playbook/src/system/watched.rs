//! A system with somebody in front of it who hears of each change before it is made, and may refuse it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use keros_protocol::TaskRef;

use super::host::ancestors;
use super::tree::LastLink;
use super::{
    Actor, Attributes, Content, HostSystem, Metadata, Program, ProgramEnd, System, SystemError, Upcoming,
    users,
};
use crate::Barrier;

/// How much of what is at a path is about to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Depth {
    /// Owner, group, mode, extended attributes.
    Attributes,
    /// All.
    Whole,
}

/// Hears of changes. All is heard by this program's own user, whoever the task acts as; an error keeps the change from being made.
pub(crate) trait Watcher {
    /// What must be passed before each change that it has heard of.
    fn barrier(&self) -> Option<Barrier> {
        None
    }

    /// What a path means is about to change.
    fn path(
        &mut self,
        below: &mut dyn System,
        path: &Path,
        last: LastLink,
        depth: Depth,
    ) -> Result<(), SystemError>;

    /// A directory is about to be removed with all that is in it.
    fn tree(&mut self, below: &mut dyn System, path: &Path) -> Result<(), SystemError>;

    /// Programs are about to change something of which can be known what it is.
    fn upcoming(&mut self, below: &mut dyn System, upcoming: &Upcoming<'_>) -> Result<(), SystemError>;

    /// A program is about to run.
    fn program(&mut self) -> Result<(), SystemError>;

    /// A task begins to act.
    fn begin_task(&mut self, task: &TaskRef, module: &str);

    /// The task's programs only looked.
    fn only_looked(&mut self) -> Result<(), SystemError>;
}

/// A system with a watcher in front of it.
pub(crate) struct Watched<'a, W> {
    pub(crate) below: &'a mut dyn System,
    pub(crate) watcher: W,
    actor: Option<Actor>,
}

impl<'a, W: Watcher> Watched<'a, W> {
    pub(crate) fn new(below: &'a mut dyn System, watcher: W) -> Self {
        Self { below, watcher, actor: None }
    }

    fn as_own(
        &mut self,
        work: impl FnOnce(&mut W, &mut dyn System) -> Result<(), SystemError>,
    ) -> Result<(), SystemError> {
        if self.actor.is_none() {
            return work(&mut self.watcher, self.below);
        }
        self.below.act_as(None)?;
        let result = work(&mut self.watcher, self.below);
        self.below.act_as(self.actor)?;
        result
    }

    fn path(&mut self, path: &Path, last: LastLink, depth: Depth) -> Result<(), SystemError> {
        self.as_own(|watcher, below| watcher.path(below, path, last, depth))
    }
}

impl<W: Watcher> System for Watched<'_, W> {
    fn metadata(&mut self, path: &Path) -> Result<Option<Metadata>, SystemError> {
        self.below.metadata(path)
    }

    fn link_metadata(&mut self, path: &Path) -> Result<Option<Metadata>, SystemError> {
        self.below.link_metadata(path)
    }

    fn open(&mut self, path: &Path) -> Result<File, SystemError> {
        self.below.open(path)
    }

    fn open_of_script(&mut self, path: &Path) -> io::Result<File> {
        self.below.open_of_script(path)
    }

    fn read(&mut self, path: &Path, max_bytes: u64) -> Result<Vec<u8>, SystemError> {
        self.below.read(path, max_bytes)
    }

    fn holds(&mut self, path: &Path, content: &Content<'_>) -> Result<bool, SystemError> {
        self.below.holds(path, content)
    }

    fn put_file(
        &mut self,
        path: &Path,
        content: &Content<'_>,
        attributes: Attributes,
        mode_if_new: u32,
    ) -> Result<(), SystemError> {
        self.path(path, LastLink::Follow, Depth::Whole)?;
        self.below.put_file(path, content, attributes, mode_if_new)
    }

    fn open_part(&mut self, path: &Path) -> Result<File, SystemError> {
        self.path(path, LastLink::Follow, Depth::Whole)?;
        self.below.open_part(path)
    }

    fn put_part(&mut self, path: &Path, attributes: Attributes, mode_if_new: u32) -> Result<(), SystemError> {
        self.path(path, LastLink::Follow, Depth::Whole)?;
        self.below.put_part(path, attributes, mode_if_new)
    }

    fn remove_part(&mut self, path: &Path) -> Result<(), SystemError> {
        self.below.remove_part(path)
    }

    fn expect_file(
        &mut self,
        path: &Path,
        sha256: [u8; 32],
        attributes: Attributes,
        mode_if_new: u32,
    ) -> Result<(), SystemError> {
        self.path(path, LastLink::Follow, Depth::Whole)?;
        self.below.expect_file(path, sha256, attributes, mode_if_new)
    }

    fn make_directory(&mut self, path: &Path, attributes: Attributes) -> Result<(), SystemError> {
        // Each for itself: the way to one may only be known when the one above it is there.
        for above in ancestors(path).into_iter().filter(|above| *above != path) {
            if self.below.metadata(above).is_ok_and(|is| is.is_none()) {
                self.path(above, LastLink::Follow, Depth::Whole)?;
                self.below.make_directory(above, Attributes::default())?;
            }
        }
        if self.below.metadata(path).is_ok_and(|is| is.is_none()) {
            self.path(path, LastLink::Follow, Depth::Whole)?;
        }
        self.below.make_directory(path, attributes)
    }

    fn set_attributes(&mut self, path: &Path, attributes: Attributes) -> Result<(), SystemError> {
        if attributes != Attributes::default() {
            self.path(path, LastLink::Follow, Depth::Attributes)?;
        }
        self.below.set_attributes(path, attributes)
    }

    fn list_tree(&mut self, path: &Path) -> Result<Vec<PathBuf>, SystemError> {
        self.below.list_tree(path)
    }

    fn read_link(&mut self, path: &Path) -> Result<Option<PathBuf>, SystemError> {
        self.below.read_link(path)
    }

    fn make_link(&mut self, path: &Path, target: &Path) -> Result<(), SystemError> {
        self.path(path, LastLink::Keep, Depth::Whole)?;
        self.below.make_link(path, target)
    }

    fn remove_file(&mut self, path: &Path) -> Result<(), SystemError> {
        self.path(path, LastLink::Keep, Depth::Whole)?;
        self.below.remove_file(path)
    }

    fn remove_directory(&mut self, path: &Path, recurse: bool) -> Result<(), SystemError> {
        if recurse {
            self.as_own(|watcher, below| watcher.tree(below, path))?;
        } else {
            self.path(path, LastLink::Keep, Depth::Whole)?;
        }
        self.below.remove_directory(path, recurse)
    }

    fn user_id(&mut self, user: &str) -> Result<u32, SystemError> {
        self.below.user_id(user)
    }

    fn group_id(&mut self, group: &str) -> Result<u32, SystemError> {
        self.below.group_id(group)
    }

    fn user_name(&mut self, uid: u32) -> String {
        self.below.user_name(uid)
    }

    fn group_name(&mut self, gid: u32) -> String {
        self.below.group_name(gid)
    }

    fn act_as(&mut self, actor: Option<Actor>) -> Result<(), SystemError> {
        self.actor = actor;
        self.below.act_as(actor)
    }

    fn own_group(&mut self, uid: u32) -> Result<u32, SystemError> {
        self.below.own_group(uid)
    }

    fn is_read_only(&mut self, folder: &Path) -> bool {
        self.below.is_read_only(folder)
    }

    fn has_tool(&mut self, name: &str) -> bool {
        self.below.has_tool(name)
    }

    fn lock_users(&mut self, until: Instant) -> Result<Option<File>, SystemError> {
        self.path(Path::new(users::LOCK_FILE), LastLink::Follow, Depth::Attributes)?;
        self.below.lock_users(until)
    }

    fn query(&mut self, program: &Program<'_>) -> Result<ProgramEnd, SystemError> {
        self.below.query(program)
    }

    fn run(&mut self, program: &Program<'_>) -> Result<ProgramEnd, SystemError> {
        self.as_own(|watcher, _| watcher.program())?;
        self.below.run(program)
    }

    fn remove_remains(&mut self, path: &Path) {
        self.below.remove_remains(path);
    }

    fn begin_task(&mut self, task: &TaskRef, module: &str) {
        self.watcher.begin_task(task, module);
    }

    fn only_looked(&mut self) -> Result<(), SystemError> {
        self.as_own(|watcher, _| watcher.only_looked())
    }

    fn is_watched(&self) -> bool {
        true
    }

    fn before(&mut self, upcoming: &Upcoming<'_>) -> Result<(), SystemError> {
        self.as_own(|watcher, below| watcher.upcoming(below, upcoming))
    }

    fn host(&mut self) -> Option<&mut HostSystem> {
        None
    }

    fn is_this_machine(&self) -> bool {
        self.below.is_this_machine()
    }

    fn guard(&mut self, barrier: Barrier) {
        self.below.guard(match self.watcher.barrier() {
            Some(own) => own.and(barrier),
            None => barrier,
        });
    }

    fn checkpoint(&mut self) -> Result<(), SystemError> {
        self.below.checkpoint()
    }
}
