//! Blobs that a technician brings: from their beginning to their end, beside their place, hashed while they are written.

use std::io;
use std::time::Instant;

use keros_protocol::magic_link::{Descriptor, Digest};
use nix::libc;

use super::attempt::MARGIN_BYTES;
use super::part::Part;
use super::stop::Stop;
use super::store::BlobStore;

/// Why a blob was not taken. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BringError {
    /// Somebody else is bringing one, or this one is being fetched.
    #[error("another blob is being taken, or this one is being fetched; one at a time")]
    Busy,
    /// The disk is full.
    #[error("there is no room for {0} bytes; free some on the disk with the agent's state folder")]
    NoSpace(u64),
    /// Not all of it came.
    #[error("it ended after {found} of {expected} bytes")]
    Cut {
        /// So many bytes came.
        found: u64,
        /// So many were promised.
        expected: u64,
    },
    /// Something else came.
    #[error("what came has another digest")]
    Wrong,
    /// The disk does not take it.
    #[error("it cannot be stored: {0}")]
    Disk(#[source] io::Error),
}

impl BlobStore {
    /// Whether a blob is there and right; one that is wrong is removed.
    pub(crate) fn has(&self, digest: Digest) -> io::Result<bool> {
        match self.blob_path(digest).symlink_metadata() {
            Ok(there) => self.is_good(Descriptor { digest, size: there.len() }, &Stop::default()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes a blob. It stays for a while, though no job needs it yet.
    pub(crate) fn bring(
        &self,
        blob: Descriptor,
        pieces: impl Iterator<Item = impl AsRef<[u8]>>,
    ) -> Result<(), BringError> {
        let failed = |error| failed(error, blob.size);
        self.prepare().map_err(failed)?;
        if self.free_bytes().map_err(failed)? < blob.size.saturating_add(MARGIN_BYTES) {
            return Err(BringError::NoSpace(blob.size));
        }
        let mut part = self.part(blob, &Stop::default()).map_err(failed)?;
        let filled = fill(&mut part, pieces).and_then(|()| part.finish().map_err(failed));
        if !matches!(filled, Ok(true)) {
            part.discard();
        }
        if !filled? {
            return Err(BringError::Wrong);
        }
        self.set_brought(blob.digest, Instant::now());
        Ok(())
    }
}

fn fill(part: &mut Part<'_>, pieces: impl Iterator<Item = impl AsRef<[u8]>>) -> Result<(), BringError> {
    let expected = part.blob().size;
    let failed = |error| failed(error, expected);
    // What an attempt to fetch has left: the whole blob is here, so that none of it need be believed.
    part.clear().map_err(failed)?;
    for piece in pieces {
        part.add(piece.as_ref()).map_err(failed)?;
    }
    match part.length() {
        found if found < expected => Err(BringError::Cut { found, expected }),
        _ => Ok(()),
    }
}

fn failed(error: io::Error, bytes: u64) -> BringError {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG) => BringError::NoSpace(bytes),
        _ if error.kind() == io::ErrorKind::WouldBlock => BringError::Busy,
        _ => BringError::Disk(error),
    }
}
