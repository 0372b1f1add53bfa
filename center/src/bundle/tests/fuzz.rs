//! Layouts changed at random: whatever is read of one, it is a link whose hash was asked for.

use keros_fuzzing::{fuzz, in_a_limited_process};
use keros_protocol::magic_link::Digest;

use super::*;

/// Opens the only link that a layout names, if it names one.
fn read(path: &Path) {
    let Ok(bundle) = Image::open(path).and_then(|image| image.bundle(None)) else { return };
    assert_eq!(Digest::of(&bundle.manifest), bundle.digest);
    for blob in bundle.link.manifest.blobs() {
        let Ok(mut content) = bundle.blob(blob) else { continue };
        let mut bytes = Vec::new();
        if std::io::Read::read_to_end(&mut content, &mut bytes).is_ok() {
            assert_eq!(Digest::of(&bytes), blob.digest);
        }
    }
}

#[test]
fn no_index_leads_to_a_link_with_another_hash() {
    in_a_limited_process("bundle::tests::fuzz::no_index_leads_to_a_link_with_another_hash", || {
        let folder = folder();
        let layout = folder.path().join("layout");
        write(&bundle(folder.path()), &layout).unwrap();
        let index = layout.join("index.json");
        let seed = std::fs::read(&index).unwrap();
        fuzz(&[seed], INDEX_WORDS, &mut |input| {
            std::fs::write(&index, input).unwrap();
            read(&layout);
        });
    });
}

#[test]
fn no_tar_leads_to_a_link_with_another_hash() {
    in_a_limited_process("bundle::tests::fuzz::no_tar_leads_to_a_link_with_another_hash", || {
        let folder = folder();
        let tar = folder.path().join("layout.tar");
        write(&bundle(folder.path()), &tar).unwrap();
        let seed = std::fs::read(&tar).unwrap();
        fuzz(&[seed], TAR_WORDS, &mut |input| {
            std::fs::write(&tar, input).unwrap();
            read(&tar);
        });
    });
}

const INDEX_WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "sha256:",
    "../../",
    "null",
    "-1",
    "18446744073709551615",
    "\"size\":0",
    "\"mediaType\":\"application/vnd.oci.image.index.v1+json\",",
    "\"manifests\":[],",
    "\\u0000",
];

const TAR_WORDS: &[&str] = &[
    "../",
    "/",
    "\0",
    "blobs/sha256/",
    "oci-layout",
    "index.json",
    "././@LongLink",
    "77777777777",
    "00000000000",
    "ustar\0",
    "ustar  ",
    "99999999999 path=a\n",
    "size=9999999\n",
];
