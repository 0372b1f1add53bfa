//! Sticks changed at random: whatever is read of one is the link whose hash was typed, byte by byte.

use std::io::Read as _;

use keros_fuzzing::{fuzz, in_a_limited_process};
use keros_test_bundle::Bundle as Stick;

use super::*;

/// What is checked is read once more when it is handed to the agent.
fn read(path: &Path, hash: Digest) {
    let Ok(bundle) = check(path, hash) else { return };
    assert_eq!(bundle.blobs[0].digest, hash);
    for blob in &bundle.blobs {
        let mut bytes = Vec::new();
        bundle.content(blob.digest).unwrap().reader.read_to_end(&mut bytes).unwrap();
        assert_eq!((Digest::of(&bytes), bytes.len() as u64), (blob.digest, blob.size));
    }
}

#[test]
fn no_tar_leads_to_another_link() {
    in_a_limited_process("cli::apply::tests::fuzz::no_tar_leads_to_another_link", || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("link.tar");
        let (hash, seed) = exported();
        fuzz(&[seed], TAR_WORDS, &mut |input| {
            fs::write(&path, input).unwrap();
            read(&path, hash);
        });
    });
}

/// A manifest that has its right digest may still say anything.
#[test]
fn no_manifest_in_a_folder_leads_to_blobs_that_it_does_not_name() {
    let test = "cli::apply::tests::fuzz::no_manifest_in_a_folder_leads_to_blobs_that_it_does_not_name";
    in_a_limited_process(test, || {
        let folder = tempfile::tempdir().unwrap();
        let bundle = Stick::write(folder.path(), &["7076FF*"], &[("site.yml", &[7; 700])]).unwrap();
        assert!(check(folder.path(), bundle.digest).is_ok());
        let seed = bundle.manifest.to_bytes();
        fuzz(&[seed], MANIFEST_WORDS, &mut |input| {
            let hash = Digest::of(&input);
            let path = bundle.blob(hash);
            fs::write(&path, input).unwrap();
            read(folder.path(), hash);
            fs::remove_file(path).unwrap();
        });
    });
}

const TAR_WORDS: &[&str] = &[
    "../",
    "/",
    "./",
    "\0",
    "blobs/sha256/",
    "././@LongLink",
    "77777777777",
    "00000000000",
    "ustar\0",
    "ustar  ",
    "99999999999 path=a\n",
    "size=9999999\n",
];

const MANIFEST_WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    "\"",
    "sha256:",
    "../",
    "null",
    "-1",
    "0",
    "18446744073709551615",
    "\"size\":0,",
    "\"layers\":[],",
    "\\u0000",
    "site.yml",
];
