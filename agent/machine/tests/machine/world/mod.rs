//! A small world around the machine: a gateway with a disk and a clock, an executor, a network and a center. Each of them
//! fails at random, and the machine is crashed between any two of its effects. The invariants are named where they are held;
//! `INVARIANTS.md` lists them.

mod bundles;
mod center;
mod executor;
mod random;
mod root;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use keros_machine::{
    Arrival, ClockFit, Effect, Event, Heard, Job, Kept, MAX_OPEN_JOBS, MAX_OUTBOX, Note, Now, Phase,
    SessionRequest, Setup, State, Verdict, next_wake_ms, step,
};
use keros_protocol::magic_link::Digest;
use keros_protocol::{
    CommandId, Envelope, Eui, Outcome, RefusalReason, Report, ReportPosition, Statement,
    executor as executor_protocol,
};

use bundles::{Bundles, Source};
use center::{Center, Message, OrderNature};
use executor::{After, Executor, Nature};
use random::Random;

pub(crate) const EUI: Eui = Eui::from_u64(0x7076_FF00_5607_0123);
const START_UNIX_S: u64 = 1_800_000_000;
const FIFTY_YEARS_S: u64 = 50 * 365 * 86_400;
const MIN_INTERVAL_MS: u64 = 60_000;
/// An answer to a question for the time may be that old.
const TIME_ANSWER_S: u64 = 601;

pub(crate) struct World {
    random: Random,
    seed: u64,
    /// Nothing fails any more.
    calm: bool,
    /// What the clock of the gateway says.
    wall: Wall,
    true_ms: u64,
    boot_at_ms: u64,
    process_at_ms: u64,
    state: State,
    disk: Kept,
    disk_full: bool,
    unsaved: bool,
    connected: bool,
    /// The connection is to be ended.
    reset: bool,
    /// What has happened while the effects of something else were carried out.
    queue: VecDeque<Event>,
    acting: bool,
    executor: Executor,
    bundles: Bundles,
    center: Center,
    /// Every report ever published, by number.
    published: BTreeMap<u64, (CommandId, Outcome)>,
    /// Commands that the disk has as running or ended: they must never be run again.
    past_start: BTreeSet<CommandId>,
    telemetry_at_ms: Option<u64>,
    /// Nonces that were exempt from the shortest interval, on this connection.
    exempt: BTreeSet<String>,
    nonces: u64,
    /// Jobs whose window began while things still failed.
    hard_windows: BTreeSet<CommandId>,
    /// What root wants cancelled on the gateway, and has no final answer to.
    root_wish: Option<CommandId>,
    /// Jobs that root was told are cancelled.
    cancelled_by_root: BTreeSet<CommandId>,
    /// Since when a cancellation is on its way to the executor.
    calm_cancel_ms: Option<u64>,
    pub(crate) counts: Counts,
}

/// What has happened, to show that the histories are not tame.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) orders: u64,
    pub(crate) crashes: u64,
    pub(crate) boots: u64,
    pub(crate) effects: u64,
    pub(crate) jumps: u64,
    pub(crate) old_messages: u64,
    pub(crate) confirmed: u64,
    pub(crate) rolled_back: u64,
    pub(crate) cancelled: u64,
    pub(crate) expired: u64,
    pub(crate) interrupted: u64,
    pub(crate) succeeded: u64,
    pub(crate) fetched: u64,
    pub(crate) fetch_failures: u64,
    /// Fetches that were stopped.
    pub(crate) stopped: u64,
    pub(crate) bad_copies: u64,
    /// Magic Links that nothing could be had of.
    pub(crate) unfetched: u64,
    /// Jobs of a technician that started with an absurd clock.
    pub(crate) by_hand: u64,
    /// Jobs that root has cancelled while they waited.
    pub(crate) by_root: u64,
}

impl Counts {
    fn fields(&mut self) -> [&mut u64; 19] {
        [
            &mut self.orders,
            &mut self.crashes,
            &mut self.boots,
            &mut self.effects,
            &mut self.jumps,
            &mut self.old_messages,
            &mut self.confirmed,
            &mut self.rolled_back,
            &mut self.cancelled,
            &mut self.expired,
            &mut self.interrupted,
            &mut self.succeeded,
            &mut self.fetched,
            &mut self.fetch_failures,
            &mut self.stopped,
            &mut self.bad_copies,
            &mut self.unfetched,
            &mut self.by_hand,
            &mut self.by_root,
        ]
    }

    pub(crate) fn add(&mut self, mut other: Self) {
        for (sum, count) in self.fields().into_iter().zip(other.fields()) {
            *sum += *count;
        }
    }

    pub(crate) fn least(mut self) -> u64 {
        self.fields().into_iter().map(|count| *count).min().unwrap_or_default()
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Wall {
    Right,
    FiftyYearsAhead,
    FiftyYearsBehind,
    /// A gateway without a clock battery.
    SinceBoot,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let stream = r#"{"stream":"00000000-0000-0000-0000-00000000000a","number":0}"#;
        let kept = Kept::new(serde_json::from_str::<ReportPosition>(stream).unwrap());
        Self {
            random: Random::new(seed),
            seed,
            calm: false,
            wall: Wall::Right,
            true_ms: START_UNIX_S * 1000,
            boot_at_ms: START_UNIX_S * 1000,
            process_at_ms: START_UNIX_S * 1000,
            disk: kept.clone(),
            state: State::new(setup(), kept),
            disk_full: false,
            unsaved: false,
            connected: false,
            reset: false,
            queue: VecDeque::new(),
            acting: false,
            executor: Executor { reachable: true, ..Executor::default() },
            bundles: Bundles::default(),
            center: Center::default(),
            published: BTreeMap::new(),
            past_start: BTreeSet::new(),
            telemetry_at_ms: None,
            exempt: BTreeSet::new(),
            nonces: 0,
            hard_windows: BTreeSet::new(),
            root_wish: None,
            cancelled_by_root: BTreeSet::new(),
            calm_cancel_ms: None,
            counts: Counts::default(),
        }
    }

    fn now(&self) -> Now {
        let true_s = self.true_s();
        let unix_s = match self.wall {
            Wall::Right => true_s,
            Wall::FiftyYearsAhead => true_s + FIFTY_YEARS_S,
            Wall::FiftyYearsBehind => true_s - FIFTY_YEARS_S,
            Wall::SinceBoot => 1000 + self.boot_ms() / 1000,
        };
        Now { unix_s, monotonic_ms: self.true_ms - self.process_at_ms }
    }

    fn true_s(&self) -> u64 {
        self.true_ms / 1000
    }

    fn boot_ms(&self) -> u64 {
        self.true_ms - self.boot_at_ms
    }

    /// One event through the machine as the shell does it; what follows from its effects comes after all of them.
    fn happen(&mut self, event: Event) {
        self.queue.push_back(event);
        while !self.acting
            && let Some(event) = self.queue.pop_front()
        {
            self.acting = true;
            self.happen_now(event);
            self.acting = false;
        }
    }

    /// Step, store, act; with a crash at any point.
    fn happen_now(&mut self, event: Event) {
        let is_command = matches!(event, Event::CommandArrived(_));
        let (state, mut effects) = step(self.now(), self.state.clone(), event);
        self.check_step(&state);
        if self.crash_now() {
            return;
        }
        if self.disk_full {
            self.unsaved = true;
            if is_command {
                return;
            }
            effects.retain(|effect| !effect.needs_store());
        } else {
            self.store(&state);
        }
        self.state = state;
        for effect in effects {
            self.counts.effects += 1;
            let crashes = self.counts.crashes;
            if self.crash_now() {
                return;
            }
            self.act(effect);
            if self.counts.crashes != crashes {
                // What was done led to another crash: the rest of this process's effects is gone.
                return;
            }
        }
        if self.unsaved && !self.disk_full {
            self.unsaved = false;
            self.happen(Event::StoreRecovered);
        }
    }

    fn store(&mut self, state: &State) {
        self.disk = state.kept().clone();
        let started = |job: &&Job| !matches!(job.phase, Phase::Accepted {} | Phase::Starting {});
        self.past_start.extend(state.jobs().iter().filter(started).map(|job| job.command_id));
        self.past_start.extend(state.ended().map(|job| job.command_id));
    }

    fn crash_now(&mut self) -> bool {
        let crash = !self.calm && self.random.percent(2);
        if crash && self.random.percent(20) {
            self.lose_power();
        } else if crash {
            self.crash();
        }
        crash
    }

    /// The agent's process is lost, and begins anew with what the disk has.
    fn crash(&mut self) {
        self.counts.crashes += 1;
        self.queue.clear();
        self.acting = false;
        self.executor.sessions.clear();
        self.bundles.crashed();
        self.connected = false;
        self.reset = false;
        self.unsaved = false;
        self.process_at_ms = self.true_ms;
        self.telemetry_at_ms = None;
        self.exempt.clear();
        let disk = serde_json::to_string(&self.disk).unwrap();
        self.state = State::new(setup(), serde_json::from_str(&disk).unwrap());
        self.happen(Event::Booted);
    }

    /// The gateway is without power for a moment, or for days.
    fn lose_power(&mut self) {
        let off_s = if self.random.percent(60) { self.random.below(3 * 86_400) } else { 1 };
        self.boot(off_s);
    }

    fn boot(&mut self, off_s: u64) {
        self.counts.boots += 1;
        self.true_ms += off_s * 1000;
        self.boot_at_ms = self.true_ms;
        self.wall = match self.random.below(4) {
            0 => Wall::SinceBoot,
            1 => Wall::FiftyYearsAhead,
            _ => Wall::Right,
        };
        self.executor.booted(0);
        self.crash();
    }

    fn act(&mut self, effect: Effect) {
        match effect {
            Effect::Publish(report) => self.publish(&report),
            Effect::SendTelemetry { nonces } => self.telemetry(nonces),
            Effect::Reconnect => self.reset = true,
            Effect::OpenSession { session, command_id, request } => self.open(session, command_id, request),
            Effect::CloseSession { session } => {
                self.executor.sessions.remove(&session);
            }
            Effect::Fetch { command_id, rehash } => self.fetch_ordered(command_id, rehash),
            Effect::StopFetch { command_id } => self.fetch_stopped(command_id),
            Effect::Note(Note::BadCopy(id, _)) => self.bundles.doubted(id),
            Effect::ForgetEnvelope { .. } | Effect::Note(_) => {}
        }
    }

    fn telemetry(&mut self, nonces: Vec<String>) {
        let soon_ms = self.telemetry_at_ms.map_or(u64::MAX, |at_ms| self.true_ms - at_ms);
        let exempt = nonces.iter().any(|nonce| !self.exempt.contains(nonce));
        let seed = self.seed;
        assert!(
            soon_ms >= MIN_INTERVAL_MS || exempt,
            "seed {seed}: telemetry_is_bounded: {soon_ms} ms after the last one, with {nonces:?}"
        );
        assert!(self.connected, "seed {seed}: telemetry without a connection");
        self.telemetry_at_ms = Some(self.true_ms);
        self.exempt.extend(nonces.clone());
        if self.calm || self.random.percent(80) {
            self.center.nonces = nonces;
        }
    }

    fn publish(&mut self, report: &Report) {
        let (number, seed) = (report.position.number, self.seed);
        let said = (report.command_id, report.outcome.clone());
        let before = self.published.insert(number, said.clone());
        assert!(
            before.is_none_or(|before| before == said),
            "seed {seed}: number_given_once: {number} was given twice"
        );
        assert!(report.after < number, "seed {seed}: reports_in_order: {number} after {}", report.after);
        if self.connected && (self.calm || self.random.percent(80)) {
            self.center.report(report);
        }
    }

    fn open(&mut self, session: u64, id: CommandId, request: SessionRequest) {
        let seed = self.seed;
        if request == SessionRequest::Run {
            assert!(!self.past_start.contains(&id), "seed {seed}: never_run_again: {id}");
        }
        if !self.executor.reachable {
            let message = "refused".to_owned();
            self.happen(Event::SessionClosed { session, handed_over: false, message });
            return;
        }
        let told = self.executor.work.get(&id).map_or(0, |work| work.journal.len());
        match request {
            SessionRequest::Run | SessionRequest::Attach => self.open_following(session, id, &request),
            SessionRequest::Cancel { statement } => {
                let event = self.executor.cancel(id, &signed(&statement));
                self.answer(session, id, told, event);
            }
            SessionRequest::Confirm { statement } => {
                let event = self.executor.confirm(id, &signed(&statement));
                self.answer(session, id, told, event);
            }
        }
    }

    /// The one answer of a side session, which may be lost; whoever follows the job hears the rest.
    fn answer(&mut self, session: u64, id: CommandId, told: usize, event: executor_protocol::Event) {
        let crashes = self.counts.crashes;
        if self.calm || self.random.percent(80) {
            self.happen(Event::Executor { session, event });
        }
        if self.counts.crashes == crashes {
            self.happen(Event::SessionClosed { session, handed_over: true, message: "end".to_owned() });
        }
        if self.counts.crashes == crashes && self.executor.work.contains_key(&id) {
            self.tell_followers(id, told);
        }
    }

    fn open_following(&mut self, session: u64, id: CommandId, request: &SessionRequest) {
        let seed = self.seed;
        let busy = self.executor.running().is_some_and(|running| running != id);
        assert!(!busy, "seed {seed}: one_job_at_a_time");
        if *request == SessionRequest::Attach && !self.executor.work.contains_key(&id) {
            let event =
                executor_protocol::Event::RequestFailed { message: "unknown".to_owned(), unknown: false };
            self.happen(Event::Executor { session, event });
            return;
        }
        if self.refuses_copy(session, id) {
            return;
        }
        let expired = self.center.orders[&id].expires_at_unix_s <= self.true_s();
        let nature = Nature {
            has_window: self.random.percent(60),
            remains: self.random.percent(40),
            reboots_at: self.random.percent(20).then_some(2),
        };
        self.executor.run(id, expired, nature);
        self.executor.sessions.insert(session, id);
        // A slow pipe: the session may be lost before the first line comes.
        if self.calm || self.random.percent(60) {
            self.replay(session, id, 0);
        } else if self.random.percent(70) {
            self.lose_session();
            self.cancel();
        }
    }

    /// Before it starts a job, the executor checks its bundle.
    fn refuses_copy(&mut self, session: u64, id: CommandId) -> bool {
        let seed = self.seed;
        if self.center.orders[&id].source.is_none() || self.executor.work.contains_key(&id) {
            return false;
        }
        assert!(self.bundles.was_whole(id), "seed {seed}: no_start_without_its_bundle: {id}");
        let Some(reason) = self.bundles.refusal(id) else { return false };
        self.counts.bad_copies += 1;
        let outcome = Outcome::Refused { reason, detail: "the copy".to_owned() };
        // The word may be lost.
        if self.calm || self.random.percent(80) {
            self.happen(Event::Executor { session, event: executor_protocol::Event::Ended { outcome } });
        }
        self.happen(Event::SessionClosed { session, handed_over: true, message: "over".to_owned() });
        true
    }

    /// All events from this one on, as `attach` repeats them.
    fn replay(&mut self, session: u64, id: CommandId, from: usize) {
        let events = self.executor.work[&id].journal[from..].to_vec();
        let crashes = self.counts.crashes;
        for event in events {
            if self.counts.crashes == crashes {
                self.happen(Event::Executor { session, event });
            }
        }
    }

    /// Whoever follows the job hears what its journal has from this event on.
    fn tell_followers(&mut self, id: CommandId, from: usize) {
        let followers: Vec<_> =
            self.executor.sessions.iter().filter(|(_, of)| **of == id).map(|(session, _)| *session).collect();
        let crashes = self.counts.crashes;
        for session in followers {
            if self.counts.crashes == crashes {
                self.replay(session, id, from);
            }
        }
    }

    /// The running job goes on by one step.
    fn work(&mut self) {
        let Some(id) = self.executor.running() else { return };
        if self.calm && self.center.orders[&id].cancelled && self.executor.work[&id].can_be_stopped() {
            // Its task takes long: the cancellation must come through before it ends.
            let since_ms = *self.calm_cancel_ms.get_or_insert(self.true_ms);
            let (seed, waited_ms) = (self.seed, self.true_ms - since_ms);
            assert!(waited_ms < 1_200_000, "seed {seed}: cancellation_reaches_the_executor: {id}");
            return;
        }
        self.calm_cancel_ms = None;
        let before = self.executor.work[&id].journal.len();
        let after = self.executor.step(id, self.boot_ms());
        let crashes = self.counts.crashes;
        self.tell_followers(id, before);
        if matches!(after, After::Reboot) && self.counts.crashes == crashes {
            self.boot(1);
        }
    }

    fn lose_session(&mut self) {
        if let Some((session, _)) = self.executor.sessions.pop_first() {
            self.happen(Event::SessionClosed { session, handed_over: true, message: "lost".to_owned() });
        }
    }

    fn order(&mut self) {
        self.counts.orders += 1;
        let life_s = match self.random.below(10) {
            0 | 1 => self.random.below(60) + 1,
            2..=5 => 86_400,
            _ => 10_000_000,
        };
        let is_link = self.random.percent(40);
        let source = match self.random.below(10) {
            0 => Source::Refuses,
            1 | 2 => Source::Away,
            _ => Source::Gives,
        };
        let nature = OrderNature {
            expires_at_unix_s: self.true_s() + life_s,
            refused: self.random.percent(10),
            source: is_link.then_some(source),
            by_hand: is_link && self.random.percent(40),
        };
        self.center.order(id(self.counts.orders), nature);
        if self.random.percent(10) {
            self.cancel();
        }
    }

    /// The operator cancels a command; often the center has just the moment to say so.
    fn cancel(&mut self) {
        if self.center.cancel(&mut self.random) {
            self.downlink();
        }
    }

    fn downlink(&mut self) {
        if !self.connected {
            return;
        }
        let message = self.center.answer(self.true_s());
        if self.calm || self.random.percent(80) {
            self.deliver(message);
        }
    }

    /// The network brings an old message again, out of order.
    fn old_message(&mut self) {
        if let Some(message) = self.center.old_message(&mut self.random).filter(|_| self.connected) {
            self.counts.old_messages += 1;
            self.deliver(message);
        }
    }

    fn deliver(&mut self, message: Message) {
        let crashes = self.counts.crashes;
        let payload = serde_json::to_string(&message.statement).unwrap();
        let envelope = Envelope { payload_type: "s".to_owned(), payload, signatures: Vec::new() };
        let fresh_nonce = self.fresh_nonce();
        let heard = Heard { statement: message.statement, envelope, fresh_nonce };
        self.happen(Event::StatementVerified(Box::new(heard)));
        for id in message.commands {
            if self.counts.crashes == crashes {
                let arrival = self.judge(id);
                self.happen(Event::CommandArrived(arrival));
            }
        }
        if self.counts.crashes == crashes {
            self.happen(Event::TelemetryAnswered { packages_known: None });
        }
    }

    fn judge(&self, id: CommandId) -> Arrival {
        let order = &self.center.orders[&id];
        let (seed, expires) = (self.seed, order.expires_at_unix_s);
        let refused = |reason| Verdict::Refused { reason, detail: "no".to_owned() };
        let verdict = if order.refused {
            refused(RefusalReason::NotKeros6)
        } else if expires <= self.state.judged_time(self.now()) {
            assert!(expires <= self.true_s(), "seed {seed}: nothing_expires_early: {id} as it came");
            refused(RefusalReason::Expired)
        } else {
            Verdict::Eligible {
                kind: "jetporch".to_owned(),
                expires_at_unix_s: expires,
                total_s: 3600,
                link: order.source.as_ref().map(|_| Digest::of(b"bundle")),
                by_hand: order.by_hand,
            }
        };
        Arrival { command_id: id, update_id: None, verdict }
    }

    fn fresh_nonce(&mut self) -> String {
        self.nonces += 1;
        format!("t{}", self.nonces)
    }

    fn connect(&mut self) {
        self.connected = true;
        self.reset = false;
        self.exempt.clear();
        let fresh_nonce = self.fresh_nonce();
        self.happen(Event::Connected { fresh_nonce });
    }

    fn disconnect(&mut self) {
        self.connected = false;
        self.happen(Event::Disconnected);
    }

    /// The shell's link task: ends the connection when it was asked to, and makes a new one.
    fn link(&mut self) {
        let crashes = self.counts.crashes;
        if self.connected && self.reset {
            self.disconnect();
        }
        if !self.connected && self.counts.crashes == crashes {
            self.connect();
        }
    }

    /// Sleeps as the shell does, to the next deadline or a while.
    fn sleep(&mut self) {
        let now_ms = self.now().monotonic_ms;
        let a_while = now_ms + self.random.below(120_000) + 1;
        let wake = next_wake_ms(&self.state, self.now()).unwrap_or(a_while);
        self.true_ms += if self.calm { wake.clamp(now_ms + 10, now_ms + 600_000) } else { wake.min(a_while) }
            .saturating_sub(now_ms);
        self.happen(Event::Woken);
    }

    /// Something happens.
    pub(crate) fn tick(&mut self) {
        match self.random.below(26) {
            0 => self.order(),
            1..=3 => self.downlink(),
            4 => self.lose_session(),
            5 => self.executor.reachable = self.random.percent(60),
            6 | 7 => self.link(),
            8 => self.disconnect(),
            9 => self.disk_full = self.random.percent(30),
            10 if self.random.percent(60) => self.cancel(),
            11 => self.happen(Event::TelemetryWanted),
            12..=14 => self.work(),
            15 => self.old_message(),
            16 => {
                self.counts.jumps += 1;
                let walls = [
                    Wall::Right,
                    Wall::FiftyYearsAhead,
                    Wall::FiftyYearsBehind,
                    Wall::Right,
                    Wall::SinceBoot,
                ];
                self.wall = walls[self.random.below(5) as usize];
            }
            17 | 18 => self.damage_a_copy(),
            19..=21 => self.fetch(),
            22 => self.root(),
            _ => self.sleep(),
        }
        self.check_fetching();
    }

    /// Nothing fails any more, only the clock may stay wrong: all must come to an end.
    pub(crate) fn settle(&mut self) {
        self.calm = true;
        self.disk_full = false;
        self.executor.reachable = true;
        self.hard_windows = self.executor.with_window().collect();
        for _ in 0..3000 {
            if self.is_settled() {
                return;
            }
            self.link();
            self.downlink();
            self.work();
            self.fetch();
            self.root_asks();
            self.sleep();
            self.check_fetching();
        }
        let open: Vec<_> = self
            .center
            .orders
            .iter()
            .filter(|(_, order)| order.terminal.is_none())
            .map(|(id, _)| id)
            .collect();
        panic!("seed {}: everything_ends: {open:?} have no end; {:?}", self.seed, self.state);
    }

    fn is_settled(&self) -> bool {
        let told = self.center.orders.values().all(|order| order.terminal.is_some());
        told && self.state.reports_pending() == 0 && self.bundles.is_idle() && self.root_wish.is_none()
    }

    /// What must hold between two states.
    fn check_step(&mut self, after: &State) {
        let (seed, true_s) = (self.seed, self.true_s());
        for job in after.jobs().iter().filter(|job| job.phase == Phase::Starting {}) {
            let expires = self.center.orders[&job.command_id].expires_at_unix_s;
            let was = self.state.jobs().iter().find(|before| before.command_id == job.command_id);
            let starts = was.is_none_or(|before| before.phase == Phase::Accepted {});
            let id = job.command_id;
            assert!(
                !starts || true_s < expires + TIME_ANSWER_S || job.by_hand,
                "seed {seed}: nothing_expired_runs: {id}, {} s late, clock {:?}",
                true_s - expires,
                self.wall
            );
            assert!(!(starts && job.cancelled_by_root), "seed {seed}: cancelled_by_root_never_starts: {id}");
            if starts {
                self.check_order(after, id);
                let absurd = after.time_judge().fit(self.now()) != ClockFit::Fits;
                self.counts.by_hand += u64::from(job.by_hand && absurd);
            }
        }
        let waits_for_clock = after.problem().is_some_and(|problem| problem.contains("clock"));
        let by_hand = after.jobs().first().is_some_and(|job| job.by_hand && job.phase == Phase::Accepted {});
        assert!(!(by_hand && waits_for_clock), "seed {seed}: what_is_brought_needs_no_clock");
        let newest = after
            .ended()
            .next()
            .filter(|job| self.state.jobs().iter().any(|j| j.command_id == job.command_id));
        if let Some(job) = newest {
            self.check_unfetched(job.command_id, &job.outcome);
            self.check_refused_copy(job.command_id, &job.outcome);
        }
        if let Some(job) = newest
            && matches!(job.outcome, Outcome::Refused { reason: RefusalReason::Expired, .. })
            && !self.executor.work.contains_key(&job.command_id)
        {
            let expires = self.center.orders[&job.command_id].expires_at_unix_s;
            assert!(expires <= true_s + 1, "seed {seed}: nothing_expires_early: {}", job.command_id);
        }
        assert!(after.time_floor() <= true_s, "seed {seed}: floor_is_never_ahead");
        assert!(after.jobs().len() <= MAX_OPEN_JOBS, "seed {seed}: stores_are_bounded: jobs");
        let most = MAX_OUTBOX + 3 * MAX_OPEN_JOBS;
        assert!(after.reports_pending() as usize <= most, "seed {seed}: stores_are_bounded: reports");
    }

    /// The center's truth is the executor's.
    pub(crate) fn check(&mut self) {
        let seed = self.seed;
        for (id, order) in &self.center.orders {
            let work = self.executor.work.get(id);
            let starts = work.map_or(0, |work| work.starts);
            assert!(starts <= 1, "seed {seed}: started_at_most_once: {id}, {starts} times");
            assert!(!order.never_to_start || starts == 0, "seed {seed}: cancelled_before_it_came: {id}");
            let told = order.terminal.as_ref().unwrap();
            let by_root = matches!(told, Outcome::Cancelled { task: None, by_root: true, .. });
            assert!(
                by_root || !self.cancelled_by_root.contains(id),
                "seed {seed}: root_was_told_the_truth: {id} is {told}"
            );
            match work.and_then(|work| work.end.as_ref()) {
                Some(end) => assert_eq!(told, end, "seed {seed}: the_center_knows_the_truth: {id}"),
                None => assert!(
                    starts == 0
                        && matches!(told, Outcome::Refused { .. } | Outcome::Cancelled { task: None, .. }),
                    "seed {seed}: the_center_knows_the_truth: {id} was started {starts} times, yet {told}"
                ),
            }
            let unconfirmed =
                matches!(told, Outcome::RolledBack { reason, .. } if reason == executor::NOT_CONFIRMED);
            assert!(
                !unconfirmed || self.hard_windows.contains(id),
                "seed {seed}: reachable_center_confirms: {id} was undone"
            );
            match told {
                Outcome::RolledBack { .. } => self.counts.rolled_back += 1,
                Outcome::Cancelled { .. } => self.counts.cancelled += 1,
                Outcome::Refused { reason: RefusalReason::Expired, .. } => self.counts.expired += 1,
                Outcome::Refused { reason: RefusalReason::FetchFailed, .. } => self.counts.unfetched += 1,
                Outcome::Interrupted { .. } => self.counts.interrupted += 1,
                Outcome::Succeeded { .. } => self.counts.succeeded += 1,
                _ => {}
            }
            self.counts.confirmed += u64::from(work.is_some_and(|work| work.confirmed));
        }
        assert!(self.state.jobs().is_empty(), "seed {seed}");
    }
}

fn setup() -> Setup {
    Setup {
        eui: EUI,
        telemetry_interval_ms: 3_600_000,
        telemetry_min_interval_ms: MIN_INTERVAL_MS,
        built_at_unix_s: START_UNIX_S - 1_000_000,
    }
}

fn id(number: u64) -> CommandId {
    format!("{number:032x}").parse().unwrap()
}

/// What a statement's envelope carries, as the executor reads it.
fn signed(envelope: &Envelope) -> Statement {
    serde_json::from_str(&envelope.payload).unwrap()
}
