//! The catalog and the names in the code are one list, and systemd's own program takes it.

#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use keros_service::Named;

fn catalog() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../systemd/keros.catalog")
}

/// The entries by their ids.
fn entries() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(catalog()).unwrap();
    let parts = text.split("\n-- ").skip(1).map(|part| part.split_once('\n').unwrap());
    parts.map(|(id, text)| (id.to_owned(), text.to_owned())).collect()
}

#[test]
fn each_named_event_has_one_entry_and_each_entry_an_event() {
    let entries = entries();
    for named in Named::ALL {
        assert!(entries.contains_key(named.message_id()), "{named:?} is not in the catalog");
    }
    let text = std::fs::read_to_string(catalog()).unwrap();
    assert_eq!(text.matches("\n-- ").count(), Named::ALL.len(), "an entry that nothing names, or one twice");
    for (id, entry) in entries {
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        let lines: Vec<&str> = entry.lines().collect();
        assert!(lines[0].starts_with("Subject: ") && lines[1].starts_with("Defined-By: keros"), "{entry}");
        assert!(lines.iter().all(|line| line.chars().count() <= 120), "it fits a terminal: {entry}");
    }
}

#[test]
fn systemd_takes_the_catalog() {
    let Ok(version) = Command::new("journalctl").arg("--version").output() else {
        keros_skip::skipped("journalctl is missing");
        return;
    };
    assert!(version.status.success());
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("usr/lib/systemd/catalog");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::create_dir_all(root.path().join("var/lib/systemd/catalog")).unwrap();
    std::fs::copy(catalog(), folder.join("keros.catalog")).unwrap();
    let run = |arguments: &[&str]| {
        let mut program = Command::new("journalctl");
        let output = program.arg("--root").arg(root.path()).args(arguments).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && errors.is_empty(), "{errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    run(&["--update-catalog"]);
    assert_eq!(run(&["--list-catalog"]).lines().count(), Named::ALL.len());
}
