//! A Magic Link with a way to its blobs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use keros_protocol::magic_link::{Descriptor, Digest, LinkConfig, MagicLink, Manifest};

use super::BundleError;
use super::verified::Verified;

/// A Magic Link whose manifest and config were read and checked. What its blobs hold is checked whenever one is read.
#[derive(Debug)]
pub(crate) struct Bundle {
    /// The hash.
    pub(crate) digest: Digest,
    /// The manifest's bytes, which have that hash.
    pub(crate) manifest: Vec<u8>,
    /// What it says.
    pub(crate) link: MagicLink,
    config: Vec<u8>,
    blobs: Blobs,
}

/// Where blobs are.
#[derive(Debug, Clone)]
pub(crate) enum Blobs {
    /// Files anywhere.
    Files(BTreeMap<Digest, PathBuf>),
    /// An OCI image layout: `blobs/sha256/<hex>` below this folder.
    Folder(PathBuf),
    /// The same in a tar: where the bytes of each blob begin, and how many they are.
    Tar { path: PathBuf, places: BTreeMap<Digest, (u64, u64)> },
}

impl Bundle {
    /// Puts one together.
    ///
    /// # Errors
    /// What a gateway would refuse: [`BundleError::Refused`].
    pub(crate) fn new(manifest: Vec<u8>, config: Vec<u8>, blobs: Blobs) -> Result<Self, BundleError> {
        let link = MagicLink::new(Manifest::parse(&manifest)?, LinkConfig::parse(&config)?)?;
        Ok(Self { digest: Digest::of(&manifest), manifest, link, config, blobs })
    }

    /// Reads manifest and config from where the blobs are.
    ///
    /// # Errors
    /// When they are not there, damaged, or no Magic Link.
    pub(crate) fn open(manifest: Descriptor, blobs: Blobs) -> Result<Self, BundleError> {
        let manifest = blobs.read(manifest)?;
        let config = blobs.read(Manifest::parse(&manifest)?.config)?;
        Self::new(manifest, config, blobs)
    }

    /// Opens a blob; the reader fails before its end when the content is not what the digest says.
    ///
    /// # Errors
    /// When it is not there.
    pub(crate) fn blob(&self, blob: Descriptor) -> Result<Box<dyn Read + '_>, BundleError> {
        if blob.digest == self.link.manifest.config.digest {
            return Ok(Box::new(Verified::new(self.config.as_slice(), blob)));
        }
        self.blobs.open(blob)
    }

    /// Where a blob lies as a file of its own; nowhere when it does not.
    pub(crate) fn path(&self, digest: Digest) -> PathBuf {
        self.blobs.path(digest).unwrap_or_default()
    }

    /// Whether copying failed because the blob is not what it should be, or because it could not be written.
    pub(crate) fn failed(
        &self,
        digest: Digest,
        error: io::Error,
        writing: &dyn Fn(io::Error) -> BundleError,
    ) -> BundleError {
        match error.kind() {
            io::ErrorKind::InvalidData => {
                BundleError::Blob { path: self.blobs.place(digest), digest, what: error.to_string() }
            }
            _ => writing(error),
        }
    }
}

impl Blobs {
    fn open(&self, blob: Descriptor) -> Result<Box<dyn Read>, BundleError> {
        let path = self.place(blob.digest);
        let wrong = |what: String| BundleError::Blob { path: path.clone(), digest: blob.digest, what };
        if let Self::Tar { path, places } = self {
            let (begin, bytes) =
                *places.get(&blob.digest).ok_or_else(|| wrong("it is not there".to_owned()))?;
            let mut file = File::open(path).map_err(|error| wrong(error.to_string()))?;
            file.seek(SeekFrom::Start(begin)).map_err(|error| wrong(error.to_string()))?;
            return Ok(Box::new(Verified::new(file.take(bytes), blob)));
        }
        let is_file = std::fs::metadata(&path).map_err(|error| wrong(error.to_string()))?.is_file();
        // A pipe would be waited for.
        if !is_file {
            return Err(wrong("it is no file".to_owned()));
        }
        let file = File::open(&path).map_err(|error| wrong(error.to_string()))?;
        Ok(Box::new(Verified::new(file, blob)))
    }

    /// Reads a small blob whole; the caller has bounded its size.
    fn read(&self, blob: Descriptor) -> Result<Vec<u8>, BundleError> {
        let mut bytes = Vec::new();
        self.open(blob)?.read_to_end(&mut bytes).map_err(|error| BundleError::Blob {
            path: self.place(blob.digest),
            digest: blob.digest,
            what: error.to_string(),
        })?;
        Ok(bytes)
    }

    fn path(&self, digest: Digest) -> Option<PathBuf> {
        match self {
            Self::Files(paths) => paths.get(&digest).cloned(),
            Self::Folder(folder) => Some(blob_path(folder, digest)),
            Self::Tar { .. } => None,
        }
    }

    fn place(&self, digest: Digest) -> PathBuf {
        match self {
            Self::Tar { path, .. } => path.clone(),
            _ => self.path(digest).unwrap_or_default(),
        }
    }
}

/// Where an OCI image layout has a blob (OCI image specification 1.1, "Blobs").
pub(super) fn blob_path(folder: &Path, digest: Digest) -> PathBuf {
    folder.join("blobs/sha256").join(digest.hex())
}
