//! From a bundle to the center: what it lacks, then the manifest.

use keros_protocol::magic_link::MANIFEST_MEDIA_TYPE;

use super::progress::Progress;
use crate::api::LinkView;
use crate::bundle::Bundle;
use crate::cli::client::Client;

/// Uploads the blobs that the center does not have, and then the manifest, which makes the link known there.
///
/// # Errors
/// When a blob is damaged, or the center cannot be asked or refuses.
pub(crate) fn run(client: &Client, bundle: &Bundle) -> anyhow::Result<LinkView> {
    let mut missing = Vec::new();
    for blob in bundle.link.manifest.blobs() {
        if !client.has(&format!("/blobs/{}", blob.digest))? {
            missing.push(blob);
        }
    }
    let mut progress = Progress::new("uploading", missing.iter().map(|blob| blob.size).sum());
    for blob in missing {
        let mut content = progress.watch(bundle.blob(blob)?);
        client.put_stream(&format!("/blobs/{}", blob.digest), blob.size, &mut content)?;
    }
    progress.end();
    let path = format!("/magic-links/{}", bundle.digest);
    Ok(client.put_bytes(&path, MANIFEST_MEDIA_TYPE, &bundle.manifest)?)
}
