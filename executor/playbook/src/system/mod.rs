//! What a script can do to a machine.
//!
//! Modules decide what is to be done; everything that touches the machine goes through [`System`], so that backups and a
//! dry run that models earlier tasks can be put between.

mod error;
mod host;
mod lookup;
mod memory;
mod model;
mod output;
mod pending;
mod program;
mod put_back;
mod replace;
mod snapshot;
mod stream;
mod tree;
mod users;
mod watched;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use keros_protocol::{Output, TaskRef};
use serde::{Deserialize, Serialize};

use crate::Barrier;

pub use error::SystemError;
pub(crate) use host::ancestors;
pub use host::{Durability, HostSystem, ShellPlace};
pub(crate) use model::Model;
pub(crate) use program::ENVIRONMENT;
pub(crate) use snapshot::Snapshot;
pub use stream::Stream;
pub(crate) use tree::LastLink;
pub(crate) use watched::{Depth, Watched, Watcher};

/// What is at a path, links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits, with set-id and sticky bits.
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// Size, bytes.
    pub size_bytes: u64,
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// An ordinary file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link (only where links are not followed).
    Link,
    /// A device, socket or pipe.
    Other,
}

/// Owner, group and mode as numbers; `None` leaves what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes {
    /// The owner's number.
    pub uid: Option<u32>,
    /// The group's number.
    pub gid: Option<u32>,
    /// Permission bits, with set-id and sticky bits.
    pub mode: Option<u32>,
}

/// What a file shall hold.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// What a file of the script's own folder holds.
    File(&'a Path),
    /// What a file of the machine itself, below its root, holds.
    Machine(&'a Path),
    /// What a reader gives; it can be used once.
    Stream(&'a Stream<'a>),
}

/// A program to run.
#[derive(Debug, Clone)]
pub struct Program<'a> {
    /// What to run.
    pub command: ProgramCommand<'a>,
    /// Its standard input; nothing when this is empty.
    pub input: &'a [u8],
    /// Added to the environment that every program gets.
    pub environment: &'a [(&'a str, &'a str)],
    /// Where; a folder outside of a scratch tree is not used inside of it.
    pub folder: Option<&'a Path>,
    /// Where on the machine itself, below its root; goes before `folder`.
    pub within: Option<&'a Path>,
    /// When it is ended.
    pub deadline: Instant,
    /// Output kept, bytes, head and tail together.
    pub output_bytes: usize,
}

/// What to run.
#[derive(Debug, Clone, Copy)]
pub enum ProgramCommand<'a> {
    /// A command line for `/bin/sh -c`.
    Shell(&'a str),
    /// A tool by its name, looked up in the fixed search path, or by its absolute path below the root; and its arguments.
    Tool(&'a str, &'a [&'a str]),
    /// A program in the script's own folder, which need not be executable there.
    Script(&'a Path),
}

/// The user that a task acts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    /// The user's number.
    pub uid: u32,
    /// The number of the user's own group.
    pub gid: u32,
}

impl Actor {
    /// The user that this program runs as.
    fn own() -> Self {
        Self { uid: nix::unistd::geteuid().as_raw(), gid: nix::unistd::getegid().as_raw() }
    }
}

/// What programs are about to change, so that it can be kept.
#[derive(Debug, Clone, Copy)]
pub enum Upcoming<'a> {
    /// All that is at a path and below it.
    Tree(&'a Path),
    /// State of a service.
    Service(Manager, &'a str),
    /// Packages of dpkg, by the names that dpkg knows them by; those that are not installed yet may be left out.
    Packages(&'a [String]),
}

/// What starts and stops a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Manager {
    /// systemd.
    Systemd,
    /// monit.
    Monit,
    /// An init script.
    Script,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramEnd {
    /// 0 to 255, or 128 + n when signal n ended it.
    pub exit_code: i32,
    /// Standard output and error.
    pub output: Output,
    /// Its deadline came first, or the run was cancelled: it was ended with all of its process group.
    pub timed_out: bool,
}

/// What a script can do to a machine. Paths are absolute and mean places below the system's root; no link leads out of it.
pub trait System {
    /// What is at a path, links followed; `None`: nothing.
    ///
    /// # Errors
    /// When it cannot be known.
    fn metadata(&mut self, path: &Path) -> Result<Option<Metadata>, SystemError>;

    /// What is at a path; a link at its end is not followed.
    ///
    /// # Errors
    /// When it cannot be known.
    fn link_metadata(&mut self, path: &Path) -> Result<Option<Metadata>, SystemError>;

    /// Opens a file to read it piece by piece.
    ///
    /// # Errors
    /// When it is not there, is no file, or cannot be read.
    fn open(&mut self, path: &Path) -> Result<File, SystemError>;

    /// Opens one of the script's own files, as the user of this program: the one that the task acts as may not read them.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn open_of_script(&mut self, path: &Path) -> io::Result<File>;

    /// A file's content, at most this many bytes.
    ///
    /// # Errors
    /// When it is not there, is no file, is longer, or cannot be read.
    fn read(&mut self, path: &Path, max_bytes: u64) -> Result<Vec<u8>, SystemError>;

    /// Whether a file holds exactly this.
    ///
    /// # Errors
    /// When one of them cannot be read.
    fn holds(&mut self, path: &Path, content: &Content<'_>) -> Result<bool, SystemError>;

    /// Makes a file, or replaces its content at once, durably now or by the next checkpoint; what the attributes leave open is kept from the file that is replaced,
    /// and `mode_if_new` is for a new one.
    ///
    /// # Errors
    /// The old file is untouched then.
    fn put_file(
        &mut self,
        path: &Path,
        content: &Content<'_>,
        attributes: Attributes,
        mode_if_new: u32,
    ) -> Result<(), SystemError>;

    /// The file beside a path in which a download is collected, to be read and added to; what an earlier attempt left is still in it.
    ///
    /// # Errors
    /// When it cannot be made; always, where nothing is downloaded.
    fn open_part(&mut self, path: &Path) -> Result<File, SystemError> {
        Err(no_part(path))
    }

    /// Puts what was collected beside a path in the path's place, as [`System::put_file`] would.
    ///
    /// # Errors
    /// The old file is untouched then.
    fn put_part(
        &mut self,
        path: &Path,
        _attributes: Attributes,
        _mode_if_new: u32,
    ) -> Result<(), SystemError> {
        Err(no_part(path))
    }

    /// Removes what was collected beside a path.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove_part(&mut self, path: &Path) -> Result<(), SystemError> {
        Err(no_part(path))
    }

    /// In a dry run: a file with this content, of which only the digest is known, would be here from now on.
    ///
    /// # Errors
    /// When there could be no such file; always, where nothing is modelled.
    fn expect_file(
        &mut self,
        path: &Path,
        _sha256: [u8; 32],
        _attributes: Attributes,
        _mode_if_new: u32,
    ) -> Result<(), SystemError> {
        Err(no_part(path))
    }

    /// Makes a directory and those above it; the attributes are for the last one.
    ///
    /// # Errors
    /// When one cannot be made.
    fn make_directory(&mut self, path: &Path, attributes: Attributes) -> Result<(), SystemError>;

    /// Sets owner, group, mode.
    ///
    /// # Errors
    /// When one cannot be set.
    fn set_attributes(&mut self, path: &Path, attributes: Attributes) -> Result<(), SystemError>;

    /// Paths of all that is in a directory, and below it; links are listed, not followed. At most [`MAX_TREE_ENTRIES`].
    ///
    /// # Errors
    /// When a directory cannot be read, or there is too much.
    fn list_tree(&mut self, path: &Path) -> Result<Vec<PathBuf>, SystemError>;

    /// Where a link leads; `None`: there is no link.
    ///
    /// # Errors
    /// When it cannot be known.
    fn read_link(&mut self, path: &Path) -> Result<Option<PathBuf>, SystemError>;

    /// Makes a symbolic link, or replaces a link or file by it at once.
    ///
    /// # Errors
    /// When it cannot be made; what was there is untouched then.
    fn make_link(&mut self, path: &Path, target: &Path) -> Result<(), SystemError>;

    /// Removes a file or a link.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove_file(&mut self, path: &Path) -> Result<(), SystemError>;

    /// Removes a directory: an empty one, or with all that is in it. The root is never removed, nor emptied.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove_directory(&mut self, path: &Path, recurse: bool) -> Result<(), SystemError>;

    /// A user's number, by name or number.
    ///
    /// # Errors
    /// When there is no such user.
    fn user_id(&mut self, user: &str) -> Result<u32, SystemError>;

    /// A group's number, by name or number.
    ///
    /// # Errors
    /// When there is no such group.
    fn group_id(&mut self, group: &str) -> Result<u32, SystemError>;

    /// A user's name, or the number where it has none.
    fn user_name(&mut self, uid: u32) -> String;

    /// A group's name, or the number where it has none.
    fn group_name(&mut self, gid: u32) -> String;

    /// The user from here on: files are made and looked at, and programs run, as this user; `None`: as this program's own.
    ///
    /// # Errors
    /// When this program may not do so.
    fn act_as(&mut self, actor: Option<Actor>) -> Result<(), SystemError>;

    /// The number of a user's own group.
    ///
    /// # Errors
    /// When there is no such user.
    fn own_group(&mut self, uid: u32) -> Result<u32, SystemError>;

    /// Whether the file system of a directory is mounted so that nothing can be written: a dry run asks before it says that it would.
    fn is_read_only(&mut self, folder: &Path) -> bool;
    /// Whether there is a tool of this name, or at this absolute path.
    fn has_tool(&mut self, name: &str) -> bool;

    /// Keeps other programs from changing users and groups until what is returned is dropped. A dry run need not.
    ///
    /// # Errors
    /// When another program does not let go before this moment, or the lock cannot be made.
    fn lock_users(&mut self, until: Instant) -> Result<Option<std::fs::File>, SystemError>;

    /// Runs a program that only looks, to its end or to its deadline. A dry run does this too.
    ///
    /// # Errors
    /// When it cannot be started.
    fn query(&mut self, program: &Program<'_>) -> Result<ProgramEnd, SystemError>;

    /// Runs a program to its end, or to its deadline.
    ///
    /// # Errors
    /// When it cannot be started.
    fn run(&mut self, program: &Program<'_>) -> Result<ProgramEnd, SystemError>;

    /// Removes what a run that was cut off may have left beside a file that is as it should be. That it cannot is no harm.
    fn remove_remains(&mut self, _path: &Path) {}

    /// A task begins to act, or begins again: what can't be undone is told by its name.
    fn begin_task(&mut self, _task: &TaskRef, _module: &str) {}

    /// What the task's programs did was only to look.
    ///
    /// # Errors
    /// When that cannot be kept.
    fn only_looked(&mut self) -> Result<(), SystemError> {
        Ok(())
    }

    /// Whether somebody wants to hear, by [`System::before`], of what programs are about to change.
    fn is_watched(&self) -> bool {
        false
    }

    /// Something is about to be changed by programs that can be undone all the same.
    ///
    /// # Errors
    /// When what is there cannot be kept: nothing may be changed then.
    fn before(&mut self, _upcoming: &Upcoming<'_>) -> Result<(), SystemError> {
        Ok(())
    }

    /// The machine itself, where nothing stands between.
    fn host(&mut self) -> Option<&mut HostSystem> {
        None
    }

    /// Whether it works on the machine that this program runs on: the journal is of that one.
    fn is_this_machine(&self) -> bool {
        false
    }

    /// From here on this barrier is passed before anything is changed.
    fn guard(&mut self, barrier: Barrier);

    /// Makes durable what is not yet, before a run returns or pauses.
    ///
    /// # Errors
    /// Names the files that are not as a task said, also those of earlier checkpoints.
    fn checkpoint(&mut self) -> Result<(), SystemError> {
        Ok(())
    }
}

/// Entries of a directory tree that one task handles.
pub const MAX_TREE_ENTRIES: usize = 100_000;
/// Their paths together, bytes: an ordinary tree of that size has 6 MB.
const MAX_TREE_BYTES: usize = 16 * 1024 * 1024;

fn no_part(path: &Path) -> SystemError {
    SystemError::text(format!("nothing is downloaded to {} here", path.display()))
}

fn reading(path: &Path) -> impl Fn(io::Error) -> SystemError + '_ {
    move |source| SystemError::new("read", path, &source)
}
