//! Finds a path below a root without ever leaving it.
//!
//! Component by component with `openat`, never following a link by the kernel: a link is read and its target walked from
//! the root (absolute) or from its folder. This works the same on every kernel; `openat2` would not.
//!
//! A link of another user leads only to what is that user's: whoever owns a folder could otherwise have root change, or read, what lies
//! elsewhere, by a link put there at any time.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat};
use nix::unistd::{Uid, setfsuid};

/// Links followed on one path, as the kernel's own limit.
pub(super) const MAX_LINKS: usize = 40;

/// The kernel's own limit for a path, with its end (`PATH_MAX`): to walk longer ones would take for ever.
const MAX_PATH_BYTES: usize = 4096;

/// Refuses what the kernel would not take either.
pub(super) fn refuse_too_long(path: &Path) -> io::Result<()> {
    if path.as_os_str().len() < MAX_PATH_BYTES { Ok(()) } else { Err(Errno::ENAMETOOLONG.into()) }
}

/// What to do about a link at the end of a path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastLink {
    Follow,
    Keep,
}

/// A name in an opened folder. The name is never a link when links are followed, and may name nothing yet.
pub(super) struct Place {
    pub(super) folder: OwnedFd,
    /// `.` for the root itself, and for a path that ends in `..`.
    pub(super) name: OsString,
}

impl Place {
    /// What is there; `None`: nothing.
    pub(super) fn stat(&self) -> io::Result<Option<FileStat>> {
        match fstatat(&self.folder, self.name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// It is the root, or the path ended in `..`: there is no name to make or remove.
    pub(super) fn is_nameless(&self) -> bool {
        self.name == "."
    }
}

/// Finds the place that a path names. `Ok(None)`: a folder on the way is not there.
pub(super) fn find(root: &Path, path: &Path, last: LastLink) -> io::Result<Option<Place>> {
    match walk(root, path, last) {
        Ok(place) => Ok(Some(place)),
        Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Finds the place that a path names; a folder on the way that is not there is an error.
pub(super) fn walk(root: &Path, path: &Path, last: LastLink) -> io::Result<Place> {
    refuse_too_long(path)?;
    walk_named(root, path, last).map(|(place, _)| place)
}

/// As [`walk`], with the path of the place below the root, on which there is no link.
pub(super) fn walk_named(root: &Path, path: &Path, last: LastLink) -> io::Result<(Place, PathBuf)> {
    let mut real = PathBuf::from("/");
    let mut folders = vec![nix::fcntl::open(root, FOLDER.difference(OFlag::O_NOFOLLOW), Mode::empty())?];
    let mut rest: VecDeque<OsString> = components(path.as_os_str()).collect();
    let mut links = 0;
    let mut strangers = Vec::new();
    while let Some(name) = rest.pop_front() {
        let Some(folder) = folders.last() else { return Err(io::Error::other("no folder")) };
        if name == ".." {
            if folders.len() > 1 {
                folders.pop();
                real.pop();
            }
            continue;
        }
        let is_last = rest.is_empty();
        if !is_last && let Some(inside) = open_folder(folder, &name)? {
            folders.push(inside);
            real.push(name);
            continue;
        }
        if !(is_last && last == LastLink::Keep)
            && let Some((target, owner)) = link_target(folder, &name)?
        {
            strangers.extend(is_stranger(owner).then_some(owner));
            links += 1;
            if links > MAX_LINKS {
                return Err(Errno::ELOOP.into());
            }
            if target.as_bytes().starts_with(b"/") {
                folders.truncate(1);
                real = PathBuf::from("/");
            }
            for component in components(&target).collect::<Vec<_>>().into_iter().rev() {
                rest.push_front(component);
            }
            continue;
        }
        if !is_last {
            return Err(Errno::ENOTDIR.into());
        }
        real.push(&name);
        return Ok((end(folders, name, &strangers)?, real));
    }
    Ok((end(folders, OsString::from("."), &strangers)?, real))
}

/// Where the way ended, unless a link of somebody led to what is somebody else's.
fn end(mut folders: Vec<OwnedFd>, name: OsString, strangers: &[u32]) -> io::Result<Place> {
    let place = Place { folder: folders.pop().ok_or_else(|| io::Error::other("no folder"))?, name };
    if strangers.is_empty() {
        return Ok(place);
    }
    let owners = [Some(fstat(&place.folder)?), place.stat()?].map(|is| is.map(|is| is.st_uid));
    refuse_strangers(strangers, owners)?;
    Ok(place)
}

/// Refuses a way by links of these users, unless each of them owns the folder or what is in it at the end.
pub(super) fn refuse_strangers(strangers: &[u32], owners: [Option<u32>; 2]) -> io::Result<()> {
    match strangers.iter().find(|stranger| !owners.contains(&Some(**stranger))) {
        None => Ok(()),
        Some(user) => {
            Err(io::Error::other(format!("a link of user {user} leads to what is not that user's there")))
        }
    }
}

/// Whether somebody other than root and the one who acts here has this number.
pub(super) fn is_stranger(uid: u32) -> bool {
    // No user has this number: nothing is set, and who acts is told.
    uid != 0 && uid != setfsuid(Uid::from_raw(u32::MAX)).as_raw()
}

/// Finds a place below a folder that is open already. No part of the way may be a link: whoever owns a folder in it could put one there
/// at any time, and what is done as root would be done elsewhere.
pub(super) fn below(folder: &OwnedFd, path: &Path) -> io::Result<Place> {
    let mut names: VecDeque<OsString> = components(path.as_os_str()).collect();
    let name = names.pop_back().unwrap_or_else(|| OsString::from("."));
    let mut at = folder.try_clone()?;
    for name in names {
        at = openat(&at, name.as_os_str(), FOLDER, Mode::empty())?;
    }
    Ok(Place { folder: at, name })
}

/// Opens a folder only to look names up in it; a link is refused.
pub(super) const FOLDER: OFlag =
    OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// `None`: it is a link, or no folder.
fn open_folder(folder: &OwnedFd, name: &OsStr) -> io::Result<Option<OwnedFd>> {
    match openat(folder, name, FOLDER, Mode::empty()) {
        Ok(inside) => Ok(Some(inside)),
        // Which of the two a link gives depends on the kernel.
        Err(Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

pub(super) fn components(path: &OsStr) -> impl DoubleEndedIterator<Item = OsString> + '_ {
    let parts = path.as_bytes().split(|byte| *byte == b'/');
    parts.filter(|part| !part.is_empty() && *part != b".").map(|part| OsStr::from_bytes(part).to_owned())
}

/// Where a link leads, and whose it is; `None`: it is no link.
fn link_target(folder: &OwnedFd, name: &OsStr) -> io::Result<Option<(OsString, u32)>> {
    match readlinkat(folder, name) {
        Ok(_) => {}
        Err(Errno::EINVAL | Errno::ENOENT) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    }
    // Opened, so that both are of the same link.
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let link = openat(folder, name, flags, Mode::empty())?;
    Ok(Some((readlinkat(&link, "")?, fstat(&link)?.st_uid)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn below_an_open_folder_no_link_leads_on() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir_all(inside.path().join("a/b")).unwrap();
        std::fs::write(outside.path().join("file"), "x").unwrap();
        symlink(outside.path(), inside.path().join("a/swapped")).unwrap();
        let folder = nix::fcntl::open(inside.path(), FOLDER, Mode::empty()).unwrap();
        assert!(below(&folder, Path::new("a/b")).unwrap().stat().unwrap().is_some());
        assert!(below(&folder, Path::new("a/swapped")).unwrap().stat().unwrap().is_some(), "the link itself");
        assert!(below(&folder, Path::new("a/swapped/file")).is_err());
    }
}
