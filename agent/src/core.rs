//! What the state orders is done here, and what happens is handed to its keeper.

mod bundles;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use keros_machine::{Arrival, Effect, Event, Heard, Now, SessionRequest, State, Verdict};
use keros_platform::{Identity, read_keyring};
use keros_protocol::eligibility::Gateway;
use keros_protocol::executor::Request;
use keros_protocol::{CommandId, Downlink, Envelope, KeyPurpose, KeyRing, Report, UnixSeconds};
use keros_service::Named;
use keros_service::log::{self, Subject};
use rumqttc::v5::mqttbytes::v5::Publish;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tracing::Level;

use crate::clock::{Clock, SharedTime};
use crate::config::Settings;
use crate::downlink::{self, DownlinkError};
use crate::executor_client::{self, SessionEvent, SessionWhat};
use crate::fetch::Fetcher;
use crate::keeper::{Hands, Keeper};
use crate::mqtt::{Full, LinkControl, Publisher, chain};
use crate::numbers::Numbers;
use crate::store::{Store, StoredCommand};
use crate::vitals::Sampler;
use crate::{notes, report, telemetry};

/// The state's keeper, and what acts for it.
pub(crate) struct Core {
    keeper: Keeper,
    shell: Shell,
}

/// What is needed to act for the state.
pub(crate) struct Shell {
    pub(crate) settings: Settings,
    pub(crate) identity: Identity,
    pub(crate) clock: Clock,
    pub(crate) publisher: Option<Publisher>,
    pub(crate) answered_unix_s: Option<UnixSeconds>,
    pub(crate) fetcher: Fetcher,
    pub(crate) numbers: Arc<Numbers>,
    time: SharedTime,
    sampler: Sampler,
    link: Arc<LinkControl>,
    sessions: HashMap<u64, AbortHandle>,
    session_events: mpsc::Sender<SessionEvent>,
    asked: Option<Asked>,
}

/// What a core is made of.
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    pub(crate) identity: Identity,
    pub(crate) clock: Clock,
    pub(crate) time: SharedTime,
    pub(crate) store: Store,
    pub(crate) state: State,
    pub(crate) link: Arc<LinkControl>,
    pub(crate) session_events: mpsc::Sender<SessionEvent>,
    pub(crate) fetcher: Fetcher,
    pub(crate) numbers: Arc<Numbers>,
}

/// The last telemetry that was sent.
struct Asked {
    telemetry_id: uuid::Uuid,
    packages_digest: Option<String>,
}

impl Core {
    pub(crate) fn new(parts: Parts) -> Self {
        let sampler = Sampler::new(&parts.settings.platform_root, parts.identity.keros_version.as_ref());
        let shell = Shell {
            settings: parts.settings,
            identity: parts.identity,
            clock: parts.clock,
            publisher: None,
            answered_unix_s: None,
            fetcher: parts.fetcher,
            numbers: parts.numbers,
            time: parts.time,
            sampler,
            link: parts.link,
            sessions: HashMap::new(),
            session_events: parts.session_events,
            asked: None,
        };
        Self { keeper: Keeper::new(parts.state, parts.store), shell }
    }

    /// What acts for the state.
    pub(crate) const fn shell(&self) -> &Shell {
        &self.shell
    }

    /// The connection to the broker is there, or gone.
    pub(crate) fn set_publisher(&mut self, publisher: Option<Publisher>) {
        self.shell.publisher = publisher;
    }

    pub(crate) const fn state(&self) -> &State {
        &self.keeper.state
    }

    /// After a start: what was owed is asked for again.
    pub(crate) fn boot(&mut self) {
        self.keeper.boot(&mut self.shell);
        // What a lost state was fetching is not known any more, but paid for: its command comes again.
        if !self.state().is_after_loss() {
            self.collect_bundles();
        }
        self.share_time();
    }

    /// Moves the state by these events, and does what follows.
    pub(crate) fn apply(&mut self, events: Vec<Event>) {
        self.keeper.apply(events, &mut self.shell);
        self.share_time();
    }

    /// The end: what the disk does not have yet is stored.
    pub(crate) fn flush(&mut self) {
        self.keeper.flush();
    }

    /// A session with the executor says something.
    pub(crate) fn session(&mut self, event: SessionEvent) {
        let session = event.session;
        let event = match event.what {
            SessionWhat::Event(event) => Event::Executor { session, event: *event },
            SessionWhat::Closed { handed_over, message } => {
                self.shell.sessions.remove(&session);
                Event::SessionClosed { session, handed_over, message }
            }
        };
        self.apply(vec![event]);
    }

    /// A message of the center. It is acknowledged whatever it is: what is poisoned must not come again, and what could not
    /// be stored the center sends again with its next answer, since it gets no `received`.
    pub(crate) fn message(&mut self, message: &Publish, publisher: &Publisher) {
        let prefix = &self.shell.settings.broker.topic_prefix;
        match downlink::parse(prefix, self.shell.identity.eui, &message.topic, &message.payload) {
            Ok(downlink) => self.downlink(downlink),
            Err(error) => tracing::warn!("passed over: {error}"),
        }
        if let Err(Full) = publisher.acknowledge(message) {
            self.shell.link.reset();
        }
    }

    fn downlink(&mut self, downlink: Downlink) {
        let mut events = self.statement(&downlink).into_iter().collect::<Vec<_>>();
        if !downlink.commands.is_empty() {
            // The statement's time first: a gateway without a clock needs it to judge the commands.
            self.apply(std::mem::take(&mut events));
            events = self.commands(&downlink.commands);
        }
        if let Some(asked) =
            self.shell.asked.take_if(|asked| downlink.telemetry_id == Some(asked.telemetry_id))
        {
            let now = self.shell.clock.now();
            self.shell.answered_unix_s = Some(now.unix_s);
            self.shell.numbers.telemetry_answered.count();
            self.shell.numbers.telemetry_answered_ms.set(now.monotonic_ms.max(1));
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
        let ring = keys(&self.shell.settings.trust_folder, KeyPurpose::Statement);
        match downlink::verify_statement(envelope, &ring, self.shell.identity.eui) {
            Ok(statement) => {
                let envelope = envelope.clone();
                let heard = Heard { statement, envelope, fresh_nonce: fresh_nonce() };
                Some(Event::StatementVerified(Box::new(heard)))
            }
            Err(error) => {
                tracing::warn!("passed over: {}", chain(&error));
                None
            }
        }
    }

    /// Judges a command that root has brought, as one from the center.
    pub(crate) fn judge(&self, envelope: &Envelope) -> Result<Arrival, DownlinkError> {
        let command_keys = keys(&self.shell.settings.trust_folder, KeyPurpose::Command);
        let mut arrival = downlink::judge(envelope, &self.gateway(&command_keys))?;
        if let Verdict::Eligible { by_hand, .. } = &mut arrival.verdict {
            *by_hand = true;
        }
        Ok(arrival)
    }

    /// Takes a command that was judged.
    pub(crate) fn take(&mut self, arrival: Arrival, envelope: &Envelope) {
        let events = self.keeper.arrival(arrival, envelope).into_iter().collect();
        self.apply(events);
    }

    fn commands(&self, envelopes: &[Envelope]) -> Vec<Event> {
        let command_keys = keys(&self.shell.settings.trust_folder, KeyPurpose::Command);
        let gateway = self.gateway(&command_keys);
        envelopes.iter().filter_map(|envelope| self.command(envelope, &gateway)).collect()
    }

    fn gateway<'a>(&'a self, command_keys: &'a KeyRing) -> Gateway<'a> {
        Gateway {
            eui: self.shell.identity.eui,
            keros: self.shell.identity.keros_version.as_ref(),
            command_keys,
            now_unix_s: self.keeper.time_to_judge_by(self.shell.clock.now()),
        }
    }

    /// Judges a command, and has it kept.
    fn command(&self, envelope: &Envelope, gateway: &Gateway<'_>) -> Option<Event> {
        match downlink::judge(envelope, gateway) {
            Ok(arrival) => self.keeper.arrival(arrival, envelope),
            Err(error) => {
                tracing::warn!("passed over: {error}");
                None
            }
        }
    }

    /// When the loop must come around at the latest, on the monotonic clock.
    pub(crate) fn next_wake_ms(&self) -> Option<u64> {
        self.keeper.next_wake_ms(self.shell.clock.now())
    }

    /// What the technician should know of this moment.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let unsaved = self
            .keeper
            .store_problem()
            .map(|error| format!("the state cannot be stored ({error}); free some room on the disk"));
        unsaved.into_iter().collect()
    }

    /// Whether the disk has an older state than this process.
    pub(crate) fn is_unsaved(&self) -> bool {
        self.keeper.store_problem().is_some()
    }

    fn share_time(&self) {
        self.shell.time.set(self.state().time_judge());
    }
}

impl Hands for Shell {
    fn now(&self) -> Now {
        self.clock.now()
    }

    fn act(&mut self, state: &State, store: &Store, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Publish(report) => self.publish_report(*report),
            Effect::SendTelemetry { nonces } => self.send_telemetry(state, nonces),
            Effect::Reconnect => self.link.reset(),
            Effect::OpenSession { session, command_id, request } => {
                return self.open_session(state, store, session, command_id, request);
            }
            Effect::CloseSession { session } => {
                if let Some(task) = self.sessions.remove(&session) {
                    task.abort();
                }
            }
            Effect::Fetch { command_id, rehash } => {
                return self.fetch(state, store, self.now(), command_id, rehash);
            }
            Effect::StopFetch { command_id } => self.fetcher.stop(command_id),
            Effect::ForgetEnvelope { command_id } => {
                store.remove_command(command_id);
                self.collect_bundles(state, store);
            }
            Effect::Note(note) => notes::log(&note, state),
        }
        None
    }
}

impl Shell {
    fn publish_report(&self, report: Report) {
        let Some(publisher) = &self.publisher else { return };
        let subject = Subject { command_id: report.command_id, update_id: report.update_id };
        let (number, outcome) = (report.position.number, &report.outcome);
        log::remark(Level::DEBUG, subject, &format_args!("report {number}: {outcome}"));
        if publisher.report(report::to_json(report)).is_err() {
            self.link.reset();
        }
    }

    fn send_telemetry(&mut self, state: &State, nonces: Vec<String>) {
        let Some(publisher) = &self.publisher else { return };
        let vitals = self.sampler.sample(state.packages_known());
        let telemetry_id = uuid::Uuid::now_v7();
        let context = telemetry::Context {
            telemetry_id,
            identity: &self.identity,
            time_unix_s: self.clock.now().unix_s,
            floor_unix_s: state.time_floor(),
            job: state.job_under_way(),
            bundle: state.fetching().and_then(|command_id| self.fetcher.told(command_id)),
            reports_pending: state.reports_pending(),
            report_stream: state.last_report().stream,
            nonces,
        };
        let (telemetry, payload) = telemetry::compose(context, vitals);
        self.asked = Some(Asked { telemetry_id, packages_digest: telemetry.packages_digest });
        tracing::debug!(bytes = payload.len(), "telemetry");
        if publisher.telemetry(payload, telemetry_id, self.settings.telemetry.interval).is_err() {
            self.link.reset();
        } else {
            self.numbers.telemetry_sent.count();
        }
    }

    fn open_session(
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
                Ok(command) => {
                    let bundle = bundles::link_of(&command).map(|_| self.fetcher.folder().to_owned());
                    let StoredCommand { envelope, statement } = command;
                    let statement = state.newest_statement().cloned().or(statement);
                    Request::Run { envelope, statement, bundle }
                }
                Err(error) => {
                    let text = format_args!("the stored command cannot be read: {error}");
                    log::remark(Level::ERROR, command_id, &text);
                    return Some(Event::EnvelopeLost { command_id });
                }
            },
        };
        let access = self.settings.executor.clone();
        let task = executor_client::open(access, session, request, self.session_events.clone());
        self.sessions.insert(session, task);
        None
    }
}

/// A text that nobody can guess: 74 random bits of a UUID.
pub(crate) fn fresh_nonce() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

/// Read at each use, so that keys can be added and removed while the agent runs. Without them nothing is believed.
fn keys(folder: &Path, purpose: KeyPurpose) -> KeyRing {
    read_keyring(folder, purpose).unwrap_or_else(|error| {
        let text = format_args!("no {} is believed: {}", purpose.as_str(), chain(&error));
        log::tell(Named::TrustLacking, &text);
        KeyRing::default()
    })
}
