//! Sticks changed at random: whatever is read of one is the link whose hash was typed, byte by byte.

use std::io::Read as _;

use keros_fuzzing::{fuzz, in_a_limited_process};

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
        let blobs = folder.path().join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        let put = |content: &[u8]| {
            let digest = Digest::of(content);
            fs::write(blobs.join(digest.hex()), content).unwrap();
            Descriptor { digest, size: content.len() as u64 }
        };
        let config = put(CONFIG);
        let blob = put(PLAYBOOK);
        let files = vec![BundleFile { title: "site.yml".parse().unwrap(), blob, executable: false }];
        let seed = Manifest { config, files }.to_bytes();
        assert!(check(folder.path(), put(&seed).digest).is_ok());
        fuzz(&[seed], MANIFEST_WORDS, &mut |input| {
            let manifest = put(&input);
            read(folder.path(), manifest.digest);
            if ![config.digest, blob.digest].contains(&manifest.digest) {
                fs::remove_file(blobs.join(manifest.digest.hex())).unwrap();
            }
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
