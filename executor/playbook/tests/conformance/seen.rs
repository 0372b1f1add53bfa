//! What a run gave, in the same words for every engine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is in the scratch folder, by path.
pub(crate) type Tree = BTreeMap<String, Value>;

/// What the real program did with a case, as it is kept.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Recording {
    /// Of what was run: a recording of something else is of no use.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) fingerprint: String,
    pub(crate) runs: Vec<RecordedRun>,
    pub(crate) tree: Tree,
    /// That reached the stub tools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) commands: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct RecordedRun {
    pub(crate) tasks: Vec<RecordedTask>,
    pub(crate) exit: i32,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct RecordedTask {
    pub(crate) kind: String,
    pub(crate) role: Option<String>,
    pub(crate) name: String,
    /// In the program's own words: `modified (Owner,Mode)`.
    pub(crate) status: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) notified: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rc: Option<i64>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) retries: u64,
    /// Of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) msg: Option<String>,
    /// What `echo` printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) said: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum End {
    Succeeded,
    Failed,
    /// Nothing was run; with the reason, where it is known.
    Refused(String),
    Crashed,
}

/// One run, in our words.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) tasks: Vec<SeenTask>,
    pub(crate) end: End,
}

#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct SeenTask {
    pub(crate) kind: String,
    pub(crate) role: Option<String>,
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) changes: Vec<String>,
    /// Of a failed task.
    pub(crate) exit_code: Option<i64>,
    pub(crate) retries: u64,
    pub(crate) notified: Vec<String>,
    /// Of a failed task.
    pub(crate) message: Option<String>,
    /// What `echo` printed.
    pub(crate) said: Option<String>,
}

impl SeenTask {
    /// `modified(mode)`.
    pub(crate) fn words(&self) -> String {
        if self.status == "modified" && !self.changes.is_empty() {
            return format!("modified({})", self.changes.join(","));
        }
        self.status.clone()
    }
}

impl RecordedRun {
    /// The run in our words.
    pub(crate) fn seen(&self) -> Seen {
        let end = match self.exit {
            0 => End::Succeeded,
            101 => End::Crashed,
            _ if self.tasks.is_empty() => End::Refused(String::new()),
            _ => End::Failed,
        };
        Seen { tasks: self.tasks.iter().map(RecordedTask::seen).collect(), end }
    }
}

impl RecordedTask {
    fn seen(&self) -> SeenTask {
        let (status, rest) = self.status.split_once(" (").unwrap_or((&self.status, ""));
        let is_ignored = rest.starts_with("ignored");
        let status = match status {
            _ if is_ignored => "ignored",
            "complete" | "would run" => "executed",
            "would create" => "created",
            "would remove" => "removed",
            "would modify" => "modified",
            other => other,
        };
        let changes = rest.trim_end_matches(')').split(',').filter(|name| !name.is_empty() && !is_ignored);
        let mut notified = self.notified.clone();
        // A loop raises an event once for each item.
        notified.sort();
        notified.dedup();
        SeenTask {
            kind: self.kind.clone(),
            role: self.role.clone(),
            name: self.name.to_lowercase(),
            status: status.to_owned(),
            changes: changes.map(property).collect(),
            exit_code: self.rc,
            retries: self.retries,
            notified,
            message: self.msg.clone(),
            said: self.said.clone(),
        }
    }
}

/// jetp names what it did to a service, our engine what of it changed.
fn property(change: &str) -> String {
    match change {
        "Start" | "Stop" => "started".to_owned(),
        "Enable" | "Disable" => "enabled".to_owned(),
        "Restart" => "restarted".to_owned(),
        other => other.to_lowercase(),
    }
}

/// Takes over from a recording what only one of the two sides tells, or tells in words of its own.
pub(crate) fn comparable(mut ours: Seen, recorded: &Seen) -> Seen {
    if let (End::Refused(_), End::Refused(_)) = (&ours.end, &recorded.end) {
        ours.end = recorded.end.clone();
    }
    for (task, other) in ours.tasks.iter_mut().zip(&recorded.tasks) {
        // jetp names the changes of what it modified only.
        if task.status != "modified" {
            task.changes.clear();
        }
        let core = other.message.as_deref().unwrap_or_default();
        if other.message.is_none() || task.message.as_ref().is_some_and(|message| message.contains(core)) {
            task.message.clone_from(&other.message);
        }
        // jetp has one name for both.
        if other.name == "yum_dnf" && matches!(task.name.as_str(), "yum" | "dnf") {
            task.name.clone_from(&other.name);
        }
        // Older recordings have no output of `echo`.
        if other.said.is_none() {
            task.said = None;
        }
        // jetp's failure of a file task is the exit code of the tool that it ran; ours runs none.
        if other.exit_code == Some(1) && task.exit_code.is_none() && task.name != "shell" {
            task.exit_code = Some(1);
        }
    }
    ours
}
