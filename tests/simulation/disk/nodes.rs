//! What is on the simulated disk: what programs see now, what is durable, and what lies between and may be lost.

use std::collections::BTreeMap;

use crate::random::Random;

/// A file system writes and loses whole sectors.
const SECTOR: usize = 512;

pub(crate) type NodeId = usize;

#[derive(Debug)]
pub(crate) enum Node {
    File(FileNode),
    Folder(FolderNode),
}

/// A file: its content now, its content after a power cut at the worst moment, and the changes that lie between.
#[derive(Debug, Default)]
pub(crate) struct FileNode {
    pub(crate) now: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
    /// Room that is kept free for it, up to this length.
    pub(crate) reserved: u64,
}

#[derive(Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    SetLength(usize),
}

/// A folder: the same for its names.
#[derive(Debug, Default)]
pub(crate) struct FolderNode {
    pub(crate) now: BTreeMap<String, NodeId>,
    durable: BTreeMap<String, NodeId>,
    pending: Vec<NameChange>,
}

#[derive(Debug)]
enum NameChange {
    Add(String, NodeId),
    Remove(String, NodeId),
    Move { from: String, to: String, node: NodeId },
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => {
                let end = at + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*at..end].copy_from_slice(bytes);
            }
            Self::SetLength(length) => content.resize(*length, 0),
        }
    }
}

impl FileNode {
    pub(crate) fn write(&mut self, at: usize, bytes: &[u8]) {
        self.change(Change::Write { at, bytes: bytes.to_vec() });
    }

    pub(crate) fn set_length(&mut self, length: usize) {
        self.change(Change::SetLength(length));
        self.reserved = self.reserved.min(length as u64);
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.pending.push(change);
    }

    pub(crate) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// A sync that failed: the kernel forgets which pages it owed, so a later one that succeeds does not bring them back.
    pub(crate) fn sync_fails(&mut self, random: &mut Random) {
        for change in self.pending.drain(..) {
            if random.percent(50) {
                change.apply(&mut self.durable);
            }
        }
    }

    /// Power is cut: what the file is afterwards. True when something was lost.
    pub(crate) fn cut(&mut self, random: &mut Random) -> bool {
        let before = std::mem::take(&mut self.now);
        let mut content = std::mem::take(&mut self.durable);
        match random.below(4) {
            _ if self.pending.is_empty() => {}
            0 => {}
            1 => self.pending.iter().for_each(|change| change.apply(&mut content)),
            2 => self.keep_beginning(&mut content, random),
            _ => self.keep_sectors(&mut content, random),
        }
        self.pending.clear();
        self.reserved = 0;
        self.durable.clone_from(&content);
        self.now = content;
        self.now != before
    }

    /// The first changes are kept, the last of them in part.
    fn keep_beginning(&self, content: &mut Vec<u8>, random: &mut Random) {
        let kept = random.index(self.pending.len());
        self.pending[..kept].iter().for_each(|change| change.apply(content));
        if let Change::Write { at, bytes } = &self.pending[kept] {
            let end = random.index(bytes.len() + 1);
            Change::Write { at: *at, bytes: bytes[..end].to_vec() }.apply(content);
        }
    }

    /// Any sectors are kept; where the file has grown, the others are zeros.
    fn keep_sectors(&self, content: &mut Vec<u8>, random: &mut Random) {
        let old = content.clone();
        self.pending.iter().for_each(|change| change.apply(content));
        for start in (0..content.len()).step_by(SECTOR) {
            if random.percent(50) {
                continue;
            }
            for at in start..content.len().min(start + SECTOR) {
                content[at] = old.get(at).copied().unwrap_or(0);
            }
        }
    }

    /// Flash that dies.
    pub(crate) fn damage(&mut self, damage: Damage) {
        match damage {
            Damage::Bit(at, bit) => {
                if let Some(byte) = self.now.get_mut(at) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            Damage::CutAt(length) => self.now.truncate(length),
        }
        self.durable.clone_from(&self.now);
        self.pending.clear();
    }
}

/// What dying flash does to a file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Damage {
    /// A bit of this byte is turned.
    Bit(usize, u8),
    /// The rest is missing.
    CutAt(usize),
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, NodeId>) {
        match self {
            Self::Add(name, node) => {
                names.insert(name.clone(), *node);
            }
            Self::Remove(name, node) => {
                if names.get(name) == Some(node) {
                    names.remove(name);
                }
            }
            Self::Move { from, to, node } => {
                if names.get(from) == Some(node) {
                    names.remove(from);
                }
                names.insert(to.clone(), *node);
            }
        }
    }
}

impl FolderNode {
    pub(crate) fn add(&mut self, name: &str, node: NodeId) {
        self.change(NameChange::Add(name.to_owned(), node));
    }

    pub(crate) fn remove(&mut self, name: &str, node: NodeId) {
        self.change(NameChange::Remove(name.to_owned(), node));
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str, node: NodeId) {
        self.change(NameChange::Move { from: from.to_owned(), to: to.to_owned(), node });
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.now);
        self.pending.push(change);
    }

    pub(crate) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// As with a file.
    pub(crate) fn sync_fails(&mut self, random: &mut Random) {
        for change in self.pending.drain(..) {
            if random.percent(50) {
                change.apply(&mut self.durable);
            }
        }
    }

    /// Power is cut: each change of a name is kept or lost by itself. True when something was lost.
    pub(crate) fn cut(&mut self, random: &mut Random) -> bool {
        let kept_percent = [0, 50, 100][random.index(3)];
        for change in self.pending.drain(..) {
            if random.percent(kept_percent) {
                change.apply(&mut self.durable);
            }
        }
        let lost = self.now != self.durable;
        self.now.clone_from(&self.durable);
        lost
    }
}
