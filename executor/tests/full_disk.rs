//! What happens when the disk is full. It needs a small file system of its own, so it needs root; without, it says so.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod common;

use std::path::Path;
use std::process::Command as Program;

use common::bundle::Link;
use common::{Gateway, command, outcome, script, shell_quoted};
use keros_protocol::executor::Event;
use keros_protocol::{Outcome, RefusalReason};

/// A small file system, unmounted at the end.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(folder: &'a Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let options = format!("size={size},mode=700");
        let status =
            Program::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder).status();
        let mounted = status.is_ok_and(|status| status.success());
        if !mounted {
            keros_skip::skipped("cannot mount a small file system here");
        }
        mounted.then_some(Self(folder))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Program::new("umount").arg("-l").arg(self.0).status();
    }
}

fn fill(folder: &Path) -> String {
    format!("cat /dev/zero > {} 2>/dev/null; true", shell_quoted(&folder.join("ballast")))
}

#[test]
fn a_command_for_a_full_disk_is_refused_by_name_and_can_be_sent_again() {
    let gateway = Gateway::new();
    let state = gateway.path("state");
    let Some(_disk) = SmallDisk::mount(&state, "24m") else { return };
    gateway.session(b"{\"request\":\"status\"}\n").events();
    Program::new("sh").args(["-c", &fill(&state)]).status().unwrap();
    let command = command(1, &script(&["true".to_owned()]));
    let events = gateway.run(&command);
    let Outcome::Refused { reason, .. } = outcome(&events) else { panic!("{events:#?}") };
    assert_eq!(*reason, RefusalReason::NoSpace);
    std::fs::remove_file(state.join("ballast")).unwrap();
    let events = gateway.run(&command);
    assert!(matches!(outcome(&events), Outcome::Succeeded { .. }), "{events:#?}");
}

/// 16 MiB stay free for the job.
#[test]
fn a_bundle_that_does_not_fit_is_refused_with_what_it_needs_unless_old_ones_can_go() {
    let gateway = Gateway::new();
    let state = gateway.path("state");
    let Some(_disk) = SmallDisk::mount(&state, "32m") else { return };
    let playbook = &b"- name: x\n  groups: [all]\n  tasks: [!echo { msg: x }]\n"[..];
    let link = |letter, mib: usize| {
        Link::make(&gateway, &[("site.yml", playbook, false), ("large", &vec![letter; mib << 20], false)])
    };
    let (fits, fits_too, large) = (link(b'a', 9), link(b'b', 10), link(b'c', 17));
    assert!(matches!(outcome(&fits.run(&gateway, &fits.command(1))), Outcome::Succeeded { .. }));
    // Both together would not fit, and nobody needs the first one any more.
    assert!(matches!(outcome(&fits_too.run(&gateway, &fits_too.command(2))), Outcome::Succeeded { .. }));
    assert!(!fits.copy(&gateway).exists() && fits_too.copy(&gateway).exists());
    let events = large.run(&gateway, &large.command(3));
    let Outcome::Refused { reason, detail } = outcome(&events) else { panic!("{events:#?}") };
    assert_eq!(*reason, RefusalReason::NoSpace);
    assert!(detail.starts_with("the bundle takes 1783") && detail.contains("16777216 more"), "{detail}");
    assert!(std::fs::read_dir(state.join("bundles")).unwrap().count() == 0, "nothing is left of it");
}

#[test]
fn a_job_that_fills_the_disk_still_has_its_end_on_record() {
    let gateway = Gateway::new();
    let state = gateway.path("state");
    let Some(_disk) = SmallDisk::mount(&state, "24m") else { return };
    gateway.session(b"{\"request\":\"status\"}\n").events();
    let noise = "head -c 60000 /dev/zero | tr '\\0' x; exit 3".to_owned();
    let command = command(1, &script(&[fill(&state), noise]));
    let events = gateway.run(&command);
    assert!(matches!(outcome(&events), Outcome::Failed { .. }), "{events:#?}");
    assert_eq!(gateway.attach(command.command_id), events);
}

/// A full disk is one of the things that undoing mends: it must not keep the job from being undone.
#[test]
fn a_full_disk_and_a_lost_runner_do_not_keep_a_job_from_being_undone() {
    let gateway = Gateway::new();
    gateway.boot("first");
    std::fs::write(gateway.path("root/etc/conf"), "old\n").unwrap();
    let state = gateway.path("state");
    let Some(_disk) = SmallDisk::mount(&state, "40m") else { return };
    let task = "!template { content: \"new\\n\", dest: /etc/conf }";
    let mut command = command(1, &format!("- name: test\n  groups: [all]\n  tasks:\n    - {task}\n"));
    command.options.confirm_window_s = 1;
    let mut session = gateway.begin(&command);
    while !matches!(session.next().unwrap(), Event::Confirming { .. }) {}
    session.kill();
    gateway.boot("second");
    // The room that the journal keeps free is not everywhere there: some file systems cannot keep any. Nor is there room in its
    // last page.
    let journal = gateway.journal(&command);
    let mut text = std::fs::read(&journal).unwrap();
    text.resize(text.len().next_multiple_of(4096), b'\n');
    std::fs::write(&journal, text).unwrap();
    Program::new("sh").args(["-c", &fill(&state)]).status().unwrap();
    for boot in ["third", "fourth"] {
        gateway.boot(boot);
        let _ = gateway.program("settle").output().unwrap();
    }
    assert_eq!(gateway.text("root/etc/conf"), "old\n");
    std::fs::remove_file(state.join("ballast")).unwrap();
    let _ = gateway.program("settle").output().unwrap();
    let events = gateway.attach(command.command_id);
    assert!(matches!(outcome(&events), Outcome::RolledBack { .. }), "{events:#?}");
}

/// What is put back is written beside what is there: for that the job finds room kept, also when it has filled the disk itself.
#[test]
fn a_job_that_fills_the_disk_of_its_own_files_is_undone() {
    let gateway = Gateway::new();
    let state = gateway.path("state");
    let Some(_disk) = SmallDisk::mount(&state, "40m") else { return };
    gateway.session(b"{\"request\":\"status\"}\n").events();
    let managed = gateway.path("root/srv");
    std::fs::create_dir_all(&managed).unwrap();
    std::fs::create_dir_all(state.join("srv")).unwrap();
    assert!(
        Program::new("mount").arg("--bind").args([&state.join("srv"), &managed]).status().unwrap().success()
    );
    let _managed = SmallDisk(&managed);
    let old = "old\n".repeat(100_000);
    std::fs::write(managed.join("conf"), &old).unwrap();
    let change = "!template { content: \"new\\n\", dest: /srv/conf }";
    let fill = format!("!shell {{ cmd: {:?} }}", fill(&state));
    let mut command =
        command(1, &format!("- name: test\n  groups: [all]\n  tasks:\n    - {change}\n    - {fill}\n"));
    command.options.confirm_window_s = 1;
    let events = gateway.run(&command);
    let Outcome::RolledBack { remains, .. } = outcome(&events) else { panic!("{events:#?}") };
    assert!(remains.iter().all(|text| text.contains("shell")), "only the program is left: {remains:?}");
    assert_eq!(std::fs::read_to_string(managed.join("conf")).unwrap(), old);
}
