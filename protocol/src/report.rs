//! What became of a command: the gateway's numbered reports, and the two axes that the center shows.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{CommandId, Eui, ReportPosition, UnixSeconds, UpdateId};

/// The payload of `…/report`.
///
/// A gateway numbers its reports and keeps each until a signed [`crate::Statement`] acknowledges its number. A number is
/// never given twice within a stream; numbers may be left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The gateway; the same as in the topic.
    pub eui: Eui,
    /// Stream and number.
    #[serde(flatten)]
    pub position: ReportPosition,
    /// Number of the report that this gateway still kept just before this one; 0 for none. A center that has not stored
    /// that one yet must not store this one: the gateway will send both again.
    pub after: u64,
    /// The command that it is about.
    pub command_id: CommandId,
    /// The update that the command is part of; absent when the gateway could not read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_id: Option<UpdateId>,
    /// The gateway's clock when it happened.
    pub time_unix_s: UnixSeconds,
    /// What happened.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What became of a command on the gateway. The wire has its name in the field `status`, the rest beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Outcome {
    /// It is stored on the gateway.
    Received {},
    /// It was checked and waits for its turn.
    Accepted {},
    /// It runs.
    Running {
        /// The task under way; absent before the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        task: Option<TaskRef>,
    },
    /// It ended, and is undone unless the center confirms it.
    Confirming {
        /// When the window ends, by the gateway's clock.
        until_unix_s: UnixSeconds,
    },
    /// Terminal: all tasks ended well.
    Succeeded {
        /// Counts of its tasks.
        summary: Summary,
        /// Nothing was changed: it was a dry run.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        dry_run: bool,
        /// A dry run's: what each task would change, in words and as unified diffs; absent when that is nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        differences: Option<Output>,
    },
    /// Terminal: a task failed.
    Failed {
        /// The task that failed; absent when the job failed outside of any task.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        task: Option<TaskRef>,
        /// Exit code of the task's program: 0 to 255, or 128 + n when signal n ended it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
        /// What went wrong, in words.
        message: String,
        /// What the task's program printed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<Output>,
        /// Counts of its tasks.
        summary: Summary,
    },
    /// Terminal: it was not started.
    Refused {
        /// Why, by name.
        reason: RefusalReason,
        /// Why, in words.
        detail: String,
    },
    /// Terminal: cancelled, before the start or at a task.
    Cancelled {
        /// The task after which it stopped; absent: before the start.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        task: Option<TaskRef>,
        /// Counts of its tasks.
        #[serde(default)]
        summary: Summary,
        /// By root on the gateway; else by the center.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        by_root: bool,
    },
    /// Terminal: a time limit ended it.
    TimedOut {
        /// Which limit.
        limit: TimeLimit,
        /// The task under way.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        task: Option<TaskRef>,
        /// What the task's program had printed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<Output>,
        /// Counts of its tasks.
        summary: Summary,
    },
    /// Terminal: power or the process was lost while it ran.
    Interrupted {
        /// What was under way.
        #[serde(flatten)]
        interruption: Interruption,
    },
    /// Terminal: it was undone.
    RolledBack {
        /// Why.
        reason: String,
        /// Whether all of it was undone.
        complete: bool,
        /// What could not be undone.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        remains: Vec<String>,
    },
}

impl Outcome {
    /// Whether nothing follows.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        match self {
            Self::Received {} | Self::Accepted {} | Self::Running { .. } | Self::Confirming { .. } => false,
            Self::Succeeded { .. }
            | Self::Failed { .. }
            | Self::Refused { .. }
            | Self::Cancelled { .. }
            | Self::TimedOut { .. }
            | Self::Interrupted { .. }
            | Self::RolledBack { .. } => true,
        }
    }

    /// The name on the wire.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Received {} => "received",
            Self::Accepted {} => "accepted",
            Self::Running { .. } => "running",
            Self::Confirming { .. } => "confirming",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Refused { .. } => "refused",
            Self::Cancelled { .. } => "cancelled",
            Self::TimedOut { .. } => "timed_out",
            Self::Interrupted { .. } => "interrupted",
            Self::RolledBack { .. } => "rolled_back",
        }
    }

    /// How far along a command is that has this outcome: a later report never has a lower rank.
    #[must_use]
    pub const fn rank(&self) -> u8 {
        match self {
            Self::Received {} => 0,
            Self::Accepted {} => 1,
            Self::Running { .. } => 2,
            Self::Confirming { .. } => 3,
            _ => 4,
        }
    }
}

impl fmt::Display for Outcome {
    /// One short line for a table: the name, and the reason or task where there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Refused { reason, .. } => write!(f, ": {reason}"),
            Self::Running { task: Some(task) } => write!(f, ": {task}"),
            Self::Cancelled { task, by_root, .. } => {
                f.write_str(if *by_root { " by root on the gateway" } else { "" })?;
                task.as_ref().map_or(Ok(()), |task| write!(f, ": {task}"))
            }
            Self::Failed { task: Some(task), exit_code, .. } => {
                write!(f, ": {task}")?;
                exit_code.map_or(Ok(()), |code| write!(f, ", exit code {code}"))
            }
            Self::TimedOut { limit, task, .. } => {
                write!(f, ": {}", limit.as_str())?;
                task.as_ref().map_or(Ok(()), |task| write!(f, ", {task}"))
            }
            Self::Interrupted { interruption } => write!(f, ": {interruption}"),
            Self::RolledBack { reason, complete, .. } => {
                write!(f, ": {reason}{}", if *complete { "" } else { " (partial)" })
            }
            _ => Ok(()),
        }
    }
}

/// Why a command was not started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RefusalReason {
    /// A JetPorch script for a gateway that is not on KerOS 6.
    #[serde(rename = "not_keros_6")]
    NotKeros6,
    /// The gateway is not declared in the Magic Link.
    NotDeclared,
    /// The Magic Link does not fit this model or KerOS version.
    NotCompatible,
    /// Unsigned, signed by an unknown key, or altered.
    BadSignature,
    /// It is for another gateway.
    WrongTarget,
    /// Its time is over.
    Expired,
    /// It, or its script, cannot be read.
    Unparsable,
    /// It exceeds a limit.
    TooLarge,
    /// Not enough room on the disk.
    NoSpace,
    /// The Magic Link is not there.
    NotFound,
    /// The Magic Link could not be fetched.
    FetchFailed,
    /// What was fetched is not what the digest names.
    DigestMismatch,
    /// This version cannot do it.
    Unsupported,
    /// The record of started commands was damaged; nothing issued before that moment is started.
    JournalDamaged,
}

impl RefusalReason {
    /// All reasons.
    pub const ALL: [Self; 14] = [
        Self::NotKeros6,
        Self::NotDeclared,
        Self::NotCompatible,
        Self::BadSignature,
        Self::WrongTarget,
        Self::Expired,
        Self::Unparsable,
        Self::TooLarge,
        Self::NoSpace,
        Self::NotFound,
        Self::FetchFailed,
        Self::DigestMismatch,
        Self::Unsupported,
        Self::JournalDamaged,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotKeros6 => "not_keros_6",
            Self::NotDeclared => "not_declared",
            Self::NotCompatible => "not_compatible",
            Self::BadSignature => "bad_signature",
            Self::WrongTarget => "wrong_target",
            Self::Expired => "expired",
            Self::Unparsable => "unparsable",
            Self::TooLarge => "too_large",
            Self::NoSpace => "no_space",
            Self::NotFound => "not_found",
            Self::FetchFailed => "fetch_failed",
            Self::DigestMismatch => "digest_mismatch",
            Self::Unsupported => "unsupported",
            Self::JournalDamaged => "journal_damaged",
        }
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which time limit ended a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TimeLimit {
    /// The limit of the whole job.
    Total,
    /// The limit of one task.
    Task,
}

impl TimeLimit {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Task => "task",
        }
    }
}

/// What was under way when a job was interrupted.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Interruption {
    /// The first task that may have been under way; absent: none had begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskRef>,
    /// The last such task, when it is another one: tasks that only touch files are recorded in groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_task: Option<TaskRef>,
    /// Counts of the tasks that had ended.
    #[serde(default)]
    pub summary: Summary,
}

impl fmt::Display for Interruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.task, &self.last_task) {
            (None, _) => f.write_str("before the first task"),
            (Some(task), None) => task.fmt(f),
            (Some(task), Some(last)) => write!(f, "{task} to {last}"),
        }
    }
}

/// Names one task of a job, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskRef {
    /// From 1, in run order, handlers after the tasks of their play.
    pub number: u32,
    /// Tasks and handlers of the whole job.
    pub count: u32,
    /// The task's name as the script gives it, else the module's.
    pub name: String,
}

impl fmt::Display for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {} of {} ({})", self.number, self.count, self.name)
    }
}

/// Counts of a job's tasks by how they ended; each task that was reached is counted in exactly one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Summary {
    /// Something was made that was not there.
    pub created: u32,
    /// Something was changed.
    pub modified: u32,
    /// Something was removed.
    pub removed: u32,
    /// A program was run.
    pub executed: u32,
    /// All was as it should be.
    pub matched: u32,
    /// Nothing is ever changed by such a task (echo, set and the like).
    pub passive: u32,
    /// Its condition was false, or its event was not raised.
    pub skipped: u32,
    /// It failed and `ignore_errors` was set.
    pub ignored: u32,
    /// It failed.
    pub failed: u32,
}

impl Summary {
    /// Tasks that changed something or ran a program. Counts from the network may be anything: the sum stops at the
    /// greatest number.
    #[must_use]
    pub const fn changed(&self) -> u32 {
        self.created.saturating_add(self.modified).saturating_add(self.removed).saturating_add(self.executed)
    }

    /// Tasks that were reached.
    #[must_use]
    pub const fn total(&self) -> u32 {
        self.changed()
            .saturating_add(self.matched)
            .saturating_add(self.passive)
            .saturating_add(self.skipped)
            .saturating_add(self.ignored)
            .saturating_add(self.failed)
    }
}

impl fmt::Display for Summary {
    /// The counts that are not zero: `2 created, 1 failed`; `no tasks` when all are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.created, "created"),
            (self.modified, "modified"),
            (self.removed, "removed"),
            (self.executed, "executed"),
            (self.matched, "matched"),
            (self.passive, "passive"),
            (self.skipped, "skipped"),
            (self.ignored, "failed but ignored"),
            (self.failed, "failed"),
        ];
        let mut separator = "";
        for (count, word) in counts.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{separator}{count} {word}")?;
            separator = ", ";
        }
        if separator.is_empty() { f.write_str("no tasks") } else { Ok(()) }
    }
}

/// What a program printed, standard output and error together, or another text of any length, bounded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Output {
    /// The beginning; all of it when nothing was left out. Bytes that are not UTF-8 are shown as U+FFFD.
    pub head: String,
    /// Bytes left out between head and tail.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted_bytes: u64,
    /// The end, when something was left out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tail: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.head)?;
        if self.omitted_bytes > 0 {
            write!(f, "\n[… {} bytes left out …]\n{}", self.omitted_bytes, self.tail)?;
        }
        Ok(())
    }
}

/// How far a command has come on its way to the gateway: the vendor's words, and two of ours. Only the center keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// For the gateway's next telemetry.
    Waiting,
    /// Sent at least once, not known to be received.
    Sent,
    /// The gateway has stored it.
    Received,
    /// Cancelled before it was sent.
    Cancelled,
    /// Its time was over before it was received.
    Expired,
}

/// A text that is none of the names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown name {0:?}")]
pub struct UnknownName(pub String);

impl Delivery {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Sent, Self::Received, Self::Cancelled, Self::Expired];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::Received => "received",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

impl FromStr for Delivery {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|d| d.as_str() == text).ok_or_else(|| UnknownName(text.to_owned()))
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
