//! A run that is cut by reboots and goes on does what it would have done without them.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use keros_playbook::{HostSystem, Observer, Resume, RunEnd, RunOptions, Script, ScriptSource, ShellPlace};
use keros_protocol::Outcome;
use keros_protocol::executor::{Event, TaskResult};
use serde_json::{Map, Value, json};

use crate::random::Random;
use crate::script::{self, Play, Task};
use crate::tree::{self, There};
use crate::{script_folder, seeds};

/// The name of a task that stands for a reboot, or is one.
const CUT: &str = "cut";

/// Events without what may differ: times, and what a program printed.
#[derive(Default)]
struct Recorder(Vec<Event>);

impl Observer for Recorder {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        let mut event = event.clone();
        match &mut event {
            Event::TaskStarted { task, module, .. } if task.name == CUT => module.clear(),
            Event::TaskEnded { task, result, duration_ms, .. } => {
                *duration_ms = 0;
                if task.name == CUT {
                    *result = TaskResult { message: result.message.clone(), ..TaskResult::of(result.status) };
                }
            }
            Event::ItemEnded { duration_ms, .. } => *duration_ms = None,
            _ => {}
        }
        self.0.push(event);
        Ok(())
    }
}

/// Two plays, with cuts at any place in them.
struct Case {
    there: Vec<There>,
    plays: [Play; 2],
}

impl Case {
    fn generate(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut plays = [script::generate(&mut random), script::generate(&mut random)];
        for _ in 0..=random.below(3) {
            let play = &mut plays[random.below(2)];
            let (list, with) = match random.chance(75) {
                true => (&mut play.tasks, json!({})),
                false => (&mut play.handlers, json!({ "subscribe": random.pick(&["e0", "e1"]) })),
            };
            let cut = cut(with, &mut random);
            let place = random.below(list.len() + 1);
            list.insert(place, cut);
        }
        plays[0].tasks.insert(0, bare("facts"));
        for play in &mut plays {
            // Shows all variables.
            let place = random.below(play.tasks.len() + 1);
            play.tasks.insert(place, bare("debug"));
            play.handlers.push(bare("debug"));
        }
        Self { there: tree::generate(&mut random), plays }
    }

    /// The script; cuts are done by this module.
    fn text(&self, module: &'static str) -> String {
        let replace = |task: &Task| {
            let mut task = task.clone();
            if task.module == "reboot" {
                task.module = module;
                if module == "shell" {
                    task.fields.insert("cmd".to_owned(), "true".into());
                }
            }
            task
        };
        let play = |play: &Play| {
            let all = |tasks: &[Task]| tasks.iter().map(replace).collect();
            Play { tasks: all(&play.tasks), handlers: all(&play.handlers) }.text()
        };
        self.plays.iter().map(play).collect()
    }
}

/// A task without fields.
fn bare(module: &'static str) -> Task {
    Task { module, fields: Map::new() }
}

fn cut(mut with: Value, random: &mut Random) -> Task {
    if random.chance(30) {
        with["condition"] = random.pick(&["flag", "(not flag)", "(eq n 5)", "s0.exists"]).into();
    }
    let notify = random.pick(&["e0", "e{{ n }}", "e2"]);
    let mut fields = Map::from_iter([("name".to_owned(), CUT.into())]);
    if with.as_object().is_some_and(|with| !with.is_empty()) {
        fields.insert("with".to_owned(), with);
    }
    if random.chance(50) {
        fields.insert("and".to_owned(), json!({ "notify": notify }));
    }
    Task { module: "reboot", fields }
}

/// The tree of a case after a run, all its events, and its outcome.
struct Ran {
    events: Vec<Event>,
    outcome: Outcome,
    tree: Vec<String>,
    cuts: usize,
}

/// Runs the script part by part, each by a process of its own as far as anything can tell.
fn run(text: &str, there: &[There]) -> Option<Ran> {
    let (folder, root) = (script_folder(), tempfile::tempdir().unwrap());
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    tree::make(root.path(), there);
    let (mut recorder, mut resume, mut cuts) = (Recorder::default(), None, 0);
    let outcome = loop {
        let script = parse(text, folder.path())?;
        let mut system = HostSystem::new(root.path().to_owned(), ShellPlace::Host);
        let options = RunOptions { resume: resume.take(), ..RunOptions::default() };
        match keros_playbook::run(&script, &mut system, &options, &mut recorder) {
            RunEnd::Ended(outcome) => break outcome,
            RunEnd::Reboot { task, resume: kept } => {
                assert_eq!(task.name, CUT);
                let on_disk = serde_json::to_string(&kept).unwrap();
                resume = Some(serde_json::from_str::<Resume>(&on_disk).unwrap());
                cuts += 1;
            }
        }
    };
    // Times and numbers of inodes differ from tree to tree.
    let entries = tree::looks(root.path());
    Some(Ran { events: recorder.0, outcome, tree: entries, cuts })
}

fn parse(text: &str, folder: &Path) -> Option<Script> {
    let source = ScriptSource {
        text: text.to_owned(),
        file: "s.yml".to_owned(),
        folder: Some(folder.to_owned()),
        ..ScriptSource::default()
    };
    Script::parse(&source).ok()
}

#[test]
fn a_run_with_reboots_does_what_it_does_without_them() {
    let (mut cuts, mut failed, mut cases) = (0, 0, 0);
    for seed in seeds() {
        let case = Case::generate(seed);
        let text = case.text("reboot");
        let (Some(without), Some(with)) = (run(&case.text("shell"), &case.there), run(&text, &case.there))
        else {
            continue;
        };
        for (number, (without, with)) in without.events.iter().zip(&with.events).enumerate() {
            assert_eq!(without, with, "seed {seed}, event {number}\n{text}");
        }
        assert_eq!(without.events.len(), with.events.len(), "seed {seed}\n{text}");
        assert_eq!(without.outcome, with.outcome, "seed {seed}\n{text}");
        assert_eq!(without.tree, with.tree, "seed {seed}\n{text}");
        cases += 1;
        cuts += with.cuts;
        failed += usize::from(matches!(with.outcome, Outcome::Failed { .. }));
    }
    if seeds().count() >= 200 {
        assert!(cuts >= 100 && failed >= 10 && failed < cases, "{cuts} reboots, {failed} of {cases} failed");
    }
}
