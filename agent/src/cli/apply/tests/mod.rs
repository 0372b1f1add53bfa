//! Sticks that were damaged: no change of a byte and no cut gets past the checks, and none ends the program.

mod fuzz;

use std::fs;
use std::path::Path;

use keros_protocol::magic_link::Digest;
use keros_protocol::{Eui, UnixSeconds};

use super::bundle::BundleError;
use super::*;
use crate::local::{ConnectionView, TelemetryView};

fn gateway() -> StatusView {
    let nothing: UnixSeconds = 0;
    StatusView {
        agent_version: String::new(),
        eui: Eui::from_u64(0x7076_FF00_5607_0123),
        identity_source: String::new(),
        codename: None,
        keros_version: None,
        started_at_unix_s: nothing,
        connection: ConnectionView {
            state: "waiting".to_owned(),
            broker: String::new(),
            tls: "none".to_owned(),
            since_unix_s: nothing,
            last_error: None,
        },
        telemetry: TelemetryView { last_sent_unix_s: None, last_answered_unix_s: None, next_unix_s: nothing },
        reports_pending: 0,
        open_jobs: Vec::new(),
        ended_jobs: Vec::new(),
        ended_total: std::collections::BTreeMap::new(),
        warnings: Vec::new(),
    }
}

/// A Magic Link as a tar, its manifest behind the other blobs.
fn exported() -> (Digest, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let files = [("site.yml", &[7; 700][..])];
    let bundle = keros_test_bundle::Bundle::write(folder.path(), &["7076FF*"], &files).unwrap();
    let mut archive = tar::Builder::new(Vec::new());
    let mut blobs: Vec<Digest> = bundle.manifest.blobs().iter().map(|blob| blob.digest).collect();
    blobs.push(bundle.digest);
    for digest in blobs {
        let name = format!("blobs/sha256/{}", digest.hex());
        archive.append_path_with_name(bundle.blob(digest), name).unwrap();
    }
    (bundle.digest, archive.into_inner().unwrap())
}

fn check(path: &Path, hash: Digest) -> Result<Bundle, BundleError> {
    open(path, hash, &gateway(), true)
}

#[test]
fn a_changed_byte_is_noticed_or_is_none_of_the_links() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("link.tar");
    let (hash, whole) = exported();
    fs::write(&path, &whole).unwrap();
    let good = check(&path, hash).unwrap();
    let mut passed = 0;
    for index in (0..whole.len()).step_by(5) {
        let mut changed = whole.clone();
        changed[index] ^= 1 << (index % 8);
        fs::write(&path, &changed).unwrap();
        if let Ok(bundle) = check(&path, hash) {
            // Padding, times, owners: all that is run has its digest.
            assert_eq!(bundle.blobs, good.blobs, "byte {index}");
            passed += 1;
        }
    }
    assert!(passed < whole.len() / 10, "{passed} of {} changes", whole.len() / 5);
}

#[test]
fn a_cut_anywhere_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("link.tar");
    let (hash, whole) = exported();
    // The manifest comes last; behind it there is only padding and the two blocks that end an archive.
    let end = whole.iter().rposition(|byte| *byte == b'}').unwrap() + 1;
    for length in (0..end).step_by(5) {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(check(&path, hash).is_err(), "cut to {length} bytes");
    }
}
