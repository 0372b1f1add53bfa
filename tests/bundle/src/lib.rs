//! A Magic Link in an OCI image layout, written file by file: independent of the program that makes them.

#![allow(clippy::unwrap_used, reason = "only tests call it, and a test ends by panicking")]

use std::path::{Path, PathBuf};

use anyhow::Result;
use keros_protocol::magic_link::{BundleFile, Descriptor, Digest, LinkConfig, MANIFEST_MEDIA_TYPE, Manifest};
use serde_json::json;

/// A file's title, content, and whether it is a program.
pub type File<'a> = (&'a str, &'a [u8], bool);

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
    /// Writes one for these gateways; the playbook is the file `site.yml`, and what is below `modules` are programs.
    ///
    /// # Errors
    /// When a file cannot be written, or a title is none.
    pub fn write(layout: &Path, gateways: &[&str], files: &[(&str, &[u8])]) -> Result<Self> {
        let config = json!({ "name": "tested", "gateways": gateways, "playbook": "site.yml" });
        let files = files.iter().map(|(title, bytes)| (*title, *bytes, title.starts_with("modules/")));
        Self::with_config(layout, &config.to_string(), files)
    }

    /// Writes one with this config, which need not be good for any gateway.
    ///
    /// # Errors
    /// When a file cannot be written, or a title or the config is none.
    pub fn with_config<'a>(
        layout: &Path,
        config: &str,
        files: impl IntoIterator<Item = File<'a>>,
    ) -> Result<Self> {
        LinkConfig::parse(config.as_bytes()).map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
        std::fs::create_dir_all(layout.join("blobs/sha256"))?;
        let config = put(layout, config.as_bytes())?;
        let mut listed = Vec::new();
        for (title, bytes, executable) in files {
            listed.push(BundleFile { title: title.parse()?, blob: put(layout, bytes)?, executable });
        }
        let manifest = Manifest { config, files: listed };
        let blob = put(layout, &manifest.to_bytes())?;
        let listed = json!({ "mediaType": MANIFEST_MEDIA_TYPE, "digest": blob.digest, "size": blob.size });
        let index = json!({ "schemaVersion": 2, "manifests": [listed] });
        std::fs::write(layout.join("index.json"), index.to_string())?;
        std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(Self { layout: layout.to_owned(), digest: blob.digest, manifest })
    }

    /// What skopeo calls it.
    #[must_use]
    pub fn oci(&self) -> String {
        format!("oci:{}", self.layout.display())
    }

    /// The path of a blob.
    #[must_use]
    pub fn blob(&self, digest: Digest) -> PathBuf {
        self.layout.join("blobs/sha256").join(digest.hex())
    }

    /// The path of the blob that is the file of this title.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn file(&self, title: &str) -> PathBuf {
        let found = self.manifest.files.iter().find(|file| file.title.as_str() == title);
        self.blob(found.unwrap().blob.digest)
    }
}

fn put(layout: &Path, bytes: &[u8]) -> Result<Descriptor> {
    let blob = Descriptor { digest: Digest::of(bytes), size: bytes.len() as u64 };
    std::fs::write(layout.join("blobs/sha256").join(blob.digest.hex()), bytes)?;
    Ok(blob)
}
