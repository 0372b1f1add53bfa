//! A small world around the machine: a disk, an executor, a center and a network, each of which fails at random. The
//! generator is seeded, so that a failing history can be run again.

use std::collections::{BTreeMap, BTreeSet};

use keros_machine::{
    Arrival, Effect, Event, Heard, Kept, Now, SessionRequest, Setup, State, Verdict, next_wake_ms, step,
};
use keros_protocol::{
    Cancellation, CommandId, Envelope, Eui, Outcome, RefusalReason, Report, ReportPosition, Statement,
    Summary, TaskRef, executor,
};

/// Xorshift64*: enough for choosing what goes wrong.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }

    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

pub(crate) const EUI: Eui = Eui::from_u64(0x7076_FF00_5607_0123);
pub(crate) const START_UNIX_S: u64 = 1_800_000_000;

pub(crate) fn setup() -> Setup {
    Setup {
        eui: EUI,
        telemetry_interval_ms: 3_600_000,
        telemetry_min_interval_ms: 60_000,
        built_at_unix_s: START_UNIX_S - 1_000_000,
    }
}

pub(crate) fn id(number: u64) -> CommandId {
    format!("{number:032x}").parse().unwrap()
}

pub(crate) fn stream() -> ReportPosition {
    serde_json::from_str(r#"{"stream":"00000000-0000-0000-0000-00000000000a","number":0}"#).unwrap()
}

pub(crate) fn eligible(id: CommandId, expires_at_unix_s: u64) -> Event {
    let verdict = Verdict::Eligible { kind: "jetporch".to_owned(), expires_at_unix_s, total_s: 3600 };
    Event::CommandArrived(Arrival { command_id: id, update_id: None, verdict })
}

pub(crate) fn refused(id: CommandId, reason: RefusalReason) -> Event {
    let verdict = Verdict::Refused { reason, detail: "no".to_owned() };
    Event::CommandArrived(Arrival { command_id: id, update_id: None, verdict })
}

pub(crate) fn statement(time_unix_s: u64, last_report: Option<ReportPosition>) -> Statement {
    Statement { eui: EUI, time_unix_s, last_report, cancellations: Vec::new(), nonces: Vec::new() }
}

pub(crate) fn task(number: u32) -> TaskRef {
    TaskRef { number, count: 3, name: format!("task {number}") }
}

#[derive(Default)]
struct Work {
    starts: u32,
    tasks: u32,
    end: Option<Outcome>,
}

/// What the executor does, on its own: the agent's crashes do not touch it.
#[derive(Default)]
struct Executor {
    reachable: bool,
    work: BTreeMap<CommandId, Work>,
    /// Open sessions: number and command.
    sessions: BTreeMap<u64, CommandId>,
}

#[derive(Default)]
struct Center {
    orders: BTreeMap<CommandId, Order>,
    last: Option<ReportPosition>,
}

struct Order {
    expires_at_unix_s: u64,
    refused: bool,
    cancelled: bool,
    received: bool,
    terminal: Option<Outcome>,
}

pub(crate) struct World {
    pub(crate) random: Random,
    seed: u64,
    calm: bool,
    unix_s: u64,
    monotonic_ms: u64,
    state: State,
    disk: String,
    disk_full: bool,
    unsaved: bool,
    connected: bool,
    executor: Executor,
    center: Center,
    /// Every report ever published, by number.
    published: BTreeMap<u64, (CommandId, Outcome)>,
    /// Commands that the disk has as running or ended: they must never be run again.
    past_start: BTreeSet<CommandId>,
    telemetry_at_ms: Option<u64>,
    nonces: Vec<String>,
    connections: u64,
    pub(crate) crashes: u32,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let kept = Kept::new(stream());
        Self {
            random: Random::new(seed),
            seed,
            calm: false,
            unix_s: START_UNIX_S,
            monotonic_ms: 0,
            disk: serde_json::to_string(&kept).unwrap(),
            state: State::new(setup(), kept),
            disk_full: false,
            unsaved: false,
            connected: false,
            executor: Executor { reachable: true, ..Executor::default() },
            center: Center::default(),
            published: BTreeMap::new(),
            past_start: BTreeSet::new(),
            telemetry_at_ms: None,
            nonces: Vec::new(),
            connections: 0,
            crashes: 0,
        }
    }

    fn now(&self) -> Now {
        Now { unix_s: self.unix_s, monotonic_ms: self.monotonic_ms }
    }

    /// One event through the machine as the shell does it: step, store, act; with a crash at any point.
    fn happen(&mut self, event: Event) {
        let is_command = matches!(event, Event::CommandArrived(_));
        let (state, mut effects) = step(self.now(), self.state.clone(), event);
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
            self.disk = serde_json::to_string(state.kept()).unwrap();
            self.note_past_start();
        }
        self.state = state;
        for effect in effects {
            if self.crash_now() {
                return;
            }
            let crashes = self.crashes;
            self.act(effect);
            if self.crashes != crashes {
                // What was done led to another crash: the rest of this process's effects is gone.
                return;
            }
        }
        if self.unsaved && !self.disk_full {
            self.unsaved = false;
            self.happen(Event::StoreRecovered);
        }
    }

    fn note_past_start(&mut self) {
        let disk: serde_json::Value = serde_json::from_str(&self.disk).unwrap();
        let started =
            disk["jobs"].as_array().unwrap().iter().filter(|job| job["phase"]["phase"] == "running");
        for job in started.chain(disk["ended"].as_array().unwrap()) {
            self.past_start.insert(job["command_id"].as_str().unwrap().parse().unwrap());
        }
    }

    fn crash_now(&mut self) -> bool {
        let crash = !self.calm && self.random.percent(2);
        if crash {
            self.crash();
        }
        crash
    }

    fn crash(&mut self) {
        self.crashes += 1;
        self.executor.sessions.clear();
        self.connected = false;
        self.unsaved = false;
        self.monotonic_ms = 0;
        self.telemetry_at_ms = None;
        // A gateway without a clock battery.
        self.unix_s = if self.random.percent(20) { 1000 } else { self.unix_s.max(START_UNIX_S) };
        self.state = State::new(setup(), serde_json::from_str(&self.disk).unwrap());
        self.happen(Event::Booted);
    }

    fn act(&mut self, effect: Effect) {
        match effect {
            Effect::Publish(report) => self.publish(*report),
            Effect::SendTelemetry { nonces } => {
                self.nonces = nonces;
                self.telemetry();
            }
            Effect::Reconnect => {}
            Effect::OpenSession { session, command_id, request } => self.open(session, command_id, request),
            Effect::CloseSession { session } => {
                self.executor.sessions.remove(&session);
            }
            Effect::ForgetEnvelope { .. } | Effect::Note(_) => {}
        }
    }

    fn telemetry(&mut self) {
        let too_soon = self.telemetry_at_ms.is_some_and(|at| self.monotonic_ms < at + 60_000);
        assert!(!too_soon, "seed {}: telemetry more often than allowed", self.seed);
        assert!(self.connected, "seed {}: telemetry without a connection", self.seed);
        self.telemetry_at_ms = Some(self.monotonic_ms);
    }

    fn publish(&mut self, report: Report) {
        let (number, seed) = (report.position.number, self.seed);
        let said = (report.command_id, report.outcome.clone());
        let before = self.published.insert(number, said.clone());
        assert!(before.is_none_or(|before| before == said), "seed {seed}: number {number} was given twice");
        assert!(report.after < number, "seed {seed}: {number} after {}", report.after);
        if !self.connected || (!self.calm && self.random.percent(20)) {
            return;
        }
        let last = self.center.last.map_or(0, |last| last.number);
        if number <= last || report.after > last {
            return;
        }
        self.center.last = Some(report.position);
        let order =
            self.center.orders.get_mut(&report.command_id).expect("a report about a command never sent");
        order.received = true;
        if report.outcome.is_terminal() {
            let before = order.terminal.replace(report.outcome.clone());
            let same = before.is_none_or(|before| before == report.outcome);
            assert!(same, "seed {seed}: a second terminal outcome for {}", report.command_id);
        }
    }

    fn open(&mut self, session: u64, id: CommandId, request: SessionRequest) {
        if matches!(request, SessionRequest::Cancel { .. } | SessionRequest::Confirm { .. }) {
            let message = "not here".to_owned();
            self.happen(Event::SessionClosed { session, handed_over: false, message });
            return;
        }
        if request == SessionRequest::Run {
            assert!(!self.past_start.contains(&id), "seed {}: {id} is run again", self.seed);
        }
        if !self.executor.reachable {
            let message = "refused".to_owned();
            self.happen(Event::SessionClosed { session, handed_over: false, message });
            return;
        }
        let busy = self.executor.work.iter().any(|(other, work)| *other != id && work.end.is_none());
        assert!(!busy, "seed {}: a second job at the same time", self.seed);
        self.executor.sessions.insert(session, id);
        let expired = self.center.orders[&id].expires_at_unix_s <= self.unix_s;
        let work = self.executor.work.entry(id).or_default();
        if work.starts == 0 && work.end.is_none() {
            if expired {
                let reason = RefusalReason::Expired;
                work.end = Some(Outcome::Refused { reason, detail: "the executor".to_owned() });
            } else {
                work.starts += 1;
            }
        }
        // A slow pipe: the session may be lost before the first line comes.
        if self.calm || self.random.percent(60) {
            self.replay(session, id);
        } else if self.random.percent(70) {
            self.lose_session();
            self.cancel();
        }
    }

    /// All events so far, as `attach` repeats them.
    fn replay(&mut self, session: u64, id: CommandId) {
        let work = &self.executor.work[&id];
        let mut events = Vec::new();
        if work.starts > 0 {
            events.push(executor::Event::Started { command_id: id, time_unix_s: 0, tasks: 3 });
        }
        events.extend((1..=work.tasks).map(task_started));
        events.extend(work.end.clone().map(|outcome| executor::Event::Ended { outcome }));
        let crashes = self.crashes;
        for event in events {
            if self.crashes == crashes {
                self.happen(Event::Executor { session, event });
            }
        }
    }

    /// The running job goes on by one step.
    fn work(&mut self) {
        let running = self.executor.work.iter_mut().find(|(_, work)| work.end.is_none());
        let Some((id, work)) = running else { return };
        let id = *id;
        let event = if work.tasks < 3 {
            work.tasks += 1;
            task_started(work.tasks)
        } else {
            let outcome = Outcome::Succeeded { summary: Summary::default(), dry_run: false };
            work.end = Some(outcome.clone());
            executor::Event::Ended { outcome }
        };
        let session = self.executor.sessions.iter().find(|(_, of)| **of == id).map(|(session, _)| *session);
        if let Some(session) = session {
            self.happen(Event::Executor { session, event });
        }
    }

    fn lose_session(&mut self) {
        if let Some((session, _)) = self.executor.sessions.pop_first() {
            self.happen(Event::SessionClosed { session, handed_over: true, message: "lost".to_owned() });
        }
    }

    fn order(&mut self) {
        let number = self.center.orders.len() as u64 + 1;
        let life_s = if self.random.percent(15) { self.random.below(60) + 1 } else { 1_000_000 };
        let order = Order {
            expires_at_unix_s: self.unix_s.max(START_UNIX_S) + life_s,
            refused: self.random.percent(10),
            cancelled: false,
            received: false,
            terminal: None,
        };
        self.center.orders.insert(id(number), order);
    }

    /// The operator cancels a command that has no end yet; often the center has just the moment to say so.
    fn cancel(&mut self) {
        let open = self.center.orders.values_mut().filter(|order| order.terminal.is_none());
        let mut open: Vec<_> = open.collect();
        if !open.is_empty() {
            let chosen = self.random.below(open.len() as u64) as usize;
            open[chosen].cancelled = true;
            self.downlink();
        }
    }

    /// A Downlink: acknowledgement, cancellations, and all commands that the center has no `received` for.
    fn downlink(&mut self) {
        if !self.connected {
            return;
        }
        let mut said = statement(self.unix_s.max(START_UNIX_S), self.center.last);
        said.nonces = std::mem::take(&mut self.nonces);
        let open = self.center.orders.iter().filter(|(_, order)| order.cancelled && order.terminal.is_none());
        said.cancellations = open.map(|(id, _)| Cancellation { command_id: *id }).collect();
        let mut unreceived: Vec<_> = self.center.orders.iter().filter(|(_, order)| !order.received).collect();
        if !self.calm && self.random.percent(10) {
            // One that was received comes again all the same.
            unreceived.extend(self.center.orders.iter().filter(|(_, order)| order.received).take(1));
        }
        let commands = unreceived.into_iter().take(16).map(|(id, order)| {
            let expired = order.expires_at_unix_s <= self.unix_s.max(START_UNIX_S);
            match (order.refused, expired) {
                (true, _) => refused(*id, RefusalReason::NotKeros6),
                (false, true) => refused(*id, RefusalReason::Expired),
                (false, false) => eligible(*id, order.expires_at_unix_s),
            }
        });
        let commands: Vec<_> = commands.collect();
        let crashes = self.crashes;
        let envelope =
            Envelope { payload_type: "s".to_owned(), payload: String::new(), signatures: Vec::new() };
        self.connections += 1;
        let fresh_nonce = format!("h{}", self.connections);
        self.happen(Event::StatementVerified(Box::new(Heard { statement: said, envelope, fresh_nonce })));
        for command in commands {
            if self.crashes == crashes {
                self.happen(command);
            }
        }
        if self.crashes == crashes {
            self.happen(Event::TelemetryAnswered { packages_known: None });
        }
    }

    fn connect(&mut self) {
        self.connections += 1;
        self.happen(Event::Connected { fresh_nonce: format!("c{}", self.connections) });
    }

    /// Sleeps as the shell does, to the next deadline or a while.
    fn sleep(&mut self) {
        let a_while = self.monotonic_ms + self.random.below(60_000) + 1;
        let wake = next_wake_ms(&self.state, self.now()).unwrap_or(a_while);
        let wake = if self.calm { wake.max(self.monotonic_ms + 10) } else { wake.min(a_while) };
        let slept_ms = wake.saturating_sub(self.monotonic_ms);
        self.monotonic_ms += slept_ms;
        self.unix_s += slept_ms.div_ceil(1000);
        self.happen(Event::Woken);
    }

    /// Something happens.
    pub(crate) fn tick(&mut self) {
        match self.random.below(16) {
            0 => self.order(),
            1..=3 => self.downlink(),
            4 => self.lose_session(),
            5 => self.executor.reachable = self.random.percent(60),
            6 => {
                self.connected = true;
                self.connect();
            }
            7 => {
                self.connected = false;
                self.happen(Event::Disconnected);
            }
            8 => self.disk_full = self.random.percent(30),
            9 => self.cancel(),
            10 => self.happen(Event::TelemetryWanted),
            11..=13 => self.work(),
            _ => self.sleep(),
        }
    }

    /// Nothing fails any more: all must come to an end.
    pub(crate) fn settle(&mut self) {
        self.calm = true;
        self.disk_full = false;
        self.executor.reachable = true;
        self.unix_s = self.unix_s.max(START_UNIX_S);
        self.connected = true;
        self.connect();
        for _ in 0..2000 {
            if self.is_settled() {
                return;
            }
            self.downlink();
            self.work();
            self.sleep();
        }
        let open: Vec<_> = self.center.orders.iter().filter(|(_, order)| order.terminal.is_none()).collect();
        panic!(
            "seed {}: {} commands have no end, first {:?}; {}",
            self.seed,
            open.len(),
            open[0].0,
            self.disk
        );
    }

    fn is_settled(&self) -> bool {
        self.center.orders.values().all(|order| order.terminal.is_some()) && self.state.reports_pending() == 0
    }

    /// The center's truth is the executor's.
    pub(crate) fn check(&self) {
        let seed = self.seed;
        for (id, order) in &self.center.orders {
            let work = self.executor.work.get(id);
            let starts = work.map_or(0, |work| work.starts);
            assert!(starts <= 1, "seed {seed}: {id} was started {starts} times");
            let told = order.terminal.as_ref().unwrap();
            match work.and_then(|work| work.end.as_ref()) {
                Some(end) => assert_eq!(told, end, "seed {seed}: {id}"),
                None => assert!(
                    starts == 0
                        && matches!(told, Outcome::Refused { .. } | Outcome::Cancelled { task: None, .. }),
                    "seed {seed}: {id} was started {starts} times and has not ended, yet {told}"
                ),
            }
        }
        assert!(self.state.jobs().is_empty(), "seed {seed}");
    }

    pub(crate) fn orders(&self) -> usize {
        self.center.orders.len()
    }
}

fn task_started(number: u32) -> executor::Event {
    executor::Event::TaskStarted {
        task: task(number),
        module: "shell".to_owned(),
        role: None,
        handler: false,
        file: None,
        line: number,
    }
}
