//! The one owner of the state: takes an event, moves the state, stores it, and only then acts.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use keros_machine::{Effect, Event, Note, SessionRequest, State, step};
use keros_platform::{Identity, read_keyring};
use keros_protocol::eligibility::Gateway;
use keros_protocol::executor::Request;
use keros_protocol::{CommandId, Downlink, Envelope, KeyPurpose, KeyRing, Report, UnixSeconds};
use rumqttc::v5::mqttbytes::v5::Publish;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::clock::{Clock, SharedFloor};
use crate::config::Settings;
use crate::downlink;
use crate::executor_client::{self, SessionEvent, SessionWhat};
use crate::mqtt::{Full, LinkControl, Publisher, chain};
use crate::store::Store;
use crate::vitals::Sampler;
use crate::{report, telemetry};

/// How long after a failed write the next one is tried.
const STORE_RETRY_MS: u64 = 10_000;

/// The state, and what is needed to act for it.
pub(crate) struct Core {
    pub(crate) settings: Settings,
    pub(crate) identity: Identity,
    pub(crate) clock: Clock,
    pub(crate) state: State,
    pub(crate) publisher: Option<Publisher>,
    pub(crate) answered_unix_s: Option<UnixSeconds>,
    floor: SharedFloor,
    store: Store,
    sampler: Sampler,
    link: Arc<LinkControl>,
    sessions: HashMap<u64, AbortHandle>,
    session_events: mpsc::Sender<SessionEvent>,
    asked: Option<Asked>,
    unsaved: Option<Unsaved>,
}

/// What a core is made of.
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    pub(crate) identity: Identity,
    pub(crate) clock: Clock,
    pub(crate) floor: SharedFloor,
    pub(crate) store: Store,
    pub(crate) state: State,
    pub(crate) link: Arc<LinkControl>,
    pub(crate) session_events: mpsc::Sender<SessionEvent>,
}

/// The last telemetry that was sent.
struct Asked {
    telemetry_id: uuid::Uuid,
    packages_digest: Option<String>,
}

/// The disk has an older state than this process.
struct Unsaved {
    error: String,
    retry_at_ms: u64,
}

impl Core {
    pub(crate) fn new(parts: Parts) -> Self {
        let sampler = Sampler::new(&parts.settings.platform_root, parts.identity.keros_version.as_ref());
        Self {
            settings: parts.settings,
            identity: parts.identity,
            clock: parts.clock,
            state: parts.state,
            publisher: None,
            answered_unix_s: None,
            floor: parts.floor,
            store: parts.store,
            sampler,
            link: parts.link,
            sessions: HashMap::new(),
            session_events: parts.session_events,
            asked: None,
            unsaved: None,
        }
    }

    /// After a start: what was owed is asked for again.
    pub(crate) fn boot(&mut self) {
        let removed = self.store.collect_orphans(self.state.jobs().iter().map(|job| job.command_id));
        if removed > 0 {
            tracing::info!(removed, "stored commands without a job were removed");
        }
        self.apply(vec![Event::Booted]);
    }

    /// Moves the state by these events, and does what follows.
    pub(crate) fn apply(&mut self, events: Vec<Event>) {
        let mut batches = VecDeque::from([events]);
        while let Some(events) = batches.pop_front() {
            let effects = self.step_and_store(events, &mut batches);
            for effect in effects {
                batches.extend(self.act(effect).map(|event| vec![event]));
            }
        }
        self.floor.set(self.state.time_floor());
    }

    /// Moves and stores the state; what may be done is given back. The state in memory may go on without the disk, but a
    /// command is only taken when it is on the disk.
    fn step_and_store(&mut self, events: Vec<Event>, batches: &mut VecDeque<Vec<Event>>) -> Vec<Effect> {
        let now = self.clock.now();
        let mut state = self.state.clone();
        let mut effects = Vec::new();
        for event in &events {
            let (moved, more) = step(now, state, event.clone());
            state = moved;
            effects.extend(more);
        }
        let Err(error) = self.store.save(state.kept()) else {
            self.state = state;
            if self.unsaved.take().is_some() {
                tracing::info!("the state is stored again");
                batches.push_back(vec![Event::StoreRecovered]);
            }
            return effects;
        };
        let error = error.to_string();
        if self.unsaved.is_none() {
            tracing::error!(error, "the state cannot be stored; free some room on the disk");
        }
        self.unsaved = Some(Unsaved { error, retry_at_ms: now.monotonic_ms + STORE_RETRY_MS });
        if events.iter().any(|event| matches!(event, Event::CommandArrived(_))) {
            batches.push_back(self.without_commands(events));
            return Vec::new();
        }
        self.state = state;
        effects.retain(|effect| !effect.needs_store());
        effects
    }

    fn without_commands(&self, mut events: Vec<Event>) -> Vec<Event> {
        events.retain(|event| {
            let Event::CommandArrived(arrival) = event else { return true };
            tracing::warn!(command = %arrival.command_id, "the command is not taken: it cannot be stored");
            if !self.state.knows(arrival.command_id) {
                self.store.remove_command(arrival.command_id);
            }
            false
        });
        events
    }

    /// Does one thing; gives back what followed at once.
    fn act(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Publish(report) => self.publish_report(*report),
            Effect::SendTelemetry => self.send_telemetry(),
            Effect::OpenSession { session, command_id, request } => {
                return self.open_session(session, command_id, request);
            }
            Effect::CloseSession { session } => {
                if let Some(task) = self.sessions.remove(&session) {
                    task.abort();
                }
            }
            Effect::ForgetEnvelope { command_id } => self.store.remove_command(command_id),
            Effect::Note(note) => log(&note),
        }
        None
    }

    fn publish_report(&self, report: Report) {
        let Some(publisher) = &self.publisher else { return };
        tracing::debug!(command = %report.command_id, number = report.position.number, "report: {}", report.outcome);
        if publisher.report(report::to_json(report)).is_err() {
            self.link.reset();
        }
    }

    fn send_telemetry(&mut self) {
        let Some(publisher) = &self.publisher else { return };
        let vitals = self.sampler.sample(self.state.packages_known());
        let telemetry_id = uuid::Uuid::now_v7();
        let context = telemetry::Context {
            telemetry_id,
            identity: &self.identity,
            time_unix_s: self.clock.now().unix_s,
            floor_unix_s: self.state.time_floor(),
            job: self.state.job_under_way(),
            reports_pending: self.state.reports_pending(),
        };
        let (telemetry, payload) = telemetry::compose(context, vitals);
        self.asked = Some(Asked { telemetry_id, packages_digest: telemetry.packages_digest });
        tracing::debug!(bytes = payload.len(), "telemetry");
        if publisher.telemetry(payload, telemetry_id, self.settings.telemetry.interval).is_err() {
            self.link.reset();
        }
    }

    fn open_session(
        &mut self,
        session: u64,
        command_id: CommandId,
        request: SessionRequest,
    ) -> Option<Event> {
        let request = match request {
            SessionRequest::Attach => Request::Attach { command_id },
            SessionRequest::Run => match self.store.read_command(command_id) {
                Ok(envelope) => Request::Run { envelope, statement: None },
                Err(error) => {
                    tracing::error!(command = %command_id, %error, "the stored command cannot be read");
                    return Some(Event::EnvelopeLost { command_id });
                }
            },
        };
        let access = self.settings.executor.clone();
        let task = executor_client::open(access, session, request, self.session_events.clone());
        self.sessions.insert(session, task);
        None
    }

    /// A session with the executor says something.
    pub(crate) fn session(&mut self, event: SessionEvent) {
        let session = event.session;
        let event = match event.what {
            SessionWhat::Event(event) => Event::Executor { session, event: *event },
            SessionWhat::Closed { handed_over, message } => {
                self.sessions.remove(&session);
                Event::SessionClosed { session, handed_over, message }
            }
        };
        self.apply(vec![event]);
    }

    /// A message of the center. It is acknowledged whatever it is: what is poisoned must not come again, and what could not
    /// be stored the center sends again with its next answer, since it gets no `received`.
    pub(crate) fn message(&mut self, message: &Publish, publisher: &Publisher) {
        let prefix = &self.settings.broker.topic_prefix;
        match downlink::parse(prefix, self.identity.eui, &message.topic, &message.payload) {
            Ok(downlink) => self.downlink(downlink),
            Err(error) => tracing::warn!("passed over: {error}"),
        }
        if let Err(Full) = publisher.acknowledge(message) {
            self.link.reset();
        }
    }

    fn downlink(&mut self, downlink: Downlink) {
        let mut events = self.statement(&downlink).into_iter().collect::<Vec<_>>();
        if !downlink.commands.is_empty() {
            // The statement's time first: a gateway without a clock needs it to judge the commands.
            self.apply(std::mem::take(&mut events));
            events = self.commands(&downlink.commands);
        }
        if let Some(asked) = self.asked.take_if(|asked| downlink.telemetry_id == Some(asked.telemetry_id)) {
            self.answered_unix_s = Some(self.clock.now().unix_s);
            let packages_known = asked.packages_digest.filter(|_| !downlink.packages_wanted);
            events.push(Event::TelemetryAnswered { packages_known });
        }
        if downlink.nudge {
            events.push(Event::TelemetryWanted);
        }
        self.apply(events);
    }

    fn statement(&self, downlink: &Downlink) -> Option<Event> {
        let envelope = downlink.statement.as_ref()?;
        let ring = keys(&self.settings.trust_folder, KeyPurpose::Statement);
        match downlink::verify_statement(envelope, &ring, self.identity.eui) {
            Ok(statement) => Some(Event::StatementVerified(statement)),
            Err(error) => {
                tracing::warn!("passed over: {}", chain(&error));
                None
            }
        }
    }

    fn commands(&self, envelopes: &[Envelope]) -> Vec<Event> {
        let command_keys = keys(&self.settings.trust_folder, KeyPurpose::Command);
        let gateway = Gateway {
            eui: self.identity.eui,
            keros: self.identity.keros_version.as_ref(),
            command_keys: &command_keys,
            now_unix_s: self.state.judged_time(self.clock.now()),
        };
        envelopes.iter().filter_map(|envelope| self.command(envelope, &gateway)).collect()
    }

    /// Judges a command and puts it on the disk; only then the state may hear of it.
    fn command(&self, envelope: &Envelope, gateway: &Gateway<'_>) -> Option<Event> {
        let arrival = match downlink::judge(envelope, gateway) {
            Ok(arrival) => arrival,
            Err(error) => {
                tracing::warn!("passed over: {error}");
                return None;
            }
        };
        let id = arrival.command_id;
        if arrival.is_eligible()
            && !self.state.knows(id)
            && self.state.has_room()
            && let Err(error) = self.store.save_command(id, envelope)
        {
            tracing::error!(command = %id, %error, "the command is not taken: it cannot be stored");
            self.store.remove_command(id);
            return None;
        }
        Some(Event::CommandArrived(arrival))
    }

    /// When the loop must come around at the latest, on the monotonic clock.
    pub(crate) fn next_wake_ms(&self) -> Option<u64> {
        let wake = keros_machine::next_wake_ms(&self.state, self.clock.now());
        let retry = self.unsaved.as_ref().map(|unsaved| unsaved.retry_at_ms);
        [wake, retry].into_iter().flatten().min()
    }

    /// What the technician should know of this moment.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let unsaved = self.unsaved.as_ref().map(|unsaved| {
            format!("the state cannot be stored ({}); free some room on the disk", unsaved.error)
        });
        unsaved.into_iter().collect()
    }
}

/// Read at each use, so that keys can be added and removed while the agent runs. Without them nothing is believed.
fn keys(folder: &Path, purpose: KeyPurpose) -> KeyRing {
    read_keyring(folder, purpose).unwrap_or_else(|error| {
        tracing::error!("no {} is believed: {}", purpose.as_str(), chain(&error));
        KeyRing::default()
    })
}

fn log(note: &Note) {
    match note {
        Note::Moved(..) | Note::Duplicate(_) => tracing::info!("{note}"),
        Note::Untrusted(_)
        | Note::Full(_)
        | Note::CancelTooLate(_)
        | Note::ForeignAcknowledgement
        | Note::ExecutorLost(..)
        | Note::FloorCapped => tracing::warn!("{note}"),
        Note::Unexpected(_) => tracing::debug!("{note}"),
    }
}
