//! What is at a path with all that belongs to it, for a backup.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, fstat};

use super::host::kind_of;
use super::lookup::open_at;
use super::tree::{FOLDER, LastLink, Place, below, walk_named};
use super::{FileKind, HostSystem, SystemError, reading};
use crate::undo::record::{Kept, Kind, Name, Was, hex};

/// Names of a file's extended attributes together, and one of their values: the kernel's own limits.
const MAX_ATTRIBUTE_BYTES: usize = 64 * 1024;

/// What is at a path.
pub(crate) struct Snapshot {
    /// All but the content.
    pub(crate) was: Was,
    /// A file's content.
    pub(crate) content: Option<File>,
    /// Of a file.
    pub(crate) bytes: u64,
    pub(super) stat: FileStat,
}

impl Snapshot {
    /// The record of a file's content with this digest.
    pub(crate) fn kept(&self, sha256: String, bytes: u64) -> Kept {
        let is = &self.stat;
        Kept { sha256, bytes, mtime_s: signed(is.st_mtime), mtime_ns: signed(is.st_mtime_nsec) }
    }
}

/// The kernel's numbers have other widths on other machines.
pub(super) fn unsigned(number: impl Into<i128>) -> u64 {
    u64::try_from(number.into()).unwrap_or(0)
}

fn signed(number: impl Into<i128>) -> i64 {
    i64::try_from(number.into()).unwrap_or(0)
}

impl HostSystem {
    /// The path of the very thing that a path names, without any link on the way.
    ///
    /// # Errors
    /// When a folder on the way is not there, or the way leads to what is somebody else's.
    pub(crate) fn real_path(&mut self, path: &Path, last: LastLink) -> Result<PathBuf, SystemError> {
        // A part of the way may be a file that waits for its name.
        self.place(path, last).map_err(reading(path))?;
        walk_named(&self.root, path, last).map(|(_, real)| real).map_err(reading(path))
    }

    /// The place of a path on which there is no link.
    pub(super) fn real_place(&self, real: &Path) -> io::Result<Place> {
        let root = nix::fcntl::open(&self.root, FOLDER.difference(OFlag::O_NOFOLLOW), Mode::empty())?;
        below(&root, real)
    }

    /// Gives a file one more name, outside of the tree, so that its very inode is kept; only within one file system.
    ///
    /// # Errors
    /// When it cannot have it.
    pub(crate) fn keep_name(&mut self, real: &Path, kept: &Path) -> io::Result<()> {
        let place = self.real_place(real)?;
        let (here, none) = (nix::fcntl::AT_FDCWD, nix::fcntl::AtFlags::empty());
        Ok(nix::unistd::linkat(&place.folder, place.name.as_os_str(), here, kept, none)?)
    }

    /// What is at a path on which there is no link; `None`: nothing.
    ///
    /// # Errors
    /// When it cannot be read whole.
    pub(crate) fn snapshot(&mut self, real: &Path) -> Result<Option<Snapshot>, SystemError> {
        let place = match self.real_place(real) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            place => place.map_err(reading(real))?,
        };
        if self.pending.is_in_the_way_of(&place).map_err(reading(real))? {
            self.pending.settle()?;
        }
        snapshot_at(&place).map_err(reading(real))
    }
}

pub(super) fn snapshot_at(place: &Place) -> io::Result<Option<Snapshot>> {
    let Some(mut stat) = place.stat()? else { return Ok(None) };
    let (mut attributes, mut content) = (Vec::new(), None);
    let inode = (stat.st_nlink > 1).then(|| (unsigned(stat.st_dev), unsigned(stat.st_ino)));
    let kind = match kind_of(&stat) {
        FileKind::File => {
            let file = open_at(place)?;
            // Of the very file: whoever may write to the folder can have put another one there meanwhile.
            stat = fstat(&file)?;
            attributes = attributes_of(&file)?;
            content = Some(file);
            Kind::File { content: None, inode }
        }
        FileKind::Directory => {
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let folder = openat(&place.folder, place.name.as_os_str(), flags, Mode::empty())?;
            attributes = attributes_of(&folder)?;
            Kind::Directory
        }
        FileKind::Link => {
            let target = readlinkat(&place.folder, place.name.as_os_str())?;
            Kind::Link { target: Name(target.into()) }
        }
        FileKind::Other => Kind::Special {
            file_type: stat.st_mode & nix::libc::S_IFMT,
            device: unsigned(stat.st_rdev),
            inode,
        },
    };
    let was = Was { kind, mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid, attributes };
    let bytes = u64::try_from(stat.st_size).unwrap_or(0);
    Ok(Some(Snapshot { was, content, bytes, stat }))
}

/// A file system without extended attributes has none.
pub(super) fn attributes_of(file: impl AsFd) -> io::Result<Vec<(Name, String)>> {
    use std::os::unix::ffi::OsStrExt as _;
    let mut names = vec![0_u8; MAX_ATTRIBUTE_BYTES];
    let length = match rustix::fs::flistxattr(&file, &mut names[..]) {
        Ok(length) => length,
        Err(rustix::io::Errno::NOTSUP) => return Ok(Vec::new()),
        Err(errno) => return Err(errno.into()),
    };
    let mut value = vec![0_u8; MAX_ATTRIBUTE_BYTES];
    let mut attributes = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        match rustix::fs::fgetxattr(&file, name, &mut value[..]) {
            Ok(size) => {
                attributes.push((Name(std::ffi::OsStr::from_bytes(name).into()), hex(&value[..size])))
            }
            // Taken away meanwhile, or not for us to see.
            Err(rustix::io::Errno::NODATA | rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    attributes.sort_by(|(a, _), (b, _)| a.0.cmp(&b.0));
    Ok(attributes)
}
