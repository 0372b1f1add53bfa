//! How files, directories and all that is in them are removed, whatever somebody else does there meanwhile.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::{HostSystem, kind_of};
use crate::system::tree::{FOLDER, LastLink, below, walk};
use crate::system::{FileKind, System as _, SystemError, replace};

impl HostSystem {
    /// Before anything in it is removed.
    pub(super) fn refuse_all_but_directories(&self, path: &Path) -> Result<(), SystemError> {
        let removing = |source: io::Error| SystemError::new("remove", path, &source);
        let place = walk(&self.root, path, LastLink::Keep).map_err(removing)?;
        if place.is_nameless() {
            return Err(SystemError::never_removed(path));
        }
        // What a link leads to must not be emptied.
        match place.stat().map_err(removing)? {
            Some(stat) if kind_of(&stat) == FileKind::Directory => Ok(()),
            Some(_) => Err(removing(Errno::ENOTDIR.into())),
            None => Err(removing(Errno::ENOENT.into())),
        }
    }

    pub(super) fn remove(&self, path: &Path, flags: UnlinkatFlags) -> Result<(), SystemError> {
        let removing = |source: io::Error| SystemError::new("remove", path, &source);
        let place = walk(&self.root, path, LastLink::Keep).map_err(removing)?;
        self.pending.pass().map_err(removing)?;
        unlinkat(&place.folder, place.name.as_os_str(), flags).map_err(|errno| removing(errno.into()))?;
        replace::sync_folder(&place.folder).map_err(removing)
    }

    /// Removes all that is in a directory. It may belong to somebody who changes it meanwhile, so that no link in it is followed.
    pub(super) fn empty(&mut self, path: &Path) -> Result<(), SystemError> {
        let mut inside = self.list_tree(path)?;
        // What lies deeper comes later, and where one cannot be removed a dry run knows which were before it.
        inside.sort();
        let opening = |source: io::Error| SystemError::new("remove", path, &source);
        let place = walk(&self.root, path, LastLink::Keep).map_err(opening)?;
        let folder = openat(&place.folder, place.name.as_os_str(), FOLDER, Mode::empty())
            .map_err(|errno| opening(errno.into()))?;
        self.pending.pass().map_err(opening)?;
        for entry in inside.iter().rev() {
            let removed = remove_below(&folder, entry.strip_prefix(path).unwrap_or(entry));
            match removed {
                Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => {}
                other => other.map_err(|source| SystemError::new("remove", entry, &source))?,
            }
        }
        Ok(())
    }

    /// What is in a folder, and whether that is a folder in turn; `None`: it is more than this.
    pub(super) fn list(
        &mut self,
        path: &Path,
        most: usize,
    ) -> io::Result<Option<Vec<(std::ffi::OsString, bool)>>> {
        use std::os::unix::ffi::OsStrExt as _;
        let place = walk(&self.root, path, LastLink::Follow)?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut folder = Dir::openat(&place.folder, place.name.as_os_str(), flags, Mode::empty())?;
        let mut entries = Vec::new();
        for entry in folder.iter() {
            let name = std::ffi::OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
            if name == "." || name == ".." {
                continue;
            }
            if entries.len() == most {
                return Ok(None);
            }
            let child = self.stat(&path.join(&name), LastLink::Keep).map_err(io::Error::from)?;
            entries.push((name, child.is_some_and(|stat| kind_of(&stat) == FileKind::Directory)));
        }
        // The least is taken from the end of what is pending, so that the order is that of the paths.
        entries.sort_by(|(a, _), (b, _)| b.cmp(a));
        Ok(Some(entries))
    }
}

fn remove_below(folder: &OwnedFd, path: &Path) -> io::Result<()> {
    let place = below(folder, path)?;
    let is_folder = place.stat()?.is_some_and(|stat| kind_of(&stat) == FileKind::Directory);
    let flags = if is_folder { UnlinkatFlags::RemoveDir } else { UnlinkatFlags::NoRemoveDir };
    Ok(unlinkat(&place.folder, place.name.as_os_str(), flags)?)
}
