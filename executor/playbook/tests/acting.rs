//! Who acts as another user has that user's rights, no more, and is itself again afterwards.

#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};
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

const TAKEN: Attributes = Attributes { uid: Some(LOCAL), gid: None, mode: None };

/// `/etc/secret` is root's.
fn secret(tree: &tempfile::TempDir) -> std::path::PathBuf {
    fs::create_dir(tree.path().join("etc")).unwrap();
    let secret = tree.path().join("etc/secret");
    fs::write(&secret, "secret").unwrap();
    secret
}

#[test]
fn a_link_of_a_user_leads_root_only_to_what_is_that_users() {
    let Some((tree, mut system)) = tree() else { return };
    let secret = secret(&tree);
    let link = |target: &str, name: &str| {
        symlink(target, tree.path().join(name)).unwrap();
        lchown(tree.path().join(name), Some(LOCAL), None).unwrap();
    };
    link("/etc", "own/folder");
    link("../etc/secret", "own/file");
    link("/etc/new", "own/new");
    link("/own", "own/good");
    for path in ["/own/folder", "/own/folder/secret", "/own/file", "/own/good/file"] {
        let error = system.set_attributes(Path::new(path), TAKEN).unwrap_err().to_string();
        assert!(error.ends_with("a link of user 4201 leads to what is not that user's there"), "{error}");
        assert!(system.read(Path::new(path), 100).is_err(), "{path}");
    }
    let content = Content::Bytes(b"x");
    for path in ["/own/new", "/own/folder/new", "/own/file"] {
        assert!(system.put_file(Path::new(path), &content, Attributes::default(), 0o644).is_err(), "{path}");
    }
    assert!(system.list_tree(Path::new("/own/folder")).is_err());
    assert_eq!(
        (fs::read_to_string(&secret).unwrap().as_str(), fs::metadata(&secret).unwrap().uid()),
        ("secret", 0)
    );
    assert_eq!(fs::read_dir(tree.path().join("etc")).unwrap().count(), 1);

    system.put_file(Path::new("/own/good/made"), &content, Attributes::default(), 0o644).unwrap();
    system.set_attributes(Path::new("/own/good/made"), TAKEN).unwrap();
    system.set_attributes(Path::new("/own/good"), TAKEN).unwrap();
    symlink("/etc", tree.path().join("own/roots")).unwrap();
    assert_eq!(system.read(Path::new("/own/roots/secret"), 10).unwrap(), b"secret");
}

#[test]
fn one_more_name_of_a_file_of_root_in_a_folder_of_a_user_gives_nothing_away() {
    let Some((tree, mut system)) = tree() else { return };
    let secret = secret(&tree);
    fs::hard_link(&secret, tree.path().join("own/name")).unwrap();
    let error = system.set_attributes(Path::new("/own/name"), TAKEN).unwrap_err().to_string();
    assert!(error.contains("it has another name too"), "{error}");
    assert_eq!(fs::metadata(&secret).unwrap().uid(), 0);
    system.set_attributes(Path::new("/etc/secret"), TAKEN).unwrap();
    system.set_attributes(Path::new("/own/name"), Attributes { mode: Some(0o600), ..TAKEN }).unwrap();
}

/// An access list is one of them: with it the user would read what root writes there for itself.
#[test]
fn what_a_user_put_on_a_file_does_not_pass_to_a_file_of_root() {
    let Some((tree, mut system)) = tree() else { return };
    let file = tree.path().join("own/f");
    fs::write(&file, "old").unwrap();
    chown(&file, Some(LOCAL), None).unwrap();
    if rustix::fs::setxattr(&file, "user.mark", b"x", rustix::fs::XattrFlags::empty()).is_err() {
        keros_skip::skipped("this file system has no extended attributes");
        return;
    }
    let mut put = |uid| {
        let attributes = Attributes { uid: Some(uid), gid: None, mode: Some(0o640) };
        system.put_file(Path::new("/own/f"), &Content::Bytes(b"new"), attributes, 0o644).unwrap();
        rustix::fs::getxattr(&file, "user.mark", &mut [0_u8; 8][..]).is_ok()
    };
    assert!(put(LOCAL), "kept for the same owner");
    assert!(!put(0));
}
