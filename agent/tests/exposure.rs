//! How exposed the shipped services are, by the judgement of `systemd-analyze security`: it may not get worse, and for each directive that
//! it asks for and a unit does not set, the unit says why.

#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Tenths of what systemd 252 says; 100 is the worst.
const AGENT: u32 = 14;
const EXECUTOR: u32 = 85;
const RENEW: u32 = 19;
const LOGS: u32 = 2;

/// The units that say what they do not set, and why. `settle` is held to what a session is.
const UNITS: [&str; 4] =
    ["keros-agent.service", "keros-executor@.service", "keros-agent-renew.service", "keros-logs@.service"];

fn unit_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("systemd").join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(unit_path(name)).unwrap()
}

fn analyze(name: &str, arguments: &[&str]) -> Option<std::process::Output> {
    let mut command = Command::new("systemd-analyze");
    command.args(["security", "--offline=yes", "--no-pager"]).args(arguments).arg(unit_path(name));
    let output = command.output().ok();
    if output.is_none() {
        keros_skip::skipped("only systemd-analyze can judge how exposed a unit is");
    }
    output
}

/// The directives that it misses, by its own names for them.
fn missing(name: &str) -> Option<Vec<String>> {
    let output = analyze(name, &["--json=short"])?;
    let found: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert!(found.len() > 50, "{found:?}");
    let is_missing = |directive: &&Value| !directive["exposure"].is_null();
    let name = |directive: &Value| directive["name"].as_str().unwrap().to_owned();
    Some(found.iter().filter(is_missing).map(name).collect())
}

#[test]
fn no_service_becomes_more_exposed() {
    let units = [
        ("keros-agent.service", AGENT),
        ("keros-executor@.service", EXECUTOR),
        ("keros-executor-settle.service", EXECUTOR),
        ("keros-agent-renew.service", RENEW),
        ("keros-logs@.service", LOGS),
    ];
    for (name, most) in units {
        let threshold = format!("--threshold={most}");
        let Some(output) = analyze(name, &[&threshold]) else { return };
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{name} is more exposed than {most} tenths: {told}");
    }
}

#[test]
fn a_unit_says_why_it_does_not_set_what_it_does_not_set() {
    for name in UNITS {
        let Some(missing) = missing(name) else { return };
        let reasons = reasons(&text(name));
        let untold: Vec<_> = missing.iter().filter(|directive| !reasons.contains(directive)).collect();
        assert!(untold.is_empty(), "{name} does not say why it does not set {untold:#?}");
    }
}

/// What is left of a unit's list when a directive is set has no meaning any more.
#[test]
fn no_unit_gives_a_reason_for_not_setting_what_it_sets() {
    for name in UNITS {
        let Some(missing) = missing(name) else { return };
        let needless: Vec<_> =
            reasons(&text(name)).into_iter().filter(|told| !missing.contains(told)).collect();
        assert!(needless.is_empty(), "{name} says why it does not set {needless:#?}, which is not missing");
    }
}

/// `settle` goes on with the jobs of a session, so it can have no more and no less.
#[test]
fn settling_has_the_sandbox_of_a_session() {
    let lines = |name: &str| -> Vec<String> {
        let text = text(name);
        let from = text.find("\nKillMode=").unwrap();
        text[from..]
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(lines("keros-executor-settle.service"), lines("keros-executor@.service"));
}

/// Whatever jobs start counts against one limit, apart from the agent, which they may upgrade, and from the radio.
#[test]
fn sessions_have_a_slice_of_their_own() {
    for name in ["keros-executor@.service", "keros-executor-settle.service"] {
        assert!(text(name).lines().any(|line| line == "Slice=keros-executor.slice"), "{name}");
    }
    let slice = text("keros-executor.slice");
    for directive in ["MemoryMax=", "TasksMax=", "CPUWeight=", "IOWeight="] {
        assert!(slice.lines().any(|line| line.starts_with(directive)), "{directive}");
    }
    assert!(!text("keros-agent.service").contains("Slice="), "the agent is not among them");
}

/// The directives that the list `Not set` names: lines with three blanks, each group with its reason in lines with more.
fn reasons(unit: &str) -> Vec<String> {
    let list = unit.split_once("# Not set, though").unwrap().1;
    let lines: Vec<&str> = list.lines().skip(1).take_while(|line| line.starts_with("#   ")).collect();
    let is_reason = |line: &str| line.starts_with("#     ");
    assert!(is_reason(lines.last().unwrap()), "the last group has no reason");
    let names =
        lines.iter().filter(|line| !is_reason(line)).flat_map(|line| line["#   ".len()..].split(", "));
    names.map(|name| name.trim_end_matches(',').to_owned()).collect()
}
