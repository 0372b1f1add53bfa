//! The machine as it would be after the tasks of a dry run so far: what they would change lies over what is there.
//!
//! It must never change the machine, and must refuse what the machine would refuse, in the same words.

mod content;
mod permissions;
#[cfg(test)]
mod tests;
mod tree;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::errno::Errno;

use self::content::Held;
use self::tree::{Body, Node, Overlay, Spot};
use super::host::{ancestors, attributes_of, source_path, writing};
use super::replace::Owned;
use super::tree::{LastLink, refuse_too_long};
use super::{
    Actor, Attributes, Content, FileKind, MAX_TREE_ENTRIES, Metadata, Program, ProgramEnd, System,
    SystemError, reading, users,
};
use crate::Barrier;

/// A machine, and over it what would have been changed.
pub(crate) struct Model<'a> {
    machine: &'a mut dyn System,
    overlay: Overlay,
    /// Who acts.
    actor: Actor,
    /// Further groups of this process: they stay, whoever it acts as.
    groups: Vec<u32>,
}

/// Further groups of this process.
fn own_groups() -> Vec<u32> {
    let groups = nix::unistd::getgroups().unwrap_or_default();
    groups.into_iter().map(nix::unistd::Gid::as_raw).collect()
}

impl<'a> Model<'a> {
    pub(crate) fn new(machine: &'a mut dyn System) -> Self {
        Self { machine, overlay: Overlay::default(), actor: Actor::own(), groups: own_groups() }
    }

    /// What a path means, and what is there. `Ok(None)`: a folder on the way is not there either.
    fn look(&mut self, path: &Path, last: LastLink) -> io::Result<Option<(Spot, Node)>> {
        let spot = match self.walk(path, last) {
            Err(error) if is_missing(&error) => return Ok(None),
            spot => spot?,
        };
        let node = self.at(&spot)?;
        Ok(node.map(|node| (spot, node)))
    }

    /// What is at a path, where there must be something.
    fn expect(&mut self, path: &Path, last: LastLink) -> io::Result<(Spot, Node)> {
        self.look(path, last)?.ok_or_else(|| Errno::ENOENT.into())
    }

    /// Owner and group of what the actor makes in a folder.
    fn newcomer(&mut self, folder: &Path) -> io::Result<(u32, u32)> {
        let folder = self.node(folder)?.map(|node| node.is);
        let inherited = folder.filter(|is| is.mode & 0o2000 != 0).map(|is| is.gid);
        Ok((self.actor.uid, inherited.unwrap_or(self.actor.gid)))
    }

    fn make_one_directory(&mut self, path: &Path, attributes: Attributes) -> io::Result<()> {
        let spot = self.walk(path, LastLink::Follow)?;
        if spot.nameless || self.node(&spot.path)?.is_some() {
            return Ok(());
        }
        let folder = spot.folder().to_owned();
        self.refuse_writing(&folder)?;
        let (uid, gid) = self.newcomer(&folder)?;
        let is = Metadata { kind: FileKind::Directory, mode: 0o755, uid, gid, size_bytes: 0 };
        self.overlay.lay(spot.path.clone(), Some(Node { is, body: Body::Directory }))?;
        self.give(&spot, Attributes { mode: attributes.mode.or(Some(0o755)), ..attributes })
    }

    /// Changes owner, group and mode as the kernel would: a change of owner takes set-id bits of a file away.
    fn give(&mut self, spot: &Spot, attributes: Attributes) -> io::Result<()> {
        if attributes == Attributes::default() {
            return Ok(());
        }
        let mut node = self.node(&spot.path)?.ok_or(Errno::ENOENT)?;
        let is = &mut node.is;
        self.refuse_giving(&spot.path, is, attributes)?;
        if attributes.uid.is_some() || attributes.gid.is_some() {
            is.uid = attributes.uid.unwrap_or(is.uid);
            is.gid = attributes.gid.unwrap_or(is.gid);
            if is.kind != FileKind::Directory {
                let group_bit = if is.mode & 0o010 == 0 { 0 } else { 0o2000 };
                is.mode &= !(0o4000 | group_bit);
            }
        }
        is.mode = attributes.mode.map_or(is.mode, |mode| mode & 0o7777);
        self.overlay.lay(spot.path.clone(), Some(node))
    }

    fn lay_file(
        &mut self,
        path: &Path,
        attributes: Attributes,
        mode_if_new: u32,
        hold: impl FnOnce(&mut Self) -> Result<(Held, u64), SystemError>,
    ) -> Result<(), SystemError> {
        let spot = self
            .walk(path, LastLink::Follow)
            .map_err(|error| SystemError::below_folder("write", path, &error))?;
        let old = self.at(&spot).map_err(writing(path))?.map(|node| node.is);
        if let Some(old) = old.filter(|old| old.kind != FileKind::File) {
            return Err(SystemError::in_the_way(path, old.kind));
        }
        let (held, size_bytes) = hold(self)?;
        let owned = Owned::choose(attributes, old.as_ref(), mode_if_new, Some(self.actor));
        self.refuse_putting(&spot, old.as_ref(), owned).map_err(writing(path))?;
        let (kind, mode) = (FileKind::File, owned.mode & 0o7777);
        let is = Metadata { kind, mode, uid: owned.uid, gid: owned.gid, size_bytes };
        let node = Node { is, body: Body::File(held) };
        self.overlay.lay(spot.path, Some(node)).map_err(writing(path))
    }

    fn link(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        let spot = self.walk(path, LastLink::Keep)?;
        let folder = spot.folder().to_owned();
        self.refuse_writing(&folder)?;
        if spot.nameless {
            return Err(Errno::EBUSY.into());
        }
        if let Some(old) = self.node(&spot.path)? {
            self.refuse_replacing(&folder, &old.is)?;
            if old.is.kind == FileKind::Directory {
                return Err(Errno::EISDIR.into());
            }
        }
        let (uid, gid) = self.newcomer(&folder)?;
        let size_bytes = target.as_os_str().len() as u64;
        let is = Metadata { kind: FileKind::Link, mode: 0o777, uid, gid, size_bytes };
        self.overlay.lay(spot.path, Some(Node { is, body: Body::Link(target.to_owned()) }))
    }

    fn unlink(&mut self, path: &Path) -> io::Result<()> {
        let (spot, node) = self.expect(path, LastLink::Keep)?;
        if spot.nameless {
            return Err(Errno::EISDIR.into());
        }
        self.refuse_removing(&spot, &node.is)?;
        if node.is.kind == FileKind::Directory {
            return Err(Errno::EISDIR.into());
        }
        self.remove(spot)
    }

    fn remove(&mut self, spot: Spot) -> io::Result<()> {
        self.overlay.remove_below(&spot.path);
        self.overlay.lay(spot.path, None)
    }

    fn refuse_listing(&mut self, folder: &Path, inside: &[PathBuf], shown: &Path) -> Result<(), SystemError> {
        match self.first_unlistable(folder, inside) {
            Some((entry, error)) => Err(reading(&shown_as(&entry, folder, shown))(error)),
            None => Ok(()),
        }
    }

    /// What the actor may not remove stays, and all that would come after it.
    fn empty(&mut self, folder: &Path, inside: &[PathBuf], shown: &Path) -> Result<(), SystemError> {
        let Some((last, error)) = self.last_refused(inside) else { return Ok(()) };
        let refused = SystemError::new("remove", &shown_as(&inside[last], folder, shown), &error);
        for entry in inside[last + 1..].iter().rev() {
            self.overlay.lay(entry.clone(), None).map_err(writing(entry))?;
        }
        Err(refused)
    }

    /// All that is in a directory and below it, by the model's own paths, those above before those below; `shown` is how the
    /// directory was asked for.
    fn entries(&mut self, folder: &Path, node: &Node, shown: &Path) -> Result<Vec<PathBuf>, SystemError> {
        let is_machine = matches!(node.body, Body::Machine);
        let mut all = if is_machine { self.machine.list_tree(folder)? } else { Vec::new() };
        all.retain(|entry| self.overlay.shows_machine(entry));
        all.extend(self.overlay.below(folder));
        all.sort();
        all.dedup();
        if all.len() > MAX_TREE_ENTRIES {
            return Err(SystemError::too_many(shown));
        }
        Ok(all)
    }
}

/// Something in a folder, by the path by which the folder was asked for.
fn shown_as(entry: &Path, folder: &Path, shown: &Path) -> PathBuf {
    match entry.strip_prefix(folder) {
        Ok(rest) if !rest.as_os_str().is_empty() => shown.join(rest),
        _ => shown.to_owned(),
    }
}

fn is_missing(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ENOENT as i32)
}

impl System for Model<'_> {
    fn metadata(&mut self, path: &Path) -> Result<Option<Metadata>, SystemError> {
        Ok(self.look(path, LastLink::Follow).map_err(reading(path))?.map(|(_, node)| node.is))
    }

    fn link_metadata(&mut self, path: &Path) -> Result<Option<Metadata>, SystemError> {
        Ok(self.look(path, LastLink::Keep).map_err(reading(path))?.map(|(_, node)| node.is))
    }

    fn open(&mut self, path: &Path) -> Result<File, SystemError> {
        self.open_held(path)
    }

    fn open_of_script(&mut self, path: &Path) -> io::Result<File> {
        self.machine.open_of_script(path)
    }

    fn read(&mut self, path: &Path, max_bytes: u64) -> Result<Vec<u8>, SystemError> {
        let (held, length) = self.held_at(path).map_err(reading(path))?;
        if length > max_bytes {
            return Err(SystemError::too_long(path, max_bytes));
        }
        self.bytes_of(&held, path, max_bytes)
    }

    fn holds(&mut self, path: &Path, content: &Content<'_>) -> Result<bool, SystemError> {
        let is = self.held_at(path).map_err(reading(path))?;
        if let (Held::Machine(on_machine), Content::Stream(_)) = (&is.0, content) {
            return self.machine.holds(on_machine, content);
        }
        let wanted = self.hold(content).map_err(reading(source_path(content, path)))?;
        self.same(is, wanted).map_err(reading(path))
    }

    fn put_file(
        &mut self,
        path: &Path,
        content: &Content<'_>,
        attributes: Attributes,
        mode_if_new: u32,
    ) -> Result<(), SystemError> {
        self.lay_file(path, attributes, mode_if_new, |model| {
            model.hold(content).map_err(reading(source_path(content, path)))
        })
    }

    fn expect_file(
        &mut self,
        path: &Path,
        sha256: [u8; 32],
        attributes: Attributes,
        mode_if_new: u32,
    ) -> Result<(), SystemError> {
        // How long it is will be known when it is there.
        self.lay_file(path, attributes, mode_if_new, |_| Ok((Held::Digest(sha256), 0)))
    }

    fn make_directory(&mut self, path: &Path, attributes: Attributes) -> Result<(), SystemError> {
        let making = |source: io::Error| SystemError::new("make the directory", path, &source);
        refuse_too_long(path).map_err(making)?;
        for ancestor in ancestors(path) {
            self.make_one_directory(ancestor, attributes_of(ancestor == path, attributes)).map_err(making)?;
        }
        Ok(())
    }

    fn set_attributes(&mut self, path: &Path, attributes: Attributes) -> Result<(), SystemError> {
        self.walk(path, LastLink::Follow)
            .and_then(|spot| self.give(&spot, attributes))
            .map_err(|source| SystemError::new("set owner, group or mode of", path, &source))
    }

    fn list_tree(&mut self, path: &Path) -> Result<Vec<PathBuf>, SystemError> {
        let (spot, node) = self.expect(path, LastLink::Follow).map_err(reading(path))?;
        if node.is.kind != FileKind::Directory {
            return Err(reading(path)(Errno::ENOTDIR.into()));
        }
        let found = self.entries(&spot.path, &node, path)?;
        self.refuse_listing(&spot.path, &found, path)?;
        Ok(found.iter().map(|entry| shown_as(entry, &spot.path, path)).collect())
    }

    fn read_link(&mut self, path: &Path) -> Result<Option<PathBuf>, SystemError> {
        let target = self.walk(path, LastLink::Keep).and_then(|spot| match self.node(&spot.path)? {
            Some(node) => self.target_of(&spot.path, &node),
            None => Ok(None),
        });
        if target.as_ref().is_err_and(is_missing) {
            return Ok(None);
        }
        target.map_err(|error| SystemError::new("read the link", path, &error))
    }

    fn make_link(&mut self, path: &Path, target: &Path) -> Result<(), SystemError> {
        self.link(path, target).map_err(|error| SystemError::below_folder("make the link", path, &error))
    }

    fn remove_file(&mut self, path: &Path) -> Result<(), SystemError> {
        self.unlink(path).map_err(|error| SystemError::new("remove", path, &error))
    }

    fn remove_directory(&mut self, path: &Path, recurse: bool) -> Result<(), SystemError> {
        let removing = |error: io::Error| SystemError::new("remove", path, &error);
        let spot = self.walk(path, LastLink::Keep).map_err(removing)?;
        if spot.nameless {
            return Err(SystemError::never_removed(path));
        }
        let (_, node) = self.expect(path, LastLink::Keep).map_err(removing)?;
        if node.is.kind != FileKind::Directory {
            return Err(removing(Errno::ENOTDIR.into()));
        }
        let inside = self.entries(&spot.path, &node, path);
        // An empty directory can be removed without looking into it, and perhaps it may not be looked into.
        let inside = if recurse { inside? } else { inside.unwrap_or_default() };
        if recurse {
            self.refuse_listing(&spot.path, &inside, path)?;
            self.empty(&spot.path, &inside, path)?;
        }
        self.refuse_removing(&spot, &node.is).map_err(removing)?;
        if !recurse && !inside.is_empty() {
            return Err(removing(Errno::ENOTEMPTY.into()));
        }
        self.remove(spot).map_err(removing)
    }

    fn user_id(&mut self, user: &str) -> Result<u32, SystemError> {
        users::user_id(self, user)
    }

    fn group_id(&mut self, group: &str) -> Result<u32, SystemError> {
        users::group_id(self, group)
    }

    fn user_name(&mut self, uid: u32) -> String {
        users::user_name(self, uid)
    }

    fn group_name(&mut self, gid: u32) -> String {
        users::group_name(self, gid)
    }

    fn act_as(&mut self, actor: Option<Actor>) -> Result<(), SystemError> {
        self.machine.act_as(actor)?;
        // The machine would judge by the modes that it has; the model judges by those that it would have.
        self.machine.act_as(None)?;
        self.actor = actor.unwrap_or_else(Actor::own);
        self.groups = own_groups();
        Ok(())
    }

    fn own_group(&mut self, uid: u32) -> Result<u32, SystemError> {
        users::own_group(self, uid)
    }

    fn is_read_only(&mut self, folder: &Path) -> bool {
        self.machine.is_read_only(folder)
    }

    fn has_tool(&mut self, name: &str) -> bool {
        self.machine.has_tool(name)
    }

    fn lock_users(&mut self, _: Instant) -> Result<Option<std::fs::File>, SystemError> {
        Ok(None)
    }

    /// Nothing is changed.
    fn guard(&mut self, _: Barrier) {}

    fn query(&mut self, program: &Program<'_>) -> Result<ProgramEnd, SystemError> {
        self.machine.act_as(Some(self.actor))?;
        let end = self.machine.query(program);
        self.machine.act_as(None)?;
        end
    }

    fn run(&mut self, _: &Program<'_>) -> Result<ProgramEnd, SystemError> {
        Err(SystemError::text("a dry run runs no program that may change something"))
    }
}
