//! Check, dry run and run agree: scripts by chance, on trees by chance.
//!
//! `KEROS_AGREEMENT_CASES` and `KEROS_AGREEMENT_SEED` in the environment ask for more of them, or for one again.

#![allow(clippy::unwrap_used, clippy::panic, clippy::unreachable, reason = "a test ends by panicking")]

mod random;
mod reboots;
mod script;
mod tree;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use keros_playbook::{HostSystem, Observer, RunOptions, Script, ScriptSource, ShellPlace};
use keros_protocol::executor::{Change, Event, TaskResult, TaskStatus};
use keros_protocol::{Outcome, Summary};
use serde_json::Map;

use crate::random::Random;
use crate::script::Play;
use crate::tree::There;

const CASES: u64 = 240;
const FIRST_SEED: u64 = 1;

/// What can be said of a task or an item before it is run.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    task: u32,
    item: Option<u32>,
    status: TaskStatus,
    changes: Vec<(String, Option<String>, Option<String>)>,
    message: Option<String>,
    notified: Vec<String>,
}

#[derive(Default)]
struct Recorder(Vec<Seen>);

impl Recorder {
    fn keep(&mut self, task: u32, item: Option<u32>, result: &TaskResult, notified: &[String]) {
        let change = |change: &Change| (change.property.clone(), change.before.clone(), change.after.clone());
        self.0.push(Seen {
            task,
            item,
            status: result.status,
            changes: result.changes.iter().map(change).collect(),
            message: result.message.clone(),
            notified: notified.to_vec(),
        });
    }
}

impl Observer for Recorder {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::ItemEnded { task, item_number, result, .. } => {
                self.keep(task.number, Some(*item_number), result, &[]);
            }
            Event::TaskEnded { task, result, notified, .. } => {
                self.keep(task.number, None, result, notified);
            }
            _ => {}
        }
        Ok(())
    }
}

fn run(script: &Script, root: &Path, dry_run: bool) -> (Vec<Seen>, Summary, bool) {
    let mut recorder = Recorder::default();
    let mut system = HostSystem::new(root.to_owned(), ShellPlace::Host);
    let options = RunOptions { dry_run, ..RunOptions::default() };
    match keros_playbook::run(script, &mut system, &options, &mut recorder).without_reboot() {
        Outcome::Succeeded { summary, .. } => (recorder.0, summary, true),
        Outcome::Failed { summary, .. } => (recorder.0, summary, false),
        other => panic!("{other:?}"),
    }
}

/// The script's own files.
fn script_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["files", "templates"] {
        fs::create_dir(folder.path().join(kind)).unwrap();
    }
    fs::write(folder.path().join("files/f1"), "of the script\n").unwrap();
    fs::write(folder.path().join("templates/t1"), "{{ where }} {{#if s1.exists}}yes{{/if}}\n").unwrap();
    folder
}

#[derive(Debug, Clone)]
struct Case {
    there: Vec<There>,
    play: Play,
}

impl Case {
    fn generate(seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self { there: tree::generate(&mut random), play: script::generate(&mut random) }
    }

    fn parse(&self, folder: &Path) -> Result<Script, Vec<keros_playbook::Diagnostic>> {
        Script::parse(&ScriptSource {
            text: self.play.text(),
            file: "s.yml".to_owned(),
            folder: Some(folder.to_owned()),
            extra_vars: Map::new(),
            ..ScriptSource::default()
        })
    }

    /// Dry run and run, twice on the same tree. What was seen of the runs, or how they differ; `None`: the check refused it.
    fn judge(&self) -> Result<Option<Vec<Seen>>, String> {
        let (folder, root) = (script_folder(), tempfile::tempdir().unwrap());
        // Another user must get into the tree.
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        tree::make(root.path(), &self.there);
        let Ok(script) = self.parse(folder.path()) else { return Ok(None) };
        let mut all = Vec::new();
        for turn in ["first", "second"] {
            let before = tree::snapshot(root.path());
            let told = run(&script, root.path(), true);
            let after = tree::snapshot(root.path());
            if before != after {
                return Err(format!("the {turn} dry run changed the tree:\n{before:#?}\n{after:#?}"));
            }
            let ran = run(&script, root.path(), false);
            if told != ran {
                return Err(format!("the {turn} runs differ:\n{}", difference(&told, &ran)));
            }
            all.extend(ran.0);
        }
        Ok(Some(all))
    }

    /// The case with one thing less, in every way.
    fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        for index in 0..self.play.tasks.len() {
            let mut case = self.clone();
            case.play.tasks.remove(index);
            all.push(case);
        }
        for index in 0..self.play.handlers.len() {
            let mut case = self.clone();
            case.play.handlers.remove(index);
            all.push(case);
        }
        for index in 0..self.there.len() {
            let mut case = self.clone();
            case.there.remove(index);
            all.push(case);
        }
        all
    }

    /// Leaves out what the failure does not need.
    fn shrunk(self, why: String) -> (Self, String) {
        for case in self.smaller() {
            if let Err(why) = case.judge() {
                return case.shrunk(why);
            }
        }
        (self, why)
    }
}

fn difference(told: &(Vec<Seen>, Summary, bool), ran: &(Vec<Seen>, Summary, bool)) -> String {
    let mut text = String::new();
    for (told, ran) in told.0.iter().zip(&ran.0).filter(|(told, ran)| told != ran) {
        let _ = writeln!(text, "told {told:?}\n ran {ran:?}");
    }
    let _ =
        writeln!(text, "told {} ends, {:?}\n ran {} ends, {:?}", told.0.len(), told.1, ran.0.len(), ran.1);
    text
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

fn seeds() -> std::ops::Range<u64> {
    if let Some(seed) = from_environment("KEROS_AGREEMENT_SEED") {
        return seed..seed + 1;
    }
    FIRST_SEED..FIRST_SEED + from_environment("KEROS_AGREEMENT_CASES").unwrap_or(CASES)
}

#[test]
fn check_dry_run_and_run_agree() {
    let (mut refused, mut statuses) = (0, BTreeMap::new());
    for seed in seeds() {
        let case = Case::generate(seed);
        match case.judge() {
            Ok(Some(all)) => {
                for seen in all {
                    *statuses.entry(seen.status.as_str()).or_insert(0) += 1;
                }
            }
            Ok(None) => refused += 1,
            Err(why) => {
                let (case, why) = case.shrunk(why);
                panic!("seed {seed}: {why}\n{:#?}\n{}", case.there, case.play.text());
            }
        }
    }
    if seeds().count() >= 200 {
        // A generator that no longer reaches something would let all of this pass unseen.
        assert!(refused > 0, "no script was refused");
        for status in [
            "created", "modified", "removed", "matched", "passive", "executed", "skipped", "ignored",
            "failed",
        ] {
            assert!(statuses.get(status).is_some_and(|count| *count >= 20), "{status}: {statuses:?}");
        }
    }
}

#[test]
fn a_script_that_does_not_undo_its_own_work_changes_nothing_the_second_time() {
    let mut made = 0;
    for seed in seeds() {
        let mut random = Random::new(seed);
        let case = Case { there: Vec::new(), play: script::generate_settled(&mut random) };
        let (folder, root) = (script_folder(), tempfile::tempdir().unwrap());
        // Another user must get into the tree.
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        tree::make(root.path(), &case.there);
        let Ok(script) = case.parse(folder.path()) else { continue };
        made += run(&script, root.path(), false).1.changed();
        let before = tree::snapshot(root.path());
        let (second, summary, _) = run(&script, root.path(), false);
        assert_eq!(summary.changed(), 0, "seed {seed}: {second:#?}\n{}", case.play.text());
        // What root alone may do fails for others after a file was begun beside the old one.
        if summary.ignored == 0 {
            assert_eq!(tree::snapshot(root.path()), before, "seed {seed}\n{}", case.play.text());
        }
    }
    assert!(made > 0);
}
