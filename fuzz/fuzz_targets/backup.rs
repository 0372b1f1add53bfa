//! Bytes are taken for the record of a backup, with the checksums of its lines made right, and undone on a tree.

#![no_main]

use keros_playbook::fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let all = tempfile::tempdir().expect("a folder");
    let (folder, tree) = (all.path().join("backup"), all.path().join("tree"));
    std::fs::create_dir(&tree).expect("a tree");
    fuzzing::backup(&fuzzing::with_sums(bytes), &folder, &tree);
});
