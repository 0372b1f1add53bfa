//! Writes a backup: contents by their digests, and the record. What a step speaks of is durable before the step is, and the step
//! before the change that it is about: many paths wait together for the barrier that is passed before the next change.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};

use super::BackupSpec;
use super::read::{BLOBS, NAMES, Record, STEPS, blob_path, name_path};
use super::record::{MAX_LINE_BYTES, Step, VERSION, encode, hex};
use crate::{Barrier, SystemError};

/// What stays free of the backup's file system, whatever a job asks for: a gateway with a full disk is lost.
pub(super) const KEPT_FREE_BYTES: u64 = 16 * 1024 * 1024;
/// The name of a content before its digest is known.
const UNNAMED: &str = "unnamed";

/// A backup that is being written.
#[derive(Debug)]
pub(super) struct Writer {
    folder: PathBuf,
    waiting: Arc<Mutex<Waiting>>,
    used_bytes: u64,
    max_bytes: u64,
}

/// Contents that wait together, each open.
const MAX_WAITING: usize = 256;

/// What of a backup is not durable yet. After a power cut a step may speak of a content that is not there: then nothing was
/// changed yet of what it is about.
#[derive(Debug)]
struct Waiting {
    steps: File,
    /// Of the steps.
    length: u64,
    is_synced: bool,
    /// The folder of contents; open, because whoever passes the barrier may be a user who cannot open it.
    blobs: File,
    contents: Vec<File>,
    /// The disk has lost something of it: what comes after cannot be trusted either.
    is_lost: bool,
}

impl Waiting {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.is_synced = false;
        if let Err(error) = self.steps.write_all(line) {
            // A line that was written in part would spoil the next one.
            let _ = self.steps.set_len(self.length);
            return Err(error);
        }
        self.length += line.len() as u64;
        Ok(())
    }

    /// Makes all of it durable.
    fn settle(&mut self) -> io::Result<()> {
        if self.is_lost {
            return Err(io::Error::other("a part of the backup is lost"));
        }
        let result = self.sync();
        self.is_lost = result.is_err();
        result
    }

    fn sync(&mut self) -> io::Result<()> {
        if !self.contents.is_empty() {
            for content in &self.contents {
                // All writes are started before the first is waited for.
                let _ = rustix::fs::fadvise(content, 0, None, rustix::fs::Advice::DontNeed);
            }
            self.contents.drain(..).try_for_each(|content| content.sync_all())?;
            self.blobs.sync_all()?;
        }
        if !self.is_synced {
            self.steps.sync_data()?;
            self.is_synced = true;
        }
        Ok(())
    }
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Writer {
    /// Begins a backup, or goes on with one. Gives what is in it already.
    ///
    /// # Errors
    /// When its folder cannot be made or read.
    pub(super) fn open(spec: &BackupSpec) -> io::Result<(Self, Record)> {
        let folder = spec.folder.clone();
        make_folder(&folder)?;
        // All is made before anything is waited for: a file system then has one journal to write, and not four.
        for name in [BLOBS, NAMES] {
            make_one(&folder.join(name))?;
        }
        let record = Record::read(&folder)?;
        let mut options = OpenOptions::new();
        let steps = options.append(true).create(true).mode(0o600).open(folder.join(STEPS))?;
        // What was torn off must not become the beginning of the next line.
        if steps.metadata()?.len() != record.whole_bytes {
            steps.set_len(record.whole_bytes)?;
            steps.sync_all()?;
        }
        let used_bytes = used_bytes(&folder)?;
        let (blobs, length) = (File::open(folder.join(BLOBS))?, record.whole_bytes);
        let contents = Vec::new();
        let waiting = Waiting { steps, length, is_synced: false, blobs, contents, is_lost: false };
        let waiting = Arc::new(Mutex::new(waiting));
        let mut writer = Self { folder, waiting, used_bytes, max_bytes: spec.max_bytes };
        if record.whole_bytes == 0 {
            writer.append(&Step::Begun { version: VERSION })?;
        }
        sync_folder(&writer.folder)?;
        sync_folder(writer.folder.parent().unwrap_or_else(|| Path::new("/")))?;
        Ok((writer, record))
    }

    /// What makes all of it durable.
    pub(super) fn barrier(&self) -> Barrier {
        let waiting = Arc::clone(&self.waiting);
        Barrier::new(move || lock(&waiting).settle())
    }

    /// Appends a step: that of a path with the next barrier, any other durably at once.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn append(&mut self, step: &Step) -> io::Result<()> {
        let line = encode(step)?;
        if line.len() > MAX_LINE_BYTES {
            return Err(io::Error::other("it is too long for the record of the backup"));
        }
        self.used_bytes += line.len() as u64;
        let mut waiting = lock(&self.waiting);
        waiting.write(&line)?;
        if matches!(step, Step::Path { .. }) { Ok(()) } else { waiting.settle() }
    }

    /// Refuses what does not fit.
    ///
    /// # Errors
    /// In words, with the bounds.
    pub(super) fn refuse_no_room(&self, path: &Path, bytes: u64) -> Result<(), SystemError> {
        let no_room = |why: String| {
            let path = path.display();
            Err(SystemError::text(format!("no room for the backup of {path} ({bytes} bytes): {why}")))
        };
        let (used, max) = (self.used_bytes, self.max_bytes);
        if used.saturating_add(bytes) > max {
            return no_room(format!("the backup of this job holds {used} bytes and may hold {max}"));
        }
        let free = free_bytes(&self.folder)
            .map_err(|error| SystemError::new("look at the file system of", &self.folder, &error))?;
        if free < bytes.saturating_add(KEPT_FREE_BYTES) {
            let folder = self.folder.display();
            return no_room(format!(
                "{free} bytes are free at {folder}, of which {KEPT_FREE_BYTES} stay free"
            ));
        }
        Ok(())
    }

    /// Keeps a content under its digest, durably before a step speaks of it. What is kept already takes no more room.
    ///
    /// # Errors
    /// When it is more than these bytes, or cannot be written.
    pub(super) fn keep(&mut self, content: &mut dyn Read, max_bytes: u64) -> io::Result<(String, u64)> {
        let unnamed = self.folder.join(BLOBS).join(UNNAMED);
        let result = self.keep_by(&unnamed, content, max_bytes);
        if result.is_err() {
            let _ = fs::remove_file(&unnamed);
        }
        result
    }

    fn keep_by(
        &mut self,
        unnamed: &Path,
        content: &mut dyn Read,
        max_bytes: u64,
    ) -> io::Result<(String, u64)> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(unnamed)?;
        let mut hashing = Hashing { file, hasher: Sha256::new() };
        let bytes = io::copy(&mut content.take(max_bytes.saturating_add(1)), &mut hashing)?;
        if bytes > max_bytes {
            return Err(io::Error::other("it grew while it was kept"));
        }
        let sha256 = hex(&hashing.hasher.finalize());
        let named = blob_path(&self.folder, &sha256);
        if named.is_file() {
            fs::remove_file(unnamed)?;
            return Ok((sha256, bytes));
        }
        fs::rename(unnamed, named)?;
        self.used_bytes += bytes;
        let mut waiting = lock(&self.waiting);
        waiting.contents.push(hashing.file);
        if waiting.contents.len() >= MAX_WAITING {
            waiting.settle()?;
        }
        Ok((sha256, bytes))
    }

    /// Where something can be made that is kept afterwards.
    pub(super) fn scratch(&self) -> PathBuf {
        self.folder.join("scratch")
    }

    /// Where a file with several names can have one more; `None`: it has it.
    pub(super) fn new_name(&self, inode: (u64, u64)) -> Option<PathBuf> {
        Some(name_path(&self.folder, inode)).filter(|path| !path.exists())
    }

    /// Makes the further names of files durable.
    ///
    /// # Errors
    /// When it cannot be done.
    pub(super) fn sync_names(&self) -> io::Result<()> {
        sync_folder(&self.folder.join(NAMES))
    }

    /// What the backup may still grow by.
    pub(super) const fn room_bytes(&self) -> u64 {
        self.max_bytes.saturating_sub(self.used_bytes)
    }
}

/// Appends a step to the record in a folder, durably.
///
/// # Errors
/// When it cannot be written.
pub(super) fn append(folder: &Path, step: &Step) -> io::Result<()> {
    let whole_bytes = Record::read(folder)?.whole_bytes;
    let mut steps = OpenOptions::new().append(true).open(folder.join(STEPS))?;
    if steps.metadata()?.len() != whole_bytes {
        steps.set_len(whole_bytes)?;
    }
    steps.write_all(&encode(step)?)?;
    steps.sync_data()
}

struct Hashing {
    file: File,
    hasher: Sha256,
}

impl io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.file.write(bytes)?;
        self.hasher.update(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Makes a folder and those above it, for root alone, all but its own name durably.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().unwrap_or_else(|| Path::new("/"));
    if !above.is_dir() {
        make_folder(above)?;
        sync_folder(above.parent().unwrap_or_else(|| Path::new("/")))?;
    }
    make_one(folder)
}

fn make_one(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// What a backup takes; what is of no use in it is removed.
fn used_bytes(folder: &Path) -> io::Result<u64> {
    let mut bytes = fs::metadata(folder.join(STEPS))?.len();
    for entry in fs::read_dir(folder.join(BLOBS))? {
        let entry = entry?;
        if entry.file_name() == UNNAMED {
            // No step speaks of it: it was cut off.
            fs::remove_file(entry.path())?;
        } else {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}

fn free_bytes(folder: &Path) -> io::Result<u64> {
    let is = rustix::fs::statvfs(folder)?;
    Ok(is.f_bavail.saturating_mul(is.f_frsize))
}
