//! The executor of the world: a journal for each command, which the agent's crashes do not touch.

use std::collections::BTreeMap;

use keros_protocol::executor::{CancelAnswer, Event};
use keros_protocol::{CommandId, Interruption, Outcome, RefusalReason, Statement, Summary, TaskRef};

pub(crate) const WINDOW_S: u32 = 1800;
/// After undoing, the center is waited for so long before the reboot.
const GRACE_MS: u64 = 120_000;
const TASKS: u32 = 3;
pub(crate) const NOT_CONFIRMED: &str = "not confirmed";

/// Where a job is.
#[derive(Debug, Clone, PartialEq)]
enum Stage {
    Running,
    /// A task reboots the gateway: the world does it.
    PartEnded,
    Confirming {
        outcome: Outcome,
        until_ms: u64,
        renewed: bool,
    },
    Confirmed {
        outcome: Outcome,
    },
    RollingBack,
    Undone {
        until_ms: u64,
    },
    /// One reboot: the world does it.
    Rebooting,
    Ended,
}

#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) starts: u32,
    pub(crate) journal: Vec<Event>,
    pub(crate) end: Option<Outcome>,
    pub(crate) cancelled: bool,
    /// The center was heard of in time, and the job stays.
    pub(crate) confirmed: bool,
    stage: Stage,
    tasks: u32,
    nonce: Option<String>,
    has_window: bool,
    remains: bool,
    reboots_at: Option<u32>,
    reason: String,
}

#[derive(Default)]
pub(crate) struct Executor {
    pub(crate) reachable: bool,
    pub(crate) work: BTreeMap<CommandId, Work>,
    /// Open sessions that follow: number and command.
    pub(crate) sessions: BTreeMap<u64, CommandId>,
    pub(crate) nonces: u64,
}

/// What the dice say about a new job.
pub(crate) struct Nature {
    pub(crate) has_window: bool,
    pub(crate) remains: bool,
    pub(crate) reboots_at: Option<u32>,
}

/// What a step of the job asks of the world.
pub(crate) enum After {
    Nothing,
    Reboot,
}

impl Executor {
    pub(crate) fn running(&self) -> Option<CommandId> {
        self.work.iter().find(|(_, work)| work.end.is_none()).map(|(id, _)| *id)
    }

    /// Jobs whose window has begun.
    pub(crate) fn with_window(&self) -> impl Iterator<Item = CommandId> {
        let begun = |event: &Event| matches!(event, Event::Confirming { .. });
        self.work.iter().filter(move |(_, work)| work.journal.iter().any(begun)).map(|(id, _)| *id)
    }

    /// `run`: started once, or refused because its time is over.
    pub(crate) fn run(&mut self, id: CommandId, expired: bool, nature: Nature) {
        if self.work.contains_key(&id) {
            return;
        }
        let mut work = Work {
            starts: 0,
            journal: Vec::new(),
            end: None,
            cancelled: false,
            confirmed: false,
            stage: Stage::Running,
            tasks: 0,
            nonce: None,
            has_window: nature.has_window,
            remains: nature.remains,
            reboots_at: nature.reboots_at,
            reason: String::new(),
        };
        if expired {
            let detail = "the executor".to_owned();
            work.finish(Outcome::Refused { reason: RefusalReason::Expired, detail });
        } else {
            work.starts = 1;
            work.journal.push(Event::Started { command_id: id, time_unix_s: 0, tasks: TASKS });
        }
        self.work.insert(id, work);
    }

    /// The job goes on by one step.
    pub(crate) fn step(&mut self, id: CommandId, boot_ms: u64) -> After {
        self.nonces += 1;
        let fresh = format!("n{}", self.nonces);
        let Some(work) = self.work.get_mut(&id) else { return After::Nothing };
        work.step(boot_ms, fresh)
    }

    /// The gateway has lost its power, or was rebooted.
    pub(crate) fn booted(&mut self, boot_ms: u64) {
        self.sessions.clear();
        for work in self.work.values_mut() {
            self.nonces += 1;
            work.booted(boot_ms, format!("n{}", self.nonces));
        }
    }

    /// The answer to `cancel`; the statement must order it.
    pub(crate) fn cancel(&mut self, id: CommandId, statement: &Statement) -> Event {
        let ordered = statement.cancellations.iter().any(|cancellation| cancellation.command_id == id);
        assert!(ordered, "a cancellation without the center's order");
        let answer = self.work.get_mut(&id).map_or(CancelAnswer::Unknown, Work::cancel);
        Event::CancelAnswered { command_id: id, answer }
    }

    /// The answer to `cancel` of root, who needs no statement.
    pub(crate) fn cancel_by_root(&mut self, id: CommandId) -> CancelAnswer {
        self.work.get_mut(&id).map_or(CancelAnswer::Unknown, Work::cancel)
    }

    /// The answer to `confirm`.
    pub(crate) fn confirm(&mut self, id: CommandId, statement: &Statement) -> Event {
        let accepted = self.work.get_mut(&id).is_some_and(|work| work.confirm(&statement.nonces));
        let message = (!accepted).then(|| "not what is waited for".to_owned());
        Event::ConfirmAnswered { command_id: id, accepted, message }
    }
}

impl Work {
    fn finish(&mut self, outcome: Outcome) {
        self.stage = Stage::Ended;
        self.nonce = None;
        self.end = Some(outcome.clone());
        self.journal.push(Event::Ended { outcome });
    }

    fn step(&mut self, boot_ms: u64, fresh: String) -> After {
        match self.stage.clone() {
            Stage::Running if self.cancelled => {
                let task = (self.tasks > 0).then(|| task(self.tasks));
                self.tasks_ended(
                    Outcome::Cancelled { task, summary: Summary::default(), by_root: false },
                    boot_ms,
                    fresh,
                );
            }
            Stage::Running if self.reboots_at.take_if(|at| *at == self.tasks).is_some() => {
                self.journal.push(Event::PartEnded { task: task(self.tasks), boot_id: "b".to_owned() });
                self.stage = Stage::PartEnded;
                return After::Reboot;
            }
            Stage::Running if self.tasks < TASKS => {
                self.tasks += 1;
                self.journal.push(task_started(self.tasks));
            }
            Stage::Running => {
                let outcome =
                    Outcome::Succeeded { summary: Summary::default(), dry_run: false, differences: None };
                self.tasks_ended(outcome, boot_ms, fresh);
            }
            Stage::PartEnded | Stage::Rebooting => return After::Reboot,
            Stage::Confirming { until_ms, .. } if boot_ms >= until_ms => self.roll_back(NOT_CONFIRMED),
            Stage::Confirming { .. } => {}
            Stage::Confirmed { outcome } => self.finish(outcome),
            Stage::RollingBack => self.undo(boot_ms, fresh),
            Stage::Undone { until_ms } if boot_ms >= until_ms => {
                self.nonce = None;
                self.stage = Stage::Rebooting;
                self.journal.push(Event::Rebooting { boot_id: "b".to_owned() });
                return After::Reboot;
            }
            Stage::Undone { .. } | Stage::Ended => {}
        }
        After::Nothing
    }

    fn tasks_ended(&mut self, outcome: Outcome, boot_ms: u64, fresh: String) {
        if self.has_window && self.tasks > 0 {
            self.begin_window(outcome, boot_ms, fresh, false);
        } else {
            self.finish(outcome);
        }
    }

    fn begin_window(&mut self, outcome: Outcome, boot_ms: u64, fresh: String, renewed: bool) {
        let until_ms = boot_ms + u64::from(WINDOW_S) * 1000;
        self.nonce = Some(fresh.clone());
        self.journal.push(Event::Confirming {
            outcome: Box::new(outcome.clone()),
            nonce: fresh,
            window_s: WINDOW_S,
            until_unix_s: 4_000_000_000 + u64::from(renewed),
            boot_id: "b".to_owned(),
            until_boottime_ms: until_ms,
            renewed,
        });
        self.stage = Stage::Confirming { outcome, until_ms, renewed };
    }

    fn roll_back(&mut self, reason: &str) {
        self.nonce = None;
        reason.clone_into(&mut self.reason);
        self.journal.push(Event::RollingBack { reason: reason.to_owned() });
        self.stage = Stage::RollingBack;
    }

    fn undo(&mut self, boot_ms: u64, fresh: String) {
        self.journal.push(Event::UndoStep { what: "a file".to_owned(), error: None });
        let nonce = self.remains.then_some(fresh);
        self.nonce.clone_from(&nonce);
        self.journal.push(Event::Undone { remains: self.remaining(), nonce });
        if self.remains {
            self.stage = Stage::Undone { until_ms: boot_ms + GRACE_MS };
        } else {
            self.rolled_back();
        }
    }

    fn remaining(&self) -> Vec<String> {
        if self.remains { vec!["a shell task".to_owned()] } else { Vec::new() }
    }

    fn rolled_back(&mut self) {
        let (reason, remains) = (self.reason.clone(), self.remaining());
        self.finish(Outcome::RolledBack { reason, complete: !self.remains, remains });
    }

    fn booted(&mut self, boot_ms: u64, fresh: String) {
        match self.stage.clone() {
            Stage::Running => {
                let interruption =
                    Interruption { task: Some(task(self.tasks + 1)), ..Interruption::default() };
                self.tasks_ended(Outcome::Interrupted { interruption }, boot_ms, fresh);
            }
            Stage::PartEnded => {
                self.journal.push(Event::Resumed { boot_id: "c".to_owned(), time_unix_s: 0 });
                self.stage = Stage::Running;
            }
            Stage::Confirming { outcome, renewed: false, .. } => {
                self.begin_window(outcome, boot_ms, fresh, true);
            }
            Stage::Confirming { .. } => self.roll_back("booted twice"),
            Stage::Undone { .. } | Stage::Rebooting => self.rolled_back(),
            Stage::Confirmed { .. } | Stage::RollingBack | Stage::Ended => {}
        }
    }

    fn cancel(&mut self) -> CancelAnswer {
        match self.stage {
            Stage::Running | Stage::PartEnded => {
                self.cancelled = true;
                CancelAnswer::Stopping
            }
            Stage::Confirming { .. } => {
                self.cancelled = true;
                self.roll_back("cancelled");
                CancelAnswer::RollingBack
            }
            Stage::Confirmed { .. }
            | Stage::RollingBack
            | Stage::Undone { .. }
            | Stage::Rebooting
            | Stage::Ended => CancelAnswer::TooLate,
        }
    }

    fn confirm(&mut self, nonces: &[String]) -> bool {
        let fits = self.nonce.as_ref().is_some_and(|nonce| nonces.contains(nonce));
        match (&self.stage, fits) {
            (Stage::Confirming { outcome, .. }, true) => {
                self.confirmed = true;
                self.stage = Stage::Confirmed { outcome: outcome.clone() };
                self.nonce = None;
                self.journal.push(Event::Confirmed {});
                true
            }
            (Stage::Undone { .. }, true) => {
                self.rolled_back();
                true
            }
            _ => false,
        }
    }

    /// Its tasks run, and nobody has told it to stop.
    pub(crate) fn can_be_stopped(&self) -> bool {
        self.stage == Stage::Running && !self.cancelled
    }
}

pub(crate) fn task(number: u32) -> TaskRef {
    TaskRef { number, count: TASKS, name: format!("task {number}") }
}

fn task_started(number: u32) -> Event {
    Event::TaskStarted {
        task: task(number),
        module: "shell".to_owned(),
        role: None,
        handler: false,
        file: None,
        line: number,
        grouped: false,
    }
}
