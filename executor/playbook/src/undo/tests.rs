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

/// A small tree, a backup of a few changes in it, and a folder outside of it.
struct Damaged {
    all: tempfile::TempDir,
    record: Vec<u8>,
}

impl Damaged {
    fn new() -> Self {
        let all = Path::new("/dev/shm")
            .metadata()
            .map_or_else(|_| tempfile::tempdir().unwrap(), |_| tempfile::tempdir_in("/dev/shm").unwrap());
        let root = all.path().join("root");
        fs::create_dir(&root).unwrap();
        fs::write(all.path().join("outside"), "mine").unwrap();
        fs::write(root.join("a"), "old").unwrap();
        let mut host = HostSystem::new(root, ShellPlace::Host);
        let mut keeper = keep_before(&mut host, &spec(all.path())).unwrap();
        keeper.put_file(Path::new("/a"), &Content::Bytes(b"new"), Attributes::default(), 0o644).unwrap();
        keeper.make_directory(Path::new("/b/c"), Attributes::default()).unwrap();
        let record = fs::read(all.path().join("backup/steps.jsonl")).unwrap();
        Self { all, record }
    }

    /// Undoes by this record instead: what remains.
    fn undo_by(&self, record: &[u8]) -> Vec<String> {
        fs::write(self.all.path().join("backup/steps.jsonl"), record).unwrap();
        let mut host = HostSystem::new(self.all.path().join("root"), ShellPlace::Host);
        let remains = undo(self.all.path(), &mut host);
        assert_eq!(fs::read_to_string(self.all.path().join("outside")).unwrap(), "mine");
        assert_eq!(fs::read_dir(self.all.path()).unwrap().count(), 3);
        remains
    }

    /// As the run left it.
    fn as_after_the_run(&self) {
        fs::write(self.all.path().join("root/a"), "new").unwrap();
        fs::create_dir_all(self.all.path().join("root/b/c")).unwrap();
    }
}

#[test]
fn whichever_byte_of_a_record_is_damaged_it_is_named_and_the_rest_is_undone() {
    let damaged = Damaged::new();
    for at in 0..damaged.record.len() {
        for flip in [1, 0x80, 0xff] {
            let mut record = damaged.record.clone();
            record[at] ^= flip;
            damaged.as_after_the_run();
            let remains = damaged.undo_by(&record);
            let root = damaged.all.path().join("root");
            let is_back = fs::read_to_string(root.join("a")).unwrap() == "old" && !root.join("b").exists();
            assert!(is_back || !remains.is_empty(), "byte {at}: nothing says that it is not undone");
        }
    }
}

#[test]
fn what_was_altered_with_a_right_checksum_still_stays_inside_of_the_tree() {
    let damaged = Damaged::new();
    for at in 0..damaged.record.len() {
        let mut record = damaged.record.clone();
        record[at] = b"./\"0"[at % 4];
        damaged.as_after_the_run();
        damaged.undo_by(&with_sums(&record));
    }
}

#[test]
fn a_last_line_that_was_torn_off_is_left_out_and_no_later_one_is_joined_to_it() {
    let damaged = Damaged::new();
    let lines = damaged.record.iter().filter(|byte| **byte == b'\n').count();
    for length in 0..damaged.record.len() {
        let folder = damaged.all.path().join("backup");
        fs::write(folder.join("steps.jsonl"), &damaged.record[..length]).unwrap();
        assert!(BackupLog::read(&folder).unwrap().record.damaged.is_empty(), "{length} bytes");
        let mut host = HostSystem::new(damaged.all.path().join("root"), ShellPlace::Host);
        let mut keeper = keep_before(&mut host, &spec(damaged.all.path())).unwrap();
        keeper.put_file(Path::new("/fresh"), &Content::Bytes(b"x"), Attributes::default(), 0o644).unwrap();
        let record = BackupLog::read(&folder).unwrap().record;
        assert!(record.damaged.is_empty() && record.steps.len() <= lines + 1, "{length} bytes");
        assert!(
            matches!(record.steps.last(), Some(Step::Path { path, .. }) if path.0 == Path::new("/fresh"))
        );
        fs::remove_file(damaged.all.path().join("root/fresh")).unwrap();
    }
}

#[test]
fn what_cannot_be_put_back_is_named_and_the_rest_is_put_back() {
    let damaged = Damaged::new();
    let root = damaged.all.path().join("root");
    fs::write(root.join("b/somebody-elses"), "x").unwrap();
    let blobs = fs::read_dir(damaged.all.path().join("backup/blobs")).unwrap();
    let blob = blobs.map(|blob| blob.unwrap().path()).next().unwrap();
    fs::write(&blob, "another").unwrap();
    let remains = damaged.undo_by(&damaged.record);
    assert_eq!(remains.len(), 2, "{remains:?}");
    assert!(remains.iter().any(|remains| remains.starts_with("remove /b: ")), "{remains:?}");
    assert!(remains.iter().any(|remains| remains == "put back /a: its backup is damaged"), "{remains:?}");
    assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "new", "a file is old or new in full");
    assert!(!root.join("b/c").exists());
    fs::write(&blob, "old").unwrap();
    fs::remove_file(root.join("b/somebody-elses")).unwrap();
    assert_eq!(damaged.undo_by(&damaged.record), Vec::<String>::new(), "later on all can be undone");
    assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "old");
}

#[test]
fn when_time_is_over_all_that_was_not_undone_is_named() {
    let damaged = Damaged::new();
    let mut host = HostSystem::new(damaged.all.path().join("root"), ShellPlace::Host);
    let log = BackupLog::read(&damaged.all.path().join("backup")).unwrap();
    let remains = log.undo(&mut host, Instant::now(), &mut |_, _| {});
    assert!(
        remains.iter().any(|remains| remains == "put back /a: the time for undoing was over"),
        "{remains:?}"
    );
    assert_eq!(fs::read_to_string(damaged.all.path().join("root/a")).unwrap(), "new");
}

#[test]
fn a_stage_that_is_undone_is_not_undone_again_by_an_undoing_that_was_cut() {
    let (folder, tree) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = tree.path().join("f");
    let stub = tree.path().join("dpkg-query");
    let installed =
        std::process::Command::new("install").args(["-m", "755", "/bin/false"]).arg(&stub).status();
    assert!(installed.unwrap().success());
    let mut host = HostSystem::new(tree.path().to_owned(), ShellPlace::Host);
    "/".clone_into(&mut host.search_path);
    let put = |system: &mut dyn System, text: &str| {
        system.put_file(Path::new("/f"), &Content::Bytes(text.as_bytes()), Attributes::default(), 0o644)
    };
    fs::write(&file, "1").unwrap();
    let mut keeper = keep_before(&mut host, &spec(folder.path())).unwrap();
    put(&mut keeper, "2").unwrap();
    keeper.before(&Upcoming::Packages(&[])).unwrap();
    // What the packages brought.
    fs::write(&file, "3").unwrap();
    put(&mut keeper, "4").unwrap();
    assert_eq!(undo(folder.path(), &mut host), Vec::<String>::new());
    assert_eq!(fs::read_to_string(&file).unwrap(), "1");
    let read = || BackupLog::read(&folder.path().join("backup")).unwrap();
    let undone = |step: &&Step| matches!(step, Step::Undone { stage: 1, .. });
    assert_eq!(read().record.steps.iter().filter(undone).count(), 2);
    // Once more: only the first stage, for nothing before it can have been left behind.
    fs::write(&file, "as a cut undoing left it").unwrap();
    assert_eq!(undo(folder.path(), &mut host), Vec::<String>::new());
    assert_eq!(fs::read_to_string(&file).unwrap(), "1");
    assert_eq!(read().record.steps.iter().filter(undone).count(), 2, "not undone again");
}

#[test]
fn a_backup_is_for_root_alone_and_holds_the_same_content_once() {
    let (folder, tree) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for number in 0..600 {
        fs::create_dir_all(tree.path().join(format!("t/{}", number % 7))).unwrap();
        fs::write(tree.path().join(format!("t/{}/{number}", number % 7)), format!("{}", number % 300))
            .unwrap();
    }
    let before = picture(tree.path());
    let mut host = HostSystem::new(tree.path().to_owned(), ShellPlace::Host);
    let mut keeper = keep_before(&mut host, &spec(folder.path())).unwrap();
    keeper.remove_directory(Path::new("/t"), true).unwrap();
    let backup = folder.path().join("backup");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!([&backup, &backup.join("blobs"), &backup.join("names")].map(|path| mode(path)), [0o700; 3]);
    let blobs = fs::read_dir(backup.join("blobs")).unwrap().map(|blob| blob.unwrap().path());
    let blobs: Vec<_> = blobs.chain([backup.join("steps.jsonl")]).collect();
    assert!(blobs.iter().all(|blob| mode(blob) == 0o600));
    assert_eq!(blobs.len(), 301);
    assert_eq!(undo(folder.path(), &mut host), Vec::<String>::new());
    assert!(differences(&before, &picture(tree.path())).is_empty());
}
