//! A blob that is not there yet: what came of it so far, and how much of that a power cut cannot take.
//!
//! Beside the part stands a note: how much of it is durable, and in which boot it was begun. After the loss of the process
//! alone the whole part counts; after another boot only what was durable, since a power cut leaves zeros.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keros_platform::{Disk as _, DiskFile as _, RealDisk, is_damaged};
use keros_protocol::magic_link::{Descriptor, Digest};
use nix::libc;
use sha2::{Digest as _, Sha256};

use super::stop::Stop;
use super::store::{BUFFER_BYTES, BlobStore, is_file, open_to_read, remove_any};

/// A part is made durable when both so much has come and so long has passed: flash is not written for every packet.
const SYNC_BYTES: u64 = 4 * 1024 * 1024;
const SYNC_TIME: Duration = Duration::from_secs(2);
/// And after so long in any case, when the kernel writes it to the disk by itself: 64 kbit/s give the bytes in 9 minutes, and
/// a gateway that has no power for longer would never get on.
const SYNC_AT_LATEST: Duration = Duration::from_secs(30);

/// A length and a boot's id.
const MAX_NOTE_BYTES: u64 = 128;

/// A blob on its way, locked for one writer.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    store: &'a BlobStore,
    blob: Descriptor,
    file: File,
    length: u64,
    hash: Sha256,
    durable: u64,
    durable_at: Instant,
    /// The note says what is true in this boot.
    is_noted: bool,
}

impl<'a> Part<'a> {
    /// Opens what there is of a blob, or begins it.
    ///
    /// # Errors
    /// When the disk does not allow it, or somebody else writes it (of kind `WouldBlock`).
    pub(super) fn open(store: &'a BlobStore, blob: Descriptor, stop: &Stop) -> io::Result<Self> {
        let path = store.part_path(blob.digest);
        let file = open_or_make(&path)?;
        file.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => {
                io::Error::new(io::ErrorKind::WouldBlock, "somebody else is bringing it")
            }
            std::fs::TryLockError::Error(error) => error,
        })?;
        let (durable, is_noted) = match store.read_note(blob.digest) {
            Some(note) => (note.durable, note.is_of_this_boot),
            None => (0, false),
        };
        let there = file.metadata()?.len();
        let length = if is_noted { there } else { there.min(durable) };
        let length = if length > blob.size { 0 } else { length };
        if length != there {
            file.set_len(length)?;
        }
        let mut part = Self {
            store,
            blob,
            file,
            length,
            hash: Sha256::new(),
            durable: durable.min(length),
            durable_at: Instant::now(),
            is_noted,
        };
        match store.take_paused(blob.digest, length) {
            Some(hash) => part.hash = hash,
            None => match part.hash_again(stop) {
                Err(error) if is_damaged(&error) => part.clear()?,
                hashed => hashed?,
            },
        }
        part.file.seek(SeekFrom::Start(part.length))?;
        Ok(part)
    }

    fn hash_again(&mut self, stop: &Stop) -> io::Result<()> {
        self.file.rewind()?;
        hash_into(&mut self.hash, (&self.file).take(self.length), stop)
    }

    /// How much of it is there.
    pub(crate) const fn length(&self) -> u64 {
        self.length
    }

    /// What it is a part of.
    pub(crate) const fn blob(&self) -> Descriptor {
        self.blob
    }

    /// Keeps room free on the disk for all of it.
    pub(crate) fn reserve(&self) -> io::Result<()> {
        if self.blob.size > self.length { self.file.reserve(self.blob.size) } else { Ok(()) }
    }

    /// Adds what comes next.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.is_noted {
            self.store.write_note(self.blob.digest, self.durable)?;
            self.is_noted = true;
        }
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        if is_sync_due(self.length - self.durable, self.durable_at.elapsed()) {
            self.make_durable()?;
        }
        Ok(())
    }

    fn make_durable(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.store.write_note(self.blob.digest, self.length)?;
        (self.durable, self.durable_at) = (self.length, Instant::now());
        Ok(())
    }

    /// What came is of no use.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.store.write_note(self.blob.digest, 0)?;
        self.file.set_len(0)?;
        self.file.rewind()?;
        (self.length, self.durable, self.hash) = (0, 0, Sha256::new());
        self.reserve()
    }

    /// The attempt ends before the blob does: what came is made durable, and needs not be read again by the next one.
    pub(crate) fn pause(mut self) {
        if self.length > self.durable {
            let _ = self.make_durable();
        }
        self.store.put_paused(self.blob.digest, self.length, self.hash);
    }

    /// It is of no use, and there will not be a better one.
    pub(crate) fn discard(self) {
        self.store.remove_part(self.blob.digest);
    }

    /// Makes it a blob, durable and read-only, when all of it is there and right; false when it is wrong.
    pub(crate) fn finish(&mut self) -> io::Result<bool> {
        let is_right = self.length == self.blob.size
            && Digest::from_bytes(self.hash.clone().finalize().into()) == self.blob.digest;
        if is_right {
            self.file.sync_all()?;
            self.store.keep_part(self.blob.digest)?;
            self.file.set_permissions(Permissions::from_mode(0o444))?;
        }
        Ok(is_right)
    }
}

/// Whether so many bytes that came in so long a time are made durable.
const fn is_sync_due(bytes: u64, time: Duration) -> bool {
    let least = if bytes >= SYNC_BYTES { SYNC_TIME } else { SYNC_AT_LATEST };
    time.as_millis() >= least.as_millis()
}

/// What is not a file of ours is removed; nothing is followed, and a pipe is not waited for.
fn open_or_make(path: &Path) -> io::Result<File> {
    let open = || {
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
        options.open(path)
    };
    if let Ok(file) = open()
        && is_file(&file)
    {
        return Ok(file);
    }
    remove_any(path)?;
    open()
}

/// Hashes all that a reader has.
pub(super) fn hash_into(hash: &mut Sha256, mut reader: impl io::Read, stop: &Stop) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        if stop.is_set() {
            return Err(io::Error::other("stopped"));
        }
        match reader.read(&mut buffer)? {
            0 => return Ok(()),
            length => hash.update(&buffer[..length]),
        }
    }
}

/// What stands beside a part.
pub(super) struct PartNote {
    pub(super) durable: u64,
    pub(super) is_of_this_boot: bool,
}

impl BlobStore {
    pub(super) fn read_note(&self, digest: Digest) -> Option<PartNote> {
        let mut text = String::new();
        let file = open_to_read(&self.note_path(digest)).ok().filter(is_file)?;
        file.take(MAX_NOTE_BYTES).read_to_string(&mut text).ok()?;
        let (durable, boot) = text.trim_end().split_once(' ')?;
        let is_of_this_boot = self.boot_id().is_some_and(|id| id == boot);
        Some(PartNote { durable: durable.parse().ok()?, is_of_this_boot })
    }

    /// One that has something to lose is replaced at once or not at all. A torn one says that nothing is durable, which is
    /// right for the others.
    fn write_note(&self, digest: Digest, durable: u64) -> io::Result<()> {
        let path = self.note_path(digest);
        let text = format!("{durable} {}\n", self.boot_id().unwrap_or("unknown"));
        if durable > 0 {
            remove_any(&path.with_extension("durable.new"))?;
            return RealDisk.write_atomically(&path, text.as_bytes());
        }
        remove_any(&path)?;
        std::fs::write(&path, text)
    }

    pub(super) fn part_path(&self, digest: Digest) -> PathBuf {
        self.parts_folder().join(digest.hex())
    }

    fn note_path(&self, digest: Digest) -> PathBuf {
        self.parts_folder().join(format!("{}.durable", digest.hex()))
    }

    fn keep_part(&self, digest: Digest) -> io::Result<()> {
        let path = self.blob_path(digest);
        if path.symlink_metadata().is_ok_and(|there| !there.is_file()) {
            remove_any(&path)?;
        }
        std::fs::rename(self.part_path(digest), &path)?;
        RealDisk.sync_folder(&self.blobs_folder())?;
        let _ = remove_any(&self.note_path(digest));
        self.set_good(digest);
        Ok(())
    }

    pub(super) fn remove_part(&self, digest: Digest) {
        let _ = remove_any(&self.part_path(digest));
        let _ = remove_any(&self.note_path(digest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_link_loses_half_a_minute_to_a_power_cut_and_a_fast_one_two_seconds() {
        let seconds = Duration::from_secs;
        assert!(!is_sync_due(SYNC_BYTES, seconds(1)) && is_sync_due(SYNC_BYTES, seconds(2)));
        assert!(!is_sync_due(SYNC_BYTES - 1, seconds(29)) && is_sync_due(1, seconds(30)));
    }
}
