//! A Magic Link in a layout, checked as the agent and the executor will check it once more.

use std::io::{self, Read};

use keros_protocol::eligibility::Refusal;
use keros_protocol::limits::{MAX_LINK_CONFIG_BYTES, MAX_MANIFEST_BYTES};
use keros_protocol::magic_link::{Descriptor, Digest, LinkConfig, LinkGateway, MagicLink, Manifest};
use keros_protocol::{Eui, KerosVersion, RefusalReason};
use sha2::{Digest as _, Sha256};

use super::layout::{Blob, Layout, LayoutError};
use super::progress::Progress;
use crate::local::StatusView;

/// A Magic Link whose manifest and config are right.
pub(super) struct Bundle {
    layout: Layout,
    link: MagicLink,
    /// All of its blobs, the manifest first.
    pub(super) blobs: Vec<Descriptor>,
}

/// Why a Magic Link cannot be run from here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BundleError {
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error("the Magic Link {0} is not in it")]
    NoSuchLink(Digest),
    #[error("it is not whole: the blob {0} of {1} is missing")]
    Missing(Digest, String),
    #[error("the blob {0} cannot be read")]
    Read(Digest, #[source] io::Error),
    #[error("the blob {digest} of {what} was changed: {how}")]
    Changed { digest: Digest, what: String, how: String },
    #[error("refused: {0}")]
    Refused(Refusal),
}

impl Bundle {
    /// Reads manifest and config, and checks that this gateway may run it. Its expiry is left to the agent, which knows the time
    /// better than the gateway's clock.
    pub(super) fn open(layout: Layout, hash: Digest, gateway: &StatusView) -> Result<Self, BundleError> {
        let blob = layout.blob(hash).map_err(|error| BundleError::Read(hash, error))?;
        let blob = blob.ok_or(BundleError::NoSuchLink(hash))?;
        let described = Descriptor { digest: hash, size: blob.bytes };
        let bytes = small(blob, described, "the manifest", MAX_MANIFEST_BYTES)?;
        let manifest = Manifest::parse(&bytes).map_err(BundleError::Refused)?;
        let blob = find(&layout, manifest.config.digest, "the config")?;
        let config = small(blob, manifest.config, "the config", MAX_LINK_CONFIG_BYTES)?;
        let config = LinkConfig::parse(&config).map_err(BundleError::Refused)?;
        let link = MagicLink::new(manifest, config).map_err(BundleError::Refused)?;
        let keros: Option<KerosVersion> = gateway.keros_version.as_ref().and_then(|text| text.parse().ok());
        let eui: Eui = gateway.eui;
        let gateway =
            LinkGateway { eui, keros: keros.as_ref(), model: gateway.codename.as_deref(), now_unix_s: 0 };
        link.check(&gateway).map_err(BundleError::Refused)?;
        let blobs = std::iter::once(described).chain(link.manifest.blobs()).collect();
        Ok(Self { layout, link, blobs })
    }

    /// Reads every file once, and checks that it is what the manifest says.
    pub(super) fn verify(&self, progress: &mut Progress) -> Result<(), BundleError> {
        let mut read = 0;
        for blob in &self.blobs {
            let what = self.name_of(blob.digest);
            let digest = hash(self.content(blob.digest)?, *blob, &what, |more| {
                read += more;
                progress.at(read);
            })?;
            if digest != blob.digest {
                return Err(changed(blob.digest, &what, format!("its digest is {digest}")));
            }
        }
        Ok(())
    }

    /// A blob, to be read from its beginning.
    pub(super) fn content(&self, digest: Digest) -> Result<Blob, BundleError> {
        find(&self.layout, digest, &self.name_of(digest))
    }

    pub(super) fn total_bytes(&self) -> u64 {
        self.blobs.iter().map(|blob| blob.size).sum()
    }

    /// The file that has this content, for people.
    fn name_of(&self, digest: Digest) -> String {
        let file = self.link.manifest.files.iter().find(|file| file.blob.digest == digest);
        file.map_or_else(|| "manifest or config".to_owned(), |file| file.title.to_string())
    }
}

fn changed(digest: Digest, what: &str, how: String) -> BundleError {
    BundleError::Changed { digest, what: what.to_owned(), how }
}

fn find(layout: &Layout, digest: Digest, what: &str) -> Result<Blob, BundleError> {
    let blob = layout.blob(digest).map_err(|error| BundleError::Read(digest, error))?;
    blob.ok_or_else(|| BundleError::Missing(digest, what.to_owned()))
}

fn check_size(blob: &Blob, described: Descriptor, what: &str) -> Result<(), BundleError> {
    if blob.bytes == described.size {
        return Ok(());
    }
    let how = format!("it has {} bytes instead of {}", blob.bytes, described.size);
    Err(changed(described.digest, what, how))
}

fn small(
    mut blob: Blob,
    described: Descriptor,
    what: &str,
    max_bytes: usize,
) -> Result<Vec<u8>, BundleError> {
    if blob.bytes > max_bytes as u64 {
        let detail = format!("{what} has {} bytes, at most {max_bytes}", blob.bytes);
        return Err(BundleError::Refused(Refusal::new(RefusalReason::TooLarge, detail)));
    }
    check_size(&blob, described, what)?;
    let mut bytes = Vec::new();
    blob.reader.read_to_end(&mut bytes).map_err(|error| BundleError::Read(described.digest, error))?;
    match Digest::of(&bytes) {
        found if found == described.digest => Ok(bytes),
        found => Err(changed(described.digest, what, format!("its digest is {found}"))),
    }
}

fn hash(
    mut blob: Blob,
    described: Descriptor,
    what: &str,
    mut read: impl FnMut(u64),
) -> Result<Digest, BundleError> {
    check_size(&blob, described, what)?;
    let (mut hash, mut piece) = (Sha256::new(), vec![0; 64 * 1024]);
    loop {
        match blob.reader.read(&mut piece) {
            Ok(0) => return Ok(Digest::from_bytes(hash.finalize().into())),
            Ok(length) => {
                hash.update(&piece[..length]);
                read(length as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(BundleError::Read(described.digest, error)),
        }
    }
}
