//! The table, case by case, and whole lives by chance: processes lost between any two steps, power cuts, requests at any moment.

use keros_protocol::executor::Event;
use keros_protocol::{Outcome, Summary, TaskRef};

use super::*;

const BOUNDS: Bounds =
    Bounds { reboot_patience_ms: 60_000, reboot_grace_ms: 30_000, resume_after_boot_ms: 10_000 };
const WINDOW_S: u32 = 100;

fn known<'a>(boot_id: &'a str, boottime_ms: u64, signed: &'a [String]) -> Known<'a> {
    Known {
        boot_id,
        boottime_ms,
        unix_s: 1_800_000_000,
        recorded_here: false,
        reboot_asked: false,
        in_phase_ms: 0,
        can_reboot: true,
        cancelled: None,
        keys_lost: None,
        signed_nonces: signed,
        new_nonce: "new",
        bounds: BOUNDS,
    }
}

fn task(number: u32) -> TaskRef {
    TaskRef { number, count: 9, name: format!("task {number}") }
}

fn started() -> Event {
    let command_id = keros_protocol::CommandId(uuid::Uuid::from_u128(1));
    Event::Started { command_id, time_unix_s: 1, tasks: 9 }
}

fn task_started(number: u32) -> Event {
    let module = "shell".to_owned();
    Event::TaskStarted {
        task: task(number),
        module,
        role: None,
        handler: false,
        file: None,
        line: 1,
        grouped: false,
    }
}

fn part_ended(boot: &str) -> Event {
    Event::PartEnded { task: task(1), boot_id: boot.to_owned() }
}

fn resumed() -> Event {
    Event::Resumed { boot_id: "b".to_owned(), time_unix_s: 1 }
}

fn succeeded() -> Outcome {
    Outcome::Succeeded { summary: Summary::default(), dry_run: false, differences: None }
}

fn confirming(outcome: Outcome, boot: &str, renewed: bool) -> Event {
    Event::Confirming {
        outcome: Box::new(outcome),
        nonce: "n".to_owned(),
        window_s: WINDOW_S,
        until_unix_s: 1,
        boot_id: boot.to_owned(),
        until_boottime_ms: 100_000,
        renewed,
    }
}

fn rolling_back() -> Event {
    Event::RollingBack { reason: "why".to_owned() }
}

fn undone(nonce: Option<&str>) -> Event {
    let remains = nonce.map(|_| "a shell task".to_owned()).into_iter().collect();
    Event::Undone { remains, nonce: nonce.map(str::to_owned) }
}

fn rebooting() -> Event {
    Event::Rebooting { boot_id: "a".to_owned() }
}

fn life(events: &[Event]) -> Life {
    let mut life = Life::default();
    events.iter().for_each(|event| life.take(event));
    life
}

fn is_record(action: &Action, matches: impl Fn(&Event) -> bool) -> bool {
    matches!(action, Action::Record(event) if matches(event))
}

fn is_back(action: &Action, words: &str) -> bool {
    is_record(action, |event| matches!(event, Event::RollingBack { reason } if reason.contains(words)))
}

#[test]
fn tasks_run_only_in_the_process_that_recorded_their_start() {
    let life = life(&[started()]);
    let here = Known { recorded_here: true, ..known("a", 0, &[]) };
    assert_eq!(next(&life, &here), Action::RunTasks);
    assert_eq!(next(&life, &known("a", 0, &[])), Action::Conclude(Concluded::Interrupted));
}

#[test]
fn a_part_goes_on_after_another_boot_only() {
    let ended = life(&[started(), task_started(1), part_ended("a")]);
    assert!(is_record(&next(&ended, &known("b", 10_000, &[])), |event| matches!(
        event,
        Event::Resumed { .. }
    )));
    assert_eq!(next(&ended, &known("b", 4_000, &[])), Action::Wait { at_most_ms: 6_000 });
    assert_eq!(next(&ended, &known("a", 10_000, &[])), Action::Wait { at_most_ms: 60_000 });
    let here = Known { recorded_here: true, ..known("a", 0, &[]) };
    assert_eq!(next(&ended, &here), Action::AskReboot);
    let late = Known { in_phase_ms: 60_000, ..known("a", 0, &[]) };
    assert_eq!(next(&ended, &late), Action::Record(part_ended("a")));
    let thrice = life(&[started(), task_started(1), part_ended("a"), part_ended("a"), part_ended("a")]);
    assert!(matches!(next(&thrice, &late), Action::Conclude(Concluded::NoReboot(..))));
    let tree = Known { can_reboot: false, ..here };
    assert!(matches!(next(&ended, &tree), Action::Conclude(Concluded::NoReboot(..))));
    let cancelled = Known { cancelled: Some(CancelledBy::Center), ..known("b", 10_000, &[]) };
    assert_eq!(next(&ended, &cancelled), Action::Conclude(Concluded::Cancelled(task(1))));
    // A reboot that may have been asked for is waited for: it must not meet the next job.
    let same_boot = Known { cancelled: Some(CancelledBy::Center), ..known("a", 10_000, &[]) };
    assert_eq!(next(&ended, &same_boot), Action::Wait { at_most_ms: 60_000 });
    for certain in [
        Known { in_phase_ms: 60_000, ..same_boot },
        Known { recorded_here: true, ..same_boot },
        Known { can_reboot: false, ..same_boot },
    ] {
        assert_eq!(next(&ended, &certain), Action::Conclude(Concluded::Cancelled(task(1))));
    }
}

#[test]
fn a_resumed_job_is_resumed_again_until_a_task_has_begun() {
    let mut events = vec![started(), task_started(1), part_ended("a"), resumed()];
    let is_resumed = |action: &Action| is_record(action, |event| matches!(event, Event::Resumed { .. }));
    let here = Known { recorded_here: true, ..known("b", 10_000, &[]) };
    assert_eq!(next(&life(&events), &here), Action::ResumeTasks);
    assert!(is_resumed(&next(&life(&events), &known("b", 10_000, &[]))));
    events.extend([resumed(), resumed()]);
    assert_eq!(next(&life(&events), &known("b", 10_000, &[])), Action::Conclude(Concluded::Interrupted));
    let begun = life(&[started(), task_started(1), part_ended("a"), resumed(), task_started(2)]);
    assert_eq!(next(&begun, &known("b", 10_000, &[])), Action::Conclude(Concluded::Interrupted));
}

#[test]
fn a_window_ends_by_word_of_the_center_by_time_or_by_the_second_boot() {
    let nonce = ["n".to_owned()];
    let first = life(&[started(), confirming(succeeded(), "a", false)]);
    let renewed = life(&[started(), confirming(succeeded(), "a", true)]);
    assert_eq!(next(&first, &known("a", 99_000, &[])), Action::Wait { at_most_ms: 1_000 });
    assert!(is_back(&next(&first, &known("a", 100_000, &[])), "not confirmed within 100 s"));
    assert_eq!(next(&first, &known("a", 99_000, &nonce)), Action::Record(Event::Confirmed {}));
    assert_eq!(next(&first, &known("b", 1, &nonce)), Action::Record(Event::Confirmed {}));
    let other = ["m".to_owned()];
    assert_eq!(next(&first, &known("a", 99_000, &other)), Action::Wait { at_most_ms: 1_000 });
    assert!(is_record(&next(&first, &known("b", 5_000, &[])), |event| matches!(
        event,
        Event::Confirming { renewed: true, nonce, until_boottime_ms: 105_000, boot_id, .. }
            if nonce == "new" && boot_id == "b"
    )));
    assert!(is_back(&next(&renewed, &known("b", 5_000, &[])), "booted twice"));
}

#[test]
fn a_cancellation_undoes_a_provisional_job_unless_its_tasks_have_obeyed_it() {
    let cancelled = Known { cancelled: Some(CancelledBy::Center), ..known("a", 0, &[]) };
    let provisional = life(&[started(), confirming(succeeded(), "a", false)]);
    assert!(is_back(&next(&provisional, &cancelled), "cancelled"));
    let outcome = Outcome::Cancelled { task: None, summary: Summary::default(), by_root: false };
    let obeyed = life(&[started(), confirming(outcome, "a", false)]);
    assert_eq!(next(&obeyed, &cancelled), Action::Wait { at_most_ms: 100_000 });
    let by_root = Known { cancelled: Some(CancelledBy::Root), ..cancelled };
    assert!(is_back(&next(&obeyed, &by_root), "on the gateway"));
}

#[test]
fn a_job_that_took_the_keys_away_is_undone_also_when_it_is_confirmed_and_without_a_window() {
    let nonce = ["n".to_owned()];
    let provisional = life(&[started(), confirming(succeeded(), "a", false)]);
    let lost = Known { keys_lost: Some("no key"), ..known("a", 99_000, &nonce) };
    assert!(is_back(&next(&provisional, &lost), "no key"));
    let failed = life(&[
        started(),
        confirming(
            Outcome::Failed {
                task: None,
                exit_code: None,
                message: "x".to_owned(),
                output: None,
                summary: Summary::default(),
            },
            "a",
            false,
        ),
    ]);
    assert!(is_back(&next(&failed, &lost), "no key; its tasks had ended as failed"));
    let event = after_tasks(succeeded(), 0, true, &known("a", 5, &[]));
    assert!(matches!(event, Event::Confirming { window_s: 0, until_boottime_ms: 5, .. }), "{event:?}");
    let later = life(&[started(), event]);
    assert!(is_back(&next(&later, &known("a", 5, &[])), "not confirmed"), "it never stays");
}

#[test]
fn what_is_undone_is_undone_again_by_another_process_but_not_for_ever() {
    let mut events = vec![started(), confirming(succeeded(), "a", false), rolling_back()];
    let here = Known { recorded_here: true, ..known("a", 0, &[]) };
    assert_eq!(next(&life(&events), &here), Action::Undo);
    assert_eq!(next(&life(&events), &known("a", 0, &[])), Action::Record(rolling_back()));
    events.extend(vec![rolling_back(); 4]);
    assert!(is_record(&next(&life(&events), &known("a", 0, &[])), |event| {
        matches!(event, Event::Undone { remains, nonce: None } if remains[0].contains("5 times"))
    }));
}

#[test]
fn the_gateway_reboots_once_for_what_remains_unless_the_center_is_heard_of() {
    let remaining = life(&[started(), rolling_back(), undone(Some("u"))]);
    let is_end = |action: &Action, complete| {
        is_record(action, |event| {
            matches!(event, Event::Ended { outcome: Outcome::RolledBack { complete: found, reason, .. } }
                if *found == complete && reason == "why")
        })
    };
    assert_eq!(next(&remaining, &known("a", 0, &[])), Action::Wait { at_most_ms: 30_000 });
    let late = Known { in_phase_ms: 30_000, ..known("a", 0, &[]) };
    assert_eq!(next(&remaining, &late), Action::Record(rebooting()));
    assert!(is_end(&next(&remaining, &known("a", 0, &["u".to_owned()])), false));
    assert!(is_end(&next(&remaining, &Known { can_reboot: false, ..late }), false));
    assert!(is_end(&next(&life(&[started(), rolling_back(), undone(None)]), &late), true));
    let booting = life(&[started(), rolling_back(), undone(Some("u")), rebooting()]);
    assert_eq!(next(&booting, &Known { recorded_here: true, ..known("a", 0, &[]) }), Action::AskReboot);
    assert!(is_end(&next(&booting, &known("b", 0, &[])), false));
}

#[test]
fn where_the_record_is_damaged_nothing_is_run_confirmed_or_rebooted() {
    let doubted = |events: &[Event]| Life { in_doubt: true, ..life(events) };
    let nonce = ["n".to_owned()];
    let other = known("b", 10_000, &nonce);
    let damaged = Action::Conclude(Concluded::Damaged);
    assert_eq!(next(&doubted(&[started(), part_ended("a")]), &other), damaged);
    assert_eq!(next(&doubted(&[started(), part_ended("a"), resumed()]), &other), damaged);
    assert_eq!(next(&doubted(&[]), &other), damaged);
    assert!(is_back(&next(&doubted(&[confirming(succeeded(), "b", false)]), &other), "damaged"));
    let late = Known { in_phase_ms: 30_000, ..other };
    let ended = |action: &Action| is_record(action, |event| matches!(event, Event::Ended { .. }));
    assert!(ended(&next(&doubted(&[rolling_back(), undone(Some("u"))]), &late)));
    assert!(ended(&next(&doubted(&[rolling_back(), undone(Some("u")), rebooting()]), &known("a", 0, &[]))));
    assert!(ended(&next(&life(&[Event::Confirmed {}]), &late)));
}

#[test]
fn a_job_that_has_ended_stays_ended_whatever_follows() {
    let end = Event::Ended { outcome: succeeded() };
    let later = life(&[started(), end, rolling_back(), undone(Some("u")), rebooting(), part_ended("a")]);
    let Phase::Ended { outcome, undone } = &later.phase else { panic!("{later:?}") };
    assert_eq!((outcome.name(), undone.as_ref().map(Vec::len)), ("succeeded", Some(1)));
    assert_eq!(next(&later, &known("b", 0, &[])), Action::Nothing);
}

/// A gateway, its journal, the one process that holds the locks, and everything that may happen to them.
struct World {
    chance: u64,
    boot: u32,
    boottime_ms: u64,
    journal: Vec<Event>,
    process: Option<Process>,
    cancelled: Option<CancelledBy>,
    signed: Vec<String>,
    nonces: u32,
    first_runs: u32,
    resumed_behind: u32,
    window_s: u32,
    /// The job takes the trusted keys away.
    keys_lost: bool,
}

#[derive(Default)]
struct Process {
    recorded_here: bool,
    reboot_asked: bool,
    since_ms: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let process = Process { recorded_here: true, ..Process::default() };
        let mut world = Self {
            chance: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            boot: 1,
            boottime_ms: 0,
            journal: vec![started()],
            process: Some(process),
            cancelled: None,
            signed: Vec::new(),
            nonces: 0,
            first_runs: 0,
            resumed_behind: 0,
            window_s: 0,
            keys_lost: false,
        };
        world.keys_lost = world.one_in(8);
        world.window_s = if world.one_in(4) { 0 } else { WINDOW_S };
        world
    }

    /// xorshift64*.
    fn number(&mut self, below: u64) -> u64 {
        self.chance ^= self.chance >> 12;
        self.chance ^= self.chance << 25;
        self.chance ^= self.chance >> 27;
        (self.chance.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % below
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.number(many) == 0
    }

    fn is_over(&self) -> bool {
        matches!(self.journal.last(), Some(Event::Ended { .. }))
    }

    fn boot(&mut self) {
        self.boot += 1;
        self.boottime_ms = 0;
        self.process = None;
    }

    fn record(&mut self, event: Event) {
        if let Event::Confirming { renewed: false, .. } = event {
            assert!(self.window_s > 0 || self.keys_lost);
        }
        self.journal.push(event);
        let since_ms = self.boottime_ms;
        self.process = Some(Process { recorded_here: true, reboot_asked: false, since_ms });
    }

    /// One of the things that happen without the job's doing.
    fn mishap(&mut self) {
        match self.number(8) {
            0 => self.boot(),
            1 | 2 => self.process = None,
            3 => {
                let by = if self.one_in(2) { CancelledBy::Root } else { CancelledBy::Center };
                self.cancelled = Some(by);
            }
            4 => {
                let asked = self.journal.iter().rev().find_map(|event| match event {
                    Event::Confirming { nonce, .. } | Event::Undone { nonce: Some(nonce), .. } => {
                        Some(nonce.clone())
                    }
                    _ => None,
                });
                self.signed.extend(asked);
            }
            _ => {
                let pause = [1, 1_000, 50_000][usize::try_from(self.number(3)).unwrap()];
                self.boottime_ms += pause;
            }
        }
    }

    /// The process does what the table says; true while it is there to go on.
    fn step(&mut self) {
        let since_ms = self.boottime_ms;
        let process = self.process.get_or_insert(Process { since_ms, ..Process::default() });
        let (boot_id, new_nonce) = (format!("boot {}", self.boot), format!("nonce {}", self.nonces));
        self.nonces += 1;
        let known = Known {
            recorded_here: process.recorded_here,
            reboot_asked: process.reboot_asked,
            in_phase_ms: self.boottime_ms - process.since_ms,
            cancelled: self.cancelled,
            keys_lost: self.keys_lost.then_some("no key"),
            new_nonce: &new_nonce,
            ..known(&boot_id, self.boottime_ms, &self.signed)
        };
        match next(&life(&self.journal), &known) {
            Action::RunTasks => {
                self.first_runs += 1;
                self.run_tasks();
            }
            Action::ResumeTasks => {
                let behind =
                    self.journal.iter().rposition(|event| matches!(event, Event::PartEnded { .. })).unwrap();
                let since = &self.journal[behind..];
                assert!(
                    !since.iter().any(|event| matches!(event, Event::TaskStarted { .. })),
                    "twice: {self:?}"
                );
                let Event::PartEnded { boot_id, .. } = &since[0] else { unreachable!() };
                assert_ne!(*boot_id, format!("boot {}", self.boot), "without a boot: {self:?}");
                self.run_tasks();
            }
            Action::Conclude(_) => {
                let changed = Outcome::Interrupted { interruption: keros_protocol::Interruption::default() };
                let event = after_tasks(changed, self.window_s, self.must_wait(true), &known);
                self.record(event);
            }
            Action::Record(event) => self.record(event),
            Action::Undo => {
                let remains = self.one_in(2);
                self.record(undone(remains.then_some(new_nonce.as_str())));
            }
            Action::AskReboot => {
                if let Some(process) = &mut self.process {
                    process.reboot_asked = true;
                }
                if !self.one_in(3) {
                    self.boot();
                }
            }
            Action::Wait { at_most_ms } => {
                assert!(at_most_ms > 0, "{self:?}");
                self.boottime_ms += at_most_ms;
            }
            Action::Nothing => assert!(self.is_over(), "{self:?}"),
        }
    }

    fn run_tasks(&mut self) {
        let number = u32::try_from(self.journal.len()).unwrap();
        self.journal.push(task_started(number));
        match self.number(6) {
            0 => self.process = None,
            1 => self.boot(),
            2 if self.resumed_behind < 3 => {
                self.resumed_behind += 1;
                let boot_id = format!("boot {}", self.boot);
                self.record(part_ended(&boot_id));
            }
            3 if self.cancelled.is_some() => {
                self.tasks_end(Outcome::Cancelled { task: None, summary: Summary::default(), by_root: false })
            }
            _ => self.tasks_end(succeeded()),
        }
    }

    fn tasks_end(&mut self, outcome: Outcome) {
        let (boot_id, new_nonce) = (format!("boot {}", self.boot), format!("nonce t{}", self.nonces));
        let changed = !self.one_in(3);
        let known = Known { new_nonce: &new_nonce, ..known(&boot_id, self.boottime_ms, &[]) };
        let event = after_tasks(outcome, self.window_s, self.must_wait(changed), &known);
        self.record(event);
    }

    const fn must_wait(&self, has_changed: bool) -> bool {
        self.window_s > 0 && has_changed || self.keys_lost
    }

    fn count(&self, matches: impl Fn(&Event) -> bool) -> usize {
        self.journal.iter().filter(|event| matches(event)).count()
    }

    fn check(&self) {
        let position = |matches: fn(&Event) -> bool| self.journal.iter().position(matches);
        assert!(self.first_runs <= 1, "a job runs once: {self:?}");
        assert_eq!(self.count(|event| matches!(event, Event::Ended { .. })), 1, "one end: {self:?}");
        assert!(self.is_over(), "the end is the last: {self:?}");
        let confirmed = position(|event| matches!(event, Event::Confirmed {}));
        let back = position(|event| matches!(event, Event::RollingBack { .. }));
        assert!(confirmed.is_none() || back.is_none(), "confirmed or undone, not both: {self:?}");
        let renewed = self.count(|event| matches!(event, Event::Confirming { renewed: true, .. }));
        assert!(renewed <= 1, "a window is begun anew once: {self:?}");
        let mut boots: Vec<_> = self
            .journal
            .iter()
            .filter_map(|event| if let Event::Rebooting { boot_id } = event { Some(boot_id) } else { None })
            .collect();
        boots.dedup();
        assert!(boots.len() <= 1, "one reboot for what remains: {self:?}");
        let Some(Event::Ended { outcome }) = self.journal.last() else { unreachable!() };
        assert_eq!(
            matches!(outcome, Outcome::RolledBack { .. }),
            back.is_some(),
            "the end says it: {self:?}"
        );
        assert!(!self.keys_lost || back.is_some(), "who takes the keys away is undone: {self:?}");
        if let Some(Event::Confirming { outcome: before, .. }) =
            self.journal.iter().find(|event| matches!(event, Event::Confirming { .. }))
        {
            assert!(confirmed.is_some() || back.is_some(), "a window has a decision: {self:?}");
            assert!(back.is_some() || **before == *outcome, "a confirmed job stays what it was: {self:?}");
        }
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "boot {}, {} ms, signed {:?}, {:#?}",
            self.boot, self.boottime_ms, self.signed, self.journal
        )
    }
}

#[test]
fn every_life_ends_once_and_truly_whatever_happens_to_its_processes() {
    let mut ends = std::collections::BTreeMap::<&str, u32>::new();
    for seed in 1..=20_000 {
        let mut world = World::new(seed);
        for _ in 0..30 {
            if world.is_over() {
                break;
            }
            if world.one_in(2) { world.mishap() } else { world.step() }
        }
        // From here on nothing comes from outside any more.
        let mut steps = 0;
        while !world.is_over() {
            world.step();
            steps += 1;
            assert!(steps < 60, "seed {seed}: it does not end: {world:?}");
        }
        world.check();
        let Some(Event::Ended { outcome }) = world.journal.last() else { unreachable!() };
        *ends.entry(outcome.name()).or_default() += 1;
    }
    // Else the histories would show nothing.
    for name in ["succeeded", "interrupted", "cancelled", "rolled_back"] {
        assert!(ends.get(name).is_some_and(|count| *count > 100), "{ends:?}");
    }
}
