//! Writes a backup: contents by their digests, and the record. What a step speaks of is durable before the step is, and the step
//! before the change that it is about.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::BackupSpec;
use super::read::{BLOBS, NAMES, Record, STEPS, blob_path, name_path};
use super::record::{MAX_LINE_BYTES, Step, VERSION, encode, hex};
use crate::SystemError;

/// What stays free of the backup's file system, whatever a job asks for: a gateway with a full disk is lost.
pub(super) const KEPT_FREE_BYTES: u64 = 16 * 1024 * 1024;
/// The name of a content before its digest is known.
const UNNAMED: &str = "unnamed";

/// What waits at most to be made durable together: files that are open, and bytes in the page cache.
const MAX_WAITING: usize = 256;
const MAX_WAITING_BYTES: u64 = 16 * 1024 * 1024;

/// A backup that is being written.
#[derive(Debug)]
pub(super) struct Writer {
    folder: PathBuf,
    steps: File,
    /// Of the record that is durable, bytes.
    record_bytes: u64,
    used_bytes: u64,
    max_bytes: u64,
    waiting: Waiting,
    /// Steps wait for each other; none of their changes is made before all are durable.
    is_batch: bool,
    /// Steps that count as kept are not durable: nothing may be changed any more.
    is_broken: bool,
}

/// Contents and steps that are not durable yet.
#[derive(Debug, Default)]
struct Waiting {
    contents: Vec<Content>,
    bytes: u64,
    lines: Vec<u8>,
}

#[derive(Debug)]
struct Content {
    file: File,
    unnamed: PathBuf,
    named: PathBuf,
}

impl Writer {
    /// Begins a backup, or goes on with one. Gives what is in it already.
    ///
    /// # Errors
    /// When its folder cannot be made or read.
    pub(super) fn open(spec: &BackupSpec) -> io::Result<(Self, Record)> {
        let folder = spec.folder.clone();
        make_folder(&folder.join(BLOBS))?;
        make_folder(&folder.join(NAMES))?;
        let record = Record::read(&folder)?;
        let mut options = OpenOptions::new();
        let steps = options.append(true).create(true).mode(0o600).open(folder.join(STEPS))?;
        // What was torn off must not become the beginning of the next line.
        if steps.metadata()?.len() != record.whole_bytes {
            steps.set_len(record.whole_bytes)?;
            steps.sync_all()?;
        }
        sync_folder(&folder)?;
        let mut writer = Self {
            record_bytes: record.whole_bytes,
            used_bytes: used_bytes(&folder)?,
            max_bytes: spec.max_bytes,
            folder,
            steps,
            waiting: Waiting::default(),
            is_batch: false,
            is_broken: false,
        };
        if record.whole_bytes == 0 {
            writer.append(&Step::Begun { version: VERSION })?;
        }
        Ok((writer, record))
    }

    /// Appends a step, durably, or by the end of the batch.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn append(&mut self, step: &Step) -> io::Result<()> {
        if self.is_broken {
            return Err(io::Error::other("what was kept before could not be made durable"));
        }
        let line = encode(step)?;
        if line.len() > MAX_LINE_BYTES {
            return Err(io::Error::other("it is too long for the record of the backup"));
        }
        self.used_bytes += line.len() as u64;
        self.waiting.lines.extend(line);
        self.settle_unless_more_comes()
    }

    /// From here on many things are kept for one change: they are made durable together.
    pub(super) fn begin_batch(&mut self) {
        self.is_batch = true;
    }

    /// Makes them durable.
    ///
    /// # Errors
    /// When that cannot be done: nothing more is kept then.
    pub(super) fn end_batch(&mut self) -> io::Result<()> {
        let result = self.settle();
        self.is_batch = false;
        result
    }

    fn settle_unless_more_comes(&mut self) -> io::Result<()> {
        let is_full = self.waiting.contents.len() >= MAX_WAITING || self.waiting.bytes >= MAX_WAITING_BYTES;
        if self.is_batch && !is_full { Ok(()) } else { self.settle() }
    }

    /// Contents first, then the steps that speak of them.
    fn settle(&mut self) -> io::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let result = self.settle_contents(&waiting.contents).and_then(|()| self.settle_lines(&waiting.lines));
        if result.is_err() {
            for content in &waiting.contents {
                let _ = fs::remove_file(&content.unnamed);
            }
            // Half a line would spoil the next one.
            let is_whole = self.steps.set_len(self.record_bytes).is_ok();
            self.is_broken |= self.is_batch || !is_whole;
        }
        result
    }

    fn settle_contents(&self, contents: &[Content]) -> io::Result<()> {
        if contents.is_empty() {
            return Ok(());
        }
        for content in contents {
            // All writes are started before the first is waited for.
            let _ = rustix::fs::fadvise(&content.file, 0, None, rustix::fs::Advice::DontNeed);
        }
        contents.iter().try_for_each(|content| content.file.sync_all())?;
        contents.iter().try_for_each(|content| fs::rename(&content.unnamed, &content.named))?;
        sync_folder(&self.folder.join(BLOBS))
    }

    fn settle_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        self.steps.write_all(lines)?;
        self.steps.sync_data()?;
        self.record_bytes += lines.len() as u64;
        Ok(())
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

    /// Keeps a content under its digest, durably. What is kept already takes no more room.
    ///
    /// # Errors
    /// When it is more than these bytes, or cannot be written.
    pub(super) fn keep(&mut self, content: &mut dyn Read, max_bytes: u64) -> io::Result<(String, u64)> {
        let number = self.waiting.contents.len();
        let unnamed = self.folder.join(BLOBS).join(format!("{UNNAMED}-{number}"));
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
        if named.is_file() || self.waiting.contents.iter().any(|waiting| waiting.named == named) {
            fs::remove_file(unnamed)?;
            return Ok((sha256, bytes));
        }
        self.used_bytes += bytes;
        self.waiting.bytes += bytes;
        self.waiting.contents.push(Content { file: hashing.file, unnamed: unnamed.to_owned(), named });
        self.settle_unless_more_comes()?;
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

/// Makes a folder and those above it, for root alone, each durably.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().unwrap_or_else(|| Path::new("/"));
    make_folder(above)?;
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_folder(above)
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// What a backup takes; what is of no use in it is removed.
fn used_bytes(folder: &Path) -> io::Result<u64> {
    let mut bytes = fs::metadata(folder.join(STEPS))?.len();
    for entry in fs::read_dir(folder.join(BLOBS))? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(UNNAMED.as_bytes()) {
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
