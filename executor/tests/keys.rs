//! Jobs that change the trusted keys. A gateway always believes the key that its last job was signed with, and somebody who speaks for the
//! center. Real processes on a scratch tree, in which the keys lie where they are on a gateway.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod common;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use common::{Gateway, command, line, outcome, shell_quoted, wait_for};
use keros_protocol::executor::{Event, Request};
use keros_protocol::{Command, Outcome, SigningKey};

const COMMAND: &str = "/etc/keros-agent/trust/command-a.pem";
const STATEMENT: &str = "/etc/keros-agent/trust/statement-a.pem";

fn gateway() -> Gateway {
    let gateway = Gateway::new();
    let inside = gateway.path("root/etc/keros-agent");
    std::fs::create_dir(&inside).unwrap();
    std::fs::rename(gateway.path("trust"), inside.join("trust")).unwrap();
    std::os::unix::fs::symlink(inside.join("trust"), gateway.path("trust")).unwrap();
    gateway.boot("first");
    gateway
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_pem(&SigningKey::pem_from_seed(&[seed; 32])).unwrap()
}

fn job(number: u16, tasks: &[&str]) -> Command {
    let tasks: String = tasks.iter().map(|task| format!("    - {task}\n")).collect();
    command(number, &format!("- name: test\n  groups: [all]\n  tasks:\n{tasks}"))
}

fn add(name: &str, seed: u8) -> String {
    let pem = key(seed).public().to_pem().replace('\n', "\\n");
    format!("!copy {{ content: \"{pem}\", dest: /etc/keros-agent/trust/{name}.pem }}")
}

fn remove(path: &str) -> String {
    format!("!file {{ path: {path}, remove: true }}")
}

fn shell(gateway: &Gateway, what: &str) -> String {
    let trust = shell_quoted(&gateway.path("root/etc/keros-agent/trust"));
    format!("!shell {{ cmd: \"cd {trust}; {what}\" }}")
}

/// Names, modes and texts.
fn keys(gateway: &Gateway) -> BTreeMap<PathBuf, (u32, String)> {
    let entries = gateway.path("trust").read_dir().unwrap().map(|entry| entry.unwrap().path());
    let look = |path: PathBuf| {
        let mode = path.metadata().unwrap().permissions().mode();
        let text = std::fs::read_to_string(&path).unwrap();
        (path, (mode, text))
    };
    entries.map(look).collect()
}

fn rolled_back(events: &[Event]) -> (String, bool) {
    let Outcome::RolledBack { reason, complete, .. } = outcome(events) else { panic!("{events:#?}") };
    (reason.clone(), *complete)
}

fn succeeds(gateway: &Gateway, command: &Command) {
    let events = gateway.run(command);
    assert!(matches!(outcome(&events), Outcome::Succeeded { .. }), "{events:#?}");
}

#[test]
fn a_key_is_added_by_the_old_one_and_the_old_one_is_removed_by_the_new() {
    let mut gateway = gateway();
    succeeds(&gateway, &job(1, &[&add("command-b", 7), &add("statement-b", 8)]));
    let (reason, complete) = rolled_back(&gateway.run(&job(2, &[&remove(COMMAND)])));
    assert!(reason.contains("remove a key by a job that the new key has signed") && complete, "{reason}");
    assert_eq!(keys(&gateway).len(), 4);
    gateway.key = key(7);
    succeeds(&gateway, &job(3, &[&remove(COMMAND), &remove(STATEMENT)]));
    assert_eq!(keys(&gateway).len(), 2);
    gateway.key = key(1);
    let Outcome::Refused { detail, .. } = outcome(&gateway.run(&job(4, &["!echo { msg: x }"]))).clone()
    else {
        panic!("the old key orders nothing any more");
    };
    assert!(detail.contains("unknown key"), "{detail}");
}

#[test]
fn a_job_that_leaves_no_key_that_can_be_used_is_undone_however_it_took_them() {
    let bad = [
        ("signed the job", remove(COMMAND)),
        ("signed the job", add("command-a", 9)),
        ("signed the job", format!("!copy {{ content: 'no key', dest: {COMMAND} }}")),
        ("speak for the center", remove(STATEMENT)),
        ("signed the job", "rm command-a.pem".to_owned()),
        ("signed the job", "chmod 666 command-a.pem".to_owned()),
        ("signed the job", "chmod 777 .".to_owned()),
        ("speak for the center", "chmod 600 statement-a.pem".to_owned()),
        ("speak for the center", "chown 12345 statement-a.pem".to_owned()),
        ("signed the job", "rm command-a.pem && mkdir command-a.pem".to_owned()),
        ("signed the job", "cd .. && rm -r trust".to_owned()),
        ("signed the job", "cd .. && mv trust elsewhere && ln -s /nowhere trust".to_owned()),
    ];
    for (number, (why, task)) in bad.iter().enumerate() {
        let gateway = gateway();
        if task.contains("chown") && !nix::unistd::geteuid().is_root() {
            continue;
        }
        let before = keys(&gateway);
        let is_file_task = task.starts_with('!');
        let task = if is_file_task { task.clone() } else { shell(&gateway, task) };
        let events = gateway.run(&job(u16::try_from(number).unwrap() + 1, &[&task]));
        let (reason, complete) = rolled_back(&events);
        assert!(reason.contains(why), "{task}: {reason}");
        assert_eq!(complete, is_file_task, "what a shell task did besides is not known: {task}");
        assert_eq!(keys(&gateway), before, "{task}");
        succeeds(&gateway, &job(100, &["!echo { msg: x }"]));
    }
}

#[test]
fn a_job_that_fails_or_is_lost_after_it_took_the_key_is_undone_too() {
    let gateway = gateway();
    let before = keys(&gateway);
    let events = gateway.run(&job(1, &[&remove(COMMAND), "!fail { msg: no }"]));
    let (reason, _) = rolled_back(&events);
    assert!(reason.contains("its tasks had ended as failed"), "{reason}");
    assert_eq!(keys(&gateway), before);

    let there = shell_quoted(&gateway.path("there"));
    let wait = format!("!shell {{ cmd: \"touch {there}; while [ -e {there} ]; do sleep 0.02; done\" }}");
    let lost = job(2, &[&shell(&gateway, "rm command-a.pem"), &wait]);
    let mut session = gateway.begin(&lost);
    wait_for("the second task", || gateway.path("there").exists());
    session.kill();
    let events = gateway.attach(lost.command_id);
    let (reason, _) = rolled_back(&events);
    assert!(reason.contains("its tasks had ended as interrupted"), "{reason}");
    assert_eq!(keys(&gateway), before);
}

/// As a power cut would: the process is gone before the keys are back.
#[test]
fn what_puts_the_keys_back_can_be_cut_off() {
    let gateway = gateway();
    let before = keys(&gateway);
    let command = job(1, &[&shell(&gateway, "rm *.pem")]);
    let mut session = gateway.begin(&command);
    while let Some(event) = session.next() {
        if matches!(event, Event::RollingBack { .. }) {
            break;
        }
    }
    session.kill();
    // Whatever was done by then.
    for name in ["command-a.pem", "statement-a.pem"] {
        let _ = std::fs::remove_file(gateway.path("root/etc/keros-agent/trust").join(name));
    }
    let events = gateway.attach(command.command_id);
    assert!(rolled_back(&events).0.contains("signed the job"), "{events:#?}");
    assert_eq!(keys(&gateway), before);
}

/// Something that a task left running, say.
#[test]
fn keys_that_go_while_a_job_waits_undo_it_when_it_is_confirmed() {
    let gateway = gateway();
    let before = keys(&gateway);
    let mut command = job(1, &["!copy { content: new, dest: /etc/conf }"]);
    command.options.confirm_window_s = 600;
    let mut session = gateway.begin(&command);
    let nonce = loop {
        match session.next() {
            Some(Event::Confirming { nonce, .. }) => break nonce,
            Some(_) => {}
            None => panic!("no window"),
        }
    };
    std::fs::remove_file(gateway.path(&format!("root{COMMAND}"))).unwrap();
    gateway.confirm(&command, &nonce);
    let (reason, complete) = rolled_back(&session.events());
    assert!(reason.contains("signed the job") && complete, "{reason}");
    assert_eq!(keys(&gateway), before);
    assert!(!gateway.path("root/etc/conf").exists());
}

/// The new key is good, but nobody has its other half.
#[test]
fn a_voice_that_the_center_does_not_have_confirms_nothing() {
    let gateway = gateway();
    let before = keys(&gateway);
    let mut command = job(1, &[&add("statement-a", 9)]);
    command.options.confirm_window_s = 3;
    let mut session = gateway.begin(&command);
    let nonce = loop {
        match session.next() {
            Some(Event::Confirming { nonce, .. }) => break nonce,
            Some(_) => {}
            None => panic!("no window"),
        }
    };
    let statement = gateway.statement(&[], &[&nonce]);
    let answer = gateway.answer(&Request::Confirm { command_id: command.command_id, statement });
    assert!(matches!(answer, Event::RequestFailed { .. }), "{answer:?}");
    let (reason, complete) = rolled_back(&session.events());
    assert!(reason.contains("not confirmed within 3 s") && complete, "{reason}");
    assert_eq!(keys(&gateway), before);
}

#[test]
fn a_dry_run_is_not_undone() {
    let gateway = gateway();
    let mut command = job(1, &[&remove(COMMAND)]);
    command.options.dry_run = true;
    succeeds(&gateway, &command);
    assert_eq!(keys(&gateway).len(), 2);
}

#[test]
fn a_job_that_rolled_back_is_followed_to_that_end_by_whoever_attaches() {
    let gateway = gateway();
    let command = job(1, &[&remove(STATEMENT)]);
    let first = gateway.run(&command);
    let again = gateway.session(&line(&Request::Attach { command_id: command.command_id })).events();
    assert_eq!(outcome(&first), outcome(&again));
}
