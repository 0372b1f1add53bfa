//! Tasks that become durable together, as whoever keeps a record of a run sees them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use keros_playbook::{
    Barrier, Durability, HostSystem, Observer, RunEnd, RunOptions, Script, ScriptSource, ShellPlace,
};
use keros_protocol::Outcome;
use keros_protocol::executor::Event;

/// Keeps a record, and looks at the tree whenever the barrier is passed.
struct Record {
    root: tempfile::TempDir,
    lines: Arc<Mutex<Vec<String>>>,
    /// The record cannot be made durable.
    is_broken: Arc<AtomicBool>,
}

impl Observer for Record {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        let line = match event {
            Event::TaskStarted { task, grouped: true, .. } => format!("join {}", task.number),
            Event::TaskStarted { task, .. } => format!("start {}", task.number),
            Event::TaskEnded { task, result, .. } => format!("{} {}", result.status.as_str(), task.number),
            Event::Durable { number } => format!("durable {number}"),
            Event::Retrying { task, .. } => format!("retry {}", task.number),
            other => format!("{other:?}"),
        };
        self.lines.lock().unwrap().push(line);
        Ok(())
    }

    fn barrier(&self) -> Option<Barrier> {
        let (lines, broken, root) =
            (Arc::clone(&self.lines), Arc::clone(&self.is_broken), self.root.path().to_owned());
        Some(Barrier::new(move || {
            if broken.load(Ordering::SeqCst) {
                return Err(io::Error::other("broken"));
            }
            lines.lock().unwrap().push(format!("barrier {}", names(&root).join(" ")));
            Ok(())
        }))
    }
}

/// Names in a tree but for those of files that wait.
fn names(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

impl Record {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        Self { root, lines: Arc::default(), is_broken: Arc::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn run(&mut self, tasks: &[String], dry_run: bool) -> RunEnd {
        let lines: String = tasks.iter().map(|task| format!("    - {task}\n")).collect();
        let text = format!("- name: p\n  groups: [all]\n  tasks:\n{lines}");
        let source = ScriptSource { text, file: "s.yml".to_owned(), ..ScriptSource::default() };
        let script = Script::parse(&source).unwrap();
        let mut system = HostSystem::new(self.root.path().to_owned(), ShellPlace::Host);
        system.durability = Durability::Grouped;
        let options = RunOptions { dry_run, ..RunOptions::default() };
        keros_playbook::run(&script, &mut system, &options, self)
    }

    /// The record without what comes again: a barrier that nothing was recorded or changed before.
    fn told(&self) -> Vec<String> {
        let mut lines = self.lines.lock().unwrap().clone();
        lines.dedup();
        lines
    }
}

fn owned(tasks: &[&str]) -> Vec<String> {
    tasks.iter().map(|task| (*task).to_owned()).collect()
}

const COPIES: [&str; 2] = ["!copy { content: x, dest: /a }", "!copy { content: x, dest: /b }"];

#[test]
fn files_get_their_names_behind_the_barrier_and_are_durable_before_the_next_task_of_another_kind() {
    let mut record = Record::new();
    let tasks = [&COPIES[..], &["!shell { cmd: 'true' }", "!copy { content: x, dest: /c }"]].concat();
    record.run(&owned(&tasks), false);
    let told = record.told();
    let expected = [
        "join 1",
        "created 1",
        "join 2",
        "created 2",
        "barrier ",
        "durable 2",
        "start 3",
        "barrier a b",
        "executed 3",
        "join 4",
        "created 4",
        "barrier a b",
        "durable 4",
    ];
    assert_eq!(told, expected);
}

#[test]
fn what_is_changed_at_once_is_changed_behind_the_barrier() {
    for (task, left) in [
        ("!directory { path: /d }", "old"),
        ("!file { path: /old, remove: true }", "old"),
        ("!copy { content: x, dest: /old, attributes: { mode: '0600' } }", "old"),
        ("!directory { path: /old, remove: true, recurse: true }", "old"),
    ] {
        let mut record = Record::new();
        match task.contains("/old, remove: true, recurse") {
            true => fs::create_dir(record.path("old")).unwrap(),
            false => fs::write(record.path("old"), "x").unwrap(),
        }
        let end = record.run(&owned(&[task]), false);
        assert!(matches!(end, RunEnd::Ended(Outcome::Succeeded { .. })), "{task}: {end:?}");
        let told = record.told();
        assert_eq!(told[..2], ["join 1".to_owned(), format!("barrier {left}")], "{task}");
    }
}

#[test]
fn nothing_is_changed_when_the_record_is_not_durable() {
    for (task, message) in [
        (COPIES[0], "cannot write /a: what is recorded of the run is not durable: broken"),
        ("!directory { path: /d }", "what is recorded of the run is not durable: broken"),
        ("!file { path: /old, remove: true }", "what is recorded of the run is not durable: broken"),
        ("!shell { cmd: 'touch $KEROS_ROOT/x' }", "what is recorded of the run is not durable: broken"),
    ] {
        let mut record = Record::new();
        fs::write(record.path("old"), "x").unwrap();
        record.is_broken.store(true, Ordering::SeqCst);
        let RunEnd::Ended(Outcome::Failed { message: told, .. }) = record.run(&owned(&[task]), false) else {
            panic!("{task}: it did not fail")
        };
        assert!(told.contains(message), "{task}: {told}");
        let left = fs::read_dir(record.root.path()).unwrap().count();
        assert_eq!((names(record.root.path()), left), (vec!["old".to_owned()], 1), "{task}");
    }
}

#[test]
fn a_group_ends_before_a_pause_and_where_it_is_long() {
    let mut record = Record::new();
    let failing = "!file { path: /no/such, and: { retry: 1, delay: 0 } }";
    record.run(&owned(&[COPIES[0], failing]), false);
    let told = record.told();
    let expected = [
        "join 1",
        "created 1",
        "join 2",
        "barrier ",
        "durable 1",
        "barrier a",
        "retry 2",
        "failed 2",
        "durable 2",
    ];
    assert_eq!(told, expected);

    let mut record = Record::new();
    record.run(&vec!["!echo { msg: x }".to_owned(); 1_100], false);
    let told = record.told();
    let durable: Vec<u32> =
        told.iter().filter_map(|line| line.strip_prefix("durable ")?.parse().ok()).collect();
    assert!(durable.windows(2).all(|pair| pair[0] < pair[1] && pair[1] - pair[0] <= 512), "{durable:?}");
    assert_eq!(durable.last(), Some(&1_100));
    for (line, next) in told.iter().zip(&told[1..]) {
        let is_in_between = line.starts_with("durable") && !line.ends_with(" 1100");
        assert!(!is_in_between || next.starts_with("barrier"), "{line} is not durable itself");
    }
}

#[test]
fn a_dry_run_is_one_group_of_everything() {
    let mut record = Record::new();
    record.run(&owned(&[COPIES[0], "!shell { cmd: 'true' }", COPIES[1]]), true);
    let told = record.told();
    assert_eq!(told, ["join 1", "created 1", "join 2", "executed 2", "join 3", "created 3", "durable 3"]);
}
