//! A virtual gateway: the agent's real machine, a disk and an executor in memory. It knows no network: what it publishes is taken
//! from [`Gateway::out`], what comes is handed to it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use keros_machine::{
    Arrival, Effect, Event, Heard, Kept, Note, Now, SessionRequest, Setup, State, Verdict, step,
};
use keros_protocol::eligibility::{self, check, claimed_ids};
use keros_protocol::topics::Leaf;
use keros_protocol::{
    CommandId, Downlink, Envelope, Eui, KerosVersion, KeyRing, Outcome, Package, ReportPosition, Statement,
};
use keros_tests::Random;
use uuid::Uuid;

use crate::executor::{Executor, Said};
use crate::telemetry;

/// The time of the world.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At {
    /// Since the world began, microseconds.
    pub(crate) us: u64,
    /// The true time when it began, milliseconds since 1970.
    pub(crate) began_unix_ms: u64,
}

impl At {
    pub(crate) const fn ms(self) -> u64 {
        self.us / 1000
    }

    pub(crate) const fn unix_ms(self) -> u64 {
        self.began_unix_ms + self.ms()
    }
}

/// What all gateways of a fleet have in common.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) command_keys: KeyRing,
    pub(crate) statement_keys: KeyRing,
    pub(crate) version: KerosVersion,
    pub(crate) packages: Vec<Package>,
    pub(crate) packages_digest: String,
    pub(crate) interval_ms: u64,
}

/// What a gateway wants of the network.
#[derive(Debug)]
pub(crate) enum Out {
    /// Publish it.
    Publish {
        /// Below the gateway's own topic.
        leaf: Leaf,
        /// The message.
        payload: Vec<u8>,
        /// The telemetry's id, as correlation data.
        correlation: Option<Uuid>,
    },
    /// Begin a new connection.
    Reconnect,
}

/// What happens to a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// Its connection breaks.
    ConnectionLost,
    /// Its agent ends and starts again; the executor goes on.
    AgentRestarted,
    /// Its power fails.
    PowerLost,
    /// Its agent comes up without its state.
    StateLost,
}

/// What is kept when the agent is not there.
#[derive(Debug)]
struct Disk {
    kept: Kept,
    commands: BTreeMap<CommandId, Envelope>,
}

/// A telemetry that is not answered.
#[derive(Debug, Clone, Copy)]
struct Asked {
    telemetry_id: Uuid,
    with_packages: bool,
    at_us: u64,
}

/// A telemetry was answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered {
    /// How long it took.
    pub(crate) us: u64,
    /// It had the list of packages, as the first one of each gateway.
    pub(crate) with_packages: bool,
}

/// One gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) eui: Eui,
    profile: Arc<Profile>,
    /// `None` only while it is moved.
    state: Option<State>,
    disk: Disk,
    executor: Executor,
    random: Random,
    begun_ms: u64,
    /// How far its clock is ahead, milliseconds: telemetry must not come from all at the same instant.
    ahead_ms: u64,
    asked: Option<Asked>,
    nonces: u64,
    /// What it wants of the network.
    pub(crate) out: Vec<Out>,
    /// How its commands ended, as its reports say.
    told: BTreeMap<CommandId, Outcome>,
    /// Statements and commands that were not believed.
    pub(crate) disbelieved: u64,
}

impl Gateway {
    pub(crate) fn new(eui: Eui, profile: &Arc<Profile>, seed: u64, at: At) -> Self {
        let mut random = Random::new(seed ^ eui.as_u64());
        let stream = stream(&mut random);
        let kept = Kept::new(stream);
        let ahead_ms = random.below(1000);
        let mut gateway = Self {
            eui,
            profile: Arc::clone(profile),
            state: None,
            disk: Disk { kept, commands: BTreeMap::new() },
            executor: Executor::default(),
            random,
            begun_ms: at.ms(),
            ahead_ms,
            asked: None,
            nonces: 0,
            out: Vec::new(),
            told: BTreeMap::new(),
            disbelieved: 0,
        };
        gateway.boot(at);
        gateway
    }

    fn boot(&mut self, at: At) {
        let setup = Setup {
            eui: self.eui,
            telemetry_interval_ms: self.profile.interval_ms,
            telemetry_min_interval_ms: (self.profile.interval_ms / 4).min(60_000),
            built_at_unix_s: 1_700_000_000,
        };
        self.begun_ms = at.ms();
        self.asked = None;
        self.out.clear();
        self.executor.unfollowed();
        self.state = Some(State::new(setup, self.disk.kept.clone()));
        self.happen(at, vec![Event::Booted]);
    }

    /// The broker has taken the connection and the subscription.
    pub(crate) fn connected(&mut self, at: At) {
        let fresh_nonce = self.nonce();
        self.happen(at, vec![Event::Connected { fresh_nonce }]);
    }

    /// The connection is gone.
    pub(crate) fn disconnected(&mut self, at: At) {
        self.asked = None;
        self.out.clear();
        self.happen(at, vec![Event::Disconnected]);
    }

    /// Time has passed.
    pub(crate) fn woken(&mut self, at: At) {
        let said = self.executor.advance(at.ms());
        let mut events: Vec<Event> = said.into_iter().map(to_event).collect();
        events.push(Event::Woken);
        self.happen(at, events);
    }

    /// When it must come around at the latest, on the world's clock, milliseconds.
    pub(crate) fn next_ms(&self, at: At) -> Option<u64> {
        let machine = self.state.as_ref().and_then(|state| keros_machine::next_wake_ms(state, self.now(at)));
        let machine = machine.map(|wake| wake.saturating_add(self.begun_ms));
        [machine, self.executor.next_ms()].into_iter().flatten().min()
    }

    /// Something happens to it. The connection is gone afterwards; the caller ends it.
    pub(crate) fn suffer(&mut self, mishap: Mishap, at: At) {
        match mishap {
            Mishap::ConnectionLost => self.disconnected(at),
            Mishap::AgentRestarted => self.boot(at),
            Mishap::PowerLost => {
                self.executor.power_lost();
                self.boot(at);
            }
            Mishap::StateLost => {
                self.disk.kept = Kept::after_loss(stream(&mut self.random));
                self.disk.commands.clear();
                self.boot(at);
            }
        }
    }

    /// One of the mishaps.
    pub(crate) fn draw_mishap(&mut self) -> Mishap {
        match self.random.below(10) {
            0..6 => Mishap::ConnectionLost,
            6 | 7 => Mishap::AgentRestarted,
            8 => Mishap::PowerLost,
            _ => Mishap::StateLost,
        }
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.random.below(bound)
    }

    /// A message of the center. Says when it was the answer to a telemetry.
    pub(crate) fn message(&mut self, at: At, payload: &[u8]) -> Option<Answered> {
        let Ok(downlink) = serde_json::from_slice::<Downlink>(payload) else {
            self.disbelieved += 1;
            return None;
        };
        if let Some(envelope) = downlink.statement {
            match self.statement(&envelope) {
                Some(statement) => {
                    let heard = Heard { statement, envelope, fresh_nonce: self.nonce() };
                    self.happen(at, vec![Event::StatementVerified(Box::new(heard))]);
                }
                None => self.disbelieved += 1,
            }
        }
        let mut events: Vec<Event> =
            downlink.commands.iter().filter_map(|envelope| self.judge(at, envelope)).collect();
        let asked = self.asked.take_if(|asked| downlink.telemetry_id == Some(asked.telemetry_id));
        if asked.is_some() {
            let known = !downlink.packages_wanted;
            let packages_known = known.then(|| self.profile.packages_digest.clone());
            events.push(Event::TelemetryAnswered { packages_known });
        }
        if downlink.nudge {
            events.push(Event::TelemetryWanted);
        }
        self.happen(at, events);
        asked.map(|asked| Answered { us: at.us - asked.at_us, with_packages: asked.with_packages })
    }

    fn statement(&self, envelope: &Envelope) -> Option<Statement> {
        let payload = envelope.verify(Envelope::STATEMENT, &self.profile.statement_keys).ok()?;
        serde_json::from_slice::<Statement>(&payload).ok().filter(|statement| statement.eui == self.eui)
    }

    fn judge(&mut self, at: At, envelope: &Envelope) -> Option<Event> {
        let state = self.state.as_ref()?;
        let now_unix_s = if state.is_after_loss() { 0 } else { state.judged_time(self.now(at)) };
        let (command_id, update_id) = claimed_ids(envelope)?;
        let verdict = match check(envelope, &self.eligibility(now_unix_s)) {
            Ok(command) => Verdict::Eligible {
                kind: command.job.kind().to_owned(),
                expires_at_unix_s: command.expires_at_unix_s,
                total_s: command.limits.clamped().total_s,
                link: command.job.link(),
                by_hand: false,
            },
            Err(refusal) => {
                self.disbelieved += 1;
                Verdict::Refused { reason: refusal.reason, detail: refusal.detail }
            }
        };
        let arrival = Arrival { command_id, update_id, verdict };
        if arrival.is_eligible() && !state.knows(command_id) && state.has_room() {
            self.disk.commands.insert(command_id, envelope.clone());
        }
        Some(Event::CommandArrived(arrival))
    }

    fn eligibility(&self, now_unix_s: u64) -> eligibility::Gateway<'_> {
        eligibility::Gateway {
            eui: self.eui,
            keros: Some(&self.profile.version),
            command_keys: &self.profile.command_keys,
            now_unix_s,
        }
    }

    fn now(&self, at: At) -> Now {
        let monotonic_ms = at.ms().saturating_sub(self.begun_ms);
        Now { unix_s: (at.unix_ms() + self.ahead_ms) / 1000, monotonic_ms }
    }

    fn nonce(&mut self) -> String {
        self.nonces += 1;
        format!("{}-{}-{:08x}", self.eui, self.nonces, self.random.below(1 << 32))
    }

    /// Moves the state, keeps it, and only then does what follows.
    fn happen(&mut self, at: At, events: Vec<Event>) {
        let mut queue = VecDeque::from(events);
        while let Some(event) = queue.pop_front() {
            let Some(state) = self.state.take() else { return };
            let (state, effects) = step(self.now(at), state, event);
            if effects.iter().any(Effect::needs_store) {
                self.disk.kept = state.kept().clone();
            }
            self.state = Some(state);
            for effect in effects {
                self.act(at, effect, &mut queue);
            }
        }
    }

    fn act(&mut self, at: At, effect: Effect, queue: &mut VecDeque<Event>) {
        match effect {
            Effect::Publish(report) => {
                if report.outcome.is_terminal() {
                    self.told.insert(report.command_id, report.outcome.clone());
                }
                let payload = serde_json::to_vec(&*report).unwrap_or_default();
                self.out.push(Out::Publish { leaf: Leaf::Report, payload, correlation: None });
            }
            Effect::SendTelemetry { nonces } => self.send_telemetry(at, nonces),
            Effect::Reconnect => self.out.push(Out::Reconnect),
            Effect::OpenSession { session, command_id, request } => {
                let said = self.open(at, session, command_id, request);
                queue.extend(said.into_iter().map(to_event));
            }
            Effect::ForgetEnvelope { command_id } => {
                self.disk.commands.remove(&command_id);
            }
            Effect::Note(Note::Untrusted(_)) => self.disbelieved += 1,
            // There are no Magic Links here; a session that nobody follows says nothing.
            Effect::CloseSession { .. }
            | Effect::Fetch { .. }
            | Effect::StopFetch { .. }
            | Effect::Note(_) => {}
        }
    }

    fn send_telemetry(&mut self, at: At, nonces: Vec<String>) {
        let Some(state) = &self.state else { return };
        let telemetry_id = Uuid::now_v7();
        let now = self.now(at);
        let telemetry = telemetry::compose(self.eui, &self.profile, state, now, telemetry_id, nonces);
        let with_packages = telemetry.installed_packages.is_some();
        let payload = serde_json::to_vec(&telemetry).unwrap_or_default();
        self.asked = Some(Asked { telemetry_id, with_packages, at_us: at.us });
        self.out.push(Out::Publish { leaf: Leaf::Telemetry, payload, correlation: Some(telemetry_id) });
    }

    fn open(&mut self, at: At, session: u64, id: CommandId, request: SessionRequest) -> Vec<Said> {
        match request {
            SessionRequest::Attach => self.executor.attach(session, id),
            SessionRequest::Run => {
                let Some(envelope) = self.disk.commands.get(&id) else { return vec![Said::Broke(session)] };
                // As Self::eligibility, of which the executor is no part.
                let gateway = eligibility::Gateway {
                    eui: self.eui,
                    keros: Some(&self.profile.version),
                    command_keys: &self.profile.command_keys,
                    now_unix_s: at.unix_ms() / 1000,
                };
                self.executor.run(session, envelope, &gateway, at.ms(), &mut self.random)
            }
            SessionRequest::Cancel { statement } => match self.statement(&statement) {
                Some(statement) => self.executor.cancel(session, id, &statement, at.ms()),
                None => vec![Said::Broke(session)],
            },
            SessionRequest::Confirm { statement } => match self.statement(&statement) {
                Some(statement) => self.executor.confirm(session, id, &statement),
                None => vec![Said::Broke(session)],
            },
        }
    }

    /// The true ends of its commands: what the executor did, else what the machine decided.
    pub(crate) fn ends(&self) -> BTreeMap<CommandId, Outcome> {
        let mut ends = self.told.clone();
        let done = self.executor.works.iter().filter_map(|(id, work)| Some((*id, work.end.clone()?)));
        ends.extend(done);
        ends
    }

    /// Updates of which more than one command was started here, or one more than once.
    pub(crate) fn started_twice(&self) -> usize {
        let mut starts: BTreeMap<_, u32> = BTreeMap::new();
        for work in self.executor.works.values() {
            *starts.entry(work.update_id.0).or_default() += work.starts;
        }
        starts.values().filter(|starts| **starts > 1).count()
    }

    /// Reports that the center has not acknowledged.
    pub(crate) fn reports_pending(&self) -> u32 {
        self.state.as_ref().map_or(0, State::reports_pending)
    }
}

fn stream(random: &mut Random) -> ReportPosition {
    let half = |random: &mut Random| u128::from(random.below(u64::MAX));
    let stream = (half(random) << 96) | (half(random) << 64) | (half(random) << 32) | half(random);
    ReportPosition { stream: Uuid::from_u128(stream | 1), number: 0 }
}

fn to_event(said: Said) -> Event {
    match said {
        Said::Line(session, event) => Event::Executor { session, event: *event },
        Said::Broke(session) => {
            Event::SessionClosed { session, handed_over: true, message: "the session has ended".to_owned() }
        }
    }
}
