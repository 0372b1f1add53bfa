//! A job of a few steps that leave a trace, and whether a status tells the truth about it.

use std::path::Path;

use anyhow::{Result, bail, ensure};
use serde_json::Value;

/// A script whose tasks each add their number to the file `done` in the gateway's tree.
#[must_use]
pub fn steps_script(tasks: u64) -> String {
    steps_script_with(tasks, "true")
}

/// As [`steps_script`], but the second task first runs a command of the shell.
#[must_use]
pub fn steps_script_with(tasks: u64, second: &str) -> String {
    let task = |number| {
        let first = if number == 2 { second } else { "true" };
        format!("    - !shell {{ name: t{number}, cmd: '{first}; echo {number} >> \"$KEROS_ROOT/done\"' }}\n")
    };
    format!("- name: steps\n  groups: [all]\n  tasks:\n{}", (1..=tasks).map(task).collect::<String>())
}

/// Compares an outcome with what was done in a gateway's tree, and takes the trace away.
///
/// # Errors
/// When a task ran twice or out of order, or when the outcome says something else than what happened.
pub fn ensure_true(outcome: &Value, tasks: u64, root: &Path) -> Result<()> {
    let done = std::fs::read_to_string(root.join("done")).unwrap_or_default();
    let in_order = done.lines().enumerate().all(|(index, line)| *line == (index + 1).to_string());
    ensure!(in_order, "each task once at most, in order, but {done:?}");
    let count = done.lines().count() as u64;
    let (first, last) = (outcome["task"]["number"].as_u64(), outcome["last_task"]["number"].as_u64());
    let may_be = match outcome["status"].as_str() {
        Some("succeeded") => tasks..=tasks,
        Some("interrupted") => first.unwrap_or(1) - 1..=last.or(first).unwrap_or(0),
        // A kill or an error may hit the program of a task as well, and a disk that fails may fail the job itself.
        Some("failed") => first.map_or(0, |first| first - 1)..=first.unwrap_or(tasks),
        Some("refused") => 0..=0,
        _ => bail!("such an end is not to be expected"),
    };
    ensure!(may_be.contains(&count), "{count} tasks were done: {done:?}");
    let _ = std::fs::remove_file(root.join("done"));
    Ok(())
}
