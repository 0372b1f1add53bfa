//! Who acts as another user has that user's rights, no more, and is itself again afterwards.

#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use keros_playbook::{Actor, Attributes, Content, Durability, HostSystem, ShellPlace, System as _};
use rustix::process::{Gid, getgroups};
use rustix::thread::set_thread_groups;

const LOCAL: u32 = 4_201;
const ACTOR: Actor = Actor { uid: LOCAL, gid: LOCAL };

/// A tree with `/own`, a folder of the user; `None` where this program cannot act as one.
fn tree() -> Option<(tempfile::TempDir, HostSystem)> {
    if !nix::unistd::geteuid().is_root() {
        keros_skip::skipped("only root can act as another user");
        return None;
    }
    let tree = tempfile::tempdir().unwrap();
    fs::set_permissions(tree.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(tree.path().join("own")).unwrap();
    chown(tree.path().join("own"), Some(LOCAL), Some(LOCAL)).unwrap();
    let system = HostSystem::new(tree.path().to_owned(), ShellPlace::Root);
    Some((tree, system))
}

/// The user owns the folder, and can take away a file that waits in it for its name.
#[test]
fn a_file_that_cannot_get_its_name_leaves_nobody_acting_as_the_user() {
    let Some((tree, mut system)) = tree() else { return };
    system.durability = Durability::Grouped;
    let put = |system: &mut HostSystem, path: &str| {
        system.put_file(Path::new(path), &Content::Bytes(b"x"), Attributes::default(), 0o644)
    };
    system.act_as(Some(ACTOR)).unwrap();
    put(&mut system, "/own/a").unwrap();
    fs::remove_file(tree.path().join("own/.a.keros-new")).unwrap();
    assert!(system.act_as(None).is_err(), "it is told");
    put(&mut system, "/own/b").unwrap();
    assert!(system.checkpoint().is_err(), "and told again at the end");
    assert_eq!(fs::metadata(tree.path().join("own/b")).unwrap().uid(), 0);
}

#[test]
fn who_acts_as_a_user_leaves_the_groups_of_this_program_behind() {
    let Some((tree, _)) = tree() else { return };
    set_thread_groups(&[Gid::from_raw(LOCAL + 1)]).unwrap();
    let mut system = HostSystem::new(tree.path().to_owned(), ShellPlace::Root);
    let file = tree.path().join("f");
    fs::write(&file, "x").unwrap();
    chown(&file, Some(0), Some(LOCAL + 1)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    system.act_as(Some(ACTOR)).unwrap();
    let read = system.read(Path::new("/f"), 10);
    system.act_as(None).unwrap();
    assert!(read.is_err(), "{read:?}");
    assert_eq!(getgroups().unwrap(), [Gid::from_raw(LOCAL + 1)]);
}
