//! The machine itself, or a scratch tree on it.

mod remove;

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, mkdirat};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::UnlinkatFlags;
use rustix::process::{Gid, getgroups};

use super::lookup::open_at;
use super::memory;
use super::pending::Pending;
use super::replace::{self, Beside, Owned};
use super::tree::{LastLink, Place, find, refuse_too_long, walk};
use super::users::{self, UserFiles};
use super::{
    Actor, Attributes, Content, FileKind, MAX_TREE_BYTES, MAX_TREE_ENTRIES, Metadata, Program,
    ProgramCommand, ProgramEnd, System, SystemError, program, reading,
};
use crate::{Barrier, Cancel};

/// Where programs run when the work is done on a scratch tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ShellPlace {
    /// In the tree, by chroot; a failure where there is nothing to run.
    #[default]
    Root,
    /// Outside of it, on the host, with the tree's folder in `KEROS_ROOT`: for the demo and tests.
    Host,
}

/// The machine itself, or a scratch tree on it.
#[derive(Debug)]
pub struct HostSystem {
    /// The tree; `/` for the machine itself.
    pub root: PathBuf,
    /// Where programs run.
    pub shell: ShellPlace,
    /// `PATH` of programs; tools are looked up in its folders.
    pub search_path: String,
    /// What each process of a program may hold of data, bytes; half of the machine's memory where nothing else is said.
    pub memory_bytes: u64,
    /// When files that are put in place are durable.
    pub durability: Durability,
    /// Ends the program under way, when the run is cancelled.
    pub cancel: Option<Cancel>,
    /// The user that tasks act as.
    pub(super) actor: Option<Actor>,
    /// Further groups that this program has of its own.
    own_groups: Vec<Gid>,
    pub(super) pending: Pending,
    pub(super) users: UserFiles,
}

/// When files that are put in place are durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Each before its task ends.
    #[default]
    EachFile,
    /// Many together, at the next [`System::checkpoint`] at the latest. Until then their content is seen only through this system.
    Grouped,
}

impl HostSystem {
    /// A tree (`/` for the machine itself) with the ordinary search path, each file durable by itself.
    #[must_use]
    pub fn new(root: PathBuf, shell: ShellPlace) -> Self {
        Self {
            root,
            shell,
            search_path: program::SEARCH_PATH.to_owned(),
            memory_bytes: memory::half_of_machine(),
            durability: Durability::default(),
            cancel: None,
            actor: None,
            own_groups: getgroups().unwrap_or_default(),
            pending: Pending::default(),
            users: UserFiles::default(),
        }
    }

    /// The place of a file to write, and what is there; an error when that is no file.
    fn place_of_file(&mut self, path: &Path) -> Result<(Place, Option<FileStat>), SystemError> {
        let place = self.place_to_write(path)?;
        let old = place.stat().map_err(writing(path))?;
        if let Some(old) = &old
            && kind_of(old) != FileKind::File
        {
            return Err(SystemError::in_the_way(path, kind_of(old)));
        }
        Ok((place, old))
    }

    /// The user that files are made as.
    fn own_uid(&self) -> u32 {
        self.actor.unwrap_or_else(Actor::own).uid
    }

    /// The tree to change into; none for the machine itself and for programs that run outside of the tree.
    fn tree(&self) -> Option<&Path> {
        (self.root != Path::new("/") && self.shell == ShellPlace::Root).then_some(self.root.as_path())
    }

    /// A tool's path, for the one who starts it.
    fn tool(&self, name: &str) -> Result<PathBuf, SystemError> {
        // To join an absolute name to a folder gives that name alone.
        let mut places = self.search_path.split(':').map(|folder| Path::new(folder).join(name));
        let found = places.find(|path| self.runs(path));
        let path = found
            .ok_or_else(|| SystemError::text(format!("there is no `{name}` here: nothing can be done")))?;
        let outside = self.root != Path::new("/") && self.shell == ShellPlace::Host;
        Ok(if outside { self.outside(&path) } else { path })
    }

    /// A path below the root, as it is called outside of it.
    fn outside(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn runs(&self, path: &Path) -> bool {
        // Files that wait are not looked for: there are none when a program is about to run.
        let file = walk(&self.root, path, LastLink::Follow).and_then(|place| open_at(&place)?.metadata());
        file.is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    }

    /// The command for a program, and the file that must be open when it is started.
    fn command(&mut self, program: &Program<'_>) -> Result<(Command, Option<File>), SystemError> {
        let mut kept = None;
        let mut command = match program.command {
            ProgramCommand::Shell(text) => {
                if self.tree().is_some() && !self.runs(Path::new("/bin/sh")) {
                    let root = self.root.display();
                    let why = format!("there is no /bin/sh in {root}: shell tasks cannot run in this tree");
                    return Err(SystemError::text(why));
                }
                let mut command = Command::new("/bin/sh");
                command.arg("-c").arg(text);
                command
            }
            ProgramCommand::Tool(name, arguments) => {
                let mut command = Command::new(self.tool(name)?);
                command.args(arguments);
                command
            }
            ProgramCommand::Script(path) => {
                if self.tree().is_some() && self.open_file(Path::new("/proc/self/status")).is_err() {
                    let root = self.root.display();
                    return Err(SystemError::text(format!(
                        "{root} has no /proc, without which no module of a script runs in it"
                    )));
                }
                let (file, copy) = self
                    .open_of_script(path)
                    .and_then(program::copy_of_program)
                    .map_err(|error| SystemError::new("run", path, &error))?;
                kept = Some(file);
                Command::new(copy)
            }
        };
        command.env_clear().envs(program::ENVIRONMENT).env("PATH", &self.search_path);
        command.envs(program.environment.iter().copied());
        if let Some(actor) = self.actor {
            let user = users::user(self, actor.uid);
            command.envs(user.iter().flat_map(users::User::environment)).uid(actor.uid).gid(actor.gid);
        }
        let is_outside = self.root != Path::new("/") && self.shell == ShellPlace::Host;
        if is_outside {
            command.env("KEROS_ROOT", &self.root);
        }
        let otherwise = if is_outside { &self.root } else { Path::new("/") };
        match program.within {
            Some(folder) if is_outside => _ = command.current_dir(self.outside(folder)),
            Some(folder) => _ = command.current_dir(folder),
            None if self.tree().is_some() || self.is_brought_there(program) => {}
            None => _ = command.current_dir(program.folder.unwrap_or(otherwise)),
        }
        Ok((command, kept))
    }

    /// Whether the program's process is brought into the script's folder before it becomes another user, who may not get there.
    fn is_brought_there(&self, program: &Program<'_>) -> bool {
        let is_there = program.folder.is_some() && program.within.is_none() && self.tree().is_none();
        is_there && self.actor.is_some()
    }
}

impl System for HostSystem {
    fn host(&mut self) -> Option<&mut HostSystem> {
        Some(self)
    }

    fn is_this_machine(&self) -> bool {
        self.root == Path::new("/")
    }

    fn metadata(&mut self, path: &Path) -> Result<Option<Metadata>, SystemError> {
        Ok(self.stat(path, LastLink::Follow)?.map(|stat| metadata_of(&stat)))
    }

    fn link_metadata(&mut self, path: &Path) -> Result<Option<Metadata>, SystemError> {
        Ok(self.stat(path, LastLink::Keep)?.map(|stat| metadata_of(&stat)))
    }

    fn open(&mut self, path: &Path) -> Result<File, SystemError> {
        self.open_file(path).map_err(reading(path))
    }

    fn open_of_script(&mut self, path: &Path) -> io::Result<File> {
        let Some(actor) = self.actor else { return File::open(path) };
        self.act_as(None)?;
        let file = File::open(path);
        self.act_as(Some(actor))?;
        file
    }

    fn read(&mut self, path: &Path, max_bytes: u64) -> Result<Vec<u8>, SystemError> {
        let file = self.open_file(path).map_err(reading(path))?;
        let mut bytes = Vec::new();
        let length = file.take(max_bytes + 1).read_to_end(&mut bytes).map_err(reading(path))?;
        if length as u64 > max_bytes {
            return Err(SystemError::too_long(path, max_bytes));
        }
        Ok(bytes)
    }

    fn holds(&mut self, path: &Path, content: &Content<'_>) -> Result<bool, SystemError> {
        let file = self.open_file(path).map_err(reading(path))?;
        let length = file.metadata().map_err(reading(path))?.len();
        let (mut source, source_length) =
            self.open_content(content).map_err(reading(source_path(content, path)))?;
        if length != source_length {
            return Ok(false);
        }
        program::same_bytes(file, &mut source).map_err(reading(path))
    }

    fn put_file(
        &mut self,
        path: &Path,
        content: &Content<'_>,
        attributes: Attributes,
        mode_if_new: u32,
    ) -> Result<(), SystemError> {
        let (place, old) = self.place_of_file(path)?;
        let is = old.as_ref().map(metadata_of);
        let owned = Owned::choose(attributes, is.as_ref(), mode_if_new, self.actor);
        let (mut source, _) = self.open_content(content).map_err(reading(source_path(content, path)))?;
        if self.durability == Durability::EachFile {
            self.pending.pass().map_err(writing(path))?;
            return replace::put(&place, &mut source, owned, old.is_some()).map_err(writing(path));
        }
        let beside = Beside::write(&place, &mut source, owned, old.is_some()).map_err(writing(path))?;
        self.pending.add(place, beside, path).map_err(writing(path))?;
        if self.pending.is_full() { self.pending.settle() } else { Ok(()) }
    }

    fn open_part(&mut self, path: &Path) -> Result<File, SystemError> {
        let (place, _) = self.place_of_file(path)?;
        replace::open_part(&place, self.own_uid()).map_err(writing(path))
    }

    fn put_part(&mut self, path: &Path, attributes: Attributes, mode_if_new: u32) -> Result<(), SystemError> {
        let (place, old) = self.place_of_file(path)?;
        let is = old.as_ref().map(metadata_of);
        let owned = Owned::choose(attributes, is.as_ref(), mode_if_new, self.actor);
        self.pending.pass().map_err(writing(path))?;
        replace::put_part(&place, self.own_uid(), owned, old.is_some()).map_err(writing(path))
    }

    fn remove_part(&mut self, path: &Path) -> Result<(), SystemError> {
        let (place, _) = self.place_of_file(path)?;
        replace::remove_part(&place).map_err(|error| SystemError::new("remove the part of", path, &error))
    }

    fn make_directory(&mut self, path: &Path, attributes: Attributes) -> Result<(), SystemError> {
        let making = |source: io::Error| SystemError::new("make the directory", path, &source);
        refuse_too_long(path).map_err(making)?;
        for ancestor in ancestors(path) {
            let place = self.look(ancestor, LastLink::Follow).map_err(making)?;
            if place.is_nameless() || place.stat().map_err(making)?.is_some() {
                continue;
            }
            self.pending.pass().map_err(making)?;
            mkdirat(&place.folder, place.name.as_os_str(), Mode::from_bits_truncate(0o755))
                .map_err(|errno| making(errno.into()))?;
            // The file mode mask of this process must not decide.
            let mode = if ancestor == path { attributes.mode } else { None };
            let chosen =
                Attributes { mode: mode.or(Some(0o755)), ..attributes_of(ancestor == path, attributes) };
            replace::set_attributes(&place, chosen).map_err(making)?;
            replace::sync_folder(&place.folder).map_err(making)?;
        }
        Ok(())
    }

    fn set_attributes(&mut self, path: &Path, attributes: Attributes) -> Result<(), SystemError> {
        let setting = |source: io::Error| SystemError::new("set owner, group or mode of", path, &source);
        let place = self.look(path, LastLink::Follow).map_err(setting)?;
        self.pending.pass().map_err(setting)?;
        replace::set_attributes(&place, attributes).map_err(setting)
    }

    fn list_tree(&mut self, path: &Path) -> Result<Vec<PathBuf>, SystemError> {
        self.pending.settle()?;
        let (mut found, mut bytes) = (Vec::new(), 0);
        let mut pending = vec![path.to_owned()];
        while let Some(folder) = pending.pop() {
            let names = self.list(&folder, MAX_TREE_ENTRIES - found.len()).map_err(reading(&folder))?;
            for (name, is_folder) in names.ok_or_else(|| SystemError::too_many(path))? {
                let entry = folder.join(name);
                bytes += entry.as_os_str().len();
                if bytes > MAX_TREE_BYTES {
                    return Err(SystemError::too_many(path));
                }
                if is_folder {
                    pending.push(entry.clone());
                }
                found.push(entry);
            }
        }
        Ok(found)
    }

    fn read_link(&mut self, path: &Path) -> Result<Option<PathBuf>, SystemError> {
        let reading = |error: io::Error| SystemError::new("read the link", path, &error);
        let place = find(&self.root, path, LastLink::Keep).map_err(reading)?;
        let Some(place) = place.filter(|place| !place.is_nameless()) else { return Ok(None) };
        match readlinkat(&place.folder, place.name.as_os_str()) {
            Ok(target) => Ok(Some(target.into())),
            Err(Errno::EINVAL | Errno::ENOENT) => Ok(None),
            Err(errno) => Err(reading(errno.into())),
        }
    }

    fn make_link(&mut self, path: &Path, target: &Path) -> Result<(), SystemError> {
        self.pending.settle()?;
        let making = |error: &io::Error| SystemError::below_folder("make the link", path, error);
        let place = walk(&self.root, path, LastLink::Keep).map_err(|error| making(&error))?;
        self.pending.pass().map_err(|error| making(&error))?;
        replace::put_link(&place, target, None).map_err(|error| making(&error))
    }

    fn remove_file(&mut self, path: &Path) -> Result<(), SystemError> {
        self.pending.settle()?;
        self.remove(path, UnlinkatFlags::NoRemoveDir)
    }

    fn remove_directory(&mut self, path: &Path, recurse: bool) -> Result<(), SystemError> {
        self.pending.settle()?;
        self.refuse_all_but_directories(path)?;
        if recurse {
            self.empty(path)?;
        }
        self.remove(path, UnlinkatFlags::RemoveDir)
    }

    fn user_id(&mut self, user: &str) -> Result<u32, SystemError> {
        users::user_id_in(user, self.user_lines())
    }

    fn group_id(&mut self, group: &str) -> Result<u32, SystemError> {
        users::group_id_in(group, self.group_lines())
    }

    fn user_name(&mut self, uid: u32) -> String {
        users::name_in(uid, self.user_lines())
    }

    fn group_name(&mut self, gid: u32) -> String {
        users::name_in(gid, self.group_lines())
    }

    fn act_as(&mut self, actor: Option<Actor>) -> Result<(), SystemError> {
        let own = Actor::own();
        let next = actor.unwrap_or(own);
        let is_other = next != self.actor.unwrap_or(own);
        // The next user may not be allowed to give them their names. Whatever comes of that, nothing more is done as the last one.
        let settled = if is_other { self.pending.settle() } else { Ok(()) };
        users::become_thread(next, if next == own { &self.own_groups } else { &[] })?;
        self.actor = actor.filter(|actor| *actor != own);
        settled
    }

    fn own_group(&mut self, uid: u32) -> Result<u32, SystemError> {
        users::own_group(self, uid)
    }

    fn is_read_only(&mut self, folder: &Path) -> bool {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let found = walk(&self.root, folder, LastLink::Follow)
            .and_then(|place| Ok(openat(&place.folder, place.name.as_os_str(), flags, Mode::empty())?))
            .and_then(|folder| Ok(fstatvfs(&folder)?));
        found.is_ok_and(|found| found.flags().contains(FsFlags::ST_RDONLY))
    }

    fn has_tool(&mut self, name: &str) -> bool {
        self.tool(name).is_ok()
    }

    fn lock_users(&mut self, until: Instant) -> Result<Option<File>, SystemError> {
        let path = Path::new(users::LOCK_FILE);
        let locking = |source: io::Error| SystemError::new("lock", path, &source);
        let place = walk(&self.root, path, LastLink::Follow).map_err(locking)?;
        users::lock(&place, until).map(Some).map_err(locking)
    }

    fn query(&mut self, program: &Program<'_>) -> Result<ProgramEnd, SystemError> {
        self.run(program)
    }

    fn run(&mut self, program: &Program<'_>) -> Result<ProgramEnd, SystemError> {
        self.pending.settle()?;
        self.pending.pass().map_err(|error| SystemError::text(error.to_string()))?;
        // It may be one that adds users.
        self.users = UserFiles::default();
        let (command, _kept) = self.command(program)?;
        let name = PathBuf::from(command.get_program());
        let running = |error| SystemError::new("run", &name, &error);
        let folder = program.folder.filter(|_| self.is_brought_there(program));
        let folder = folder.map(|folder| self.open_of_script(folder)).transpose().map_err(running)?;
        let place = program::Place { root: self.tree(), folder: folder.as_ref() };
        program::run(command, place, program, self.memory_bytes, self.cancel.as_ref()).map_err(running)
    }

    fn remove_remains(&mut self, path: &Path) {
        let Ok(place) = self.place(path, LastLink::Follow) else { return };
        if self.pending.is_in_the_way_of(&place).is_ok_and(|waits| !waits) {
            replace::remove_temporary(&place);
        }
    }

    fn guard(&mut self, barrier: Barrier) {
        self.pending.guard(barrier);
    }

    fn checkpoint(&mut self) -> Result<(), SystemError> {
        let _ = self.pending.settle();
        self.pending.verdict()
    }
}

impl HostSystem {
    /// Where a file is to be written, so that no file that waits is in the way.
    fn place_to_write(&mut self, path: &Path) -> Result<Place, SystemError> {
        let writing = |error: io::Error| SystemError::below_folder("write", path, &error);
        let place = self.place(path, LastLink::Follow).map_err(writing)?;
        if self.pending.is_in_the_way_of(&place).map_err(writing)? {
            self.pending.settle()?;
        }
        if place.name == "passwd" || place.name == "group" {
            self.users = UserFiles::default();
        }
        Ok(place)
    }
}

/// The file that an error in reading a content is about.
pub(super) const fn source_path<'p>(content: &'p Content<'_>, path: &'p Path) -> &'p Path {
    match content {
        Content::Bytes(_) | Content::Stream(_) => path,
        Content::File(source) | Content::Machine(source) => source,
    }
}

pub(super) const fn attributes_of(is_last: bool, attributes: Attributes) -> Attributes {
    if is_last { attributes } else { Attributes { uid: None, gid: None, mode: None } }
}

/// `/a`, `/a/b`, `/a/b/c`.
pub(crate) fn ancestors(path: &Path) -> Vec<&Path> {
    let mut all: Vec<&Path> = path.ancestors().filter(|part| part.file_name().is_some()).collect();
    all.reverse();
    all
}

pub(super) fn writing(path: &Path) -> impl Fn(io::Error) -> SystemError + '_ {
    move |source| SystemError::new("write", path, &source)
}

pub(super) fn kind_of(stat: &FileStat) -> FileKind {
    match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => FileKind::File,
        SFlag::S_IFDIR => FileKind::Directory,
        SFlag::S_IFLNK => FileKind::Link,
        _ => FileKind::Other,
    }
}

fn metadata_of(stat: &FileStat) -> Metadata {
    Metadata {
        kind: kind_of(stat),
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
    }
}
