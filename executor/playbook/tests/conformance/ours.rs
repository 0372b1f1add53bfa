//! Runs a case through our engine.

use std::fs;
use std::io;

use keros_playbook::{
    Durability, HostSystem, Observer, RunOptions, Script, ScriptSource, ShellPlace, merge_variables,
    parse_variables,
};
use keros_protocol::Outcome;
use keros_protocol::executor::{Event, TaskStatus};
use serde_json::Map;

use crate::bench::Bench;
use crate::case::Case;
use crate::seen::{End, Seen, SeenTask};

struct Recorder<'b> {
    bench: &'b Bench,
    tasks: Vec<SeenTask>,
    /// Messages of the items of the loop under way.
    said: Vec<String>,
}

impl Observer for Recorder<'_> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::TaskStarted { task, handler, role, .. } => {
                let kind = if *handler { "handler" } else { "task" }.to_owned();
                let (name, role) = (task.name.to_lowercase(), role.clone());
                self.tasks.push(SeenTask { kind, name, role, ..SeenTask::default() });
            }
            Event::Retrying { .. } => self.tasks.last_mut().unwrap().retries += 1,
            Event::ItemEnded { result, .. } => {
                if let Some(message) = &result.message {
                    self.said.push(self.bench.emptied(message));
                }
            }
            Event::TaskEnded { result, notified, .. } => {
                let task = self.tasks.last_mut().unwrap();
                result.status.as_str().clone_into(&mut task.status);
                task.changes = result.changes.iter().map(|change| change.property.clone()).collect();
                task.notified.clone_from(notified);
                let message = result.message.as_ref().map(|message| self.bench.emptied(message));
                // A recording has exit code and message of failed tasks only.
                if result.status == TaskStatus::Failed {
                    task.exit_code = result.exit_code.map(i64::from);
                    task.message = message;
                } else if self.said.is_empty() {
                    task.said = message;
                } else {
                    task.said = Some(self.said.join("\n"));
                }
                self.said.clear();
            }
            _ => {}
        }
        Ok(())
    }
}

/// Runs it once.
pub(crate) fn run(case: &Case, bench: &Bench) -> Seen {
    let mut options = RunOptions { dry_run: case.check, ..RunOptions::default() };
    let mut extra_vars = Map::new();
    for pair in case.args.chunks(2) {
        match pair[0].as_str() {
            "-e" => {
                let text = bench.fill(&pair[1]);
                let text = match text.strip_prefix('@') {
                    Some(file) => fs::read_to_string(file).unwrap(),
                    None => text,
                };
                merge_variables(&mut extra_vars, parse_variables(&text, "-e").unwrap());
            }
            "--tags" => options.tags = pair[1].split(':').map(str::to_owned).collect(),
            other => panic!("{}: the harness does not know the argument {other}", case.name),
        }
    }
    let source = ScriptSource {
        text: bench.fill(&case.script()),
        file: "playbook.yml".to_owned(),
        folder: Some(bench.play()),
        extra_vars,
        ..ScriptSource::default()
    };
    let script = match Script::parse(&source) {
        Ok(script) => script,
        Err(findings) => {
            let all: Vec<String> = findings.iter().map(|one| bench.emptied(&one.to_string())).collect();
            return Seen { tasks: Vec::new(), end: End::Refused(all.join("\n")) };
        }
    };
    let mut recorder = Recorder { bench, tasks: Vec::new(), said: Vec::new() };
    let mut system = HostSystem::new(bench.root.clone(), ShellPlace::Root);
    system.search_path.clone_from(&bench.search_path);
    // On a tree as by hand: files become durable together, and nobody may see a difference.
    if bench.is_tree() {
        system.durability = Durability::Grouped;
    }
    let outcome = keros_playbook::run(&script, &mut system, &options, &mut recorder).without_reboot();
    let end = if matches!(outcome, Outcome::Succeeded { .. }) { End::Succeeded } else { End::Failed };
    Seen { tasks: recorder.tasks, end }
}
