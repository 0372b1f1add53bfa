//! A Magic Link made for a test.

use std::collections::BTreeMap;

use keros_protocol::magic_link::{BundleFile, Descriptor, Digest, Manifest};

use super::server::{Asked, Counts, Stream, give, say};

/// All of its blobs by their digest.
#[derive(Debug, Clone)]
pub(super) struct Bundle {
    pub(super) digest: Digest,
    pub(super) manifest: Vec<u8>,
    pub(super) config: Digest,
    pub(super) blobs: BTreeMap<Digest, Vec<u8>>,
}

pub(super) fn descriptor(content: &[u8]) -> Descriptor {
    Descriptor { digest: Digest::of(content), size: content.len() as u64 }
}

/// Bytes that no two places have alike.
pub(super) fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2) + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length.div_ceil(8)).flat_map(|_| next()).take(length).collect()
}

impl Bundle {
    /// For these gateways, with these files.
    pub(super) fn new(gateways: &str, files: &[(&str, Vec<u8>)]) -> Self {
        let config = format!(r#"{{"name":"test","gateways":["{gateways}"],"playbook":"{}"}}"#, files[0].0);
        Self::with_config(config.as_bytes(), files)
    }

    /// With this config.
    pub(super) fn with_config(config: &[u8], files: &[(&str, Vec<u8>)]) -> Self {
        let file = |(title, content): &(&str, Vec<u8>)| BundleFile {
            title: title.parse().unwrap(),
            blob: descriptor(content),
            executable: false,
        };
        let manifest = Manifest { config: descriptor(config), files: files.iter().map(file).collect() };
        let manifest = manifest.to_bytes();
        let mut blobs: BTreeMap<_, _> =
            files.iter().map(|(_, content)| (Digest::of(content), content.clone())).collect();
        let digest = Digest::of(&manifest);
        let config_digest = Digest::of(config);
        blobs.insert(config_digest, config.to_vec());
        Self { digest, manifest, config: config_digest, blobs }
    }

    /// One that this gateway may run, with a file of this length.
    pub(super) fn of_length(length: usize) -> Self {
        Self::new("7076FF*", &[("site.yml", b"[]\n".to_vec()), ("data", bytes(length, 7))])
    }

    /// The digest of the file `data`.
    pub(super) fn data(&self) -> Digest {
        let mut blobs: Vec<_> = self.blobs.iter().collect();
        blobs.sort_by_key(|(_, content)| content.len());
        *blobs[blobs.len() - 1].0
    }

    /// What a path of a registry has.
    pub(super) fn content(&self, path: &str) -> Option<&Vec<u8>> {
        let digest = path.rsplit('/').next()?.parse().ok()?;
        if path.contains("/manifests/") {
            return (digest == self.digest).then_some(&self.manifest);
        }
        self.blobs.get(&digest)
    }

    /// Answers as a good registry does.
    pub(super) fn serve(
        &self,
        asked: &Asked,
        stream: &mut dyn Stream,
        counts: &Counts,
    ) -> std::io::Result<()> {
        let Some(content) = self.content(&asked.path) else {
            return say(stream, "404 Not Found", "", b"{}");
        };
        self.head(asked, content, stream)?;
        give(stream, counts, &content[asked.from() as usize..])
    }

    /// The head of a good answer.
    pub(super) fn head(&self, asked: &Asked, content: &[u8], stream: &mut dyn Stream) -> std::io::Result<()> {
        let (from, length) = (asked.from(), content.len());
        let left = length as u64 - from;
        if from == 0 {
            return write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {left}\r\n\r\n");
        }
        write!(
            stream,
            "HTTP/1.1 206 Partial Content\r\nContent-Length: {left}\r\nContent-Range: bytes {from}-{}/{length}\r\n\r\n",
            length - 1
        )
    }
}
