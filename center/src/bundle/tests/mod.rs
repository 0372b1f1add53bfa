//! Bundles made, written and read again, and what is not read.

mod fuzz;
mod hostile;

use std::path::Path;

use super::*;

const PLAYBOOK: &str = "- name: a play\n  groups:\n    - all\n  tasks:\n    - !copy\n      src: banner\n      dest: /etc/issue\n";

fn put(folder: &Path, title: &str, content: &str) {
    let path = folder.join(title);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

fn contents() -> Contents {
    Contents {
        name: Some("banner".to_owned()),
        description: String::new(),
        gateways: [parse_pattern("7076FF*").unwrap()].into(),
        keros: None,
        models: std::collections::BTreeSet::new(),
        expires_at_unix_s: None,
        playbook: None,
    }
}

/// A folder with a bundle of two files in `in`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "in/site.yml", PLAYBOOK);
    put(folder.path(), "in/files/banner", "hello\n");
    folder
}

fn bundle(folder: &Path) -> Bundle {
    make(&folder.join("in"), contents()).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_same_files_and_conditions_give_the_same_hash_always() {
    let one = folder();
    let other = tempfile::tempdir().unwrap();
    put(other.path(), "in/files/banner", "hello\n");
    put(other.path(), "in/.git/HEAD", "x");
    put(other.path(), "in/site.yml", PLAYBOOK);
    let hash = bundle(one.path()).digest;
    assert_eq!(bundle(other.path()).digest, hash);
    // A hash of these files is on somebody's list: it may never become another one.
    assert_eq!(hash.hex(), "d403f13b1e087661e029e1c7678f3877d627cde677c31f987da4e830e9296d0e");
    put(other.path(), "in/files/banner", "hello!");
    assert_ne!(bundle(other.path()).digest, hash);
    let narrower = Contents { expires_at_unix_s: Some(5), ..contents() };
    assert_ne!(make(&one.path().join("in"), narrower).unwrap().digest, hash);
}

#[test]
fn a_playbook_is_found_by_its_name_or_alone() {
    let folder = folder();
    let input = folder.path().join("in");
    let playbook = || make(&input, contents()).map(|bundle| bundle.link.config.playbook.to_string());
    put(&input, "other.yml", PLAYBOOK);
    assert_eq!(playbook().unwrap(), "site.yml");
    std::fs::rename(input.join("site.yml"), input.join("another.yml")).unwrap();
    let error = playbook().unwrap_err().to_string();
    assert!(error.contains("no site.yml and 2 other .yml files"), "{error}");
    std::fs::remove_file(input.join("other.yml")).unwrap();
    assert_eq!(playbook().unwrap(), "another.yml");
    std::fs::remove_file(input.join("another.yml")).unwrap();
    assert!(playbook().unwrap_err().to_string().contains("--playbook"));
    let named = Contents { playbook: Some("missing.yml".parse().unwrap()), ..contents() };
    assert!(make(&input, named).unwrap_err().to_string().contains("none of the bundle's files"));
}

#[test]
fn nobody_declared_is_refused() {
    let folder = folder();
    let nobody = Contents { gateways: std::collections::BTreeSet::new(), ..contents() };
    let error = make(&folder.path().join("in"), nobody).unwrap_err().to_string();
    assert!(error.contains("--gateways FILE"), "{error}");
}

#[test]
fn a_layout_in_a_folder_or_a_tar_holds_all_of_it() {
    let folder = folder();
    let bundle = bundle(folder.path());
    for name in ["out", "out.tar"] {
        let path = folder.path().join(name);
        write(&bundle, &path).unwrap();
        let read = Image::open(&path).unwrap().bundle(None).unwrap();
        assert_eq!((read.digest, &read.link), (bundle.digest, &bundle.link), "{name}");
        for blob in read.link.manifest.blobs() {
            std::io::copy(&mut read.blob(blob).unwrap(), &mut std::io::sink()).unwrap();
        }
    }
    let again = folder.path().join("again.tar");
    write(&bundle, &again).unwrap();
    assert_eq!(std::fs::read(again).unwrap(), std::fs::read(folder.path().join("out.tar")).unwrap());
    assert_eq!(names(folder.path()), ["again.tar", "in", "out", "out.tar"]);
}

#[test]
fn nothing_is_overwritten() {
    let folder = folder();
    let bundle = bundle(folder.path());
    put(folder.path(), "there.tar", "precious");
    for name in ["in", "there.tar"] {
        assert!(matches!(write(&bundle, &folder.path().join(name)), Err(BundleError::Exists(_))), "{name}");
    }
    assert_eq!(std::fs::read_to_string(folder.path().join("there.tar")).unwrap(), "precious");
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    write(&bundle, &folder.path().join("empty")).unwrap();
    assert_eq!(names(folder.path()), ["empty", "in", "there.tar"]);
}

#[test]
fn a_file_that_changes_meanwhile_leaves_nothing_half_written() {
    let folder = folder();
    let bundle = bundle(folder.path());
    put(folder.path(), "in/files/banner", "HELLO\n");
    for name in ["out", "out.tar"] {
        let error = write(&bundle, &folder.path().join(name)).unwrap_err().to_string();
        assert!(error.contains("in/files/banner") && error.contains("its content has the digest"), "{error}");
    }
    assert_eq!(names(folder.path()), ["in"]);
    let nowhere = write(&bundle, &folder.path().join("no/such/out.tar")).unwrap_err();
    assert!(matches!(nowhere, BundleError::Write(..)), "{nowhere}");
}

#[test]
fn of_several_links_one_is_chosen_by_its_hash() {
    let folder = folder();
    let first = bundle(folder.path());
    let second =
        make(&folder.path().join("in"), Contents { expires_at_unix_s: Some(5), ..contents() }).unwrap();
    let out = folder.path().join("out");
    write(&first, &out).unwrap();
    write(&second, &folder.path().join("second")).unwrap();
    for name in names(&folder.path().join("second/blobs/sha256")) {
        std::fs::copy(
            folder.path().join("second/blobs/sha256").join(&name),
            out.join("blobs/sha256").join(name),
        )
        .unwrap();
    }
    let index = |folder: &Path| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(folder.join("index.json")).unwrap()).unwrap()
    };
    let mut both = index(&out);
    both["manifests"]
        .as_array_mut()
        .unwrap()
        .push(index(&folder.path().join("second"))["manifests"][0].clone());
    std::fs::write(out.join("index.json"), both.to_string()).unwrap();
    let image = Image::open(&out).unwrap();
    let error = image.bundle(None).unwrap_err().to_string();
    assert!(error.contains("several") && error.contains(&second.digest.hex()), "{error}");
    let hex = second.digest.hex();
    assert_eq!(image.bundle(Some(&hex[..8])).unwrap().digest, second.digest);
    let error = image.bundle(Some("00000000")).unwrap_err().to_string();
    assert!(error.contains("does not hold 00000000; it holds sha256:"), "{error}");
}
