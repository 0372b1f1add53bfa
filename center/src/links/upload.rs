//! A blob on its way in: hashed while it is written beside the others, synced, and only then given its name.

use std::io::{self, Write as _};
use std::path::Path;

use keros_protocol::limits::MAX_BUNDLE_BYTES;
use keros_protocol::magic_link::Digest;
use ring::digest::{Context, SHA256};
use tempfile::NamedTempFile;

use super::blobs::io_error;
use super::{BlobError, Blobs};

/// What is left of it when it is dropped before [`Upload::finish`] is removed.
pub(crate) struct Upload<'a> {
    blobs: &'a Blobs,
    expected: Digest,
    file: Option<NamedTempFile>,
    hash: Context,
    bytes: u64,
}

impl<'a> Upload<'a> {
    /// Begins one; `stated_bytes` is how many are said to come.
    pub(crate) fn begin(
        blobs: &'a Blobs,
        expected: Digest,
        stated_bytes: Option<u64>,
    ) -> Result<Self, BlobError> {
        if stated_bytes.is_some_and(|bytes| bytes > MAX_BUNDLE_BYTES) {
            return Err(BlobError::TooLarge { most: MAX_BUNDLE_BYTES });
        }
        // Refused before a long upload, not at its end.
        let stated_bytes = stated_bytes.unwrap_or_default();
        blobs.reserve(stated_bytes)?;
        blobs.release(stated_bytes);
        let folder = blobs.partial();
        let file = NamedTempFile::new_in(&folder).map_err(|source| write_error(&folder, source))?;
        Ok(Self { blobs, expected, file: Some(file), hash: Context::new(&SHA256), bytes: 0 })
    }

    /// It broke off.
    pub(crate) fn cut(self, why: String) -> BlobError {
        BlobError::Cut { bytes: self.bytes, why }
    }

    /// The next bytes.
    pub(crate) fn write(&mut self, part: &[u8]) -> Result<(), BlobError> {
        let length = part.len() as u64;
        if self.bytes + length > MAX_BUNDLE_BYTES {
            return Err(BlobError::TooLarge { most: MAX_BUNDLE_BYTES });
        }
        self.blobs.reserve(length)?;
        self.bytes += length;
        self.hash.update(part);
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(part).map_err(|source| write_error(&self.blobs.partial(), source))
    }

    /// All bytes have come. Whether the blob is new: one that was there is replaced, in case its bytes had rotted.
    pub(crate) fn finish(mut self) -> Result<bool, BlobError> {
        let mut found = [0; 32];
        found.copy_from_slice(self.hash.clone().finish().as_ref());
        let found = Digest::from_bytes(found);
        if found != self.expected {
            return Err(BlobError::OtherDigest { expected: self.expected, found, bytes: self.bytes });
        }
        let path = self.blobs.path(self.expected);
        // Of two uploads of the same blob only one is counted.
        let _held = self.blobs.blocking_removing();
        let replaced = self.blobs.length(self.expected)?;
        let file = self.file.take();
        file.map_or(Ok(()), |file| name(file, &path)).map_err(|source| write_error(&path, source))?;
        self.blobs.count_asked(self.expected);
        // From here on the blob itself counts.
        self.bytes = 0;
        self.blobs.release(replaced.unwrap_or_default());
        Ok(replaced.is_none())
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        self.blobs.release(self.bytes);
    }
}

/// Synced, and then named: a cut leaves no half blob. The name is durable before anything counts on it.
fn name(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    let shard = path.parent().unwrap_or_else(|| Path::new("."));
    if !shard.is_dir() {
        crate::files::create_private_folder(shard)?;
        shard.parent().map_or(Ok(()), sync_folder)?;
    }
    file.persist(path).map_err(|error| error.error)?;
    sync_folder(shard)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

fn write_error(path: &Path, source: io::Error) -> BlobError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            BlobError::DiskFull { folder: path.display().to_string() }
        }
        _ => io_error(path, source),
    }
}
