//! The stream of `keros-executor playbook --json`: held against its schema, and ended by an `ended` whatever happens.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn schema_path() -> PathBuf {
    top().join("docs/events.schema.json")
}

fn validator() -> jsonschema::Validator {
    let schema = serde_json::from_str(&fs::read_to_string(schema_path()).unwrap()).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

/// A folder for scripts with an empty tree in it.
fn bench(script: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("tree/etc")).unwrap();
    fs::write(folder.path().join("tree/etc/os-release"), "ID=keros\n").unwrap();
    fs::write(folder.path().join("script.yml"), script).unwrap();
    folder
}

fn playbook(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keros-executor"));
    command.current_dir(folder).args(["playbook", "--json", "--host-shell", "--root", "tree"]);
    command
}

/// The events of a run, each checked against the schema, and the exit code.
fn events(command: &mut Command) -> (Vec<Value>, Option<i32>) {
    let output = command.output().unwrap();
    let validator = validator();
    let events: Vec<Value> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    for event in &events {
        if let Err(error) = validator.validate(event) {
            panic!("{event} is not what the schema says: {error}");
        }
    }
    (events, output.status.code())
}

/// A stream begins with its version and has one end, at its end.
fn check_frame(events: &[Value]) {
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names.first(), Some(&"run_started"), "{names:?}");
    assert_eq!(events[0]["format"], 1);
    assert_eq!(names.iter().position(|name| *name == "ended"), Some(names.len() - 1), "{names:?}");
}

#[test]
fn the_schema_is_that_of_the_code() {
    let mut schema = schemars::schema_for!(keros_protocol::executor::Event).to_value();
    schema["title"] = json!("Event");
    let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    if std::env::var_os("KEROS_BLESS").is_some() {
        fs::write(schema_path(), &text).unwrap();
    }
    let kept = fs::read_to_string(schema_path()).unwrap();
    assert!(kept == text, "docs/events.schema.json is not up to date: run this test with KEROS_BLESS=1");
}

#[test]
fn the_schema_refuses_what_is_no_event() {
    let validator = validator();
    for no_event in [
        json!({ "event": "task_begun" }),
        json!({ "event": "run_started", "format": "1" }),
        json!({ "event": "ended", "status": "succeeded" }),
        json!([]),
    ] {
        assert!(!validator.is_valid(&no_event), "{no_event}");
    }
}

#[test]
fn the_frozen_examples_of_the_protocol_are_what_the_schema_says() {
    let validator = validator();
    let mut count = 0;
    for entry in fs::read_dir(top().join("protocol/tests/wire/v1")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("event_") {
            let event = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            assert!(validator.is_valid(&event), "{}", path.display());
            count += 1;
        }
    }
    assert!(count >= 13, "only {count}");
}

#[test]
fn the_page_about_events_names_each_of_them_and_each_exit_code() {
    let page = fs::read_to_string(top().join("docs/events.md")).unwrap();
    let schema: Value = serde_json::from_str(&fs::read_to_string(schema_path()).unwrap()).unwrap();
    let events = schema["oneOf"].as_array().unwrap();
    assert!(events.len() >= 11);
    for event in events {
        let name = event["properties"]["event"]["const"].as_str().unwrap();
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
    let help =
        Command::new(env!("CARGO_BIN_EXE_keros-executor")).args(["playbook", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for code in ["| 0 |", "| 1 |", "| 2 |", "| 64 |", "| 65 |", "| 74 |", "| 129, 130, 143 |"] {
        assert!(page.contains(code), "{code}");
        assert!(help.contains(&format!("\n  {}", code.trim_matches(['|', ' ']))), "{code} in --help");
    }
}

/// The examples of the page are events of this version.
#[test]
fn the_example_of_the_page_is_what_the_schema_says() {
    let page = fs::read_to_string(top().join("docs/events.md")).unwrap();
    let validator = validator();
    let example = page.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let events: Vec<Value> = example.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().all(|event| validator.is_valid(event)));
    check_frame(&events);
}

#[test]
fn every_example_gives_a_stream_that_the_schema_knows() {
    let mut runs = 0;
    for entry in fs::read_dir(top().join("tests/playbooks")).unwrap() {
        let script = entry.unwrap().path();
        if script.extension().is_none_or(|extension| extension != "yml") {
            continue;
        }
        for extra in [&[][..], &["--dry-run"]] {
            let folder = bench("");
            let (events, code) = events(playbook(folder.path()).arg(&script).args(extra));
            check_frame(&events);
            assert!(matches!(code, Some(0..=2)), "{}: {code:?}", script.display());
            runs += 1;
        }
    }
    assert!(runs >= 20, "only {runs} runs: are the examples still there?");
}

#[test]
fn a_task_tells_its_attempts_its_items_and_its_time() {
    let folder = bench(
        "- name: p\n  groups: [all]\n  tasks:\n    - !shell { cmd: 'echo out; exit 3', and: { retry: 2, delay: 0, ignore_errors: true } }\n    \
         - !file { path: '/{{ item }}', with: { items: [a, b] }, and: { notify: told } }\n",
    );
    let (events, code) = events(playbook(folder.path()).arg("script.yml"));
    check_frame(&events);
    assert_eq!(code, Some(0));
    let of = |name: &str| events.iter().filter(|event| event["event"] == name).collect::<Vec<_>>();
    assert_eq!(of("retrying").len(), 2);
    let ended = of("task_ended");
    let result = &ended[0]["result"];
    assert_eq!((&result["attempts"], &result["exit_code"]), (&json!(3), &json!(3)));
    assert_eq!(result["output"]["head"], "out\n");
    assert_eq!(ended[1]["notified"], json!(["told"]));
    assert!(of("item_ended").iter().all(|event| event["duration_ms"].is_u64()), "{events:?}");
}

#[test]
fn a_refused_script_tells_each_finding_and_an_end() {
    let folder = bench(
        "- name: p\n  groups: [all]\n  tasks:\n    - !shel { cmd: ls }\n    - !git { repo: a, path: /b, nam: c }\n",
    );
    let (events, code) = events(playbook(folder.path()).arg("script.yml"));
    check_frame(&events);
    assert_eq!(code, Some(65));
    let first = &events[1];
    let expected = json!({
        "event": "finding", "kind": "invalid", "file": "script.yml", "line": 4, "column": 7,
        "message": "there is no module `shel`", "suggestion": "did you mean `shell`?",
    });
    assert_eq!(first, &expected);
    let end = events.last().unwrap();
    assert_eq!((&end["status"], &end["reason"]), (&json!("refused"), &json!("unparsable")));
    assert!(end["detail"].as_str().unwrap().starts_with("script.yml:4:7: there is no module"), "{end}");
}

#[test]
fn wrong_use_has_its_end_too() {
    let folder = bench("");
    for wrong in [&["missing.yml"][..], &["script.yml", "--root", "nowhere"], &["script.yml", "--bogus"], &[]]
    {
        let (events, code) = events(playbook(folder.path()).args(wrong));
        assert_eq!(code, Some(64), "{wrong:?}");
        assert_eq!(events.last().unwrap()["status"], "refused", "{wrong:?}");
    }
}

#[test]
fn a_time_limit_is_told_in_the_end() {
    let folder = bench("- name: p\n  groups: [all]\n  tasks: [!shell { cmd: sleep 60 }]\n");
    let (events, code) = events(playbook(folder.path()).args(["script.yml", "--task-limit-s", "1"]));
    check_frame(&events);
    assert_eq!(code, Some(1));
    assert_eq!(events.last().unwrap()["status"], "timed_out");
}

/// A script whose first task starts a program that ends at nothing but SIGKILL, and says which process it is.
const STUBBORN: &str = "\
- name: p
  groups: [all]
  tasks:
    - !file { path: /before }
    - !shell { cmd: 'trap \"\" TERM; echo $$ > $KEROS_ROOT/pid; touch $KEROS_ROOT/begun; sleep 60 & wait; sleep 60' }
    - !file { path: /after }
";

#[test]
fn a_signal_ends_the_program_and_the_run_and_says_so() {
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let folder = bench(STUBBORN);
        let mut child = playbook(folder.path()).arg("script.yml").stdout(Stdio::piped()).spawn().unwrap();
        wait_for(&folder.path().join("tree/begun"));
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{text}");
        let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        check_frame(&events);
        let task = &events[events.len() - 2];
        assert_eq!((&task["event"], &task["result"]["status"]), (&json!("task_ended"), &json!("failed")));
        let end = events.last().unwrap();
        assert_eq!((&end["status"], &end["task"]["number"]), (&json!("cancelled"), &json!(2)));
        assert!(!folder.path().join("tree/after").exists());
        let pid: i32 = fs::read_to_string(folder.path().join("tree/pid")).unwrap().trim().parse().unwrap();
        assert!(kill(Pid::from_raw(pid), None).is_err(), "the program is still there");
    }
}

#[test]
fn a_signal_that_is_ignored_from_the_start_stays_ignored() {
    let folder = bench(
        "- name: p\n  groups: [all]\n  tasks: [!shell { cmd: 'touch $KEROS_ROOT/begun; sleep 0.5' }]\n",
    );
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "trap '' HUP; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_keros-executor"), "playbook"]);
    shell.args(["script.yml", "--host-shell", "--root", "tree"]).current_dir(folder.path());
    let mut child = shell.stdout(Stdio::null()).spawn().unwrap();
    wait_for(&folder.path().join("tree/begun"));
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGHUP).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_signal_between_two_attempts_is_heard_at_once() {
    let folder = bench(
        "- name: p\n  groups: [all]\n  tasks: [!shell { cmd: 'exit 1', and: { retry: 1, delay: 600 } }]\n",
    );
    let mut child = playbook(folder.path()).arg("script.yml").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.by_ref().any(|line| line.unwrap().contains("\"retrying\"")));
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    assert!(lines.last().unwrap().unwrap().contains("\"cancelled\""));
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_closed_output_ends_the_run_before_the_next_change() {
    for format in [&["--json"][..], &[]] {
        let folder = bench(
            "- name: p\n  groups: [all]\n  tasks:\n    - !shell { cmd: 'touch $KEROS_ROOT/begun; while [ ! -e $KEROS_ROOT/closed ]; do sleep 0.05; done' }\n    \
             - !file { path: /after }\n",
        );
        let mut command = Command::new(env!("CARGO_BIN_EXE_keros-executor"));
        command.current_dir(folder.path()).args(["playbook", "script.yml", "--host-shell", "--root", "tree"]);
        let mut child = command.args(format).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for(&folder.path().join("tree/begun"));
        drop(child.stdout.take());
        fs::write(folder.path().join("tree/closed"), "").unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(74), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "it must not panic");
        assert!(!folder.path().join("tree/after").exists());
    }
}

fn wait_for(path: &Path) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !path.exists() {
        assert!(Instant::now() < deadline, "still waiting for {}", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}
