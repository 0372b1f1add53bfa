//! The executor of a virtual gateway: no task does anything, but what it says is what a real one says. Its journals outlive the
//! agent; it believes nothing that is not signed.

use std::collections::BTreeMap;

use keros_protocol::eligibility::{Gateway, check};
use keros_protocol::executor::{CancelAnswer, Event};
use keros_protocol::{
    Command, CommandId, Envelope, Interruption, Outcome, Output, Statement, Summary, TaskRef, UpdateId,
};
use keros_tests::Random;

/// Tasks of every job.
const TASKS: u32 = 3;

/// How long a task takes, milliseconds; a slow one ten times as long.
const TASK_MS: u64 = 150;

/// What a session says, and when the agent hears it.
#[derive(Debug)]
pub(crate) enum Said {
    /// A line.
    Line(u64, Box<Event>),
    /// The session broke; the job goes on.
    Broke(u64),
}

/// A command that was ever started or refused here.
#[derive(Debug)]
pub(crate) struct Work {
    /// Its update.
    pub(crate) update_id: UpdateId,
    /// How often its tasks were begun.
    pub(crate) starts: u32,
    /// How it ended.
    pub(crate) end: Option<Outcome>,
    /// The center's sign of life ended its window.
    nonce: Option<String>,
    window_until_ms: u64,
    provisional: Option<Outcome>,
    cancelled: bool,
    window_s: u32,
    journal: Vec<Event>,
    nature: Nature,
    next_ms: u64,
    task: u32,
}

/// What the dice say about a job.
#[derive(Debug, Clone, Copy)]
struct Nature {
    fails_at: Option<u32>,
    slow: bool,
    breaks_at: Option<u32>,
}

/// All jobs of one gateway.
#[derive(Debug, Default)]
pub(crate) struct Executor {
    pub(crate) works: BTreeMap<CommandId, Work>,
    /// The session that follows a job.
    follower: Option<(u64, CommandId)>,
    nonces: u64,
}

impl Executor {
    /// When something happens here by itself.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.works.values().filter(|work| work.end.is_none()).map(|work| work.next_ms).min()
    }

    /// `run`: starts it once, and follows it.
    pub(crate) fn run(
        &mut self,
        session: u64,
        envelope: &Envelope,
        gateway: &Gateway<'_>,
        now_ms: u64,
        random: &mut Random,
    ) -> Vec<Said> {
        let command = match check(envelope, gateway) {
            Ok(command) => command,
            Err(refusal) => {
                let outcome = Outcome::Refused { reason: refusal.reason, detail: refusal.detail };
                return vec![Said::Line(session, Box::new(Event::Ended { outcome }))];
            }
        };
        let id = command.command_id;
        self.works.entry(id).or_insert_with(|| Work::start(&command, now_ms, random));
        self.attach(session, id)
    }

    /// `attach`: tells all that has happened, and follows.
    pub(crate) fn attach(&mut self, session: u64, id: CommandId) -> Vec<Said> {
        let Some(work) = self.works.get(&id) else {
            let message = "never started here".to_owned();
            let event = Event::RequestFailed { message, unknown: true };
            return vec![Said::Line(session, Box::new(event)), Said::Broke(session)];
        };
        self.follower = work.end.is_none().then_some((session, id));
        work.journal.iter().map(|event| Said::Line(session, Box::new(event.clone()))).collect()
    }

    /// `cancel`, by a statement that was verified.
    pub(crate) fn cancel(
        &mut self,
        session: u64,
        id: CommandId,
        statement: &Statement,
        now_ms: u64,
    ) -> Vec<Said> {
        let answer = match self.works.get_mut(&id) {
            None => CancelAnswer::Unknown,
            Some(work) if work.end.is_some() || !statement.cancels(id) => CancelAnswer::TooLate,
            Some(work) if work.provisional.is_some() => {
                work.window_until_ms = now_ms;
                work.next_ms = now_ms;
                CancelAnswer::RollingBack
            }
            Some(work) => {
                work.cancelled = true;
                CancelAnswer::Stopping
            }
        };
        answered(session, Event::CancelAnswered { command_id: id, answer })
    }

    /// `confirm`, by a statement that was verified.
    pub(crate) fn confirm(&mut self, session: u64, id: CommandId, statement: &Statement) -> Vec<Said> {
        let mut said = Vec::new();
        let accepted = self.works.get_mut(&id).is_some_and(|work| {
            let fits = work.nonce.as_ref().is_some_and(|nonce| statement.nonces.contains(nonce));
            if fits && let Some(outcome) = work.provisional.take() {
                work.nonce = None;
                work.journal.push(Event::Confirmed {});
                said.push(Event::Confirmed {});
                said.push(work.end(outcome));
                return true;
            }
            false
        });
        let message = (!accepted).then(|| "not what is waited for".to_owned());
        let mut all = answered(session, Event::ConfirmAnswered { command_id: id, accepted, message });
        all.extend(self.to_follower(id, said));
        all
    }

    /// The agent has gone: nobody follows.
    pub(crate) fn unfollowed(&mut self) {
        self.follower = None;
    }

    /// The power was lost: what ran is interrupted, and nobody follows.
    pub(crate) fn power_lost(&mut self) {
        self.follower = None;
        for work in self.works.values_mut().filter(|work| work.end.is_none() && work.provisional.is_none()) {
            let task = (work.task > 0).then(|| task(work.task));
            work.end(Outcome::Interrupted { interruption: Interruption { task, ..Interruption::default() } });
        }
    }

    /// Time has passed.
    pub(crate) fn advance(&mut self, now_ms: u64) -> Vec<Said> {
        let due: Vec<CommandId> = self
            .works
            .iter()
            .filter(|(_, work)| work.end.is_none() && work.next_ms <= now_ms)
            .map(|(id, _)| *id)
            .collect();
        let mut all = Vec::new();
        for id in due {
            self.nonces += 1;
            let nonce = format!("executor-{}-{}", id, self.nonces);
            let Some(work) = self.works.get_mut(&id) else { continue };
            let breaks = work.nature.breaks_at.take_if(|at| *at == work.task).is_some();
            let said = work.step(now_ms, nonce);
            all.extend(self.to_follower(id, said));
            if breaks && let Some((session, _)) = self.follower.take_if(|(_, of)| *of == id) {
                all.push(Said::Broke(session));
            }
        }
        all
    }

    fn to_follower(&self, id: CommandId, events: Vec<Event>) -> Vec<Said> {
        let Some((session, _)) = self.follower.filter(|(_, of)| *of == id) else { return Vec::new() };
        events.into_iter().map(|event| Said::Line(session, Box::new(event))).collect()
    }
}

/// One answer, then the session is over.
fn answered(session: u64, event: Event) -> Vec<Said> {
    vec![Said::Line(session, Box::new(event)), Said::Broke(session)]
}

impl Work {
    fn start(command: &Command, now_ms: u64, random: &mut Random) -> Self {
        let dice = random.below(100);
        let at = u32::try_from(random.below(u64::from(TASKS))).unwrap_or(0) + 1;
        let nature = Nature {
            fails_at: (dice < 6).then_some(at),
            slow: (6..10).contains(&dice),
            breaks_at: (10..14).contains(&dice).then_some(at),
        };
        let started = Event::Started { command_id: command.command_id, time_unix_s: 0, tasks: TASKS };
        let options = command.options;
        Self {
            update_id: command.update_id,
            starts: 1,
            end: None,
            nonce: None,
            window_until_ms: 0,
            provisional: None,
            cancelled: false,
            window_s: if options.dry_run { 0 } else { options.confirm_window_s },
            journal: vec![started],
            nature,
            next_ms: now_ms + TASK_MS,
            task: 0,
        }
    }

    fn end(&mut self, outcome: Outcome) -> Event {
        self.end = Some(outcome.clone());
        self.provisional = None;
        let event = Event::Ended { outcome };
        self.journal.push(event.clone());
        event
    }

    fn step(&mut self, now_ms: u64, nonce: String) -> Vec<Event> {
        self.next_ms = now_ms + if self.nature.slow { TASK_MS * 10 } else { TASK_MS };
        if self.provisional.is_some() {
            return self.window(now_ms);
        }
        let summary = Summary { executed: self.task, ..Summary::default() };
        if self.cancelled {
            let task = (self.task > 0).then(|| task(self.task));
            return vec![self.end(Outcome::Cancelled { task, summary, by_root: false })];
        }
        if self.task > 0 && self.nature.fails_at == Some(self.task) {
            let outcome = Outcome::Failed {
                task: Some(task(self.task)),
                exit_code: Some(2),
                message: "exit code 2".to_owned(),
                output: Some(Output {
                    head: "no such thing\n".repeat(8),
                    omitted_bytes: 0,
                    tail: String::new(),
                }),
                summary,
            };
            return vec![self.end(outcome)];
        }
        if self.task < TASKS {
            self.task += 1;
            let event = task_started(self.task);
            self.journal.push(event.clone());
            return vec![event];
        }
        let outcome = Outcome::Succeeded { summary, dry_run: false, differences: None };
        if self.window_s == 0 {
            return vec![self.end(outcome)];
        }
        self.window_until_ms = now_ms + u64::from(self.window_s) * 1000;
        self.next_ms = self.window_until_ms;
        self.nonce = Some(nonce.clone());
        self.provisional = Some(outcome.clone());
        let event = Event::Confirming {
            outcome: Box::new(outcome),
            nonce,
            window_s: self.window_s,
            until_unix_s: 4_000_000_000,
            boot_id: "b".to_owned(),
            until_boottime_ms: self.window_until_ms,
            renewed: false,
        };
        self.journal.push(event.clone());
        vec![event]
    }

    /// Nobody has confirmed it in time, or it was cancelled meanwhile.
    fn window(&mut self, now_ms: u64) -> Vec<Event> {
        if now_ms < self.window_until_ms {
            self.next_ms = self.window_until_ms;
            return Vec::new();
        }
        let reason = "not confirmed".to_owned();
        let undoing = Event::RollingBack { reason: reason.clone() };
        self.journal.push(undoing.clone());
        vec![undoing, self.end(Outcome::RolledBack { reason, complete: true, remains: Vec::new() })]
    }
}

fn task(number: u32) -> TaskRef {
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
