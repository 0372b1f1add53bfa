//! Runs the recorded playbooks of the real jetp through our engine and compares: statuses, order, retries, exit codes, files.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use keros_playbook::{
    HostSystem, Observer, RunOptions, Script, ScriptSource, ShellPlace, merge_variables, parse_variables,
};
use keros_protocol::Outcome;
use keros_protocol::executor::{Event, TaskStatus};
use serde_json::{Map, Value, json};

/// Cases where jetp fails a task and ours refuses the script before anything is run: each shows a fault that no variable
/// can change.
const FOUND_EARLIER: [(&str, &str); 3] = [
    ("copy-missing-source", "no such file: nope"),
    ("tmpl-syntax", "Template error"),
    ("bool-word", "not a boolean: yes"),
];

/// What one run of a case gave.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    /// Kind, module, status, changed properties, exit code, retries, events raised.
    tasks: Vec<SeenTask>,
    succeeded: bool,
    refused: Option<String>,
}

#[derive(Debug, Default, Clone, PartialEq)]
struct SeenTask {
    kind: &'static str,
    name: String,
    status: String,
    changes: Vec<String>,
    exit_code: Option<i64>,
    retries: u64,
    notified: Vec<String>,
    message: Option<String>,
}

#[derive(Default)]
struct Recorder(Vec<SeenTask>);

impl Observer for Recorder {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::TaskStarted { module, handler, .. } => {
                let kind = if *handler { "handler" } else { "task" };
                self.0.push(SeenTask { kind, name: module.clone(), ..SeenTask::default() });
            }
            Event::Retrying { .. } => self.0.last_mut().unwrap().retries += 1,
            Event::TaskEnded { result, notified, .. } => {
                let task = self.0.last_mut().unwrap();
                task.status = result.status.as_str().to_owned();
                task.changes = result.changes.iter().map(|change| change.property.clone()).collect();
                // A recording has the exit code of failed tasks only.
                task.exit_code =
                    result.exit_code.filter(|_| result.status == TaskStatus::Failed).map(i64::from);
                task.notified.clone_from(notified);
                task.message.clone_from(&result.message);
            }
            _ => {}
        }
        Ok(())
    }
}

fn cases() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/cases.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// The folders of one case.
struct Bench {
    scratch: tempfile::TempDir,
    play: tempfile::TempDir,
}

impl Bench {
    fn new(case: &Value) -> Self {
        let bench = Self { scratch: tempfile::tempdir().unwrap(), play: tempfile::tempdir().unwrap() };
        fs::create_dir(bench.play()).unwrap();
        for (name, content) in case["files"].as_object().unwrap() {
            let path = bench.play().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bench.fill(content.as_str().unwrap())).unwrap();
        }
        let setup = bench.fill(text(case, "setup"));
        let status = Command::new("sh").arg("-c").arg(setup).current_dir(bench.scratch.path()).status();
        assert!(status.unwrap().success());
        bench
    }

    /// The recorded playbooks lay in a folder of this name, and one of them prints it.
    fn play(&self) -> std::path::PathBuf {
        self.play.path().join("pb")
    }

    fn fill(&self, template: &str) -> String {
        let scratch = self.scratch.path().display().to_string();
        template.replace("{S}", &scratch).replace("{P}", &self.play().display().to_string())
    }

    fn run(&self, case: &Value) -> Seen {
        let arguments: Vec<&str> =
            case["args"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let mut extra_vars = Map::new();
        for pair in arguments.chunks(2).filter(|pair| pair[0] == "-e") {
            merge_variables(&mut extra_vars, parse_variables(pair[1], "-e").unwrap());
        }
        let source = ScriptSource {
            text: self.fill(text(case, "playbook")),
            file: "playbook.yml".to_owned(),
            folder: Some(self.play()),
            extra_vars,
            ..ScriptSource::default()
        };
        let script = match Script::parse(&source) {
            Ok(script) => script,
            Err(findings) => {
                let all: Vec<String> = findings.iter().map(ToString::to_string).collect();
                return Seen { refused: Some(all.join("\n")), ..Seen::default() };
            }
        };
        let mut recorder = Recorder::default();
        let mut system = HostSystem::new("/".into(), ShellPlace::Root);
        if text(case, "path") == "fake" {
            let stubs = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/stub");
            system.search_path = format!("{stubs}:{}", system.search_path);
        }
        let tags = arguments.chunks(2).filter(|pair| pair[0] == "--tags").flat_map(|pair| pair[1].split(':'));
        let options = RunOptions {
            dry_run: text(case, "mode") == "check-local",
            tags: tags.map(str::to_owned).collect(),
            ..RunOptions::default()
        };
        let outcome = keros_playbook::run(&script, &mut system, &options, &mut recorder);
        Seen { tasks: recorder.0, succeeded: matches!(outcome, Outcome::Succeeded { .. }), refused: None }
    }

    fn tree(&self) -> BTreeMap<String, Value> {
        let mut tree = BTreeMap::new();
        list(self.scratch.path(), "", &mut tree);
        tree
    }
}

fn list(folder: &Path, prefix: &str, tree: &mut BTreeMap<String, Value>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        let metadata = fs::symlink_metadata(entry.path()).unwrap();
        let mode = format!("0o{:o}", metadata.mode() & 0o7777);
        let (uid, gid) = (metadata.uid(), metadata.gid());
        let value = if metadata.is_symlink() {
            let to = fs::read_link(entry.path()).unwrap();
            json!({"type": "l", "uid": uid, "gid": gid, "to": to})
        } else if metadata.is_dir() {
            list(&entry.path(), &format!("{name}/"), tree);
            json!({"type": "d", "mode": mode, "uid": uid, "gid": gid})
        } else {
            let content = fs::read_to_string(entry.path()).unwrap();
            json!({"type": "-", "mode": mode, "uid": uid, "gid": gid, "text": content})
        };
        tree.insert(name, value);
    }
}

/// The recording of a run in our words.
fn recorded(run: &Value) -> Seen {
    let tasks = run["tasks"].as_array().unwrap().iter().map(recorded_task).collect();
    Seen { tasks, succeeded: run["exit"] == 0, refused: None }
}

fn recorded_task(task: &Value) -> SeenTask {
    let words = text(task, "status");
    let (status, rest) = words.split_once(" (").unwrap_or((words, ""));
    let ignored = rest.starts_with("ignored");
    let status = match status {
        _ if ignored => "ignored",
        "complete" | "would run" => "executed",
        "would create" => "created",
        "would remove" => "removed",
        "would modify" => "modified",
        other => other,
    };
    let changes = rest.trim_end_matches(')').split(',').filter(|name| !name.is_empty() && !ignored);
    SeenTask {
        kind: if text(task, "kind") == "handler" { "handler" } else { "task" },
        name: text(task, "name").to_lowercase(),
        status: status.to_owned(),
        changes: changes.map(str::to_lowercase).collect(),
        exit_code: task["rc"].as_i64(),
        retries: task["retries"].as_u64().unwrap_or(0),
        notified: task["notified"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        message: task["msg"].as_str().map(str::to_owned),
    }
}

/// Leaves out what only one of the two sides says.
fn comparable(mut seen: Seen, recording: &Seen) -> Seen {
    for (task, other) in seen.tasks.iter_mut().zip(&recording.tasks) {
        // A recording has changes for modified things only, and messages by jetp's own tools not at all.
        if matches!(task.status.as_str(), "created" | "removed") {
            task.changes.clear();
        }
        if other.message.is_none() || task.message.as_ref().is_some_and(|m| m.contains(core_of(other))) {
            task.message.clone_from(&other.message);
        }
        // jetp's failure of a file task is the exit code of the tool that it ran; ours runs none.
        if other.exit_code == Some(1) && task.exit_code.is_none() && task.name != "shell" {
            task.exit_code = Some(1);
        }
    }
    seen
}

fn core_of(task: &SeenTask) -> &str {
    task.message.as_deref().unwrap_or_default()
}

#[test]
fn cases_that_follow_a_recording_give_what_it_gave() {
    if !nix::unistd::geteuid().is_root() {
        keros_skip::skipped("the recordings were made by root");
        return;
    }
    let (mut compared, mut wrong) = (0, Vec::new());
    for case in cases() {
        let name = text(&case, "name").to_owned();
        let left_out = FOUND_EARLIER.iter().any(|(n, _)| *n == name);
        if left_out || case["deliberately_different"] == true {
            continue;
        }
        compared += 1;
        let peer = text(&case, "follows");
        let bench = Bench::new(&case);
        for run in case[peer]["runs"].as_array().unwrap() {
            let recording = recorded(run);
            let mut seen = comparable(bench.run(&case), &recording);
            if recording.tasks.is_empty() && !recording.succeeded {
                // Both refuse; the words are each program's own.
                seen.refused = seen.refused.and(None);
            }
            let expected = bench_fill(&bench, recording);
            if seen != expected {
                wrong.push(format!("{name}:\n  ours {seen:?}\n  jetp {expected:?}"));
            }
        }
        let tree: BTreeMap<String, Value> = serde_json::from_value(case[peer]["tree"].clone()).unwrap();
        if bench.tree() != tree {
            wrong.push(format!("{name}: files:\n  ours {:?}\n  jetp {tree:?}", bench.tree()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(compared, 40, "cases that follow a recording");
}

fn bench_fill(bench: &Bench, mut seen: Seen) -> Seen {
    for task in &mut seen.tasks {
        task.message = task.message.as_ref().map(|message| bench.fill(message));
    }
    seen
}

#[test]
fn faults_that_no_variable_can_change_are_found_before_anything_runs() {
    for (name, words) in FOUND_EARLIER {
        let all = cases();
        let case = all.iter().find(|case| text(case, "name") == name).unwrap();
        let bench = Bench::new(case);
        let before = bench.tree();
        let seen = bench.run(case);
        assert!(seen.tasks.is_empty());
        assert!(seen.refused.as_ref().unwrap().contains(words), "{name}: {:?}", seen.refused);
        assert_eq!(bench.tree(), before, "{name}");
    }
}

/// What we promise where we differ on purpose: statuses of each run, files (text and mode), and why.
struct Promise {
    name: &'static str,
    runs: &'static [&'static [&'static str]],
    files: &'static [(&'static str, &'static str, &'static str)],
    #[allow(dead_code, reason = "for the reader")]
    why: &'static str,
}

const REFUSED: &[&str] = &["refused"];

const PROMISES: [Promise; 14] = [
    Promise {
        name: "role-var-leak",
        runs: &[&["created", "created", "executed", "created"]],
        files: &[
            ("f", "F\n", "0o644"),
            ("leak", "playdef\n", "0o644"),
            ("rh", "", "0o644"),
            ("t", "rdef rdef\n", "0o644"),
        ],
        why: "a role's variables are its own",
    },
    Promise {
        name: "role-lazy-parse",
        runs: &[REFUSED],
        files: &[],
        why: "every role is read before anything is run",
    },
    Promise {
        name: "parse-empty-file",
        runs: &[REFUSED],
        files: &[],
        why: "a script without a play is a mistake, not a success",
    },
    Promise {
        name: "items-map-leak",
        runs: &[&["failed"]],
        files: &[("o", "1-2\n", "0o644")],
        why: "an item has its own keys only: the second has no `b`, which is an undefined variable",
    },
    Promise {
        name: "handler-with-no-subscribe",
        runs: &[REFUSED],
        files: &[],
        why: "it could never be called; jetp crashes",
    },
    Promise {
        name: "handler-unnotified-undefined",
        runs: &[&["skipped", "created"]],
        files: &[("h", "", "0o644")],
        why: "a handler that is not called is not evaluated",
    },
    Promise {
        name: "file-mode-without-0o",
        runs: &[&["created"]],
        files: &[("a", "", "0o644")],
        why: "all ways to write a mode mean the same",
    },
    Promise {
        name: "file-mode-leading-zero",
        runs: &[&["created"], &["matched"]],
        files: &[("a", "", "0o644")],
        why: "modes are compared as numbers",
    },
    Promise {
        name: "file-on-symlink",
        runs: &[&["modified"], &["matched"]],
        files: &[("t", "", "0o600")],
        why: "what is compared is what is changed: the link's target",
    },
    Promise {
        name: "path-bad-chars",
        runs: &[&["created"]],
        files: &[("a=b", "", "0o644")],
        why: "no path is given to a shell, so every path works",
    },
    Promise {
        name: "copy-basic",
        runs: &[&["created", "matched", "modified"]],
        files: &[("f", "new\n", "0o644"), ("old", "new\n", "0o600")],
        why: "a change of content keeps the mode",
    },
    Promise {
        name: "tmpl-else-if",
        runs: &[&["created"]],
        files: &[("o", "2\n", "0o644")],
        why: "`else if` is a chain, not silently the last branch",
    },
    Promise {
        name: "tmpl-mode-reset",
        runs: &[&["modified"]],
        files: &[(
            "o",
            "A=v1\nB\n0:x 1:y \nk=v;\nu 2 y x v\n{{x}} {{e}} <a&'>\n5 1.5  [x, y, ] [object]\n",
            "0o600",
        )],
        why: "a change of content keeps mode and owner",
    },
    Promise {
        name: "shell-safe-filter",
        runs: &[&["executed", "executed", "executed"]],
        files: &[("a", "abc\n", "0o644"), ("b", "abc\n", "0o644"), ("c", "abc\n", "0o644")],
        why: "the command's own text is not filtered, only values that are filled in",
    },
];

#[test]
fn cases_where_we_differ_on_purpose_give_what_we_promise() {
    if !nix::unistd::geteuid().is_root() {
        keros_skip::skipped("the recordings were made by root");
        return;
    }
    let all = cases();
    for promise in PROMISES {
        let case = all.iter().find(|case| text(case, "name") == promise.name).unwrap();
        let bench = Bench::new(case);
        for expected in promise.runs {
            let seen = bench.run(case);
            let statuses: Vec<&str> = match seen.refused {
                Some(_) => vec!["refused"],
                None => seen.tasks.iter().map(|task| task.status.as_str()).collect(),
            };
            assert_eq!(statuses, *expected, "{}: {seen:?}", promise.name);
        }
        let tree = bench.tree();
        let files: Vec<_> = tree.iter().filter(|(_, entry)| entry["type"] == "-").collect();
        assert_eq!(files.len(), promise.files.len(), "{}: {tree:?}", promise.name);
        for (path, content, mode) in promise.files {
            assert_eq!(tree[*path]["text"], *content, "{}", promise.name);
            assert_eq!(tree[*path]["mode"], *mode, "{}: {path}", promise.name);
        }
        if promise.name == "tmpl-mode-reset" {
            assert_ne!(tree["o"]["uid"], 0, "the owner is kept");
        }
    }
}

/// jetp never raises events in a check, so it does not tell what the handlers would do. Ours does, and knows that the file
/// which a task removes is not there any more for the next one.
#[test]
fn a_dry_run_touches_nothing_and_tells_of_handlers_too() {
    let all = cases();
    let case = all.iter().find(|case| text(case, "name") == "check-no-change").unwrap();
    let bench = Bench::new(case);
    let before = bench.tree();
    let seen = bench.run(case);
    let statuses: Vec<&str> = seen.tasks.iter().map(|task| task.status.as_str()).collect();
    assert_eq!(statuses, ["created", "created", "executed", "passive", "removed", "created", "created"]);
    assert_eq!(bench.tree(), before);
}

#[test]
fn every_case_is_in_exactly_one_of_the_lists() {
    for case in cases() {
        let name = text(&case, "name").to_owned();
        let different = case["deliberately_different"] == true;
        let promised = PROMISES.iter().any(|p| p.name == name) || name == "check-no-change";
        assert_eq!(different, promised, "{name}");
    }
}
