//! The agent on the simulated gateway: the real machine, keeper and store, and hands that only note what is to be done.

use std::path::Path;
use std::sync::Arc;

use keros_agent::keeper::{Hands, Keeper};
use keros_agent::store::{Store, StoredCommand};
use keros_machine::{Arrival, Effect, Event, Heard, Now, SessionRequest, Setup, State, Verdict};
use keros_protocol::eligibility::{Gateway, check};
use keros_protocol::executor::Request;
use keros_protocol::{CommandId, Envelope, Job, KerosVersion, KeyRing, Report, ReportPosition};

use crate::center::{BEGIN_UNIX_S, Down, EUI, command_keys};
use crate::disk::{SharedDisk, SimDisk};
use crate::sim::Sim;

/// A run of the agent.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) keeper: Keeper,
    pub(crate) hands: SimHands,
    keys: KeyRing,
    version: KerosVersion,
}

/// What is to be done outside, in order.
#[derive(Debug)]
pub(crate) enum Wish {
    Report(Box<Report>),
    Telemetry { stream: uuid::Uuid, nonces: Vec<String> },
    Reconnect,
    Open { session: u64, request: Request },
    Close { session: u64 },
    Fetch { command_id: CommandId, rehash: bool },
    StopFetch { command_id: CommandId },
}

#[derive(Debug)]
pub(crate) struct SimHands {
    sim: Arc<Sim>,
    begun_at_ms: u64,
    pub(crate) wishes: Vec<Wish>,
}

impl Agent {
    /// Starts. The texts say what was set aside.
    pub(crate) fn start(sim: &Arc<Sim>, disk: &Arc<SimDisk>) -> Result<(Self, Vec<String>), String> {
        let disk = Arc::new(SharedDisk(Arc::clone(disk)));
        let stream = sim.with_random(|random| u128::from(random.below(u64::MAX >> 1)) + 1);
        let stream = ReportPosition { stream: uuid::Uuid::from_u128(stream), number: 0 };
        let opened = Store::open_on(disk, Path::new("/agent"), EUI, stream, sim.clock_unix_s());
        let (store, kept, warnings) = opened.map_err(|error| error.to_string())?;
        let setup = Setup {
            eui: EUI,
            telemetry_interval_ms: 3_600_000,
            telemetry_min_interval_ms: 60_000,
            built_at_unix_s: BEGIN_UNIX_S - 1_000_000,
        };
        let hands = SimHands { sim: Arc::clone(sim), begun_at_ms: sim.inner().now_ms, wishes: Vec::new() };
        let keeper = Keeper::new(State::new(setup, kept), store);
        let version = "6.3.1".parse().map_err(|_| "not a version".to_owned())?;
        Ok((Self { keeper, hands, keys: command_keys(), version }, warnings))
    }

    pub(crate) fn boot(&mut self) {
        self.keeper.boot(&mut self.hands);
    }

    pub(crate) fn happen(&mut self, event: Event) {
        self.keeper.apply(vec![event], &mut self.hands);
    }

    /// A message of the center: the statement's time first, as the daemon does it.
    pub(crate) fn downlink(&mut self, down: Down) {
        let time_unix_s = down.statement.time_unix_s;
        let heard =
            Heard { statement: down.statement, envelope: down.signed, fresh_nonce: self.hands.nonce() };
        self.happen(Event::StatementVerified(Box::new(heard)));
        if self.keeper.store_problem().is_none() {
            let mut inner = self.hands.sim.inner();
            inner.truth.known_unix_s = inner.truth.known_unix_s.max(time_unix_s);
        }
        let mut events: Vec<Event> =
            down.commands.iter().filter_map(|envelope| self.judge(envelope)).collect();
        if down.answers_telemetry {
            events.push(Event::TelemetryAnswered { packages_known: None });
        }
        self.keeper.apply(events, &mut self.hands);
    }

    fn judge(&self, envelope: &Envelope) -> Option<Event> {
        let now_unix_s = self.keeper.time_to_judge_by(self.hands.now());
        let gateway = Gateway { eui: EUI, keros: Some(&self.version), command_keys: &self.keys, now_unix_s };
        let (command_id, update_id) = keros_protocol::eligibility::claimed_ids(envelope)?;
        let verdict = match check(envelope, &gateway) {
            Ok(command) => Verdict::Eligible {
                kind: command.job.kind().to_owned(),
                expires_at_unix_s: command.expires_at_unix_s,
                total_s: command.limits.clamped().total_s,
                link: command.job.link(),
                // A technician has brought it.
                by_hand: matches!(&command.job, Job::MagicLink { source, .. } if source.is_empty()),
            },
            Err(refusal) => Verdict::Refused { reason: refusal.reason, detail: refusal.detail },
        };
        self.keeper.arrival(Arrival { command_id, update_id, verdict }, envelope)
    }

    /// When it must come around, on the history's clock.
    pub(crate) fn next_wake_ms(&self) -> Option<u64> {
        self.keeper.next_wake_ms(self.hands.now()).map(|wake| wake.saturating_add(self.hands.begun_at_ms))
    }
}

impl Hands for SimHands {
    fn now(&self) -> Now {
        let monotonic_ms = self.sim.inner().now_ms - self.begun_at_ms;
        Now { unix_s: self.sim.clock_unix_s(), monotonic_ms }
    }

    fn act(&mut self, state: &State, store: &Store, effect: Effect) -> Option<Event> {
        self.sim.between(name_of(&effect));
        match effect {
            Effect::Publish(report) => self.wishes.push(Wish::Report(report)),
            Effect::SendTelemetry { nonces } => {
                let stream = state.last_report().stream;
                self.wishes.push(Wish::Telemetry { stream, nonces });
            }
            Effect::Reconnect => self.wishes.push(Wish::Reconnect),
            Effect::OpenSession { session, command_id, request } => {
                return self.open(state, store, session, command_id, request);
            }
            Effect::CloseSession { session } => self.wishes.push(Wish::Close { session }),
            Effect::Fetch { command_id, rehash } => {
                // It says what is to be fetched, and from where.
                if let Err(error) = store.read_command(command_id) {
                    return Some(self.unreadable(command_id, &error.to_string()));
                }
                self.wishes.push(Wish::Fetch { command_id, rehash });
            }
            Effect::StopFetch { command_id } => self.wishes.push(Wish::StopFetch { command_id }),
            Effect::ForgetEnvelope { command_id } => store.remove_command(command_id),
            Effect::Note(note) => self.sim.tell(|| format!("agent: {note}")),
        }
        None
    }
}

impl SimHands {
    /// A text that was never used.
    pub(crate) fn nonce(&self) -> String {
        self.sim.with_random(|random| format!("{:016x}", random.below(u64::MAX >> 1)))
    }

    fn open(
        &mut self,
        state: &State,
        store: &Store,
        session: u64,
        command_id: CommandId,
        request: SessionRequest,
    ) -> Option<Event> {
        let request = match request {
            SessionRequest::Attach => Request::Attach { command_id },
            SessionRequest::Cancel { statement } => {
                Request::Cancel { command_id, statement: Some(*statement) }
            }
            SessionRequest::Confirm { statement } => Request::Confirm { command_id, statement: *statement },
            SessionRequest::Run => match store.read_command(command_id) {
                Ok(StoredCommand { envelope, statement }) => {
                    let statement = state.newest_statement().cloned().or(statement);
                    Request::Run { envelope, statement, bundle: None }
                }
                Err(error) => return Some(self.unreadable(command_id, &error.to_string())),
            },
        };
        self.wishes.push(Wish::Open { session, request });
        None
    }

    fn unreadable(&self, command_id: CommandId, error: &str) -> Event {
        self.sim.tell(|| format!("agent: the stored command cannot be read: {error}"));
        Event::EnvelopeLost { command_id }
    }
}

const fn name_of(effect: &Effect) -> &'static str {
    match effect {
        Effect::Publish(_) => "publish",
        Effect::SendTelemetry { .. } => "telemetry",
        Effect::Reconnect => "reconnect",
        Effect::OpenSession { .. } => "open session",
        Effect::CloseSession { .. } => "close session",
        Effect::Fetch { .. } => "fetch",
        Effect::StopFetch { .. } => "stop fetch",
        Effect::ForgetEnvelope { .. } => "forget envelope",
        Effect::Note(_) => "note",
    }
}
