//! A Magic Link with a way to its blobs.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use keros_protocol::limits::MAX_MANIFEST_BYTES;
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
    /// Over the network.
    Remote(Rc<dyn Remote>),
}

/// A center or a registry that has blobs. What it gives is not believed.
pub(crate) trait Remote: fmt::Debug {
    /// What to call it.
    fn name(&self) -> String;

    /// Opens a manifest.
    ///
    /// # Errors
    /// [`BundleError::Remote`].
    fn manifest(&self, digest: Digest) -> Result<Box<dyn Read>, BundleError>;

    /// Opens another blob.
    ///
    /// # Errors
    /// [`BundleError::Remote`].
    fn blob(&self, digest: Digest) -> Result<Box<dyn Read>, BundleError>;
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
    pub(crate) fn open(digest: Digest, blobs: Blobs) -> Result<Self, BundleError> {
        let manifest = blobs.manifest(digest)?;
        let config = Manifest::parse(&manifest)?.config;
        let mut bytes = Vec::new();
        let read = blobs.open(config)?.read_to_end(&mut bytes);
        read.map_err(|error| blobs.wrong(config.digest, error.to_string()))?;
        Self::new(manifest, bytes, blobs)
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
            io::ErrorKind::InvalidData => self.blobs.wrong(digest, error.to_string()),
            _ => writing(error),
        }
    }
}

impl Blobs {
    fn open(&self, blob: Descriptor) -> Result<Box<dyn Read>, BundleError> {
        Ok(Box::new(Verified::new(self.unverified(blob.digest)?, blob)))
    }

    fn manifest(&self, digest: Digest) -> Result<Vec<u8>, BundleError> {
        let content = match self {
            Self::Remote(remote) => remote.manifest(digest)?,
            _ => self.unverified(digest)?,
        };
        let mut bytes = Vec::new();
        let read = content.take(MAX_MANIFEST_BYTES as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|error| self.wrong(digest, error.to_string()))?;
        if bytes.len() <= MAX_MANIFEST_BYTES && Digest::of(&bytes) != digest {
            return Err(self.wrong(digest, format!("its content has the digest {}", Digest::of(&bytes))));
        }
        Ok(bytes)
    }

    fn unverified(&self, digest: Digest) -> Result<Box<dyn Read>, BundleError> {
        let missing = || self.wrong(digest, "it is not there".to_owned());
        let failed = |error: io::Error| self.wrong(digest, error.to_string());
        let path = match self {
            Self::Remote(remote) => return remote.blob(digest),
            Self::Tar { path, places } => {
                let (begin, bytes) = *places.get(&digest).ok_or_else(missing)?;
                let mut file = File::open(path).map_err(failed)?;
                file.seek(SeekFrom::Start(begin)).map_err(failed)?;
                return Ok(Box::new(file.take(bytes)));
            }
            Self::Files(_) | Self::Folder(_) => self.path(digest).ok_or_else(missing)?,
        };
        // A pipe would be waited for.
        if !std::fs::metadata(&path).map_err(failed)?.is_file() {
            return Err(self.wrong(digest, "it is no file".to_owned()));
        }
        Ok(Box::new(File::open(&path).map_err(failed)?))
    }

    fn path(&self, digest: Digest) -> Option<PathBuf> {
        match self {
            Self::Files(paths) => paths.get(&digest).cloned(),
            Self::Folder(folder) => Some(blob_path(folder, digest)),
            Self::Tar { .. } | Self::Remote(_) => None,
        }
    }

    fn wrong(&self, digest: Digest, what: String) -> BundleError {
        let path = match self {
            Self::Tar { path, .. } | Self::Folder(path) => Some(path.clone()),
            Self::Files(_) => self.path(digest),
            Self::Remote(remote) => Some(remote.name().into()),
        };
        BundleError::Blob { path: path.unwrap_or_default(), digest, what }
    }
}

/// Where an OCI image layout has a blob (OCI image specification 1.1, "Blobs").
pub(super) fn blob_path(folder: &Path, digest: Digest) -> PathBuf {
    folder.join("blobs/sha256").join(digest.hex())
}
