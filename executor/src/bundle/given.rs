//! The folder that the agent names. Whoever can write there may have put anything there: links, pipes, other files while we
//! read. So it is opened part by part, no link is followed, and nothing of its content is ever shown.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use keros_platform::is_damaged;
use keros_protocol::RefusalReason;
use keros_protocol::magic_link::{Descriptor, Digest};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, SFlag, fstatat};

use super::Trouble;
use super::content::{CopyError, copy};
use crate::exit::Failure;

/// The folder `blobs/sha256` below what the agent named.
#[derive(Debug)]
pub(crate) struct Given {
    blobs: OwnedFd,
}

/// A blob that is there: not a word yet about its content.
pub(super) struct Blob {
    file: File,
    /// Its length when it was opened.
    pub(super) length: u64,
    /// What it is called in messages.
    name: String,
}

impl Given {
    /// Opens the folder. Links above it are followed: a gateway may keep its state elsewhere. Below it none is.
    pub(super) fn open(folder: Option<&Path>) -> Result<Self, Trouble> {
        let refuse = |detail: &str| Trouble::refused(RefusalReason::NotFound, detail);
        let folder = folder.ok_or_else(|| refuse("the agent has brought no bundle with the command"))?;
        let is_plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
        if !folder.is_absolute() || !folder.components().all(is_plain) {
            return Err(refuse("the folder of the bundle is no absolute path, or has `..` in it"));
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let opened = open(folder, flags, Mode::empty())
            .and_then(|folder| openat(folder, "blobs", flags, Mode::empty()))
            .and_then(|blobs| openat(blobs, "sha256", flags, Mode::empty()));
        match opened {
            Ok(blobs) => Ok(Self { blobs }),
            Err(errno) if is_absent(errno) => {
                Err(refuse("there is no folder blobs/sha256 in what the agent has brought"))
            }
            Err(errno) => Err(unreadable("what the agent has brought", errno.into())),
        }
    }

    /// Opens a blob; `name` is what to call it.
    pub(super) fn blob(&self, digest: Digest, name: &str) -> Result<Blob, Trouble> {
        let file_name = digest.hex();
        let not_found =
            |what: &str| Trouble::refused(RefusalReason::NotFound, format!("{name} ({digest}) {what}"));
        let no_file = || not_found("is not a regular file in what the agent has brought");
        let failed = |errno: Errno| unreadable(&format!("{name} of the bundle"), errno.into());
        // To open a device may do something; nobody but root can put one there after this look.
        match fstatat(&self.blobs, file_name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(found) if SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG => {}
            Ok(_) => return Err(no_file()),
            Err(errno) if is_absent(errno) => return Err(not_found("is not in what the agent has brought")),
            Err(errno) => return Err(failed(errno)),
        }
        // Without O_NONBLOCK a named pipe that was put there meanwhile would hang us.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = match openat(&self.blobs, file_name.as_str(), flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(errno) if is_absent(errno) => return Err(no_file()),
            Err(errno) => return Err(failed(errno)),
        };
        let found = file.metadata().map_err(|error| unreadable(&format!("{name} of the bundle"), error))?;
        if !found.is_file() {
            return Err(no_file());
        }
        Ok(Blob { file, length: found.len(), name: name.to_owned() })
    }
}

impl Blob {
    /// Copies its content, when it is this one. An error in writing is the caller's to name.
    pub(super) fn copy(
        mut self,
        wanted: Descriptor,
        to: &mut dyn io::Write,
        not_written: &dyn Fn(io::Error) -> Trouble,
    ) -> Result<(), Trouble> {
        let name = &self.name;
        let mismatch = |what: &str| {
            Trouble::refused(RefusalReason::DigestMismatch, format!("{name} of the bundle: {what}"))
        };
        // A length that is wrong already need not be read to its end.
        if self.length != wanted.size {
            return Err(mismatch(&format!("it has {} bytes instead of {}", self.length, wanted.size)));
        }
        match copy(&mut self.file, wanted, to) {
            Ok(()) => Ok(()),
            Err(CopyError::Write(error)) => Err(not_written(error)),
            Err(CopyError::Differs(what)) => Err(mismatch(&what)),
            Err(CopyError::Read(error)) => Err(unreadable(&format!("{name} of the bundle"), error)),
        }
    }
}

/// What the disk has lost is not there: the agent fetches it again. Other failures pass.
fn unreadable(what: &str, error: io::Error) -> Trouble {
    if is_damaged(&error) {
        return Trouble::refused(RefusalReason::NotFound, format!("{what} cannot be read: {error}"));
    }
    Failure::io(format!("read {what}"))(error).into()
}

/// Nothing is there, or a link, a pipe, a file instead of a folder.
const fn is_absent(errno: Errno) -> bool {
    matches!(errno, Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::ENXIO | Errno::ENAMETOOLONG)
}
