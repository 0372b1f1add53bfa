//! One bit of a manifest or config that is another makes another Magic Link, or none.

#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use keros_protocol::magic_link::{BundleFile, Descriptor, Digest, LinkConfig, MagicLink, Manifest};

const CONFIG: &[u8] = br#"{"name":"x","description":"y","gateways":["7076FF0056070123","7276FF*"],"keros":"5 || >=6.2, <7","models":["wiis"],"expires_at_unix_s":1795604800,"playbook":"site.yml"}"#;

fn manifest() -> Manifest {
    let blob = |bytes: &[u8]| Descriptor { digest: Digest::of(bytes), size: bytes.len() as u64 };
    let file = |title: &str, executable| BundleFile {
        title: title.parse().unwrap(),
        blob: blob(title.as_bytes()),
        executable,
    };
    Manifest { config: blob(CONFIG), files: vec![file("site.yml", false), file("modules/measure", true)] }
}

/// All texts that differ from this one in one bit.
fn with_one_bit_changed(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len() * 8).map(|bit| {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        changed
    })
}

/// The way of every reader: the bytes that a digest names, and no others, are read.
fn read(hash: Digest, manifest: &[u8], config: &[u8]) -> Option<MagicLink> {
    let manifest = Some(manifest).filter(|bytes| Digest::of(bytes) == hash)?;
    let manifest = Manifest::parse(manifest).ok()?;
    let config = Some(config).filter(|bytes| Digest::of(bytes) == manifest.config.digest)?;
    MagicLink::new(manifest, LinkConfig::parse(config).ok()?).ok()
}

#[test]
fn each_bit_counts_for_the_hash() {
    let written = manifest().to_bytes();
    let hash = Digest::of(&written);
    assert!(read(hash, &written, CONFIG).is_some());
    assert!(with_one_bit_changed(&written).all(|changed| read(hash, &changed, CONFIG).is_none()));
    assert!(with_one_bit_changed(CONFIG).all(|changed| read(hash, &written, &changed).is_none()));
}

/// Also without the hash no change of one bit goes unseen: what is still read says something else.
#[test]
fn each_bit_counts_for_the_meaning() {
    let manifest = manifest();
    for changed in with_one_bit_changed(&manifest.to_bytes()) {
        let read = Manifest::parse(&changed);
        assert!(read.is_err() || read.unwrap() != manifest, "{}", String::from_utf8_lossy(&changed));
    }
    let config = LinkConfig::parse(CONFIG).unwrap();
    for changed in with_one_bit_changed(CONFIG) {
        let read = LinkConfig::parse(&changed);
        assert!(read.is_err() || read.unwrap() != config, "{}", String::from_utf8_lossy(&changed));
    }
}
