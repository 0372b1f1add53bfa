//! A tree as an undoing must bring it back: all but the times of directories and links.

#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// All of a tree that an undoing must bring back.
pub(crate) fn picture(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut seen = BTreeMap::new();
    let mut names: BTreeMap<(u64, u64), PathBuf> = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let is = fs::symlink_metadata(&path).unwrap();
        let mut text = format!("{:o} {} {}", is.mode(), is.uid(), is.gid());
        if is.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            open.sort_by(|a, b| b.cmp(a));
        } else if is.is_symlink() {
            text += &format!(" -> {}", fs::read_link(&path).unwrap().display());
        } else if is.is_file() {
            let content = format!("{:x?}", Sha256::digest(fs::read(&path).unwrap()).as_slice());
            text += &format!(" {}.{} {content}", is.mtime(), is.mtime_nsec());
        }
        if !is.is_dir() && !is.is_symlink() {
            let first = names.entry((is.dev(), is.ino())).or_insert_with(|| path.clone());
            text += &format!(" = {}", first.display());
        }
        if !is.is_symlink() && (is.is_file() || is.is_dir()) {
            let mut value = [0_u8; 100];
            for name in ["user.note", "security.capability", "system.posix_acl_access"] {
                let length = rustix::fs::lgetxattr(&path, name, &mut value[..]);
                text += &format!(" {:?}", length.ok().map(|length| value[..length].to_vec()));
            }
        }
        seen.insert(path, text);
    }
    seen
}

/// What differs between two pictures.
pub(crate) fn differences(
    before: &BTreeMap<PathBuf, String>,
    after: &BTreeMap<PathBuf, String>,
) -> Vec<(PathBuf, Option<String>, Option<String>)> {
    let all: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let differ = all.into_iter().filter(|path| before.get(*path) != after.get(*path));
    differ.map(|path| (path.clone(), before.get(path).cloned(), after.get(path).cloned())).collect()
}
