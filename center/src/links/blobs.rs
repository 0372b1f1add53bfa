//! A folder of blobs, each under its digest: `blobs/sha256/<2 hex digits>/<64 hex digits>`. A blob is there in full or not at all.
//!
//! When a blob was last asked for by somebody who uploads is its file's time of change; once a link names it, and nobody else has asked
//! meanwhile, that is set back. So what nobody wants can go, and what an upload in progress has found here stays.

use std::collections::HashMap;
use std::fs::{File, FileTimes};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use keros_protocol::magic_link::Digest;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::files;

/// Why a blob is not taken or not given.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlobError {
    /// It is larger than any blob of a Magic Link may be.
    #[error("a blob has at most {most} bytes")]
    TooLarge { most: u64 },
    /// The store's own bound.
    #[error(
        "the store of Magic Links is full ({limit} bytes): remove links with `keros-center magic-link collect`, or start the \
         center with a greater --links-gib"
    )]
    Full { limit: u64 },
    /// The disk's.
    #[error("the disk of the center is full: make room in {folder}")]
    DiskFull { folder: String },
    /// The bytes are not those of the digest.
    #[error("the {bytes} bytes that came have the digest {found}, not {expected}")]
    OtherDigest { expected: Digest, found: Digest, bytes: u64 },
    /// The upload ended in the middle, or stood still.
    #[error("the upload ended after {bytes} bytes: {why}")]
    Cut { bytes: u64, why: String },
    /// The disk failed.
    #[error("cannot use {path}")]
    Io {
        path: String,
        #[source]
        source: io::Error,
    },
}

/// The folder.
#[derive(Debug)]
pub(crate) struct Blobs {
    folder: PathBuf,
    /// Where uploads are written before they are whole.
    partial: PathBuf,
    /// Other centers use the folder too: a lock on this file keeps them apart.
    lock: Option<Arc<File>>,
    limit_bytes: u64,
    used_bytes: AtomicU64,
    /// Held while blobs are removed, and while it matters that they are not.
    removing: Arc<Mutex<()>>,
    /// How often each was asked for, less the links that name it since: two uploads may want the same one. Lost at a stop: then a blob
    /// may go a day too early, and its upload is told so and sends it again.
    asked: std::sync::Mutex<HashMap<Digest, u32>>,
}

/// While it is held no blob is removed, or given its name, but by its holder.
#[derive(Debug)]
pub(crate) struct Removing {
    _guard: OwnedMutexGuard<()>,
    lock: Option<Arc<File>>,
}

impl Removing {
    fn new(guard: OwnedMutexGuard<()>, lock: Option<Arc<File>>) -> Self {
        if let Some(Err(error)) = lock.as_ref().map(|file| file.lock()) {
            tracing::error!(%error, "the folder of Magic Links cannot be locked against other centers");
        }
        Self { _guard: guard, lock }
    }
}

impl Drop for Removing {
    fn drop(&mut self) {
        // It fails where locking failed.
        let _ = self.lock.as_ref().map(|file| file.unlock());
    }
}

impl Blobs {
    /// Makes the folder when it is not there, removes what uploads have left in the middle, and adds up what is there.
    pub(crate) fn open(folder: PathBuf, limit_bytes: u64) -> Result<Self, BlobError> {
        let partial = folder.join("partial");
        Self::open_with(folder, partial, limit_bytes)
    }

    /// The same for a folder that other centers use too. Each writes its uploads in a place of its own.
    pub(crate) fn open_shared(folder: PathBuf, limit_bytes: u64, center: &str) -> Result<Self, BlobError> {
        let partial = folder.join(format!("partial-{center}"));
        let mut blobs = Self::open_with(folder, partial, limit_bytes)?;
        let path = blobs.folder.join("lock");
        let lock = || -> io::Result<File> {
            let file = File::options().write(true).create(true).truncate(false).open(&path)?;
            file.lock()?;
            file.unlock()?;
            Ok(file)
        };
        blobs.lock = Some(Arc::new(lock().map_err(|source| io_error(&path, source))?));
        Ok(blobs)
    }

    fn open_with(folder: PathBuf, partial: PathBuf, limit_bytes: u64) -> Result<Self, BlobError> {
        let (used_bytes, removing, asked) = (AtomicU64::new(0), Arc::default(), std::sync::Mutex::default());
        let blobs = Self { folder, partial, lock: None, limit_bytes, used_bytes, removing, asked };
        let _ = std::fs::remove_dir_all(blobs.partial());
        for folder in [blobs.partial(), blobs.folder.join("sha256")] {
            files::create_private_folder(&folder).map_err(|source| io_error(&folder, source))?;
        }
        let mut used_bytes = 0;
        for shard in blobs.shards()? {
            let files = entries(&shard).map_err(|source| io_error(&shard, source))?;
            used_bytes += files.iter().map(|(_, metadata)| metadata.len()).sum::<u64>();
        }
        blobs.used_bytes.store(used_bytes, Ordering::Relaxed);
        Ok(blobs)
    }

    /// Where a blob is, or would be.
    pub(crate) fn path(&self, digest: Digest) -> PathBuf {
        blob_path(&self.folder, digest)
    }

    /// Opens a blob, with its length; `None`: it is not there.
    pub(crate) fn find(&self, digest: Digest) -> Result<Option<(File, u64)>, BlobError> {
        let path = self.path(digest);
        match File::open(&path).and_then(|file| file.metadata().map(|metadata| (file, metadata.len()))) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(io_error(&path, source)),
        }
    }

    /// The length of a blob that is there.
    pub(crate) fn length(&self, digest: Digest) -> Result<Option<u64>, BlobError> {
        let path = self.path(digest);
        match std::fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(io_error(&path, source)),
        }
    }

    /// Reads a small blob whole.
    pub(crate) fn read(&self, digest: Digest) -> Result<Vec<u8>, BlobError> {
        let path = self.path(digest);
        std::fs::read(&path).map_err(|source| io_error(&path, source))
    }

    /// Keeps others from removing blobs.
    pub(crate) async fn removing(&self) -> Removing {
        let guard = Arc::clone(&self.removing).lock_owned().await;
        let Some(lock) = self.lock.clone() else { return Removing::new(guard, None) };
        // It waits for other centers, and so not in a thread that serves others.
        let waited = tokio::task::spawn_blocking(move || Removing::new(guard, Some(lock))).await;
        match waited {
            Ok(removing) => removing,
            Err(_) => Removing::new(Arc::clone(&self.removing).lock_owned().await, self.lock.clone()),
        }
    }

    /// The same in a thread that may wait.
    pub(super) fn blocking_removing(&self) -> Removing {
        Removing::new(Arc::clone(&self.removing).blocking_lock_owned(), self.lock.clone())
    }

    /// Somebody who uploads has been told that this blob is here: it stays for a while, whether a link names it or not.
    pub(crate) fn want(&self, digest: Digest, _held: &Removing) -> Result<(), BlobError> {
        self.set_time(digest, SystemTime::now())?;
        self.count_asked(digest);
        Ok(())
    }

    pub(super) fn count_asked(&self, digest: Digest) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let times = asked.entry(digest).or_default();
        *times = times.saturating_add(1);
    }

    /// A link names this blob: when it does no more, the blob can go at once, unless another upload has asked for it too.
    pub(crate) fn settle(&self, digest: Digest, _held: &Removing) -> Result<(), BlobError> {
        let others = {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            let others = asked.remove(&digest).unwrap_or_default().saturating_sub(1);
            if others > 0 {
                asked.insert(digest, others);
            }
            others
        };
        if others > 0 { Ok(()) } else { self.set_time(digest, SystemTime::UNIX_EPOCH) }
    }

    fn set_time(&self, digest: Digest, time: SystemTime) -> Result<(), BlobError> {
        let path = self.path(digest);
        let set = || File::open(&path)?.set_times(FileTimes::new().set_modified(time));
        set().map_err(|source| io_error(&path, source))
    }

    /// Removes a blob that no link names, unless somebody who uploads has asked for it within this time. Gives its length when it is
    /// gone.
    pub(crate) fn remove_unwanted(
        &self,
        digest: Digest,
        wanted_for: Duration,
        _held: &Removing,
    ) -> Result<Option<u64>, BlobError> {
        let path = self.path(digest);
        let remove = || -> io::Result<Option<u64>> {
            let metadata = std::fs::metadata(&path)?;
            // A time in the future has no age: after a wrong clock it is wanted, until somebody asks for it anew.
            let age = metadata.modified()?.elapsed().unwrap_or_default();
            if age < wanted_for {
                return Ok(None);
            }
            std::fs::remove_file(&path)?;
            Ok(Some(metadata.len()))
        };
        match remove() {
            Ok(Some(bytes)) => {
                self.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(&digest);
                self.release(bytes);
                Ok(Some(bytes))
            }
            Ok(None) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(io_error(&path, source)),
        }
    }

    /// The folders of blobs, 256 at most.
    pub(crate) fn shards(&self) -> Result<Vec<PathBuf>, BlobError> {
        let folder = self.folder.join("sha256");
        let read = || -> io::Result<Vec<PathBuf>> {
            std::fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect()
        };
        read().map_err(|source| io_error(&folder, source))
    }

    /// The blobs in one of the folders.
    pub(crate) fn in_shard(shard: &Path) -> Result<Vec<Digest>, BlobError> {
        let files = entries(shard).map_err(|source| io_error(shard, source))?;
        Ok(files.into_iter().filter_map(|(name, _)| Digest::from_hex(&name).ok()).collect())
    }

    /// Takes this much of the store's bound, if there is as much.
    pub(super) fn reserve(&self, bytes: u64) -> Result<(), BlobError> {
        let add = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.limit_bytes);
        match self.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add) {
            Ok(_) => Ok(()),
            Err(_) => Err(BlobError::Full { limit: self.limit_bytes }),
        }
    }

    /// Gives it back.
    pub(super) fn release(&self, bytes: u64) {
        let take = |used: u64| Some(used.saturating_sub(bytes));
        let _ = self.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
    }

    /// How much is there, uploads under way included.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Where uploads are written before they are whole.
    pub(super) fn partial(&self) -> PathBuf {
        self.partial.clone()
    }
}

/// Where a blob is in a folder of blobs.
pub(crate) fn blob_path(folder: &Path, digest: Digest) -> PathBuf {
    let hex = digest.hex();
    let shard = hex.get(..2).unwrap_or_default();
    folder.join("sha256").join(shard).join(&hex)
}

pub(super) fn io_error(path: &Path, source: io::Error) -> BlobError {
    BlobError::Io { path: path.display().to_string(), source }
}

/// Names and metadata of a folder's files.
fn entries(folder: &Path) -> io::Result<Vec<(String, std::fs::Metadata)>> {
    let read = match std::fs::read_dir(folder) {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let entry = |entry: io::Result<std::fs::DirEntry>| {
        let entry = entry?;
        Ok((entry.file_name().to_string_lossy().into_owned(), entry.metadata()?))
    };
    read.map(entry).collect()
}
