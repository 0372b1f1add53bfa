//! Whatever was done in whatever order: undone, the tree is what it was before, bit for bit.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keros_protocol::TaskRef;

use super::keeper::Keeper;
use super::*;
use crate::system::{Attributes, Content, HostSystem, ShellPlace, Upcoming, Watched};

#[path = "../../tests/picture/mod.rs"]
mod picture;

use picture::{differences, picture};

/// Numbers by chance, the same for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % most
    }

    fn path(&mut self) -> PathBuf {
        let mut path = PathBuf::from("/");
        for _ in 0..=self.below(3) {
            path.push(["a", "b", "c", "d"][self.below(4)]);
        }
        path
    }

    fn mode(&mut self) -> u32 {
        [0o644, 0o600, 0o755, 0o4755, 0o2750, 0o1777, 0o000][self.below(7)]
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = [0, 1, 10, 70_000][self.below(4)];
        let first = self.below(250);
        (0..length).map(|at| u8::try_from((first + at) % 251).unwrap()).collect()
    }

    fn attributes(&mut self) -> Attributes {
        let id = |chance: &mut Self| [None, Some(0), Some(7), Some(12_345)][chance.below(4)];
        let mode = Some(self.mode()).filter(|_| self.below(2) == 0);
        Attributes { uid: id(self), gid: id(self), mode }
    }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A tree by chance, as nobody but a person would make it.
fn plant(root: &Path, chance: &mut Chance) {
    for _ in 0..25 {
        let path = root.join(chance.path().strip_prefix("/").unwrap());
        let above = path.parent().unwrap();
        if fs::create_dir_all(above).is_err() || fs::symlink_metadata(&path).is_ok() {
            continue;
        }
        match chance.below(6) {
            0 => fs::create_dir(&path).unwrap(),
            1 => symlink(["a", "../b", "/c/d", "nowhere"][chance.below(4)], &path).unwrap(),
            2 => {
                let other = root.join(chance.path().strip_prefix("/").unwrap());
                let _ = fs::hard_link(other, &path);
            }
            3 => nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
            _ => fs::write(&path, chance.bytes()).unwrap(),
        }
        let Ok(is) = fs::symlink_metadata(&path) else { continue };
        if !is.is_symlink() {
            let flags = rustix::fs::XattrFlags::empty();
            if chance.below(3) == 0 {
                let _ = rustix::fs::setxattr(&path, "user.note", b"n", flags);
            }
            if is_root() && is.is_file() {
                std::os::unix::fs::chown(&path, Some(u32::try_from(chance.below(3)).unwrap()), Some(5))
                    .unwrap();
                if chance.below(3) == 0 {
                    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                    let _ = rustix::fs::setxattr(&path, "security.capability", &capability, flags);
                }
            }
            let mode = if is.is_dir() { 0o755 } else { chance.mode() };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
    }
}

/// Something that a module may do; that it fails is right too.
fn act(system: &mut Watched<'_, Keeper>, chance: &mut Chance) {
    let (path, other) = (chance.path(), chance.path());
    let content = chance.bytes();
    let _ = match chance.below(9) {
        0..=2 => system.put_file(&path, &Content::Bytes(&content), chance.attributes(), chance.mode()),
        3 => system.make_directory(&path, chance.attributes()),
        4 => system.set_attributes(&path, chance.attributes()),
        5 => system.make_link(&path, &other),
        6 => system.remove_file(&path),
        7 => system.remove_directory(&path, chance.below(2) == 0),
        _ => system.before(&Upcoming::Tree(&path)).map(|()| by_hand(system, &path, chance)),
    };
}

/// What a program does in a tree that was told of.
fn by_hand(system: &mut Watched<'_, Keeper>, path: &Path, chance: &mut Chance) {
    let host = system.below.host().unwrap();
    let Ok(real) = host.real_path(path, crate::system::LastLink::Follow) else { return };
    let place = host.root.join(real.strip_prefix("/").unwrap());
    let _ = match chance.below(3) {
        0 => fs::remove_dir_all(&place).or_else(|_| fs::remove_file(&place)),
        1 => fs::create_dir_all(place.join("new/deep")).and_then(|()| fs::write(place.join("new/f"), "x")),
        _ => fs::remove_file(place.join("a")).and_then(|()| fs::write(place.join("a"), "another")),
    };
}

fn spec(folder: &Path) -> BackupSpec {
    BackupSpec { folder: folder.join("backup"), max_bytes: 1 << 30 }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

fn undo(folder: &Path, system: &mut dyn System) -> Vec<String> {
    BackupLog::read(&folder.join("backup")).unwrap().undo(system, soon(), &mut |_, _| {})
}

fn histories() -> u64 {
    std::env::var("KEROS_UNDO_HISTORIES").ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}

#[test]
fn any_sequence_of_changes_undone_gives_the_tree_that_was_before() {
    for seed in 1..=histories() {
        let (folder, tree) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        plant(tree.path(), &mut chance);
        let before = picture(tree.path());
        let mut host = HostSystem::new(tree.path().to_owned(), ShellPlace::Host);
        for _ in 0..=chance.below(2) {
            // Begun once more, as after a reboot.
            let mut keeper = keep_before(&mut host, &spec(folder.path())).unwrap();
            for number in 0..chance.below(20) {
                let number = u32::try_from(number).unwrap();
                keeper.begin_task(&TaskRef { number, count: 9, name: "t".to_owned() }, "x");
                act(&mut keeper, &mut chance);
            }
        }
        let remains = undo(folder.path(), &mut host);
        assert_eq!(remains, Vec::<String>::new(), "seed {seed}");
        let differ = differences(&before, &picture(tree.path()));
        assert!(differ.is_empty(), "seed {seed}: {differ:#?}");
        assert_eq!(undo(folder.path(), &mut host), Vec::<String>::new(), "seed {seed}: once more");
        assert_eq!(picture(tree.path()), before, "seed {seed}: once more");
    }
}
