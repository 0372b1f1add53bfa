//! Bundles for tests.

use keros_protocol::magic_link::{BundleFile, Descriptor, Digest, Manifest};
use serde_json::{Value, json};

/// A playbook that needs the file `files/banner`.
pub(crate) const PLAYBOOK: &str = "\
- name: a play
  groups:
    - all
  tasks:
    - !copy
      src: banner
      dest: /etc/issue
";

/// A bundle that was not put anywhere yet.
pub(crate) struct Bundle {
    pub(crate) manifest: Vec<u8>,
    pub(crate) blobs: Vec<Vec<u8>>,
}

impl Bundle {
    pub(crate) fn new(gateways: &[&str], files: &[(&str, &str)]) -> Self {
        let config = json!({"name": "banner", "gateways": gateways, "playbook": files[0].0});
        Self::with(&config, files)
    }

    pub(crate) fn with(config: &Value, files: &[(&str, &str)]) -> Self {
        let config = serde_json::to_vec(config).unwrap();
        let blob = |bytes: &[u8]| Descriptor { digest: Digest::of(bytes), size: bytes.len() as u64 };
        let file = |(title, text): &(&str, &str)| BundleFile {
            title: title.parse().unwrap(),
            blob: blob(text.as_bytes()),
            executable: false,
        };
        let manifest = Manifest { config: blob(&config), files: files.iter().map(file).collect() };
        let texts = files.iter().map(|(_, text)| text.as_bytes().to_vec());
        Self { manifest: manifest.to_bytes(), blobs: std::iter::once(config).chain(texts).collect() }
    }

    /// The one that most tests use.
    pub(crate) fn usual(gateways: &[&str]) -> Self {
        Self::new(gateways, &[("site.yml", PLAYBOOK), ("files/banner", "hello\n")])
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }
}
