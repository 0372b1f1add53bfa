//! What the kernel would refuse the actor: by mode bits, and because a file system is read-only.
//!
//! Access lists and attributes such as "immutable" are not looked at.

use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::Model;
use super::tree::Spot;
use crate::system::replace::Owned;
use crate::system::{Attributes, FileKind, Metadata};

const READ: u32 = 4;
const WRITE: u32 = 2;
const SEARCH: u32 = 1;

impl Model<'_> {
    fn may(&self, is: &Metadata, wanted: u32) -> bool {
        let shift = match () {
            () if self.actor.uid == 0 => return true,
            () if is.uid == self.actor.uid => 6,
            () if self.is_of_group(is.gid) => 3,
            () => 0,
        };
        (is.mode >> shift) & wanted == wanted
    }

    fn is_of_group(&self, gid: u32) -> bool {
        gid == self.actor.gid || self.groups.contains(&gid)
    }

    pub(super) fn refuse_reading(&self, is: &Metadata) -> io::Result<()> {
        if self.may(is, READ) { Ok(()) } else { Err(Errno::EACCES.into()) }
    }

    pub(super) fn refuse_searching(&mut self, folder: &Path) -> io::Result<()> {
        self.refuse_in(folder, SEARCH)
    }

    /// The first folder that may not be looked into, of all that is in one, in the order in which the machine does it.
    pub(super) fn first_unlistable(
        &mut self,
        folder: &Path,
        inside: &[PathBuf],
    ) -> Option<(PathBuf, io::Error)> {
        if self.actor.uid == 0 {
            return None;
        }
        let listing = |error| (folder.to_owned(), error);
        if let Err(error) = self.refuse_in(folder, READ) {
            return Some(listing(error));
        }
        inside.iter().find_map(|entry| {
            let above = entry.parent().unwrap_or(folder);
            if let Err(error) = self.refuse_searching(above) {
                return Some((above.to_owned(), error));
            }
            let is = self.node(entry).ok()?.map(|node| node.is)?;
            let unreadable = is.kind == FileKind::Directory && !self.may(&is, READ);
            unreadable.then(|| (entry.clone(), Errno::EACCES.into()))
        })
    }

    /// Making or removing a name in a folder.
    pub(super) fn refuse_writing(&mut self, folder: &Path) -> io::Result<()> {
        self.refuse_read_only(folder)?;
        self.refuse_in(folder, WRITE | SEARCH)
    }

    fn refuse_in(&mut self, folder: &Path, wanted: u32) -> io::Result<()> {
        if self.actor.uid == 0 {
            return Ok(());
        }
        match self.node(folder)? {
            Some(node) if !self.may(&node.is, wanted) => Err(Errno::EACCES.into()),
            _ => Ok(()),
        }
    }

    fn refuse_read_only(&mut self, path: &Path) -> io::Result<()> {
        let machines = path.ancestors().find(|above| self.overlay.shows_machine(above));
        let is_read_only = machines.is_some_and(|folder| self.machine.is_read_only(folder));
        if is_read_only { Err(Errno::EROFS.into()) } else { Ok(()) }
    }

    /// In a folder with the sticky bit, names belong to their owners.
    pub(super) fn refuse_replacing(&mut self, folder: &Path, old: &Metadata) -> io::Result<()> {
        let me = self.actor.uid;
        let Some(folder) = self.node(folder)?.map(|node| node.is) else { return Ok(()) };
        let is_theirs = folder.mode & 0o1000 != 0 && old.uid != me && folder.uid != me;
        if me != 0 && is_theirs { Err(Errno::EPERM.into()) } else { Ok(()) }
    }

    /// A name shall be removed from its folder.
    pub(super) fn refuse_removing(&mut self, spot: &Spot, is: &Metadata) -> io::Result<()> {
        self.refuse_writing(spot.folder())?;
        self.refuse_replacing(spot.folder(), is)
    }

    /// Of what is to be removed, the last that may not be, and why: what lies deeper comes later, and goes first.
    pub(super) fn last_refused(&mut self, inside: &[PathBuf]) -> Option<(usize, io::Error)> {
        if self.actor.uid == 0 {
            return None;
        }
        let mut backwards = inside.iter().enumerate().rev();
        backwards.find_map(|(index, entry)| {
            let removable = self.node(entry).and_then(|node| {
                let spot = Spot { path: entry.clone(), nameless: false };
                node.map_or(Ok(()), |node| self.refuse_removing(&spot, &node.is))
            });
            removable.err().map(|error| (index, error))
        })
    }

    /// A file with this owner and group shall be put somewhere: it is made beside the old one, then given away.
    pub(super) fn refuse_putting(
        &mut self,
        spot: &Spot,
        old: Option<&Metadata>,
        owned: Owned,
    ) -> io::Result<()> {
        let folder = spot.folder().to_owned();
        self.refuse_writing(&folder)?;
        let (uid, gid) = self.newcomer(&folder)?;
        if self.actor.uid != 0 && (owned.uid != uid || (owned.gid != gid && !self.is_of_group(owned.gid))) {
            return Err(Errno::EPERM.into());
        }
        old.map_or(Ok(()), |old| self.refuse_replacing(&folder, old))
    }

    pub(super) fn refuse_giving(
        &mut self,
        path: &Path,
        is: &Metadata,
        attributes: Attributes,
    ) -> io::Result<()> {
        self.refuse_read_only(path)?;
        let is_owner = self.actor.uid == is.uid;
        let keeps_uid = attributes.uid.is_none_or(|uid| is_owner && uid == is.uid);
        let gid_is_mine = |gid| gid == is.gid || self.is_of_group(gid);
        let keeps_gid = attributes.gid.is_none_or(|gid| is_owner && gid_is_mine(gid));
        let may_set_mode = attributes.mode.is_none() || is_owner;
        if self.actor.uid == 0 || (keeps_uid && keeps_gid && may_set_mode) {
            return Ok(());
        }
        Err(Errno::EPERM.into())
    }
}
