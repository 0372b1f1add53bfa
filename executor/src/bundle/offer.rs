//! A Magic Link that the agent has brought and that this gateway may run. Of its bundle nothing has been read but manifest and config.

use std::path::Path;

use keros_protocol::RefusalReason;
use keros_protocol::eligibility::Refusal;
use keros_protocol::limits::MAX_MANIFEST_BYTES;
use keros_protocol::magic_link::{Descriptor, Digest, LinkConfig, LinkGateway, MagicLink, Manifest};

use super::Trouble;
use super::given::{Blob, Given};
use crate::exit::Failure;

/// Manifest and config, verified and judged, and where the rest can be copied from.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(super) digest: Digest,
    pub(super) manifest: Vec<u8>,
    pub(super) config: Vec<u8>,
    pub(super) link: MagicLink,
    pub(super) given: Given,
}

impl Offer {
    /// Reads manifest and config below this folder and judges them.
    ///
    /// # Errors
    /// The first reason why this gateway does not run the link: `not_found`, `digest_mismatch`, what [`Manifest::parse`],
    /// [`LinkConfig::parse`] and [`MagicLink::check`] say.
    pub(crate) fn read(
        folder: Option<&Path>,
        digest: Digest,
        gateway: &LinkGateway<'_>,
    ) -> Result<Self, Trouble> {
        let given = Given::open(folder)?;
        let blob = given.blob(digest, "the manifest")?;
        // Nobody but the manifest itself states its length.
        let size = blob.length;
        if size > MAX_MANIFEST_BYTES as u64 {
            let detail = format!("the manifest has {size} bytes, at most {MAX_MANIFEST_BYTES}");
            return Err(Trouble::refused(RefusalReason::TooLarge, detail));
        }
        let manifest = read(blob, Descriptor { digest, size })?;
        let parsed = Manifest::parse(&manifest)?;
        let config = read(given.blob(parsed.config.digest, "the config")?, parsed.config)?;
        let link = judge(parsed, &config, gateway)?;
        Ok(Self { digest, manifest, config, link, given })
    }
}

/// Both have bounded sizes.
fn read(blob: Blob, wanted: Descriptor) -> Result<Vec<u8>, Trouble> {
    let mut content = Vec::new();
    blob.copy(wanted, &mut content, &|error| {
        Failure::io("keep a part of the bundle in memory")(error).into()
    })?;
    Ok(content)
}

fn judge(manifest: Manifest, config: &[u8], gateway: &LinkGateway<'_>) -> Result<MagicLink, Refusal> {
    let link = MagicLink::new(manifest, LinkConfig::parse(config)?)?;
    link.check(gateway)?;
    Ok(link)
}
