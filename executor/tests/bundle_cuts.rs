//! The executor is lost, or its disk fails, at each system call of the copying of a bundle. Afterwards the same command runs, once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command as Program, Stdio};

use common::bundle::Link;
use common::{Gateway, outcome};
use keros_protocol::executor::Event;
use keros_protocol::{Command, Outcome, RefusalReason};

const PLAYBOOK: &[u8] = b"- name: link
  groups: [all]
  tasks:
    - !shell { cmd: 'echo run >> \"$KEROS_ROOT/marks\"' }
    - !copy { src: motd, dest: /etc/motd }
";

/// What changes something, and what else the copying does.
const CALLS: &str =
    "openat,mkdir,chmod,fallocate,write,fsync,fdatasync,rename,unlink,unlinkat,newfstatat,statx";

struct Bench {
    gateway: Gateway,
    link: Link,
    command: Command,
}

impl Bench {
    fn new() -> Self {
        let gateway = Gateway::new();
        let files = [
            ("site.yml", PLAYBOOK, false),
            ("files/motd", &b"hello\n"[..], false),
            ("files/deep/er/other", &[7; 300_000][..], false),
            ("modules/m", &b"#!/bin/sh\n"[..], true),
        ];
        let link = Link::make(&gateway, &files);
        let command = link.command(1);
        // What every first session does is no part of this.
        gateway.session(b"{\"request\":\"status\"}\n").events();
        Self { gateway, link, command }
    }

    /// The first session, under strace with these options; its events, as far as they came.
    fn traced(&self, options: &[&str]) -> Vec<Event> {
        let request = self.gateway.path("request");
        std::fs::write(&request, self.link.request(&self.gateway, &self.command)).unwrap();
        let session = self.gateway.program("session");
        let mut strace = Program::new("strace");
        // The thread that copies alone: the others only wait and tell.
        strace.args(["-qq", "-o"]).arg(self.gateway.path("trace")).args(options);
        strace.arg(session.get_program()).args(session.get_args()).env_remove("EUI64");
        let output =
            strace.stdin(std::fs::File::open(request).unwrap()).stderr(Stdio::null()).output().unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn copies(&self) -> Vec<String> {
        let folder = self.gateway.path("state/bundles");
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// The command is sent again, and runs for the first time.
    fn runs_now(&self, told: &str) {
        let events = self.link.run(&self.gateway, &self.command);
        assert!(matches!(outcome(&events), Outcome::Succeeded { .. }), "{told}: {events:#?}");
        assert_eq!(self.gateway.text("root/marks"), "run\n", "{told}");
        assert_eq!(self.gateway.text("root/etc/motd"), "hello\n", "{told}");
        assert_eq!(self.copies(), [self.link.digest.hex()], "{told}");
    }
}

fn strace_works() -> bool {
    let works = Program::new("strace").args(["-o", "/dev/null", "true"]).status();
    let works = works.is_ok_and(|status| status.success());
    if !works {
        keros_skip::skipped("strace is not installed, or may not trace here");
    }
    works
}

/// Each call from the first one that names this to the one that publishes the job: its name and number.
fn calls_from(first: &str) -> Vec<(String, usize)> {
    let bench = Bench::new();
    bench.traced(&[&format!("--trace={CALLS}")]);
    let trace = bench.gateway.text("trace");
    let (mut numbers, mut calls, mut has_begun) = (BTreeMap::new(), Vec::new(), false);
    for line in trace.lines() {
        let name = line.split('(').next().unwrap().to_owned();
        let number = numbers.entry(name.clone()).or_insert(0);
        *number += 1;
        has_begun |= line.contains(first);
        if has_begun {
            calls.push((name, *number));
        }
        if line.starts_with("rename(") && line.contains("/jobs/") {
            return calls;
        }
    }
    panic!("the job was never begun: {trace}");
}

/// All of them with `KEROS_CUTS=all`, else one of three.
fn some_of<T>(calls: Vec<T>) -> impl Iterator<Item = T> {
    let every = if std::env::var("KEROS_CUTS").is_ok_and(|text| text == "all") { 1 } else { 3 };
    calls.into_iter().step_by(every)
}

#[test]
fn killed_at_any_system_call_of_the_copying_the_command_runs_later_and_once() {
    if !strace_works() {
        return;
    }
    let mut cut = 0;
    for (call, number) in some_of(calls_from("/given")) {
        let bench = Bench::new();
        let told = format!("{call} {number}");
        let inject = format!("--inject={call}:signal=SIGKILL:when={number}");
        let events = bench.traced(&[&format!("--trace={call}"), &inject]);
        assert!(!events.iter().any(|event| matches!(event, Event::Ended { .. })), "{told}: {events:#?}");
        assert_eq!(bench.gateway.text("root/marks"), "", "{told}");
        bench.runs_now(&told);
        cut += 1;
    }
    println!("{cut} calls were the last one of their process");
    assert!(cut > 20);
}

/// The agent fetches again what is refused so; what a busy gateway does not give for a moment is only asked for again.
#[test]
fn what_the_disk_has_lost_of_the_agents_copy_is_not_found() {
    if !strace_works() {
        return;
    }
    let title = |title: &'static str| move |link: &Link| link.file(title);
    let folder = |link: &Link| link.layout.join("blobs/sha256");
    type Place<'a> = &'a dyn Fn(&Link) -> PathBuf;
    let cases: [(&str, Place<'_>, usize); 7] = [
        ("read", &|link| link.blob(link.digest), 1),
        ("read", &|link| link.blob(link.manifest.config.digest), 1),
        ("read", &title("files/motd"), 1),
        ("read", &title("files/deep/er/other"), 2),
        ("openat", &folder, 1),
        ("openat", &folder, 4),
        ("newfstatat", &folder, 2),
    ];
    for (call, path, number) in cases {
        for error in ["EIO", "EUCLEAN", "ENOMEM"] {
            let bench = Bench::new();
            let path = path(&bench.link);
            let told = format!("{error} at {call} {number} of {}", path.display());
            let inject = format!("--inject={call}:error={error}:when={number}");
            let events = bench.traced(&["-P", path.to_str().unwrap(), &inject]);
            match &events[..] {
                [Event::Ended { outcome: Outcome::Refused { reason, detail } }] => {
                    assert_eq!(*reason, RefusalReason::NotFound, "{told}: {detail}");
                    assert!(error != "ENOMEM" && detail.contains(" cannot be read: "), "{told}: {detail}");
                }
                [Event::RequestFailed { message, .. }] => assert_eq!(error, "ENOMEM", "{told}: {message}"),
                other => panic!("{told}: {other:#?}\n{}", bench.gateway.text("trace")),
            }
            assert!(bench.copies().is_empty(), "{told}: {:?}", bench.copies());
            bench.runs_now(&told);
        }
    }
}

#[test]
fn a_disk_that_fails_at_any_call_leaves_nothing_and_the_command_runs_later() {
    if !strace_works() {
        return;
    }
    let calls: Vec<_> = calls_from("/state/bundles")
        .into_iter()
        .filter(|(call, _)| ["mkdir", "chmod", "fallocate", "write", "fsync", "rename"].contains(&&**call))
        .collect();
    let mut failed = 0;
    for (call, number) in some_of(calls) {
        for error in ["ENOSPC", "EIO"] {
            let bench = Bench::new();
            let told = format!("{error} at {call} {number}");
            let inject = format!("--inject={call}:error={error}:when={number}");
            let events = bench.traced(&[&format!("--trace={call}"), &inject]);
            match &events[..] {
                [Event::Ended { outcome: Outcome::Refused { reason, detail } }] => {
                    assert_eq!((*reason, error), (RefusalReason::NoSpace, "ENOSPC"), "{told}: {detail}");
                }
                [Event::RequestFailed { message, .. }] => assert_eq!(error, "EIO", "{told}: {message}"),
                other => panic!("{told}: {other:#?}\n{}", bench.gateway.text("trace")),
            }
            assert_eq!(bench.gateway.text("root/marks"), "", "{told}");
            assert!(bench.copies().is_empty(), "{told}: {:?}", bench.copies());
            bench.runs_now(&told);
            failed += 1;
        }
    }
    assert!(failed > 10);
}
