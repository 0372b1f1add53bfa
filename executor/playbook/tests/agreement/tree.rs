//! The tree that a script finds, and what can be seen of a tree.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use crate::random::Random;
use crate::script::{FILES, PATHS};

/// Something that is there before a script runs.
#[derive(Debug, Clone)]
pub(crate) enum There {
    Directory { path: &'static str, mode: u32 },
    File { path: &'static str, content: &'static str, mode: u32, owner: u32 },
    Link { path: &'static str, target: &'static str },
}

const CONTENTS: [&str; 5] = ["", "one\n", "two\n", "where={{ where }}\n", "{{ nowhere }}\n"];
const TARGETS: [&str; 9] = ["a", "/b", "../b", "l", "m", "nothing", "/nothing/deep", "/a/b", "c"];

pub(crate) fn generate(random: &mut Random) -> Vec<There> {
    let count = random.below(8);
    let mut all: Vec<There> = (0..count).map(|_| one(random)).collect();
    for path in ["/a", "/b", "/a/b"] {
        if random.chance(60) {
            all.push(There::Directory { path, mode: 0o755 });
        }
    }
    all
}

fn one(random: &mut Random) -> There {
    // A path that is a template names nothing yet.
    let literal: Vec<&str> = PATHS.iter().copied().filter(|path| !path.contains("{{")).collect();
    let path = random.pick(&literal);
    let file = if random.chance(70) { random.pick(&FILES[..5]) } else { path };
    match random.below(4) {
        0 => There::Link {
            path: random.pick(&["/l", "/m", "/a/l", "/b/a", "/c"]),
            target: random.pick(&TARGETS),
        },
        1 => There::Directory { path, mode: random.pick(&[0o755, 0o700, 0o2775, 0o1777]) },
        _ => {
            let (content, mode) = (random.pick(&CONTENTS), random.pick(&[0o644, 0o600, 0o4755, 0o000]));
            There::File { path: file, content, mode, owner: random.pick(&[0, 0, 4242]) }
        }
    }
}

/// Makes what can be made; what is in the way of another stays.
pub(crate) fn make(root: &Path, all: &[There]) {
    fs::create_dir(root.join("etc")).unwrap();
    fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nlora:x:4242:4343::/:/bin/sh\n").unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\nradio:x:4343:\n").unwrap();
    for there in all {
        match there {
            There::Directory { path, mode } => {
                let path = root.join(&path[1..]);
                if is_inside(root, &path) && fs::create_dir_all(&path).is_ok() {
                    fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
                }
            }
            There::File { path, content, mode, owner } => {
                let path = root.join(&path[1..]);
                let _ = path.parent().filter(|parent| is_inside(root, parent)).map(fs::create_dir_all);
                if is_inside(root, &path) && !path.exists() && fs::write(&path, content).is_ok() {
                    if nix::unistd::geteuid().is_root() {
                        chown(&path, Some(*owner), None).unwrap();
                    }
                    fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
                }
            }
            There::Link { path, target } => drop(symlink(target, root.join(&path[1..]))),
        }
    }
}

/// No link on the way: outside of the engine nothing keeps an absolute one within the tree.
fn is_inside(root: &Path, path: &Path) -> bool {
    let ways = path.ancestors().take_while(|above| *above != root);
    ways.into_iter().all(|above| !above.is_symlink())
        && !path.components().any(|part| part.as_os_str() == "..")
}

/// All that can be seen of a tree from outside, times of change included.
pub(crate) fn snapshot(root: &Path) -> BTreeMap<PathBuf, String> {
    let seen = seen(root).into_iter();
    seen.map(|(path, is, looks)| {
        let times = (is.mtime(), is.mtime_nsec(), is.ctime(), is.ctime_nsec());
        (path, format!("{} {times:?} {looks}", is.ino()))
    })
    .collect()
}

/// What a tree looks like, whenever and wherever it was made.
pub(crate) fn looks(root: &Path) -> Vec<String> {
    let seen = seen(root).into_iter();
    let mut all: Vec<String> =
        seen.map(|(path, _, looks)| format!("{:?} {looks}", path.strip_prefix(root).unwrap())).collect();
    all.sort();
    all
}

fn seen(root: &Path) -> Vec<(PathBuf, fs::Metadata, String)> {
    let (mut all, mut pending) = (Vec::new(), vec![root.to_owned()]);
    while let Some(path) = pending.pop() {
        let is = fs::symlink_metadata(&path).unwrap();
        let inside = if is.is_symlink() {
            format!("{:?}", fs::read_link(&path).unwrap())
        } else if is.is_dir() {
            pending.extend(fs::read_dir(&path).into_iter().flatten().map(|entry| entry.unwrap().path()));
            String::new()
        } else {
            format!("{:?}", fs::read(&path).map_err(|error| error.kind()))
        };
        let looks = format!("{:o} {}:{} {inside}", is.mode(), is.uid(), is.gid());
        all.push((path, is, looks));
    }
    all
}
