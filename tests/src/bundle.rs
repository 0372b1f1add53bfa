//! A Magic Link in an OCI image layout, written file by file: independent of the program that makes them.

use std::path::{Path, PathBuf};

use anyhow::Result;
use keros_protocol::magic_link::{BundleFile, Descriptor, Digest, MANIFEST_MEDIA_TYPE, Manifest};
use serde_json::{Value, json};

/// A layout with one Magic Link in it.
#[derive(Debug)]
pub struct Bundle {
    /// The folder.
    pub layout: PathBuf,
    /// The hash.
    pub digest: Digest,
    /// What it names.
    pub manifest: Manifest,
}

impl Bundle {
    /// Writes one for these gateways; the playbook is the file `site.yml`.
    ///
    /// # Errors
    /// When a file cannot be written, or a title is none.
    pub fn write(layout: &Path, gateways: &[&str], files: &[(&str, &[u8])]) -> Result<Self> {
        let config = json!({ "name": "tested", "gateways": gateways, "playbook": "site.yml" });
        Self::with_config(layout, &config, files)
    }

    /// As [`Bundle::write`], with this config.
    ///
    /// # Errors
    /// When a file cannot be written, or a title is none.
    pub fn with_config(layout: &Path, config: &Value, files: &[(&str, &[u8])]) -> Result<Self> {
        std::fs::create_dir_all(layout.join("blobs/sha256"))?;
        let config = put(layout, &serde_json::to_vec(config)?)?;
        let mut listed = Vec::new();
        for (title, bytes) in files {
            listed.push(BundleFile {
                title: title.parse()?,
                blob: put(layout, bytes)?,
                executable: title.starts_with("modules/"),
            });
        }
        let manifest = Manifest { config, files: listed };
        let blob = put(layout, &manifest.to_bytes())?;
        let listed = json!({ "mediaType": MANIFEST_MEDIA_TYPE, "digest": blob.digest, "size": blob.size });
        let index = json!({ "schemaVersion": 2, "manifests": [listed] });
        std::fs::write(layout.join("index.json"), serde_json::to_vec(&index)?)?;
        std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(Self { layout: layout.to_owned(), digest: blob.digest, manifest })
    }

    /// What skopeo calls it.
    #[must_use]
    pub fn oci(&self) -> String {
        format!("oci:{}", self.layout.display())
    }

    /// The file of a blob.
    #[must_use]
    pub fn blob(&self, digest: Digest) -> PathBuf {
        self.layout.join("blobs/sha256").join(digest.hex())
    }
}

fn put(layout: &Path, bytes: &[u8]) -> Result<Descriptor> {
    let blob = Descriptor { digest: Digest::of(bytes), size: bytes.len() as u64 };
    std::fs::write(layout.join("blobs/sha256").join(blob.digest.hex()), bytes)?;
    Ok(blob)
}
