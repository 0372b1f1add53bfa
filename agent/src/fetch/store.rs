//! The bundles folder: blobs by their digest, as an OCI image layout has them, and parts of blobs. It is a cache: each blob
//! is hashed before it is believed, and what does not belong there is removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use keros_platform::{Disk as _, RealDisk, is_damaged};
use keros_protocol::limits::MAX_MANIFEST_BYTES;
use keros_protocol::magic_link::{Descriptor, Digest, Manifest};
use nix::libc;
use nix::sys::statvfs::statvfs;
use sha2::{Digest as _, Sha256};

use super::part::{Part, hash_into};
use super::stop::Stop;

/// For reading, hashing and receiving.
pub(super) const BUFFER_BYTES: usize = 64 * 1024;

/// So long a blob that a technician has brought stays, though no job needs it yet.
const BROUGHT_TIME: Duration = Duration::from_secs(3600);

/// The folder.
#[derive(Debug)]
pub(crate) struct BlobStore {
    folder: PathBuf,
    boot_id: Option<String>,
    known: Mutex<Known>,
}

/// What this process knows of the folder's content.
#[derive(Debug, Default)]
struct Known {
    /// Blobs that were written or hashed since [`BlobStore::forget_checks`].
    good: BTreeSet<Digest>,
    /// Blobs that a technician has brought.
    brought: BTreeMap<Digest, Instant>,
    /// The part that was last paused, its length and its hash so far.
    paused: Option<(Digest, u64, Sha256)>,
}

impl BlobStore {
    /// Of this folder; it is made when it is needed.
    pub(crate) fn new(folder: PathBuf, platform_root: &Path) -> Self {
        let path = platform_root.join("proc/sys/kernel/random/boot_id");
        let boot_id = keros_platform::read_small(&path, 128).map(|text| text.trim().to_owned());
        Self { folder, boot_id: boot_id.filter(|id| !id.is_empty()), known: Mutex::default() }
    }

    /// Where the blobs are, for the executor.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes the folders; what is in their place is removed.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        for folder in
            [self.folder.clone(), self.folder.join("blobs"), self.blobs_folder(), self.parts_folder()]
        {
            if folder.symlink_metadata().is_ok_and(|there| !there.is_dir()) {
                remove_any(&folder)?;
            }
            RealDisk.create_private_folder(&folder)?;
        }
        Ok(())
    }

    /// Whether a blob is there and right. It is hashed once for each order: flash forgets, and the executor would refuse what
    /// is wrong when it is too late to fetch it anew. One that is wrong, or lost by the disk, is removed.
    pub(crate) fn is_good(&self, blob: Descriptor, stop: &Stop) -> io::Result<bool> {
        let Some((file, metadata)) = self.open_blob(blob.digest) else { return Ok(false) };
        if metadata.len() == blob.size {
            if self.known().good.contains(&blob.digest) {
                return Ok(true);
            }
            let mut hash = Sha256::new();
            match hash_into(&mut hash, file, stop) {
                Ok(()) if Digest::from_bytes(hash.finalize().into()) == blob.digest => {
                    self.set_good(blob.digest);
                    return Ok(true);
                }
                Err(error) if !is_damaged(&error) => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        remove_any(&self.blob_path(blob.digest))?;
        Ok(false)
    }

    /// How many bytes of a blob are there, right or wrong.
    pub(crate) fn have(&self, blob: Descriptor) -> u64 {
        let length = |path: PathBuf| path.symlink_metadata().ok().filter(Metadata::is_file).map(|m| m.len());
        match length(self.blob_path(blob.digest)) {
            Some(length) if length == blob.size => length,
            _ => match self.read_note(blob.digest) {
                Some(note) if note.is_of_this_boot => length(self.part_path(blob.digest)).unwrap_or(0),
                Some(note) => note.durable.min(length(self.part_path(blob.digest)).unwrap_or(0)),
                None => 0,
            }
            .min(blob.size),
        }
    }

    /// Room on the disk.
    #[allow(clippy::useless_conversion, reason = "u32 on 32-bit targets")]
    pub(super) fn free_bytes(&self) -> io::Result<u64> {
        let found = statvfs(&self.folder)?;
        Ok(u64::from(found.blocks_available()).saturating_mul(u64::from(found.fragment_size())))
    }

    /// How much of the room for a blob is taken already: what is there, and what is kept free for the rest.
    pub(crate) fn taken(&self, blob: Descriptor) -> u64 {
        let reserved = self.part_path(blob.digest).symlink_metadata().map_or(0, |part| part.blocks() * 512);
        self.have(blob).max(reserved).min(blob.size)
    }

    /// A small blob's content, if it is there and right.
    pub(crate) fn read_small(&self, digest: Digest, max_bytes: usize) -> Option<Vec<u8>> {
        let (file, _) = self.open_blob(digest)?;
        let mut content = Vec::new();
        file.take(max_bytes as u64).read_to_end(&mut content).ok()?;
        (Digest::of(&content) == digest).then_some(content)
    }

    /// Opens what there is of a blob, or begins it; it is locked for one writer.
    pub(crate) fn part(&self, blob: Descriptor, stop: &Stop) -> io::Result<Part<'_>> {
        Part::open(self, blob, stop)
    }

    /// Blobs are hashed anew before they are believed again.
    pub(crate) fn forget_checks(&self) {
        self.known().good.clear();
    }

    /// Removes what no open job needs: parts at once, blobs from the oldest on until the others take no more than this. Open
    /// jobs are named by the manifests that they run.
    pub(crate) fn collect(&self, open: &[Digest], keep_bytes: u64) {
        // Named before the manifests are read: what begins meanwhile is not seen.
        let (blobs, parts) = (entries(&self.blobs_folder()), entries(&self.parts_folder()));
        let kept = self.needed(open);
        for (path, _) in parts {
            // A part, or a part's note.
            let name = name_of(&path).split('.').next().unwrap_or_default();
            match Digest::from_hex(name).ok() {
                Some(digest) if kept.contains(&digest) || self.is_locked(digest) => {}
                _ => remove(&path),
            }
        }
        let mut others = Vec::new();
        for (path, metadata) in blobs {
            match Digest::from_hex(name_of(&path)).ok() {
                Some(digest) if kept.contains(&digest) => {}
                Some(digest) if metadata.is_file() => others.push((metadata, digest, path)),
                _ => remove(&path),
            }
        }
        others.sort_by_key(|(metadata, ..)| std::cmp::Reverse(metadata.modified().ok()));
        let mut sum = 0_u64;
        for (metadata, digest, path) in others {
            sum = sum.saturating_add(metadata.len());
            if sum > keep_bytes {
                self.known().good.remove(&digest);
                remove(&path);
            }
        }
    }

    /// The blobs of these bundles, and those that a technician has just brought.
    fn needed(&self, open: &[Digest]) -> BTreeSet<Digest> {
        let mut needed: BTreeSet<Digest> = open.iter().copied().collect();
        for digest in open {
            let manifest = self.read_small(*digest, MAX_MANIFEST_BYTES);
            if let Some(manifest) = manifest.and_then(|bytes| Manifest::parse(&bytes).ok()) {
                needed.extend(manifest.blobs().iter().map(|blob| blob.digest));
            }
        }
        let mut known = self.known();
        known.brought.retain(|_, since| since.elapsed() < BROUGHT_TIME);
        needed.extend(known.brought.keys());
        needed
    }

    /// Whether somebody is bringing it right now.
    fn is_locked(&self, digest: Digest) -> bool {
        open_to_read(&self.part_path(digest)).is_ok_and(|part| part.try_lock().is_err())
    }

    fn open_blob(&self, digest: Digest) -> Option<(File, Metadata)> {
        let file = open_to_read(&self.blob_path(digest)).ok().filter(is_file)?;
        let metadata = file.metadata().ok()?;
        Some((file, metadata))
    }

    pub(super) fn blobs_folder(&self) -> PathBuf {
        self.folder.join("blobs/sha256")
    }

    pub(super) fn parts_folder(&self) -> PathBuf {
        self.folder.join("partial")
    }

    pub(super) fn blob_path(&self, digest: Digest) -> PathBuf {
        self.blobs_folder().join(digest.hex())
    }

    pub(super) fn boot_id(&self) -> Option<&str> {
        self.boot_id.as_deref()
    }

    pub(super) fn set_good(&self, digest: Digest) {
        self.known().good.insert(digest);
    }

    pub(super) fn set_brought(&self, digest: Digest, at: Instant) {
        self.known().brought.insert(digest, at);
    }

    /// What was known of a part when it was paused, if it still has this length.
    pub(super) fn take_paused(&self, digest: Digest, length: u64) -> Option<Sha256> {
        let paused = self.known().paused.take_if(|(paused, at, _)| *paused == digest && *at == length);
        paused.map(|(_, _, hash)| hash)
    }

    pub(super) fn put_paused(&self, digest: Digest, length: u64, hash: Sha256) {
        self.known().paused = Some((digest, length, hash));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// No link is followed, and a pipe is not waited for.
pub(super) fn open_to_read(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)
}

pub(super) fn is_file(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file())
}

/// What a folder has, nothing followed.
fn entries(folder: &Path) -> Vec<(PathBuf, Metadata)> {
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()).filter_map(|e| Some((e.path(), e.metadata().ok()?))).collect()
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn remove(path: &Path) {
    if let Err(error) = remove_any(path) {
        tracing::warn!(path = %path.display(), %error, "cannot be removed");
    }
}

/// Removes whatever has this name. Nothing is followed.
pub(super) fn remove_any(path: &Path) -> io::Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(there) if there.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
