//! Full disks, read-only ones, overlays: errors by name, and what was there stays as it was.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use keros_playbook::{HostSystem, Observer, RunOptions, Script, ScriptSource, ShellPlace};
use keros_protocol::executor::Event;

/// A mounted file system; it is unmounted when this is dropped.
struct Mount {
    _folder: tempfile::TempDir,
    point: PathBuf,
}

impl Mount {
    /// `None`, after saying so, where this program may not mount.
    fn new(kind: &str, options: impl FnOnce(&Path) -> String) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let point = folder.path().join("mnt");
        fs::create_dir(&point).unwrap();
        let options = options(folder.path());
        let output =
            Command::new("mount").args(["-t", kind, "-o", &options, kind]).arg(&point).output().unwrap();
        if !output.status.success() {
            keros_skip::skipped(&format!("cannot mount: {}", String::from_utf8_lossy(&output.stderr)));
            return None;
        }
        Some(Self { _folder: folder, point })
    }

    fn remount(&self, option: &str) {
        let options = format!("remount,{option}");
        assert!(Command::new("mount").args(["-o", &options]).arg(&self.point).status().unwrap().success());
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.point).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.point).status();
    }
}

struct Results(Vec<String>);

impl Observer for Results {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        if let Event::TaskEnded { result, .. } = event {
            let message = result.message.as_deref().unwrap_or_default();
            self.0.push(format!("{} {message}", result.status.as_str()).trim().to_owned());
        }
        Ok(())
    }
}

/// Runs tasks on a tree, failures ignored, and gives each one's status and message.
fn results(root: &Path, tasks: &[&str]) -> Vec<String> {
    let tasks: String =
        tasks.iter().map(|task| format!("    - {task}, and: {{ ignore_errors: true }} }}\n")).collect();
    let text =
        format!("- name: p\n  groups: [all]\n  vars: {{ big: {} }}\n  tasks:\n{tasks}", "x".repeat(100_000));
    let source = ScriptSource { text, file: "s.yml".to_owned(), ..ScriptSource::default() };
    let script = Script::parse(&source).unwrap();
    let mut system = HostSystem::new(root.to_owned(), ShellPlace::Root);
    let mut results = Results(Vec::new());
    keros_playbook::run(&script, &mut system, &RunOptions::default(), &mut results);
    results.0
}

#[test]
fn a_full_disk_is_named_and_the_old_file_stays() {
    let Some(mount) = Mount::new("tmpfs", |_| "size=64k,nr_inodes=6".to_owned()) else { return };
    fs::write(mount.point.join("old"), "old").unwrap();
    let tasks = ["!template { content: '{{big}}', dest: /old", "!template { content: '{{big}}', dest: /new"];
    let seen = results(&mount.point, &tasks);
    assert_eq!(seen[0], "ignored cannot write /old: the disk is full");
    assert_eq!(seen[1], "ignored cannot write /new: the disk is full");
    // At once, but for a test beside this one that starts a program just then: until it is that program it has each file open, too.
    let small = || results(&mount.point, &["!copy { content: small, dest: /small"]).remove(0);
    let end = Instant::now() + Duration::from_secs(20);
    let mut seen = small();
    while seen != "created" && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
        seen = small();
    }
    assert_eq!(seen, "created", "room was given back");
    assert_eq!(fs::read_to_string(mount.point.join("old")).unwrap(), "old");
    assert_eq!(mount.names(), ["old", "small"], "nothing half done is left");
}

#[test]
fn a_disk_without_room_for_another_name_is_named() {
    let Some(mount) = Mount::new("tmpfs", |_| "size=64k,nr_inodes=3".to_owned()) else { return };
    fs::write(mount.point.join("a"), "").unwrap();
    fs::write(mount.point.join("b"), "").unwrap();
    let seen =
        results(&mount.point, &["!file { path: /c", "!directory { path: /d", "!copy { content: x, dest: /a"]);
    assert_eq!(seen[0], "ignored cannot write /c: the disk is full");
    assert_eq!(seen[1], "ignored cannot make the directory /d: the disk is full");
    assert_eq!(seen[2], "ignored cannot write /a: the disk is full");
    assert_eq!(mount.names(), ["a", "b"]);
}

#[test]
fn a_read_only_file_system_is_named_and_what_is_as_it_should_be_is_matched() {
    let Some(mount) = Mount::new("tmpfs", |_| "size=64k".to_owned()) else { return };
    fs::write(mount.point.join("a"), "a").unwrap();
    fs::create_dir(mount.point.join("d")).unwrap();
    mount.remount("ro");
    let tasks = [
        "!copy { content: a, dest: /a",
        "!copy { content: b, dest: /a",
        "!file { path: /b",
        "!file { path: /a, remove: true",
        "!directory { path: /d, remove: true",
        "!directory { path: /e",
        "!file { path: /a, attributes: { mode: '0600' }",
    ];
    let seen = results(&mount.point, &tasks);
    assert_eq!(seen[0], "matched");
    for line in &seen[1..] {
        assert!(line.ends_with("the file system is read-only"), "{line}");
    }
    assert_eq!(mount.names(), ["a", "d"]);
}

/// KerOS 5 keeps its root read-only below an overlay.
#[test]
fn files_of_the_lower_layer_of_an_overlay_are_replaced_changed_and_removed() {
    let lower = tempfile::tempdir().unwrap();
    for name in ["replaced", "changed", "removed"] {
        fs::write(lower.path().join(name), "factory").unwrap();
        fs::set_permissions(lower.path().join(name), fs::Permissions::from_mode(0o640)).unwrap();
    }
    fs::create_dir_all(lower.path().join("tree/inner")).unwrap();
    // An overlay cannot lie upon another one, so its upper layer is a file system of its own.
    let Some(upper) = Mount::new("tmpfs", |_| "size=1m".to_owned()) else { return };
    let layers = |_: &Path| {
        let (up, work) = (upper.point.join("up"), upper.point.join("work"));
        fs::create_dir(&up).unwrap();
        fs::create_dir(&work).unwrap();
        format!("lowerdir={},upperdir={},workdir={}", lower.path().display(), up.display(), work.display())
    };
    let Some(mount) = Mount::new("overlay", layers) else { return };
    let tasks = [
        "!copy { content: ours, dest: /replaced",
        "!file { path: /changed, attributes: { mode: '0600' }",
        "!file { path: /removed, remove: true",
        "!directory { path: /tree, remove: true, recurse: true",
    ];
    assert_eq!(results(&mount.point, &tasks), ["modified", "modified", "removed", "removed"]);
    assert_eq!(results(&mount.point, &tasks), ["matched"; 4]);
    let mode = |name: &str| fs::metadata(mount.point.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("replaced"), mode("changed")), (0o640, 0o600));
    assert_eq!(mount.names(), ["changed", "replaced"]);
    assert_eq!(fs::read_to_string(lower.path().join("replaced")).unwrap(), "factory");
}
