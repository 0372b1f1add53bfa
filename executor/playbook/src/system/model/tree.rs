//! Where a path leads in the model, and what lies over the machine's tree.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::Model;
use super::content::Held;
use crate::system::tree::{LastLink, MAX_LINKS, components, refuse_strangers, refuse_too_long};
use crate::system::{FileKind, Metadata};

/// Greatest name of one file, bytes: `NAME_MAX`.
const MAX_NAME_BYTES: usize = 255;
/// What a dry run may hold of files that would be made, bytes.
const MAX_OVERLAY_BYTES: usize = 16 * 1024 * 1024;
/// What one entry takes besides its path and content, bytes: an estimate.
const ENTRY_BYTES: usize = 256;

/// Something at a path.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) is: Metadata,
    pub(super) body: Body,
}

/// Where the inside of it comes from.
#[derive(Clone)]
pub(super) enum Body {
    /// From the machine, at the same path.
    Machine,
    File(Held),
    /// A new directory: nothing of the machine is in it.
    Directory,
    Link(PathBuf),
}

/// A place without any link on the way to it.
pub(super) struct Spot {
    pub(super) path: PathBuf,
    /// It is the root, or the path ended in `..`: there is no name to make or remove.
    pub(super) nameless: bool,
}

impl Spot {
    /// The folder that the name is in.
    pub(super) fn folder(&self) -> &Path {
        let parent = self.path.parent().filter(|_| !self.nameless);
        parent.unwrap_or(&self.path)
    }
}

/// What would be different from the machine, by path; `None`: it, and all that the machine has below it, would be gone.
#[derive(Default)]
pub(super) struct Overlay {
    laid: BTreeMap<PathBuf, Option<Node>>,
    bytes: usize,
}

impl Overlay {
    /// Lays something over what is at a path.
    pub(super) fn lay(&mut self, path: PathBuf, node: Option<Node>) -> io::Result<()> {
        let bytes = size_of(&path, node.as_ref());
        let old = self.laid.get(&path).map_or(0, |old| size_of(&path, old.as_ref()));
        if self.bytes + bytes > MAX_OVERLAY_BYTES + old {
            let limit = MAX_OVERLAY_BYTES / 1024 / 1024;
            let message = format!(
                "a dry run can hold {limit} MiB of what would be changed: try parts of the script, by tags"
            );
            return Err(io::Error::other(message));
        }
        self.bytes = self.bytes + bytes - old;
        self.laid.insert(path, node);
        Ok(())
    }

    /// Forgets all that was laid below a path.
    pub(super) fn remove_below(&mut self, path: &Path) {
        let inside: Vec<PathBuf> = self.entries_below(path).map(|(path, _)| path.clone()).collect();
        for path in inside {
            if let Some(node) = self.laid.remove(&path) {
                self.bytes -= size_of(&path, node.as_ref());
            }
        }
    }

    /// What was laid below a path and is something.
    pub(super) fn below(&self, path: &Path) -> Vec<PathBuf> {
        let there = self.entries_below(path).filter(|(_, node)| node.is_some());
        there.map(|(path, _)| path.clone()).collect()
    }

    /// Whether what the machine has at a path still shows, whether or not it has something there.
    pub(super) fn shows_machine(&self, path: &Path) -> bool {
        let nearest = path.ancestors().find_map(|above| self.laid.get(above));
        nearest.is_none_or(|node| node.as_ref().is_some_and(|node| matches!(node.body, Body::Machine)))
    }

    fn entries_below(&self, path: &Path) -> impl Iterator<Item = (&PathBuf, &Option<Node>)> {
        let from = self.laid.range(path.to_owned()..);
        from.take_while(move |(entry, _)| entry.starts_with(path)).filter(move |(entry, _)| *entry != path)
    }
}

fn size_of(path: &Path, node: Option<&Node>) -> usize {
    let content = match node.map(|node| &node.body) {
        Some(Body::File(held)) => held.memory_bytes(),
        Some(Body::Link(target)) => target.as_os_str().len(),
        _ => 0,
    };
    ENTRY_BYTES + path.as_os_str().len() + content
}

impl Model<'_> {
    /// What is at a path on whose way there is no link.
    pub(super) fn node(&mut self, path: &Path) -> io::Result<Option<Node>> {
        if let Some(node) = self.overlay.laid.get(path) {
            return Ok(node.clone());
        }
        if !self.overlay.shows_machine(path) {
            return Ok(None);
        }
        let is = self.machine.link_metadata(path)?;
        Ok(is.map(|is| Node { is, body: Body::Machine }))
    }

    /// What is at a place. A folder without a name is looked at from within.
    pub(super) fn at(&mut self, spot: &Spot) -> io::Result<Option<Node>> {
        if spot.nameless {
            self.refuse_searching(&spot.path)?;
        }
        self.node(&spot.path)
    }

    /// Finds the place that a path names, as [`walk`](super::super::tree::walk) does on the machine.
    pub(super) fn walk(&mut self, path: &Path, last: LastLink) -> io::Result<Spot> {
        refuse_too_long(path)?;
        let mut folder = PathBuf::from("/");
        let mut rest: VecDeque<OsString> = components(path.as_os_str()).collect();
        let (mut links, mut strangers) = (0, Vec::new());
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                folder.pop();
                continue;
            }
            self.refuse_searching(&folder)?;
            if name.len() > MAX_NAME_BYTES {
                return Err(Errno::ENAMETOOLONG.into());
            }
            let (path, is_last) = (folder.join(&name), rest.is_empty());
            if is_last && last == LastLink::Keep {
                return self.end(Spot { path, nameless: false }, &strangers);
            }
            let node = self.node(&path)?;
            let target = node.as_ref().map_or(Ok(None), |node| self.target_of(&path, node))?;
            if let Some(target) = target {
                let owner = node.as_ref().map_or(0, |link| link.is.uid);
                strangers.extend((owner != 0 && owner != self.actor.uid).then_some(owner));
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::ELOOP.into());
                }
                if target.is_absolute() {
                    folder = PathBuf::from("/");
                }
                components(target.as_os_str()).rev().for_each(|component| rest.push_front(component));
            } else if is_last {
                return self.end(Spot { path, nameless: false }, &strangers);
            } else if node.ok_or(Errno::ENOENT)?.is.kind == FileKind::Directory {
                folder = path;
            } else {
                return Err(Errno::ENOTDIR.into());
            }
        }
        self.end(Spot { path: folder, nameless: true }, &strangers)
    }

    /// Where the way ended, unless a link of somebody led to what is somebody else's.
    fn end(&mut self, spot: Spot, strangers: &[u32]) -> io::Result<Spot> {
        if strangers.is_empty() {
            return Ok(spot);
        }
        let folder = if spot.nameless { spot.path.clone() } else { spot.folder().to_owned() };
        let owners = [self.node(&folder)?, self.node(&spot.path)?].map(|node| node.map(|node| node.is.uid));
        refuse_strangers(strangers, owners)?;
        Ok(spot)
    }

    /// Where something leads, when it is a link.
    pub(super) fn target_of(&mut self, path: &Path, node: &Node) -> io::Result<Option<PathBuf>> {
        match &node.body {
            Body::Link(target) => Ok(Some(target.clone())),
            Body::Machine if node.is.kind == FileKind::Link => Ok(self.machine.read_link(path)?),
            _ => Ok(None),
        }
    }
}
