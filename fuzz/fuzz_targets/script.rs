//! A text is checked as a script and, when it is one, run dry.

#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use keros_playbook::fuzzing;

/// Stays empty: a dry run changes nothing.
static TREE: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

fn is_empty(tree: &Path) -> bool {
    std::fs::read_dir(tree).is_ok_and(|mut entries| entries.next().is_none())
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    fuzzing::script(text, TREE.path());
    assert!(is_empty(TREE.path()), "a dry run changed something");
});
