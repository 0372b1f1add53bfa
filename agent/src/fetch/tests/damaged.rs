//! A disk that has lost what it was given: strace lets reading fail.

use std::process::{Command as Program, Stdio};

use super::bundle::{bytes, descriptor};
use super::*;

/// Where to look, for the process that strace runs.
const FOLDER: &str = "KEROS_DAMAGED_FOLDER";
/// Whether that is no damage.
const PASSING: &str = "KEROS_DAMAGED_PASSING";
const TEST: &str = "fetch::tests::damaged::what_the_disk_has_lost_is_fetched_anew";

/// What is asked of a blob and of a part of one when they cannot be read.
fn look(folder: &Path, is_passing: bool) {
    let store = BlobStore::new(folder.join("bundles"), Path::new("/"));
    let (whole, begun) = (descriptor(&bytes(1000, 1)), descriptor(&bytes(1000, 2)));
    let (found, part) = (store.is_good(whole, &Stop::default()), store.part(begun, &Stop::default()));
    if is_passing {
        assert!(found.is_err() && part.is_err());
        assert_eq!((store.have(whole), store.have(begun)), (1000, 10));
    } else {
        assert!(!found.unwrap() && part.unwrap().length() == 0);
        assert_eq!((store.have(whole), store.have(begun)), (0, 0));
    }
}

#[test]
fn what_the_disk_has_lost_is_fetched_anew() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return look(Path::new(&folder), std::env::var_os(PASSING).is_some());
    }
    let works = Program::new("strace").args(["-o", "/dev/null", "true"]).status();
    if !works.is_ok_and(|status| status.success()) {
        keros_skip::skipped("strace is not installed, or may not trace here");
        return;
    }
    for (error, is_passing) in [("EIO", false), ("ENODATA", false), ("ENOMEM", true)] {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::new(folder.path().join("bundles"), Path::new("/"));
        store.prepare().unwrap();
        let (whole, begun) = (bytes(1000, 1), bytes(1000, 2));
        let mut part = store.part(descriptor(&whole), &Stop::default()).unwrap();
        part.add(&whole).unwrap();
        assert!(part.finish().unwrap());
        let mut part = store.part(descriptor(&begun), &Stop::default()).unwrap();
        part.add(&begun[..10]).unwrap();
        part.pause();
        let mut program = Program::new("strace");
        program.args(["-f", "-qq", "-o", "/dev/null"]).arg(format!("--inject=read:error={error}"));
        program.arg("-P").arg(store.blob_path(Digest::of(&whole)));
        program.arg("-P").arg(store.part_path(Digest::of(&begun)));
        program.arg(std::env::current_exe().unwrap()).args(["--exact", TEST, "--nocapture"]);
        program.env(FOLDER, folder.path()).envs(is_passing.then_some((PASSING, "yes")));
        let output = program.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{error}: {output:?}");
    }
}
