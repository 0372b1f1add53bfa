//! How the machine is looked at: files that wait for their names are seen as if they had them.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{FileStat, Mode};

use super::host::kind_of;
use super::tree::{LastLink, Place, walk};
use super::{Content, FileKind, HostSystem, System as _, SystemError, reading, users};

impl HostSystem {
    /// The place that a path names.
    pub(super) fn place(&mut self, path: &Path, last: LastLink) -> io::Result<Place> {
        match walk(&self.root, path, last) {
            // A part of the path may be a file that waits: then the kernel has to judge the path.
            Err(error) if is_missing(&error) && !self.pending.is_empty() => {
                self.pending.settle().map_err(io::Error::other)?;
                walk(&self.root, path, last)
            }
            place => place,
        }
    }

    /// The place that a path names, or the temporary in which its content waits.
    pub(super) fn look(&mut self, path: &Path, last: LastLink) -> io::Result<Place> {
        let place = self.place(path, last)?;
        Ok(match self.pending.find(&place)? {
            Some(name) => Place { name, ..place },
            None => place,
        })
    }

    pub(super) fn stat(&mut self, path: &Path, last: LastLink) -> Result<Option<FileStat>, SystemError> {
        match self.look(path, last) {
            Ok(place) => place.stat(),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
        .map_err(reading(path))
    }

    pub(super) fn open_file(&mut self, path: &Path) -> io::Result<File> {
        open_at(&self.look(path, LastLink::Follow)?)
    }

    /// A content, and how long it is.
    pub(super) fn open_content<'c>(
        &mut self,
        content: &'c Content<'_>,
    ) -> io::Result<(Box<dyn io::Read + 'c>, u64)> {
        let file = match content {
            Content::Bytes(bytes) => return Ok((Box::new(*bytes), bytes.len() as u64)),
            Content::File(path) => self.open_of_script(path)?,
            Content::Machine(path) => self.open_file(path)?,
            Content::Stream(stream) => return Ok((Box::new(stream.reader()), stream.length())),
        };
        let length = file.metadata()?.len();
        Ok((Box::new(file), length))
    }

    /// The lines of `/etc/passwd`; none when it cannot be read.
    pub(super) fn user_lines(&mut self) -> &str {
        self.refresh(users::USERS);
        &self.users.users.lines
    }

    /// The lines of `/etc/group`; none when it cannot be read.
    pub(super) fn group_lines(&mut self) -> &str {
        self.refresh(users::GROUPS);
        &self.users.groups.lines
    }

    /// Reads one of them again, unless it is the same file, unchanged.
    fn refresh(&mut self, path: &str) {
        let stat = self.stat(Path::new(path), LastLink::Follow).ok().flatten();
        let stamp = stat.map(|stat| users::Stamp::of(&stat));
        let kept = self.users.of(path);
        if stamp.is_some() && kept.stamp == stamp {
            return;
        }
        let mut bytes = Vec::new();
        let file = self.open_file(Path::new(path));
        let read = file.and_then(|file| file.take(users::MAX_USERS_BYTES).read_to_end(&mut bytes));
        let lines = read.map_or_else(|_| String::new(), |_| String::from_utf8_lossy(&bytes).into_owned());
        *self.users.of(path) = users::Kept { stamp, lines };
    }
}

/// Opens a file to read it.
pub(super) fn open_at(place: &Place) -> io::Result<File> {
    // To open a device may do something: a watchdog begins to count. Nobody but root can put one there after this look.
    match place.stat()?.as_ref().map(kind_of) {
        None | Some(FileKind::File) => {}
        Some(FileKind::Directory) => return Err(Errno::EISDIR.into()),
        Some(FileKind::Link | FileKind::Other) => return Err(irregular()),
    }
    // Without O_NONBLOCK a named pipe that was put there meanwhile would hang the run.
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = File::from(openat(&place.folder, place.name.as_os_str(), flags, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(irregular()) }
}

/// Something that is neither file nor directory is never opened.
pub(super) fn irregular() -> io::Error {
    io::Error::other("it is not a regular file")
}

fn is_missing(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ENOENT as i32)
}
