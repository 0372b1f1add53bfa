//! What really happened, noted where it happens, and the sentences that it must agree with.

use std::collections::{BTreeMap, BTreeSet};

use keros_protocol::executor::Event;
use keros_protocol::{CommandId, Outcome, RefusalReason, Report};

use crate::bundles::{Link, Source};
use crate::center::Script;

#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) stories: BTreeMap<CommandId, Story>,
    /// The newest time that the center has signed and the agent has stored, true seconds since 1970.
    pub(crate) known_unix_s: u64,
    /// An operation of a disk has failed in this history.
    pub(crate) disk_failed: bool,
    /// A file was damaged in this history.
    pub(crate) damaged: bool,
    /// When the copy of each bundle was last damaged.
    pub(crate) copies_damaged_ms: BTreeMap<usize, u64>,
    /// The clock of the gateway was wrong in this history.
    pub(crate) clock_was_wrong: bool,
    running: Option<(CommandId, i32)>,
    /// Which process was asked to run which command, or runs it.
    asked: BTreeMap<i32, CommandId>,
    /// Processes that are gone and have left something running.
    stragglers: BTreeSet<i32>,
    /// Nonces that the center has signed.
    pub(crate) signed: BTreeSet<String>,
    published: BTreeMap<(uuid::Uuid, u64), (CommandId, Outcome)>,
}

/// What became of one command.
#[derive(Debug, Default)]
pub(crate) struct Story {
    pub(crate) expires_at_unix_s: u64,
    pub(crate) starts: u32,
    /// How often each task has done what it does.
    pub(crate) tasks: BTreeMap<u32, u32>,
    /// What the job came to, where its process lived to know.
    pub(crate) outcome: Option<Outcome>,
    /// A process that was asked to run it, or ran it, was lost.
    pub(crate) process_lost: bool,
    pub(crate) script: Script,
    /// It is a Magic Link.
    pub(crate) link: Option<Link>,
    /// An attempt to fetch its bundle has failed.
    pub(crate) fetch_failed: bool,
    /// When its copy was last ordered to be made good.
    pub(crate) rehashed_ms: Option<u64>,
    /// The center has been told to cancel it.
    pub(crate) cancelled: bool,
    /// Tasks that were undone.
    undone: BTreeSet<u32>,
    /// Nonces that the executor has asked the center to sign for it.
    nonces: BTreeSet<String>,
    /// The executor has taken the center's word.
    confirmed: bool,
    parts: u32,
    known_when_asked_unix_s: u64,
}

type Checked = Result<(), String>;

fn check(holds: bool, sentence: &str, detail: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(format!("not true: {sentence}: {}", detail())) }
}

impl Truth {
    fn story(&mut self, id: CommandId) -> &mut Story {
        self.stories.entry(id).or_default()
    }

    /// A process is asked to run a command, and may do so when the time that is known by now allows it.
    pub(crate) fn asked(&mut self, process: i32, id: CommandId, honest_unix_s: Option<u64>) {
        self.asked.insert(process, id);
        let known = self.known_unix_s.max(honest_unix_s.unwrap_or(0));
        self.story(id).known_when_asked_unix_s = known;
    }

    /// A process begins with its tasks, or goes on with them after a reboot.
    pub(crate) fn started(&mut self, process: i32, id: CommandId, resumed: bool, alive: &[i32]) -> Checked {
        let other = self.running.filter(|(_, process)| alive.contains(process));
        self.running = Some((id, process));
        // A process that takes a job over was asked for something else, or for nothing.
        self.asked.insert(process, id);
        let stragglers = self.stragglers.clone();
        let story = self.story(id);
        check(other.is_none(), "one job runs at a time", || format!("{id} beside {other:?}"))?;
        check(stragglers.is_empty(), "a job meets nothing of a lost one", || {
            format!("{id}: {stragglers:?}")
        })?;
        if resumed {
            story.parts += 1;
            let (parts, reboots) = (story.parts, story.script.reboots_at > 0);
            return check(reboots && parts <= 3, "a job goes on only behind its reboot", || {
                format!("{id}: {parts}")
            });
        }
        let gives = story.link.is_none_or(|link| link.source == Source::Gives);
        check(gives, "no Magic Link starts without its bundle", || id.to_string())?;
        story.starts += 1;
        let (starts, expires, known) = (story.starts, story.expires_at_unix_s, story.known_when_asked_unix_s);
        check(starts == 1, "a command id starts at most once", || {
            format!("{id} has started {starts} times")
        })?;
        // Smaller raises of the floor than a minute are not stored.
        check(expires + 60 > known, "nothing expired runs", || {
            format!("{id} expired at {expires}, known is {known}")
        })
    }

    /// A task does what it does.
    pub(crate) fn acted(&mut self, process: i32, id: CommandId, task: u32) -> Checked {
        self.stragglers.insert(process);
        let count = self.story(id).tasks.entry(task).or_default();
        *count += 1;
        let count = *count;
        check(count == 1, "no task of a command is executed twice", || {
            format!("{id}, task {task}: {count} times")
        })
    }

    pub(crate) fn task_ended(&mut self, process: i32) {
        self.stragglers.remove(&process);
    }

    pub(crate) fn ended(&mut self, id: CommandId, outcome: Option<Outcome>) {
        self.running = None;
        self.story(id).outcome = outcome;
    }

    pub(crate) fn has_changed(&self, id: CommandId) -> bool {
        self.stories.get(&id).is_some_and(|story| !story.tasks.is_empty())
    }

    /// Undoes a task; false when there is nothing to undo.
    pub(crate) fn undo(&mut self, id: CommandId, task: u32) -> bool {
        let story = self.story(id);
        let undoes = story.tasks.contains_key(&task) && story.script.cannot_undo != task;
        if undoes {
            story.undone.insert(task);
        }
        undoes
    }

    pub(crate) fn remains(&self, id: CommandId) -> Vec<String> {
        let Some(story) = self.stories.get(&id) else { return Vec::new() };
        story
            .tasks
            .keys()
            .filter(|task| !story.undone.contains(task))
            .map(|task| format!("task {task}"))
            .collect()
    }

    /// The executor says something.
    pub(crate) fn said(&mut self, event: &Event) {
        if let Event::ConfirmAnswered { command_id, accepted: true, .. } = event {
            self.story(*command_id).confirmed = true;
        }
    }

    /// The agent hears for which job a nonce is to be signed.
    pub(crate) fn asks(&mut self, id: CommandId, nonce: &str) {
        self.story(id).nonces.insert(nonce.to_owned());
    }

    pub(crate) fn process_lost(&mut self, process: i32) {
        if let Some(id) = self.asked.get(&process).copied() {
            self.story(id).process_lost = true;
        }
    }

    pub(crate) fn stragglers_ended(&mut self, process: i32) {
        self.stragglers.remove(&process);
    }

    /// After a power cut nothing runs.
    pub(crate) fn power_lost(&mut self) {
        self.stragglers.clear();
        self.running = None;
    }

    pub(crate) fn published(&mut self, report: &Report) -> Checked {
        let said = (report.command_id, report.outcome.clone());
        let key = (report.position.stream, report.position.number);
        let before = self.published.insert(key, said.clone());
        let same = before.as_ref().is_none_or(|before| *before == said);
        check(same, "numbers of reports are never given twice", || {
            format!("{key:?}: {before:?}, then {said:?}")
        })?;
        let number = report.position.number;
        check(report.after < number, "a report names one before it", || {
            format!("{number} after {}", report.after)
        })?;
        if report.outcome.is_terminal() {
            self.told(report.command_id, &report.outcome)?;
        }
        Ok(())
    }

    /// The gateway says that this is what became of a command.
    fn told(&self, id: CommandId, told: &Outcome) -> Checked {
        let Some(story) = self.stories.get(&id) else {
            return Err(format!("a report about {id}, which nobody sent"));
        };
        let excused = self.disk_failed || self.damaged;
        let acted = story.tasks.len();
        let last_task = story.tasks.keys().next_back().copied().unwrap_or(0);
        let holds = match told {
            Outcome::Succeeded { .. } => matches!(story.outcome, Some(Outcome::Succeeded { .. })),
            Outcome::Failed { task: Some(_), .. } => story.outcome.as_ref() == Some(told),
            // Of a job whose record is damaged nothing is claimed.
            Outcome::Failed { task: None, .. } => excused,
            Outcome::Interrupted { interruption } => {
                let named = interruption.task.as_ref().map_or(0, |task| task.number);
                let counted = interruption.summary.total() as usize;
                (excused || (story.process_lost && named >= last_task)) && counted <= acted
            }
            Outcome::Refused { reason, .. } => {
                story.starts == 0 && acted == 0 && (excused || self.refusal_is_true(*reason, story))
            }
            // A disk that failed to sync a name may lose the agent's folder whole, later and without a trace: such an agent takes
            // itself for a new one.
            Outcome::Cancelled { task: None, .. } => story.cancelled && (acted == 0 || self.disk_failed),
            Outcome::Cancelled { task: Some(task), .. } => story.cancelled && task.number >= last_task,
            // A job whose command cannot be read any more may have had a window.
            Outcome::RolledBack { complete, remains, .. } => {
                (excused || story.script.window_s > 0)
                    && *remains == self.remains(id)
                    && *complete == remains.is_empty()
            }
            _ => false,
        };
        check(holds, "the status is the truth", || format!("{id} is told as {told:?}, but {story:?}"))?;
        if matches!(told, Outcome::RolledBack { .. } | Outcome::Refused { .. }) || excused {
            return Ok(());
        }
        let kept = story.undone.is_empty();
        check(kept, "what is undone is told as rolled back", || {
            format!("{id} is told as {told:?}, but {story:?}")
        })?;
        let needed = story.script.window_s > 0 && acted > 0;
        let signed = story.nonces.iter().any(|nonce| self.signed.contains(nonce));
        check(!needed || signed, "what is kept was confirmed by the center", || {
            format!("{id} is told as {told:?}, but {story:?}")
        })
    }

    /// In these histories every command is good until it expires.
    fn refusal_is_true(&self, reason: RefusalReason, story: &Story) -> bool {
        let source = story.link.map(|link| link.source);
        match reason {
            RefusalReason::Expired => true,
            // A full disk says so; a folder that vanished before its job began is no reason.
            RefusalReason::NoSpace => self.disk_failed,
            RefusalReason::NotDeclared => source == Some(Source::Refuses),
            RefusalReason::FetchFailed => story.fetch_failed,
            // Of a bundle that was made good, and damaged again.
            RefusalReason::DigestMismatch | RefusalReason::NotFound => {
                let damaged_ms =
                    story.link.and_then(|link| self.copies_damaged_ms.get(&link.number).copied());
                story.rehashed_ms.is_some() && damaged_ms >= story.rehashed_ms
            }
            _ => false,
        }
    }
}
