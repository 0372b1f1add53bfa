//! Content that has one right digest and length.

use std::io::{self, ErrorKind, Read, Write};

use keros_protocol::magic_link::{Descriptor, Digest};
use sha2::{Digest as _, Sha256};

/// Read, hashed and written at a time.
const CHUNK_BYTES: usize = 128 * 1024;

/// Why a content was not copied.
pub(super) enum CopyError {
    /// It could not be read.
    Read(io::Error),
    /// It could not be written.
    Write(io::Error),
    /// It is another one, in words.
    Differs(String),
}

/// Copies exactly this content, hashing what is written. However long the source is, or becomes meanwhile, no more than the stated
/// length and one byte is read of it.
pub(super) fn copy(from: &mut dyn Read, wanted: Descriptor, to: &mut dyn Write) -> Result<(), CopyError> {
    let (mut hash, mut copied, mut chunk) = (Sha256::new(), 0_u64, vec![0; CHUNK_BYTES]);
    let mut from = from.take(wanted.size.saturating_add(1));
    loop {
        let count = match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(CopyError::Read(error)),
        };
        copied += count as u64;
        if copied > wanted.size {
            return Err(CopyError::Differs(format!("it has more than its {} bytes", wanted.size)));
        }
        hash.update(&chunk[..count]);
        to.write_all(&chunk[..count]).map_err(CopyError::Write)?;
    }
    if copied < wanted.size {
        return Err(CopyError::Differs(format!("it has {copied} bytes instead of {}", wanted.size)));
    }
    if Digest::from_bytes(hash.finalize().into()) != wanted.digest {
        return Err(CopyError::Differs(format!("its digest is not {}", wanted.digest)));
    }
    Ok(())
}
