//! Runs that end before their last task on purpose: at a reboot, to go on behind it, and when they are asked to stop.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use std::io;
use std::time::{Duration, Instant};

use keros_playbook::{
    Cancel, Diagnostic, HostSystem, Observer, Resume, RunEnd, RunOptions, Script, ScriptSource, ShellPlace,
};
use keros_protocol::executor::{Event, TaskStatus};
use keros_protocol::{JobLimits, Outcome, Summary, TimeLimit};
use serde_json::{Value, json};

/// Ends of tasks: number, status, message.
#[derive(Default)]
struct Told {
    ends: Vec<(u32, TaskStatus, Option<String>)>,
    /// Asked at the end of this task.
    stop: Option<(u32, Cancel)>,
}

impl Observer for Told {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        let Event::TaskEnded { task, result, .. } = event else { return Ok(()) };
        self.ends.push((task.number, result.status, result.message.clone()));
        if let Some((_, stop)) = self.stop.as_ref().filter(|(number, _)| *number == task.number) {
            stop.ask();
        }
        Ok(())
    }
}

fn parse(text: &str) -> Result<Script, Vec<Diagnostic>> {
    Script::parse(&ScriptSource {
        text: text.to_owned(),
        file: "s.yml".to_owned(),
        ..ScriptSource::default()
    })
}

fn script(tasks: &[&str]) -> Script {
    let lines: String = tasks.iter().map(|task| format!("    - {task}\n")).collect();
    parse(&format!("- name: p\n  groups: [all]\n  secrets: [key, r.out]\n  tasks:\n{lines}")).unwrap()
}

fn run(script: &Script, options: &RunOptions, told: &mut Told) -> RunEnd {
    let root = tempfile::tempdir().unwrap();
    let mut system = HostSystem::new(root.path().to_owned(), ShellPlace::Host);
    keros_playbook::run(script, &mut system, options, told)
}

/// What is kept over the first reboot of a script.
fn reboot(script: &Script, told: &mut Told) -> Value {
    match run(script, &RunOptions::default(), told) {
        RunEnd::Reboot { resume, .. } => serde_json::to_value(resume).unwrap(),
        RunEnd::Ended(outcome) => panic!("{outcome}"),
    }
}

fn go_on(script: &Script, kept: &Value, told: &mut Told) -> Outcome {
    let resume: Resume = serde_json::from_value(kept.clone()).unwrap();
    run(script, &RunOptions { resume: Some(resume), ..RunOptions::default() }, told).without_reboot()
}

const SAVED: [&str; 4] = [
    "!set { vars: { a: one, key: very secret } }",
    "!reboot",
    "!echo { msg: '{{ a }}' }",
    "!echo { msg: x }",
];

#[test]
fn a_reboot_ends_with_the_run_that_goes_on_behind_it() {
    let (script, mut told) = (script(&SAVED), Told::default());
    let kept = reboot(&script, &mut told);
    assert_eq!(told.ends, [(1, TaskStatus::Passive, None)]);
    let outcome = go_on(&script, &kept, &mut told);
    let summary = Summary { passive: 3, executed: 1, ..Summary::default() };
    assert_eq!(outcome, Outcome::Succeeded { summary, dry_run: false, differences: None });
    assert_eq!(
        told.ends[1..3],
        [(2, TaskStatus::Executed, None), (3, TaskStatus::Passive, Some("one".to_owned()))]
    );
}

#[test]
fn what_was_kept_is_read_by_the_version_before_and_the_one_after() {
    let (script, mut told) = (script(&SAVED), Told::default());
    let mut kept = reboot(&script, &mut told);
    // The least that any version wrote, and what a later one may add.
    let least = json!({ "format": kept["format"], "task": kept["task"], "stored": kept["stored"] });
    kept["from_the_future"] = json!({ "x": [1] });
    for kept in [&kept, &least] {
        let outcome = go_on(&script, kept, &mut told);
        assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome}");
    }
    kept["format"] = json!(1000);
    let Outcome::Failed { message, .. } = go_on(&script, &kept, &mut told) else { panic!("it was run") };
    assert!(message.contains("a newer version"), "{message}");
}

#[test]
fn another_script_is_not_gone_on_with() {
    let mut told = Told::default();
    let kept = reboot(&script(&SAVED), &mut told);
    let ends = told.ends.len();
    for other in [
        &["!set { vars: {} }", "!reboot"][..],
        &["!set { vars: {} }", "!echo { msg: x }", "!shell { cmd: exit 1 }", "!shell { cmd: exit 1 }"],
        &["!reboot", "!reboot { name: other }", "!shell { cmd: exit 1 }", "!shell { cmd: exit 1 }"],
    ] {
        let outcome = go_on(&script(other), &kept, &mut told);
        let Outcome::Failed { message, .. } = outcome else { panic!("{outcome}") };
        assert!(message.contains("the script is not the same any more"), "{message}");
    }
    assert_eq!(told.ends.len(), ends, "nothing was run");
}

#[test]
fn the_time_of_a_run_is_that_of_all_its_parts() {
    let script = script(&["!reboot", "!shell { cmd: sleep 60 }"]);
    let mut kept = reboot(&script, &mut Told::default());
    assert!(kept["used_ms"].as_u64().unwrap() < 60_000);
    kept["used_ms"] = json!(9_800);
    let resume = serde_json::from_value(kept).unwrap();
    let limits = JobLimits { total_s: 10, ..JobLimits::default() };
    let options = RunOptions { resume: Some(resume), limits, ..RunOptions::default() };
    let began = Instant::now();
    let outcome = run(&script, &options, &mut Told::default()).without_reboot();
    assert!(matches!(outcome, Outcome::TimedOut { limit: TimeLimit::Total, .. }), "{outcome}");
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
}

#[test]
fn secrets_stay_hidden_behind_a_reboot_also_those_that_no_variable_holds_any_more() {
    let script = script(&[
        "!shell { cmd: echo pass; echo word-1, save: r }",
        "!shell { cmd: echo password-2, save: r }",
        "!reboot { name: password-2 }",
        "!echo { msg: 'word-1 and password-2' }",
    ]);
    let mut told = Told::default();
    let kept = match run(&script, &RunOptions::default(), &mut told) {
        RunEnd::Reboot { task, resume } => {
            assert_eq!(task.name, "***");
            serde_json::to_value(resume).unwrap()
        }
        RunEnd::Ended(outcome) => panic!("{outcome}"),
    };
    let outcome = go_on(&script, &kept, &mut told);
    assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome}");
    assert_eq!(told.ends.last().unwrap().2.as_deref(), Some("*** and ***"));
}

#[test]
fn a_reboot_in_a_loop_is_refused_and_one_that_nobody_goes_on_behind_is_found() {
    let text = "- name: p\n  groups: [all]\n  tasks:\n    - !reboot { with: { items: [a] } }\n";
    let findings = parse(text).unwrap_err();
    assert_eq!(findings[0].to_string(), "s.yml:4:7: a reboot cannot be in a loop: leave `items` out");
    let text = "- name: p\n  groups: [all]\n  tasks:\n    - !echo { msg: x }\n  handlers:\n    - !reboot\n";
    let places: Vec<u32> = parse(text).unwrap().reboots().iter().map(|finding| finding.line).collect();
    assert_eq!(places, [6]);
}

#[test]
fn a_dry_run_tells_of_a_reboot_and_goes_on() {
    let (script, mut told) = (script(&SAVED), Told::default());
    let end = run(&script, &RunOptions { dry_run: true, ..RunOptions::default() }, &mut told);
    assert!(matches!(end, RunEnd::Ended(Outcome::Succeeded { dry_run: true, .. })), "{end:?}");
    assert_eq!((told.ends.len(), told.ends[1].1), (4, TaskStatus::Executed));
}

#[test]
fn a_run_that_is_asked_to_stop_ends_behind_the_task_under_way() {
    let tasks = ["!echo { msg: x }", "!shell { cmd: 'true' }", "!reboot", "!echo { msg: x }"];
    let script = script(&tasks);
    for at in 1..=2 {
        let stop = Cancel::new().unwrap();
        let mut told = Told { stop: Some((at, stop.clone())), ..Told::default() };
        let options = RunOptions { stop: Some(stop), ..RunOptions::default() };
        let end = run(&script, &options, &mut told);
        let RunEnd::Ended(Outcome::Cancelled { task: Some(task), summary, by_root: false }) = end else {
            panic!("{end:?}")
        };
        assert_eq!((task.number, told.ends.len()), (at, usize::try_from(at).unwrap()));
        assert_eq!(summary.passive + summary.executed, at);
    }
    // Asked before the first task, and while the machine boots.
    let stop = Cancel::new().unwrap();
    stop.ask();
    let options = RunOptions { stop: Some(stop), ..RunOptions::default() };
    let end = run(&script, &options, &mut Told::default());
    assert_eq!(
        end,
        RunEnd::Ended(Outcome::Cancelled { task: None, summary: Summary::default(), by_root: false })
    );
    let kept = reboot(&script, &mut Told::default());
    let options = RunOptions { resume: Some(serde_json::from_value(kept).unwrap()), ..options };
    let mut told = Told::default();
    let end = run(&script, &options, &mut told);
    let RunEnd::Ended(Outcome::Cancelled { task: Some(task), .. }) = end else { panic!("{end:?}") };
    assert_eq!((task.number, told.ends.len()), (3, 1), "the reboot itself is told");
}
