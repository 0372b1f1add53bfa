//! A disk that keeps for each file and folder what is durable and what is not yet, and fails and loses power where it is told.
//!
//! A program that is killed leaves what it has written; a power cut takes what was not synced, or a part of it, or nothing.

mod nodes;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Component, Path};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keros_platform::{Disk, DiskFile, Look, Open};
use nix::errno::Errno;

use crate::random::Random;
use crate::sim::{Sim, Verdict};
pub(crate) use nodes::Damage;
use nodes::{FileNode, FolderNode, Node, NodeId};

const ROOT: NodeId = 0;

/// What fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing is free.
    Full,
    /// Nothing may be written: what a file system becomes after an error.
    ReadOnly,
    /// The device does not answer.
    Broken,
}

impl Fault {
    pub(crate) const ALL: [Self; 3] = [Self::Full, Self::ReadOnly, Self::Broken];

    pub(crate) fn error(self) -> io::Error {
        match self {
            Self::Full => Errno::ENOSPC.into(),
            Self::ReadOnly => Errno::EROFS.into(),
            Self::Broken => Errno::EIO.into(),
        }
    }

    /// Whether it keeps an operation of this kind from its success.
    pub(crate) const fn concerns(self, op: Op) -> bool {
        match self {
            Self::Full => matches!(op, Op::Make | Op::Write | Op::Reserve | Op::MakeFolder),
            Self::ReadOnly => !matches!(op, Op::Look | Op::OpenToRead | Op::Read | Op::List),
            Self::Broken => true,
        }
    }
}

/// Kinds of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Op {
    Look,
    OpenToRead,
    Read,
    /// A file is opened for writing, and made where it is absent.
    Make,
    Lock,
    Write,
    SetLength,
    Reserve,
    Sync,
    MakeFolder,
    Mode,
    List,
    Rename,
    RemoveFile,
    SyncFolder,
    /// Not of the disk: between two things that a process does.
    Effect,
}

#[derive(Debug)]
pub(crate) struct SimDisk {
    sim: Arc<Sim>,
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    nodes: Vec<Node>,
    locks: BTreeMap<NodeId, u64>,
    last_handle: u64,
    /// Power cuts so far. What was opened before one is gone.
    boot: u64,
}

impl SimDisk {
    pub(crate) fn new(sim: Arc<Sim>) -> Arc<Self> {
        let nodes = vec![Node::Folder(FolderNode::default())];
        let inside = Inside { nodes, locks: BTreeMap::new(), last_handle: 0, boot: 0 };
        Arc::new(Self { sim, inside: Mutex::new(inside) })
    }

    /// The power is cut, and comes back. Gives how many files and folders have lost something.
    pub(crate) fn cut_power(&self, random: &mut Random) -> u64 {
        let mut inside = self.inside();
        inside.locks.clear();
        inside.boot += 1;
        let lost = inside.nodes.iter_mut().map(|node| match node {
            Node::File(file) => file.cut(random),
            Node::Folder(folder) => folder.cut(random),
        });
        lost.map(u64::from).sum()
    }

    /// Damages a file; false when it is not there.
    pub(crate) fn damage(&self, path: &str, damage: Damage) -> bool {
        let mut inside = self.inside();
        let Ok(node) = inside.find(Path::new(path)) else { return false };
        inside.file_mut(node).map(|file| file.damage(damage)).is_ok()
    }

    /// All files, and their lengths.
    pub(crate) fn files(&self) -> Vec<(String, usize)> {
        let inside = self.inside();
        let length = |node: NodeId| match &inside.nodes[node] {
            Node::File(file) => file.now.len(),
            Node::Folder(_) => 0,
        };
        inside.files().into_iter().map(|(path, node)| (path, length(node))).collect()
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where anything can happen: the process or the power is lost, somebody else goes on, the operation fails.
    fn point(&self, op: Op, path: &Path) -> io::Result<()> {
        match self.sim.decide(op, path) {
            Verdict::Go => Ok(()),
            Verdict::Fail(fault) => Err(fault.error()),
            Verdict::Die => self.sim.die(),
        }
    }

    fn open_node(self: &Arc<Self>, node: NodeId, name: &Path, append: bool, lock: bool) -> SimFile {
        let mut inside = self.inside();
        inside.last_handle += 1;
        let handle = inside.last_handle;
        if lock {
            inside.locks.insert(node, handle);
        }
        let boot = inside.boot;
        SimFile { disk: Arc::clone(self), name: name.into(), node, position: 0, append, handle, boot }
    }
}

/// What the trait's functions work on: a shared disk that can hand out files.
#[derive(Debug, Clone)]
pub(crate) struct SharedDisk(pub(crate) Arc<SimDisk>);

impl Disk for SharedDisk {
    fn look_at(&self, path: &Path) -> io::Result<Look> {
        self.0.point(Op::Look, path)?;
        let inside = self.0.inside();
        let node = inside.find(path)?;
        let is_folder = matches!(inside.nodes[node], Node::Folder(_));
        let owner = nix::unistd::geteuid().as_raw();
        Ok(Look { is_folder, owner, mode: if is_folder { 0o700 } else { 0o600 } })
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        let op = if how == Open::Read { Op::OpenToRead } else { Op::Make };
        self.0.point(op, path)?;
        let node = self.0.inside().open(path, how)?;
        Ok(Box::new(self.0.open_node(node, path, matches!(how, Open::Append | Open::New), false)))
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskFile>>> {
        self.0.point(Op::Lock, path)?;
        let node = self.0.inside().open(path, Open::Append)?;
        if self.0.inside().locks.contains_key(&node) && !self.0.sim.lies(Op::Lock, path) {
            return Ok(None);
        }
        Ok(Some(Box::new(self.0.open_node(node, path, false, true))))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.0.point(Op::MakeFolder, path)?;
        let mut inside = self.0.inside();
        if inside.find(path).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        inside.make(path, Node::Folder(FolderNode::default())).map(|_| ())
    }

    fn set_mode(&self, path: &Path, _mode: u32) -> io::Result<()> {
        self.0.point(Op::Mode, path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.0.point(Op::List, folder)?;
        let inside = self.0.inside();
        let node = inside.find(folder)?;
        Ok(inside.folder(node)?.now.keys().cloned().collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.point(Op::Rename, to)?;
        if self.0.sim.lies(Op::Rename, to) {
            return Ok(());
        }
        let mut inside = self.0.inside();
        let node = inside.find(from)?;
        let (folder, from) = inside.place(from)?;
        let (same, to) = inside.place(to)?;
        assert_eq!(folder, same, "only names within a folder are changed");
        if let Some(target) = inside.folder(folder)?.now.get(&to).copied() {
            let empty = |node: &Node| !matches!(node, Node::Folder(folder) if !folder.now.is_empty());
            let alike = matches!(inside.nodes[node], Node::Folder(_))
                == matches!(inside.nodes[target], Node::Folder(_));
            if !alike || !empty(&inside.nodes[target]) {
                return Err(ErrorKind::DirectoryNotEmpty.into());
            }
        }
        inside.folder_mut(folder)?.rename(&from, &to, node);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.point(Op::RemoveFile, path)?;
        let mut inside = self.0.inside();
        let node = inside.find(path)?;
        if matches!(inside.nodes[node], Node::Folder(_)) {
            return Err(ErrorKind::IsADirectory.into());
        }
        inside.unlink(path, node)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        for name in self.list(path)? {
            let inner = path.join(name);
            let node = self.0.inside().find(&inner)?;
            if matches!(self.0.inside().nodes[node], Node::Folder(_)) {
                self.remove_folder(&inner)?;
            } else {
                self.remove_file(&inner)?;
            }
        }
        self.0.point(Op::RemoveFile, path)?;
        let mut inside = self.0.inside();
        let node = inside.find(path)?;
        if !inside.folder(node)?.now.is_empty() {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        inside.unlink(path, node)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let failed = self.0.point(Op::SyncFolder, folder);
        let mut inside = self.0.inside();
        let node = inside.find(folder)?;
        let found = inside.folder_mut(node)?;
        match failed {
            Ok(()) if self.0.sim.lies(Op::SyncFolder, folder) => {}
            Ok(()) => found.sync(),
            Err(_) => self.0.sim.with_random(|random| found.sync_fails(random)),
        }
        failed
    }
}

impl Inside {
    fn find(&self, path: &Path) -> io::Result<NodeId> {
        let mut node = ROOT;
        for part in path.components() {
            if let Component::Normal(name) = part {
                let name = name.to_str().ok_or(ErrorKind::InvalidFilename)?;
                node = *self.folder(node)?.now.get(name).ok_or(ErrorKind::NotFound)?;
            }
        }
        Ok(node)
    }

    /// The folder that a name is in, and the name.
    fn place(&self, path: &Path) -> io::Result<(NodeId, String)> {
        let folder = self.find(path.parent().ok_or(ErrorKind::InvalidFilename)?)?;
        let name = path.file_name().and_then(|name| name.to_str()).ok_or(ErrorKind::InvalidFilename)?;
        Ok((folder, name.to_owned()))
    }

    fn folder(&self, node: NodeId) -> io::Result<&FolderNode> {
        match &self.nodes[node] {
            Node::Folder(folder) => Ok(folder),
            Node::File(_) => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn folder_mut(&mut self, node: NodeId) -> io::Result<&mut FolderNode> {
        match &mut self.nodes[node] {
            Node::Folder(folder) => Ok(folder),
            Node::File(_) => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn file_mut(&mut self, node: NodeId) -> io::Result<&mut FileNode> {
        match &mut self.nodes[node] {
            Node::File(file) => Ok(file),
            Node::Folder(_) => Err(ErrorKind::IsADirectory.into()),
        }
    }

    fn make(&mut self, path: &Path, node: Node) -> io::Result<NodeId> {
        let (folder, name) = self.place(path)?;
        self.nodes.push(node);
        let id = self.nodes.len() - 1;
        self.folder_mut(folder)?.add(&name, id);
        Ok(id)
    }

    fn unlink(&mut self, path: &Path, node: NodeId) -> io::Result<()> {
        let (folder, name) = self.place(path)?;
        self.folder_mut(folder)?.remove(&name, node);
        Ok(())
    }

    fn open(&mut self, path: &Path, how: Open) -> io::Result<NodeId> {
        match self.find(path) {
            Ok(_) if how == Open::New => Err(ErrorKind::AlreadyExists.into()),
            Ok(node) => {
                let file = self.file_mut(node)?;
                if how == Open::Replace {
                    file.set_length(0);
                }
                Ok(node)
            }
            Err(error) if error.kind() == ErrorKind::NotFound && how != Open::Read => {
                self.make(path, Node::File(FileNode::default()))
            }
            Err(error) => Err(error),
        }
    }

    /// Every file that has a name, in order.
    fn files(&self) -> Vec<(String, NodeId)> {
        let mut found = Vec::new();
        let mut open = vec![(String::new(), ROOT)];
        while let Some((path, node)) = open.pop() {
            match &self.nodes[node] {
                Node::File(_) => found.push((path, node)),
                Node::Folder(folder) => {
                    open.extend(folder.now.iter().map(|(name, node)| (format!("{path}/{name}"), *node)));
                }
            }
        }
        found.sort();
        found
    }
}

#[derive(Debug)]
struct SimFile {
    disk: Arc<SimDisk>,
    name: Box<Path>,
    node: NodeId,
    position: usize,
    append: bool,
    handle: u64,
    boot: u64,
}

impl SimFile {
    fn sync(&self) -> io::Result<()> {
        let failed = self.disk.point(Op::Sync, &self.name);
        let mut inside = self.inside()?;
        let file = inside.file_mut(self.node)?;
        match failed {
            Ok(()) if self.disk.sim.lies(Op::Sync, &self.name) => {}
            Ok(()) => file.sync(),
            Err(_) => self.disk.sim.with_random(|random| file.sync_fails(random)),
        }
        failed
    }

    fn inside(&self) -> io::Result<MutexGuard<'_, Inside>> {
        let inside = self.disk.inside();
        if inside.boot == self.boot {
            Ok(inside)
        } else {
            Err(io::Error::other("opened before the power cut"))
        }
    }
}

impl Read for SimFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.disk.point(Op::Read, &self.name)?;
        let mut inside = self.inside()?;
        let file = inside.file_mut(self.node)?;
        let rest = file.now.get(self.position..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        drop(inside);
        self.position += count;
        Ok(count)
    }
}

impl Write for SimFile {
    /// A process that is killed while it writes, and a disk that fills up, leave a part of it.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let verdict = self.disk.sim.decide(Op::Write, &self.name);
        let mut inside = self.inside()?;
        let file = inside.file_mut(self.node)?;
        let at = if self.append { file.now.len() } else { self.position };
        let has_room = file.reserved >= (at + bytes.len()) as u64;
        let kept = match verdict {
            Verdict::Go => bytes.len(),
            Verdict::Fail(Fault::Full) if has_room => bytes.len(),
            Verdict::Fail(Fault::ReadOnly) => 0,
            Verdict::Fail(_) | Verdict::Die => {
                self.disk.sim.with_random(|random| random.index(bytes.len() + 1))
            }
        };
        file.write(at, &bytes[..kept]);
        drop(inside);
        self.position = at + kept;
        match verdict {
            Verdict::Die => self.disk.sim.die(),
            // What was written in part is told first; the next attempt hears why there is no more.
            Verdict::Fail(fault) if kept == 0 => Err(fault.error()),
            Verdict::Go | Verdict::Fail(_) => Ok(kept),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn sync_data(&self) -> io::Result<()> {
        self.sync()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync()
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.disk.point(Op::SetLength, &self.name)?;
        self.inside()?.file_mut(self.node)?.set_length(usize::try_from(length).map_err(io::Error::other)?);
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        self.disk.point(Op::Look, &self.name)?;
        Ok(self.inside()?.file_mut(self.node)?.now.len() as u64)
    }

    fn reserve(&self, length: u64) -> io::Result<()> {
        self.disk.point(Op::Reserve, &self.name)?;
        self.inside()?.file_mut(self.node)?.reserved = length;
        Ok(())
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut inside = self.disk.inside();
        if inside.locks.get(&self.node) == Some(&self.handle) && inside.boot == self.boot {
            inside.locks.remove(&self.node);
        }
    }
}
