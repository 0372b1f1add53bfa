//! Magic Links in real sessions: the executor runs its own copy of the bundle, for gateways that are declared.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use common::bundle::{File, Link, request};
use common::{Gateway, Session, outcome};
use keros_protocol::executor::Event;
use keros_protocol::{Outcome, RefusalReason};

/// A playbook with a role, a template, a file and a program of its own.
const FILES: [File<'static>; 7] = [
    (
        "site.yml",
        b"- name: link
  groups: [all]
  roles:
    - { role: base }
  tasks:
    - !copy { src: motd, dest: /etc/motd }
    - !external { use: answer, params: { word: hello }, save: said }
    - !template { content: '{{ said.word }}', dest: /etc/answer }
",
        false,
    ),
    ("roles/base/role.yml", b"name: base\ntasks: [main.yml]\n", false),
    ("roles/base/tasks/main.yml", b"- !template { src: conf, dest: /etc/conf }\n", false),
    ("roles/base/templates/conf", b"os conf\n", false),
    ("files/motd", b"a magic link\n", false),
    ("files/copy-of-motd", b"a magic link\n", false),
    ("modules/answer", b"#!/bin/sh\nread -r line; echo '{ \"word\": \"understood\" }'\n", true),
];

fn refusal(events: &[Event]) -> (RefusalReason, &str) {
    let Outcome::Refused { reason, detail } = outcome(events) else { panic!("{events:#?}") };
    (*reason, detail)
}

fn mode(path: &std::path::Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_bundle_runs_on_keros_6_and_5_with_its_roles_files_and_programs() {
    for keros in ["6.3.1", "5.10.1"] {
        let gateway = Gateway::new();
        std::fs::write(gateway.path("root/etc/version"), format!("{keros}\n")).unwrap();
        let link = Link::make(&gateway, &FILES);
        let events = link.run(&gateway, &link.command(1));
        let Outcome::Succeeded { .. } = outcome(&events) else { panic!("{events:#?}") };
        assert_eq!(gateway.text("root/etc/motd"), "a magic link\n");
        assert_eq!(gateway.text("root/etc/answer"), "understood");
        assert_eq!(mode(&gateway.path("root/etc/motd")), 0o644, "as by hand");
        let copy = link.copy(&gateway);
        assert_eq!(mode(&copy.join("files/site.yml")), 0o444);
        assert_eq!(mode(&copy.join("files/modules/answer")), 0o555);
        assert_eq!(mode(&copy.join("files/modules")), 0o755);
        assert_eq!(mode(&copy), 0o755);
        assert_eq!(link.run(&gateway, &link.command(1)), events, "it is only followed");
    }
}

#[test]
fn a_gateway_that_is_not_declared_copies_nothing() {
    let gateway = Gateway::new();
    let config = r#"{"name":"others","gateways":["7276FF*"],"playbook":"site.yml"}"#;
    let link = Link::with_config(&gateway, &FILES, config);
    // Files that are not there are not missed.
    for file in &link.manifest.files {
        let _ = std::fs::remove_file(link.blob(file.blob.digest));
    }
    let events = link.run(&gateway, &link.command(1));
    assert_eq!(refusal(&events).0, RefusalReason::NotDeclared);
    assert!(!gateway.path("state/bundles").exists());
}

#[test]
fn what_is_missing_is_named_and_can_be_brought_later() {
    let gateway = Gateway::new();
    let link = Link::make(&gateway, &FILES);
    let command = link.command(1);
    let events = gateway.session(&request(&gateway, &command, None)).events();
    assert_eq!(refusal(&events).0, RefusalReason::NotFound);
    let motd = link.file("files/motd");
    std::fs::rename(&motd, gateway.path("aside")).unwrap();
    let events = link.run(&gateway, &command);
    let (reason, detail) = refusal(&events);
    assert_eq!(reason, RefusalReason::NotFound);
    assert!(detail.contains("files/motd"), "{detail}");
    assert_eq!(std::fs::read_dir(gateway.path("state/bundles")).unwrap().count(), 0);
    std::fs::rename(gateway.path("aside"), &motd).unwrap();
    assert!(matches!(outcome(&link.run(&gateway, &command)), Outcome::Succeeded { .. }));
}

#[test]
fn what_a_playbook_names_is_beside_it_and_messages_name_titles() {
    let gateway = Gateway::new();
    let config = r#"{"name":"x","gateways":["70*"],"playbook":"deploy/site.yml"}"#;
    let moved = |without: &str| -> Vec<(String, &[u8], bool)> {
        let files = FILES.iter().filter(|(title, ..)| *title != without);
        files.map(|(title, content, is)| (format!("deploy/{title}"), *content, *is)).collect()
    };
    let run = |number, without: &str| {
        let files = moved(without);
        let files: Vec<File<'_>> =
            files.iter().map(|(title, content, is)| (&**title, *content, *is)).collect();
        let link = Link::with_config(&gateway, &files, config);
        (link.run(&gateway, &link.command(number)), link)
    };
    for (number, without, wanted) in [
        (1, "files/motd", "deploy/site.yml:6:20: field (src): no such file"),
        (2, "roles/base/role.yml", "deploy/roles/base/role.yml: cannot be read"),
        (3, "roles/base/tasks/main.yml", "no such file: deploy/roles/base/tasks/main.yml"),
        (4, "modules/answer", "no such file: modules/answer"),
    ] {
        let (events, link) = run(number, without);
        let (reason, detail) = refusal(&events);
        assert_eq!(reason, RefusalReason::Unparsable);
        assert!(detail.contains(wanted), "{detail}");
        assert!(!detail.contains(gateway.folder.path().to_str().unwrap()), "{detail}");
        assert!(!link.copy(&gateway).exists(), "nobody needs it");
    }
    let (events, _) = run(5, "");
    assert!(matches!(outcome(&events), Outcome::Succeeded { .. }), "{events:#?}");
    let told = format!("{events:?}");
    assert!(told.contains("\"deploy/roles/base/tasks/main.yml\""), "{told}");
    assert!(!told.contains("state/bundles"), "{told}");
}

#[test]
fn a_dry_run_changes_nothing_and_tells_what_it_would() {
    let gateway = Gateway::new();
    let link = Link::make(&gateway, &FILES);
    let mut command = link.command(1);
    command.options.dry_run = true;
    let events = link.run(&gateway, &command);
    let Outcome::Succeeded { dry_run: true, summary, differences } = outcome(&events) else {
        panic!("{events:#?}")
    };
    let told = differences.as_ref().expect("something would be changed").to_string();
    assert!(told.contains("+a magic link") && !told.contains("state/bundles"), "{told}");
    assert_eq!(summary.created, 2, "what the program answers is not known before");
    assert!(!gateway.path("root/etc/motd").exists());
}

fn shown(gateway: &Gateway, id: &str) -> String {
    let mut program = std::process::Command::new(common::EXECUTOR);
    let state = gateway.path("state");
    let output = program.args(["job", id, "--state-folder"]).arg(state).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_job_is_undone_on_demand_without_its_bundle() {
    let gateway = Gateway::new();
    std::fs::write(gateway.path("root/etc/motd"), "before\n").unwrap();
    let link = Link::make(&gateway, &FILES);
    let command = link.command(1);
    link.run(&gateway, &command);
    assert_eq!(gateway.text("root/etc/motd"), "a magic link\n");
    let id = command.command_id.to_string();
    let told = shown(&gateway, &id);
    assert!(
        told.contains(&format!("Kind     magic_link\nLink     test\n         {}\n", link.digest)),
        "{told}"
    );
    std::fs::remove_dir_all(gateway.path("state/bundles")).unwrap();
    assert!(shown(&gateway, &id).contains("its bundle is not kept any more"));
    let told = gateway.told("undo", &[&id]);
    assert!(told.contains("/etc/motd"), "{told}");
    assert_eq!(gateway.text("root/etc/motd"), "before\n");
}

fn until(session: &mut Session, wanted: impl Fn(&Event) -> bool) -> Event {
    loop {
        let event = session.next().unwrap();
        if wanted(&event) {
            return event;
        }
    }
}

#[test]
fn a_job_with_a_window_is_confirmed_or_undone() {
    let files = [
        (
            "site.yml",
            &b"- name: x\n  groups: [all]\n  tasks:\n    - !copy { src: motd, dest: /etc/motd }\n"[..],
            false,
        ),
        FILES[4],
    ];
    for confirmed in [true, false] {
        let gateway = Gateway::new();
        let link = Link::make(&gateway, &files);
        let mut command = link.command(1);
        command.options.confirm_window_s = if confirmed { 60 } else { 1 };
        let mut session = gateway.session(&link.request(&gateway, &command));
        let confirming = until(&mut session, |event| matches!(event, Event::Confirming { .. }));
        let Event::Confirming { nonce, .. } = confirming else { panic!("{confirming:?}") };
        if confirmed {
            gateway.confirm(&command, &nonce);
        }
        let events = session.events();
        match outcome(&events) {
            Outcome::Succeeded { .. } => assert!(confirmed),
            Outcome::RolledBack { complete, .. } => assert!(!confirmed && *complete),
            other => panic!("{other:?}"),
        }
        assert_eq!(gateway.path("root/etc/motd").exists(), confirmed);
    }
}

/// Three tasks, a reboot in the middle; a gateway on which nothing really reboots.
fn before_its_reboot() -> (Gateway, Link, keros_protocol::Command) {
    let options = ["--reboot-command", "true", "--resume-after-s", "0", "--reboot-patience-s", "600"];
    let gateway = Gateway { options: options.map(str::to_owned).to_vec(), ..Gateway::new() };
    gateway.boot("first");
    let playbook = b"- name: x\n  groups: [all]\n  tasks:\n    - !file { path: /etc/first }\n    - !reboot {}\n    - !copy { src: motd, dest: /etc/motd }\n";
    let link = Link::make(&gateway, &[("site.yml", playbook, false), FILES[4]]);
    let command = link.command(1);
    let mut session = gateway.session(&link.request(&gateway, &command));
    until(&mut session, |event| matches!(event, Event::PartEnded { .. }));
    session.kill();
    gateway.boot("second");
    (gateway, link, command)
}

#[test]
fn behind_a_reboot_the_executors_own_copy_is_used() {
    let (gateway, link, command) = before_its_reboot();
    std::fs::remove_dir_all(&link.layout).unwrap();
    let events = gateway.attach(command.command_id);
    assert!(matches!(outcome(&events), Outcome::Succeeded { .. }), "{events:#?}");
    assert_eq!(gateway.text("root/etc/motd"), "a magic link\n");
}

/// It had started, so it is not refused: it failed, and says why.
#[test]
fn behind_a_reboot_a_copy_that_has_changed_is_not_run() {
    type Change = fn(&std::path::Path);
    let changes: [(Change, &str); 5] = [
        (|copy| std::fs::write(copy.join("files/files/motd"), "another one!").unwrap(), "digest_mismatch"),
        (|copy| std::fs::remove_file(copy.join("files/files/motd")).unwrap(), "not_found"),
        (|copy| std::fs::write(copy.join("config.json"), "{}").unwrap(), "digest_mismatch"),
        (|copy| std::fs::write(copy.join("files/files/more"), "").unwrap(), "digest_mismatch"),
        (|copy| std::fs::remove_dir_all(copy).unwrap(), "not_found"),
    ];
    for (change, word) in changes {
        let (gateway, link, command) = before_its_reboot();
        change(&link.copy(&gateway));
        // The program that reboots may hold the job's lock a moment longer than the runner that was killed.
        let limit = Instant::now() + Duration::from_secs(20);
        let told = loop {
            let told = gateway.told("settle", &[]);
            if !told.contains("is running") || Instant::now() > limit {
                break told;
            }
        };
        assert!(told.contains("failed"), "{told}");
        let events = gateway.attach(command.command_id);
        let Outcome::Failed { message, summary, .. } = outcome(&events) else { panic!("{events:#?}") };
        assert!(message.contains("the rest of the job cannot be run") && message.contains(word), "{message}");
        assert_eq!(summary.total(), 1, "the task before the reboot");
        assert!(!gateway.path("root/etc/motd").exists());
    }
}

/// A tree with a shell and `/proc`, unmounted at the end.
struct Tree(std::path::PathBuf);

impl Tree {
    fn make(root: &std::path::Path) -> Option<Self> {
        let ldd = std::process::Command::new("ldd").arg("/bin/busybox").output();
        let is_static = ldd.is_ok_and(|output| !output.status.success());
        let proc = root.join("proc");
        std::fs::create_dir_all(&proc).unwrap();
        let mount = std::process::Command::new("mount").args(["--bind", "/proc"]).arg(&proc).status();
        if !is_static || !mount.is_ok_and(|status| status.success()) {
            keros_skip::skipped("needs root and a static /bin/busybox to chroot with");
            return None;
        }
        std::fs::create_dir_all(root.join("bin")).unwrap();
        std::fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        for name in ["sh", "pwd"] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        Some(Self(proc))
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn in_a_tree_the_bundles_files_are_outside_and_its_programs_run_inside() {
    let gateway = Gateway { is_chrooted: true, ..Gateway::new() };
    let Some(_tree) = Tree::make(&gateway.path("root")) else { return };
    let mut files = FILES.to_vec();
    files[0].1 = b"- name: link
  groups: [all]
  tasks:
    - !copy { src: motd, dest: /etc/motd }
    - !external { use: answer, params: { word: hello }, save: said }
    - !template { content: '{{ said.word }}', dest: /etc/answer }
    - !shell { cmd: 'pwd > /etc/where' }
";
    let link = Link::make(&gateway, &files);
    let events = link.run(&gateway, &link.command(1));
    assert!(matches!(outcome(&events), Outcome::Succeeded { .. }), "{events:#?}");
    assert_eq!(gateway.text("root/etc/motd"), "a magic link\n");
    assert_eq!(gateway.text("root/etc/answer"), "understood");
    assert_eq!(gateway.text("root/etc/where"), "/\n");
}

/// The executor's folder is closed to everybody else; the folder that a task's program begins in is not closed to it.
#[test]
fn a_task_of_another_user_begins_in_the_bundles_folder() {
    if !nix::unistd::geteuid().is_root() {
        keros_skip::skipped("only root can act as somebody else");
        return;
    }
    let gateway = Gateway::new();
    std::fs::write(
        gateway.path("root/etc/passwd"),
        "root:x:0:0::/root:/bin/sh\nother:x:4321:4321::/:/bin/sh\n",
    )
    .unwrap();
    std::fs::write(gateway.path("root/etc/group"), "root:x:0:\nother:x:4321:\n").unwrap();
    let mut files = FILES.to_vec();
    files[0].1 = b"- name: link
  groups: [all]
  sudo: other
  tasks:
    - !shell { cmd: 'id -u; cat files/motd; read -r line < modules/answer; echo \"$line\"; modules/answer < /dev/null' }
    - !external { use: answer, params: { word: hello } }
";
    let link = Link::make(&gateway, &files);
    let events = link.run(&gateway, &link.command(1));
    assert!(matches!(outcome(&events), Outcome::Succeeded { .. }), "{events:#?}");
    let told = format!("{events:?}");
    assert!(told.contains("4321\\na magic link\\n#!/bin/sh\\n"), "{told}");
}
