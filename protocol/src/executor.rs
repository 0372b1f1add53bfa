//! What agent and executor say to each other: one JSON object per line, requests on the executor's standard input, events on
//! its standard output. The executor's journal holds the same events.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{CommandId, Envelope, Interruption, Outcome, Output, Summary, TaskRef, UnixSeconds};

/// The one request of a session: the first line on standard input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Run this command and follow it to its end. For an id that was ever started it means [`Request::Attach`].
    Run {
        /// The signed command, as the center sent it.
        envelope: Envelope,
        /// The newest signed [`crate::Statement`] that the agent has: it raises the executor's time floor before expiry is
        /// judged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        statement: Option<Envelope>,
        /// For a Magic Link: the folder that its blobs lie in as in an OCI image layout (`blobs/sha256/<64 hex digits>`), an
        /// absolute path. The executor believes nothing of it but what has the right digest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bundle: Option<PathBuf>,
    },
    /// Repeat all events of a command that was started, follow it to its end; settle it when its process is gone.
    Attach {
        /// The command.
        command_id: CommandId,
    },
    /// Stop a job after the task under way, or undo it when it waits for its confirmation: one [`Event::CancelAnswered`].
    Cancel {
        /// The command.
        command_id: CommandId,
        /// A signed [`crate::Statement`] that names the command among its cancellations; without one, only root is obeyed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        statement: Option<Envelope>,
    },
    /// The center has been heard of since the job's end: one [`Event::ConfirmAnswered`]. A statement that cancels the command as well
    /// is obeyed as a cancellation.
    Confirm {
        /// The command.
        command_id: CommandId,
        /// A signed [`crate::Statement`] that carries the nonce of the newest [`Event::Confirming`] or [`Event::Undone`].
        statement: Envelope,
    },
    /// State what is running: one [`Event::Status`].
    Status {},
}

/// Version of the stream of `keros-executor playbook --json`. A change that an older reader would misunderstand makes a new
/// one; a new field or a new event does not.
pub const STREAM_FORMAT: u32 = 1;

/// One line of the executor's standard output, and of its journal.
///
/// A session that runs or follows a command ends with exactly one [`Event::Ended`]. A session that is lost before that line
/// says nothing about the job: attach again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The job begins; from here on this command id is never started again.
    Started {
        /// The command.
        command_id: CommandId,
        /// The executor's clock.
        time_unix_s: UnixSeconds,
        /// Tasks and handlers of the job.
        tasks: u32,
    },
    /// A script is checked and run by hand: the first line of that stream, which is in no journal.
    RunStarted {
        /// Version of the stream: [`STREAM_FORMAT`].
        format: u32,
        /// The executor's version.
        version: String,
        /// The script, as the user named it.
        file: String,
        /// Tasks and handlers of the script; absent when it is refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tasks: Option<u32>,
        /// Nothing is changed, only told.
        dry_run: bool,
        /// The tree that is worked on; `/` is the machine itself.
        root: String,
    },
    /// The check of a script found a fault: nothing is run.
    Finding {
        /// What sort of fault it is.
        kind: FindingKind,
        /// The file, as the user named it.
        file: String,
        /// Line, from 1; 0 when it is about the whole file.
        line: u32,
        /// Column in characters, from 1; 0 when it is about the whole line.
        column: u32,
        /// What is wrong, in words.
        message: String,
        /// What was probably meant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        suggestion: Option<String>,
    },
    /// One file was only checked. All of its findings came before.
    Checked {
        /// The file, as the user named it.
        file: String,
        /// Tasks and handlers of the script; absent when it has faults.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tasks: Option<u32>,
        /// How many faults it has.
        faults: u32,
    },
    /// A task begins. In the journal it is written, and synced, before anything is changed.
    TaskStarted {
        /// Which.
        #[serde(flatten)]
        task: TaskRef,
        /// Its module, e.g. `template`.
        module: String,
        /// Its role's name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<String>,
        /// It is a handler.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        handler: bool,
        /// The file that it stands in, where that is not the script itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<String>,
        /// Its line there, from 1.
        line: u32,
        /// It only touches files, and becomes durable together with other tasks: [`Event::Durable`] says when.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        grouped: bool,
    },
    /// One item of a task's loop ended.
    ItemEnded {
        /// The task.
        #[serde(flatten)]
        task: TaskRef,
        /// Its place in the list, from 1.
        item_number: u32,
        /// The item.
        item: Value,
        /// What became of it.
        result: TaskResult,
        /// The event that it raised for handlers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        notified: Option<String>,
        /// How long it took, milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        duration_ms: Option<u64>,
    },
    /// A task failed and is tried again.
    Retrying {
        /// The task.
        #[serde(flatten)]
        task: TaskRef,
        /// Attempts that are left after this one.
        left: u32,
        /// Seconds until then.
        delay_s: u32,
        /// Why it failed.
        message: String,
    },
    /// A task ended.
    TaskEnded {
        /// Which.
        #[serde(flatten)]
        task: TaskRef,
        /// What became of it; with a loop, the most significant of its items.
        result: TaskResult,
        /// Events that it raised for handlers.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notified: Vec<String>,
        /// How long it took, milliseconds.
        duration_ms: u64,
    },
    /// Whatever happens from here on, all that the tasks up to this one did is on the disk.
    Durable {
        /// The last of these tasks.
        number: u32,
    },
    /// A task reboots the gateway on purpose; after the boot the job goes on behind it.
    PartEnded {
        /// The task.
        #[serde(flatten)]
        task: TaskRef,
        /// The boot that ends now; another one shows that the gateway did reboot.
        boot_id: String,
    },
    /// The gateway has booted, and the job goes on.
    Resumed {
        /// The new boot.
        boot_id: String,
        /// The executor's clock.
        time_unix_s: UnixSeconds,
    },
    /// The tasks are over and something was changed: it is undone unless the center is heard of in time. It comes again, with
    /// a new nonce, when the gateway has booted in the meantime.
    Confirming {
        /// What the job comes to when it is confirmed.
        outcome: Box<Outcome>,
        /// To be carried by the center's signed statement.
        nonce: String,
        /// Length of the window, seconds.
        window_s: u32,
        /// Its end by the executor's clock, for people.
        until_unix_s: UnixSeconds,
        /// The boot that the next field is about.
        boot_id: String,
        /// Its end on the clock that counts from the boot, also while suspended (`CLOCK_BOOTTIME`), milliseconds.
        until_boottime_ms: u64,
        /// The window was begun anew after a boot; that happens once.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        renewed: bool,
    },
    /// The center was heard of in time: the job stays as it is.
    Confirmed {},
    /// The job is undone from here on, and nothing can confirm it any more.
    RollingBack {
        /// Why.
        reason: String,
    },
    /// One thing was put back, or could not be.
    UndoStep {
        /// What, in words.
        what: String,
        /// Why it could not be.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// All that can be undone is.
    Undone {
        /// What is not: tasks that cannot be undone, and what failed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        remains: Vec<String>,
        /// Where something remains: the center's statement with this nonce, sent with [`Request::Confirm`], spares the gateway
        /// its one reboot.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        nonce: Option<String>,
    },
    /// The gateway reboots, since what remains may keep it from its center.
    Rebooting {
        /// The boot that ends now.
        boot_id: String,
    },
    /// The answer to [`Request::Cancel`].
    CancelAnswered {
        /// The command.
        command_id: CommandId,
        /// What comes of it.
        answer: CancelAnswer,
    },
    /// The answer to [`Request::Confirm`].
    ConfirmAnswered {
        /// The command.
        command_id: CommandId,
        /// It was what was waited for.
        accepted: bool,
        /// Why not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// The job has ended. Nothing follows.
    Ended {
        /// A terminal outcome.
        #[serde(flatten)]
        outcome: Outcome,
    },
    /// The answer to [`Request::Status`].
    Status {
        /// The executor's version.
        version: String,
        /// The command that runs at this moment.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        running: Option<CommandId>,
    },
    /// The request itself could not be served: not a word about any job.
    RequestFailed {
        /// Why.
        message: String,
        /// The command that was asked about was never started here, for certain.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unknown: bool,
    },
}

/// What comes of a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CancelAnswer {
    /// The job stops after the task under way, at the latest when its grace time is over.
    Stopping,
    /// The job's tasks are over; it is undone.
    RollingBack,
    /// The job has ended already, or is being undone already.
    TooLate,
    /// No job of this id was started.
    Unknown,
}

/// What sort of fault the check of a script found; decides the name of the refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// Not valid: the refusal is `unparsable`.
    Invalid,
    /// It exceeds a limit: the refusal is `too_large`.
    TooLarge,
    /// Valid, but this version or this gateway cannot do it: the refusal is `unsupported`.
    Unsupported,
}

/// What became of a task or an item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskResult {
    /// How it ended; in a dry run: how it would end.
    pub status: TaskStatus,
    /// What was changed, or would be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// The message of echo, fail, assert, or of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Exit code of the task's program: 0 to 255, or 128 + n when signal n ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// What the program printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Output>,
    /// How often it was tried, when that was more than once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
}

impl TaskResult {
    /// A result with only a status.
    #[must_use]
    pub const fn of(status: TaskStatus) -> Self {
        Self { status, changes: Vec::new(), message: None, exit_code: None, output: None, attempts: None }
    }
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// Something was made that was not there.
    Created,
    /// Something was changed.
    Modified,
    /// Something was removed.
    Removed,
    /// A program was run.
    Executed,
    /// All was as it should be.
    Matched,
    /// Such a task never changes anything.
    Passive,
    /// Its condition was false, or its event was not raised.
    Skipped,
    /// It failed and `ignore_errors` was set.
    Ignored,
    /// It failed.
    Failed,
}

impl TaskStatus {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Modified => "modified",
            Self::Removed => "removed",
            Self::Executed => "executed",
            Self::Matched => "matched",
            Self::Passive => "passive",
            Self::Skipped => "skipped",
            Self::Ignored => "ignored",
            Self::Failed => "failed",
        }
    }

    /// Whether it changed something or ran a program, and so raises the task's event.
    #[must_use]
    pub const fn is_change(self) -> bool {
        matches!(self, Self::Created | Self::Modified | Self::Removed | Self::Executed)
    }
}

impl Summary {
    /// Counts one more task.
    pub const fn count(&mut self, status: TaskStatus) {
        let counter = match status {
            TaskStatus::Created => &mut self.created,
            TaskStatus::Modified => &mut self.modified,
            TaskStatus::Removed => &mut self.removed,
            TaskStatus::Executed => &mut self.executed,
            TaskStatus::Matched => &mut self.matched,
            TaskStatus::Passive => &mut self.passive,
            TaskStatus::Skipped => &mut self.skipped,
            TaskStatus::Ignored => &mut self.ignored,
            TaskStatus::Failed => &mut self.failed,
        };
        *counter += 1;
    }
}

/// One property that was changed, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Change {
    /// `content`, `owner`, `group`, `mode`, `enabled`, `started`, …
    pub property: String,
    /// Before; absent when there was nothing, or when it is too long to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// After.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Content only, and where it was asked for: the lines that differ, as a unified diff, or why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

/// What a journal that stops without [`Event::Ended`] says: the job was interrupted at the task that had begun, or in the range of
/// tasks of which nobody can say that what they did is on the disk. Those are not counted.
#[must_use]
pub fn interruption_of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Interruption {
    let (mut summary, mut last) = (Summary::default(), None);
    // Tasks that become durable together, and how they ended.
    let mut open: Vec<(&TaskRef, Option<TaskStatus>)> = Vec::new();
    for event in events {
        match event {
            Event::TaskStarted { task, grouped, .. } => {
                last = Some(task);
                open.extend(grouped.then_some((task, None)));
            }
            Event::TaskEnded { task, result, .. } => {
                match open.last_mut().filter(|(open, _)| open.number == task.number) {
                    Some((_, ended)) => *ended = Some(result.status),
                    None => summary.count(result.status),
                }
            }
            Event::Durable { number } => {
                let durable = open.partition_point(|(task, _)| task.number <= *number);
                open.drain(..durable).filter_map(|(_, ended)| ended).for_each(|status| summary.count(status));
            }
            _ => {}
        }
    }
    let first = open.first().map(|(task, _)| *task).or(last);
    let last = last.filter(|last| first.is_some_and(|first| first.number != last.number));
    Interruption { task: first.cloned(), last_task: last.cloned(), summary }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(number: u32) -> TaskRef {
        TaskRef { number, count: 9, name: format!("task {number}") }
    }

    fn started(number: u32, grouped: bool) -> Event {
        let module = if grouped { "template" } else { "shell" }.to_owned();
        Event::TaskStarted {
            task: task(number),
            module,
            role: None,
            handler: false,
            file: None,
            line: 1,
            grouped,
        }
    }

    fn ended(number: u32, status: TaskStatus) -> Event {
        Event::TaskEnded {
            task: task(number),
            result: TaskResult::of(status),
            notified: Vec::new(),
            duration_ms: 1,
        }
    }

    /// First and last number of the range, and how many tasks are counted.
    fn range(events: &[Event]) -> (Option<u32>, Option<u32>, u32) {
        let Interruption { task, last_task, summary } = interruption_of(events);
        (task.map(|task| task.number), last_task.map(|task| task.number), summary.created + summary.executed)
    }

    #[test]
    fn an_interruption_names_every_task_that_is_not_known_to_be_durable_and_counts_the_others() {
        use TaskStatus::{Created, Executed};
        let story = [
            started(1, true),
            ended(1, Created),
            started(2, true),
            ended(2, Created),
            Event::Durable { number: 2 },
            started(3, false),
            ended(3, Executed),
            started(4, true),
            ended(4, Created),
            started(5, true),
            Event::Durable { number: 4 },
            ended(5, Created),
        ];
        let expected = [
            (None, None, 0),
            (Some(1), None, 0),
            (Some(1), None, 0),
            (Some(1), Some(2), 0),
            (Some(1), Some(2), 0),
            (Some(2), None, 2),
            (Some(3), None, 2),
            (Some(3), None, 3),
            (Some(4), None, 3),
            (Some(4), None, 3),
            (Some(4), Some(5), 3),
            (Some(5), None, 4),
            (Some(5), None, 4),
        ];
        for (count, expected) in expected.into_iter().enumerate() {
            assert_eq!(range(&story[..count]), expected, "{count} events");
        }
    }
}
