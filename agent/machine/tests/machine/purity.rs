//! The machine has no clock, disk or network: what it depends on, and what it uses of the standard library, is the proof.

use std::path::Path;

/// Text of a file below the crate's folder.
fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_machine_depends_on_wire_forms_alone() {
    let manifest = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    let section = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let names: Vec<_> = section.lines().filter_map(|line| line.split(['.', ' ', '=']).next()).collect();
    let names: Vec<_> = names.into_iter().filter(|name| !name.is_empty()).collect();
    assert_eq!(names, ["keros-protocol", "serde"], "no runtime, no network, no operating system");
    assert!(!manifest.contains("[build-dependencies]") && !manifest.contains("[target."));
}

#[test]
fn the_machine_reads_no_clock_and_touches_nothing() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = 0;
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let text = read(&path);
        files += 1;
        for module in ["io", "fs", "net", "time", "process", "thread", "env", "os", "sync", "path"] {
            let name = path.display();
            assert!(!text.contains(&format!("std::{module}")), "{name} uses std::{module}");
        }
        for word in
            ["println!", "eprintln!", "async ", "static mut", "thread_local!", "HashMap", "RandomState"]
        {
            assert!(!text.contains(word), "{} has {word}", path.display());
        }
    }
    assert!(files > 10, "{files} files were read");
}
