//! The disk under the stores of agent and executor. A trait, so that tests can put a disk under them that loses power, fills
//! up and breaks; it has what those stores need and no more.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// How a file is opened. One that is made has mode 0600.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// To read what is there.
    Read,
    /// To write at its end; it is made when absent.
    Append,
    /// To write at the end of a file that must not be there yet.
    New,
    /// To write it from its beginning; what it had is gone.
    Replace,
}

/// What is known of a name without opening it. A symbolic link is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// It is a folder.
    pub is_folder: bool,
    /// The user that it belongs to.
    pub owner: u32,
    /// Its permissions.
    pub mode: u32,
}

/// A disk. Nothing is durable but what was synced: content by its file, names by their folder.
pub trait Disk: fmt::Debug + Send + Sync {
    /// What is there under this name.
    ///
    /// # Errors
    /// Of kind `NotFound` when nothing is.
    fn look_at(&self, path: &Path) -> io::Result<Look>;

    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be opened so.
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>>;

    /// Opens or makes a file for reading and for writing at its end, and locks it for this process until it is dropped; `None` when
    /// another one has it.
    ///
    /// # Errors
    /// When it cannot be opened or locked.
    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskFile>>>;

    /// Makes a folder for its owner alone (mode 0700).
    ///
    /// # Errors
    /// Of kind `AlreadyExists` when the name is given, of kind `NotFound` when there is no folder to make it in.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Gives a file or folder these permissions.
    ///
    /// # Errors
    /// When that is not allowed.
    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()>;

    /// The names in a folder, in no order; one that is not UTF-8 is shown as well as may be.
    ///
    /// # Errors
    /// When the folder cannot be read.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// Gives a file or folder another name; a file that has that name is replaced.
    ///
    /// # Errors
    /// When it cannot be renamed.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// When it cannot be removed, or is absent.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder with all that it has.
    ///
    /// # Errors
    /// When something of it cannot be removed.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// When the folder cannot be opened or synced.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Makes a folder, and those above it, for its owner alone, and their names durable; one that exists is left as it is.
    ///
    /// # Errors
    /// When it cannot be made.
    fn create_private_folder(&self, path: &Path) -> io::Result<()> {
        let made = match self.create_folder(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.create_private_folder(path.parent().ok_or(error)?)?;
                self.create_folder(path)
            }
            result => result,
        };
        match made {
            Ok(()) => self.sync_folder(folder_of(path)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether something has this name.
    ///
    /// # Errors
    /// When that cannot be told.
    fn exists(&self, path: &Path) -> io::Result<bool> {
        match self.look_at(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads a file whole.
    ///
    /// # Errors
    /// When it cannot be read, or is longer than `max_bytes` (of kind `FileTooLarge`).
    fn read(&self, path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        let file = self.open(path, Open::Read)?;
        if file.take(max_bytes.saturating_add(1)).read_to_end(&mut content)? as u64 > max_bytes {
            return Err(io::Error::new(
                ErrorKind::FileTooLarge,
                format!("it is longer than {max_bytes} bytes"),
            ));
        }
        Ok(content)
    }

    /// Reads a small text file whole; `None` when it is absent, not UTF-8 or longer than `max_bytes`.
    fn read_text(&self, path: &Path, max_bytes: u64) -> Option<String> {
        String::from_utf8(self.read(path, max_bytes).ok()?).ok()
    }

    /// Replaces a file's content: written beside it, synced, renamed over it, the folder synced.
    ///
    /// # Errors
    /// The first error of any of these steps. The old file is untouched, but when only the last one failed: then the new
    /// one is there, and may be gone after a power cut.
    fn write_atomically(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let folder = folder_of(path);
        let mut name = path.file_name().ok_or_else(|| io::Error::other("a file needs a name"))?.to_owned();
        name.push(".new");
        let temporary = folder.join(name);
        let write = || {
            let mut file = self.open(&temporary, Open::Replace)?;
            file.write_all(content)?;
            file.sync_all()?;
            drop(file);
            self.rename(&temporary, path)
        };
        let result = write();
        if result.is_err() {
            let _ = self.remove_file(&temporary);
        }
        result?;
        self.sync_folder(folder)
    }
}

/// An open file of a [`Disk`].
pub trait DiskFile: Read + Write + fmt::Debug + Send {
    /// Makes its content durable, and its length.
    ///
    /// # Errors
    /// When the disk has lost some of it.
    fn sync_data(&self) -> io::Result<()>;

    /// Makes its content durable, and all that is known of it.
    ///
    /// # Errors
    /// When the disk has lost some of it.
    fn sync_all(&self) -> io::Result<()>;

    /// Cuts it off, or fills it up with zeros.
    ///
    /// # Errors
    /// When that cannot be done.
    fn set_len(&self, length: u64) -> io::Result<()>;

    /// Its length.
    ///
    /// # Errors
    /// When that cannot be told.
    fn length(&self) -> io::Result<u64>;

    /// Keeps room free for a file of this length. The file's own length stays.
    ///
    /// # Errors
    /// When there is no such room. Not every file system can keep room free: there it is no error.
    fn reserve(&self, length: u64) -> io::Result<()>;
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The machine's own file systems.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn look_at(&self, path: &Path) -> io::Result<Look> {
        let metadata = path.symlink_metadata()?;
        Ok(Look { is_folder: metadata.is_dir(), owner: metadata.uid(), mode: metadata.mode() & 0o7777 })
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        match how {
            Open::Read => options.read(true),
            Open::Append => options.append(true).create(true),
            Open::New => options.append(true).create_new(true),
            Open::Replace => options.write(true).create(true).truncate(true),
        };
        Ok(Box::new(options.mode(0o600).open(path)?))
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskFile>>> {
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(path)
    }

    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        std::fs::set_permissions(path, Permissions::from_mode(mode))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        folder.read_dir()?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir_all(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

impl DiskFile for File {
    fn sync_data(&self) -> io::Result<()> {
        Self::sync_data(self)
    }

    fn sync_all(&self) -> io::Result<()> {
        Self::sync_all(self)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        Self::set_len(self, length)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn reserve(&self, length: u64) -> io::Result<()> {
        if length == 0 {
            // The kernel takes that for a mistake.
            return Ok(());
        }
        // rustix and not nix: its lengths have 64 bits on ARM 7 too.
        match fallocate(self.as_fd(), FallocateFlags::KEEP_SIZE, 0, length) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_content_survives_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        RealDisk.write_atomically(&path, b"old").unwrap();
        std::fs::create_dir(folder.path().join("state.new")).unwrap();
        assert!(RealDisk.write_atomically(&path, b"new").is_err());
        assert_eq!(RealDisk.read(&path, 3).unwrap(), b"old");
        std::fs::remove_dir(folder.path().join("state.new")).unwrap();
        RealDisk.write_atomically(&path, b"new").unwrap();
        assert_eq!(RealDisk.read(&path, 3).unwrap(), b"new");
        assert_eq!(RealDisk.look_at(&path).unwrap().mode, 0o600);
        assert_eq!(RealDisk.list(folder.path()).unwrap(), ["state"]);
    }

    #[test]
    fn a_folder_is_made_with_those_above_it_and_left_when_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c");
        RealDisk.create_private_folder(&path).unwrap();
        RealDisk.create_private_folder(&path).unwrap();
        assert_eq!(RealDisk.look_at(&path).unwrap().mode, 0o700);
        assert_eq!(RealDisk.look_at(&folder.path().join("a")).unwrap().mode, 0o700);
    }

    #[test]
    fn what_is_too_long_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        RealDisk.write_atomically(&path, b"four").unwrap();
        assert_eq!(RealDisk.read(&path, 3).unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert_eq!(RealDisk.read_text(&path, 4).as_deref(), Some("four"));
    }

    #[test]
    fn a_lock_is_held_once_and_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = RealDisk.try_lock(&path).unwrap();
        assert!(lock.is_some() && RealDisk.try_lock(&path).unwrap().is_none());
        drop(lock);
        assert!(RealDisk.try_lock(&path).unwrap().is_some());
    }
}
