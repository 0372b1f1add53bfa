//! Takes blobs of Magic Links from the technician: beside their place, hashed while they are written, renamed when they are
//! right. The disk is written by a thread of its own; the loop's thread only passes the bytes on.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::StatusCode;
use hyper::body::{Bytes, Incoming};
use keros_platform::{DiskFile as _, create_private_folder, sync_folder};
use keros_protocol::limits::MAX_BUNDLE_BYTES;
use keros_protocol::magic_link::Digest;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Semaphore, mpsc};

/// Written between two syncs: so the last one is short, and the kernel never holds much that the disk has not.
const SYNC_EVERY_BYTES: u64 = 4 * 1024 * 1024;

/// Pieces of some 8 KiB that wait for the disk.
const MAX_WAITING_PIECES: usize = 8;

/// A whole upload may take a minute, and a second for each 64 KiB: the slowest stick is ten times faster.
const SLOWEST_BYTES_A_SECOND: u64 = 64 * 1024;
const LEAST_TIME: Duration = Duration::from_secs(60);

/// Left free: for the agent's state, and for the executor that copies.
const SPARE_BYTES: u64 = 16 * 1024 * 1024;

/// The blobs of Magic Links on this gateway, as far as the technician adds to them.
#[derive(Debug, Clone)]
pub(super) struct Uploads {
    folder: PathBuf,
    one: Arc<Semaphore>,
    /// A client that sends nothing for so long is dropped.
    silence: Duration,
}

/// Why a blob was not taken. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadError {
    #[error("another blob is being taken; one at a time")]
    Busy,
    #[error("a blob has at most {MAX_BUNDLE_BYTES} bytes, this one has {0}")]
    TooLarge(u64),
    #[error("there is no room for {0} bytes; free some on the disk with the agent's state folder")]
    NoSpace(u64),
    #[error("it came too slowly")]
    Slow,
    #[error("it ended after {found} of {expected} bytes")]
    Cut { found: u64, expected: u64 },
    #[error("what came has the digest {0}")]
    Mismatch(Digest),
    #[error("it cannot be stored: {0}")]
    Disk(#[from] io::Error),
}

impl UploadError {
    /// The same in HTTP.
    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoSpace(_) => StatusCode::INSUFFICIENT_STORAGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Cut { .. } => StatusCode::BAD_REQUEST,
            Self::Mismatch(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Disk(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Uploads {
    /// Into this folder of blobs.
    pub(super) fn new(folder: PathBuf, silence: Duration) -> Self {
        Self { folder, one: Arc::new(Semaphore::new(1)), silence }
    }

    /// Whether a blob is here.
    pub(super) fn has(&self, digest: Digest) -> bool {
        place(&self.folder, digest).is_file()
    }

    /// Takes a blob.
    pub(super) async fn take(&self, digest: Digest, bytes: u64, body: Incoming) -> Result<(), UploadError> {
        if bytes > MAX_BUNDLE_BYTES {
            return Err(UploadError::TooLarge(bytes));
        }
        // The one before may have broken off a moment ago.
        let permit = tokio::time::timeout(self.silence / 2, Arc::clone(&self.one).acquire_owned());
        let Ok(Ok(permit)) = permit.await else { return Err(UploadError::Busy) };
        let (pieces, waiting) = mpsc::channel(MAX_WAITING_PIECES);
        let folder = self.folder.clone();
        let writer = tokio::task::spawn_blocking(move || {
            // Held until the file beside is gone, also when the client has left.
            let _permit = permit;
            store(&folder, digest, bytes, waiting)
        });
        let limit = LEAST_TIME + Duration::from_secs(bytes / SLOWEST_BYTES_A_SECOND);
        let in_time = tokio::time::timeout(limit, pass_on(body, pieces, self.silence)).await;
        match writer.await.map_err(io::Error::other)? {
            Err(UploadError::Cut { .. }) if !in_time.unwrap_or(false) => Err(UploadError::Slow),
            result => result,
        }
    }
}

/// Where a blob is in an OCI image layout.
fn place(folder: &Path, digest: Digest) -> PathBuf {
    folder.join("blobs/sha256").join(digest.hex())
}

/// False when nothing came for too long. A client that breaks off just sends less.
async fn pass_on(mut body: Incoming, pieces: mpsc::Sender<Bytes>, silence: Duration) -> bool {
    loop {
        match tokio::time::timeout(silence, body.frame()).await {
            Err(_) => return false,
            Ok(Some(Ok(frame))) => {
                let Ok(piece) = frame.into_data() else { continue };
                if pieces.send(piece).await.is_err() {
                    return true;
                }
            }
            Ok(Some(Err(_)) | None) => return true,
        }
    }
}

fn store(
    folder: &Path,
    digest: Digest,
    bytes: u64,
    pieces: mpsc::Receiver<Bytes>,
) -> Result<(), UploadError> {
    let (place, beside) = (place(folder, digest), folder.join("partial/upload"));
    for path in [&place, &beside] {
        create_private_folder(path.parent().unwrap_or(folder))?;
    }
    let stored = write(&beside, digest, bytes, pieces).and_then(|()| Ok(std::fs::rename(&beside, &place)?));
    if stored.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    stored?;
    Ok(sync_folder(place.parent().unwrap_or(folder))?)
}

fn write(
    path: &Path,
    digest: Digest,
    bytes: u64,
    mut pieces: mpsc::Receiver<Bytes>,
) -> Result<(), UploadError> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    reserve(&file, path, bytes)?;
    let (mut hash, mut found, mut unsynced) = (Sha256::new(), 0_u64, 0_u64);
    while found < bytes
        && let Some(piece) = pieces.blocking_recv()
    {
        file.write_all(&piece).map_err(|error| full(error, bytes))?;
        hash.update(&piece);
        found += piece.len() as u64;
        unsynced += piece.len() as u64;
        if unsynced >= SYNC_EVERY_BYTES {
            file.sync_data()?;
            unsynced = 0;
        }
    }
    if found != bytes {
        return Err(UploadError::Cut { found, expected: bytes });
    }
    let found = Digest::from_bytes(hash.finalize().into());
    if found != digest {
        return Err(UploadError::Mismatch(found));
    }
    Ok(file.sync_all()?)
}

/// Before a byte of it comes.
fn reserve(file: &File, path: &Path, bytes: u64) -> Result<(), UploadError> {
    let disk = nix::sys::statvfs::statvfs(path).map_err(io::Error::from)?;
    #[allow(clippy::useless_conversion, reason = "u32 on 32-bit targets")]
    let free = u64::from(disk.blocks_available()).saturating_mul(u64::from(disk.fragment_size()));
    if free < bytes.saturating_add(SPARE_BYTES) {
        return Err(UploadError::NoSpace(bytes));
    }
    if bytes == 0 {
        return Ok(());
    }
    file.reserve(bytes).map_err(|error| full(error, bytes))
}

fn full(error: io::Error, bytes: u64) -> UploadError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => UploadError::NoSpace(bytes),
        _ => UploadError::Disk(error),
    }
}
