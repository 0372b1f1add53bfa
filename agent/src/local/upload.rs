//! Takes blobs of Magic Links from the technician. The disk is written by a thread of its own; the loop's thread only passes
//! the bytes on.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::StatusCode;
use hyper::body::{Bytes, Incoming};
use keros_protocol::magic_link::{Descriptor, Digest};
use tokio::sync::{Semaphore, mpsc};

use crate::fetch::{BlobStore, BringError};

/// Pieces of some 8 KiB that wait for the disk.
const MAX_WAITING_PIECES: usize = 8;

/// A whole upload may take a minute, and a second for each 64 KiB: the slowest stick is ten times faster.
const SLOWEST_BYTES_A_SECOND: u64 = 64 * 1024;
const LEAST_TIME: Duration = Duration::from_secs(60);

/// The blobs of Magic Links on this gateway, as far as the technician adds to them.
#[derive(Debug, Clone)]
pub(super) struct Uploads {
    pub(super) store: Arc<BlobStore>,
    /// One at a time.
    pub(super) turn: Arc<Semaphore>,
    pub(super) max_bytes: u64,
    /// A client that sends nothing for so long is dropped.
    pub(super) silence: Duration,
}

/// Why a blob was not taken. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadError {
    #[error("a blob has at most {most} bytes (magic_links.max_mib), this one has {bytes}")]
    TooLarge { bytes: u64, most: u64 },
    #[error("it came too slowly")]
    Slow,
    #[error(transparent)]
    NotTaken(#[from] BringError),
}

impl UploadError {
    /// The same in HTTP.
    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::NotTaken(BringError::Busy) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotTaken(BringError::NoSpace(_)) => StatusCode::INSUFFICIENT_STORAGE,
            Self::NotTaken(BringError::Cut { .. }) => StatusCode::BAD_REQUEST,
            Self::NotTaken(BringError::Wrong) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotTaken(BringError::Disk(_)) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Uploads {
    /// Whether a blob is here. It is read for that, once.
    pub(super) async fn has(&self, digest: Digest) -> Result<bool, UploadError> {
        let store = Arc::clone(&self.store);
        let has = tokio::task::spawn_blocking(move || store.has(digest)).await;
        Ok(has.map_err(io::Error::other).flatten().map_err(BringError::Disk)?)
    }

    /// Takes a blob.
    pub(super) async fn take(&self, digest: Digest, bytes: u64, body: Incoming) -> Result<(), UploadError> {
        if bytes > self.max_bytes {
            return Err(UploadError::TooLarge { bytes, most: self.max_bytes });
        }
        // The one before may have broken off a moment ago.
        let turn = tokio::time::timeout(self.silence / 2, Arc::clone(&self.turn).acquire_owned());
        let Ok(Ok(turn)) = turn.await else { return Err(BringError::Busy.into()) };
        let (pieces, mut waiting) = mpsc::channel(MAX_WAITING_PIECES);
        let store = Arc::clone(&self.store);
        let writer = tokio::task::spawn_blocking(move || {
            // Held until the part is gone, also when the client has left.
            let _turn = turn;
            store.bring(Descriptor { digest, size: bytes }, std::iter::from_fn(|| waiting.blocking_recv()))
        });
        let limit = LEAST_TIME + Duration::from_secs(bytes / SLOWEST_BYTES_A_SECOND);
        let in_time = tokio::time::timeout(limit, pass_on(body, pieces, self.silence)).await;
        match writer.await.map_err(|error| BringError::Disk(io::Error::other(error)))? {
            Err(BringError::Cut { .. }) if !in_time.unwrap_or(false) => Err(UploadError::Slow),
            result => Ok(result?),
        }
    }
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
