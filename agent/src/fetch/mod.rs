//! Brings the bundles of Magic Links to this gateway. Each attempt has a thread of its own, which asks, writes and hashes,
//! and tells the main loop how it goes over a bounded channel. Nothing here decides when to try again: the state does.
//!
//! Reading order: who orders it ([`Fetcher`]), one attempt ([`attempt`]), where bytes are kept ([`store`], [`part`], [`brought`]), who
//! is asked ([`client`], [`address`], [`login`]), over what ([`secure`], [`pace`]), how fast ([`rate`]) and at what cost ([`traffic`]).

mod address;
mod attempt;
mod brought;
mod client;
mod pace;
mod part;
mod progress;
mod rate;
mod secure;
mod stop;
mod store;
mod traffic;
mod trouble;

#[cfg(test)]
pub(crate) mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use keros_machine::FetchEnd;
use keros_platform::Identity;
use keros_protocol::limits::shorten;
use keros_protocol::magic_link::Digest;
use keros_protocol::{BundleUnderWay, CommandId, RefusalReason};
use tokio::sync::mpsc;

use attempt::Attempt;
pub(crate) use attempt::Order;
pub(crate) use brought::BringError;
use progress::{Bytes, Progress};
use rate::RateLimit;
pub(crate) use secure::{SecureConnector, SetUp};
use stop::Stop;
pub(crate) use store::BlobStore;
use traffic::Traffic;
use trouble::Trouble;

use crate::clock::SharedTime;
use crate::config::MagicLinkSettings;
use crate::local::FetchView;

/// So many attempts in a row must meet the same refusal of a source before it is believed: registries replicate, and log-ins
/// are mended. With the waits between them, some 15 s.
const STUBBORN_ATTEMPTS: u32 = 5;

/// Less than this is no progress by itself, only together with what further attempts bring: each costs a handshake of some 6 KiB, and a
/// server that gives one byte at a time would be asked every second.
const LEAST_PROGRESS_BYTES: u64 = 16 * 1024;

/// Of a problem in telemetry: the address of a blob takes some 200 bytes, and each hour's message is paid for.
const MAX_TOLD_BYTES: usize = 384;

/// What attempts are made with.
#[derive(Debug)]
pub(crate) struct Means {
    pub(crate) store: Arc<BlobStore>,
    pub(crate) settings: MagicLinkSettings,
    pub(crate) identity: Identity,
    pub(crate) time: SharedTime,
    /// How long a server may say nothing.
    pub(crate) silence: Duration,
}

impl Means {
    /// As on a gateway.
    pub(crate) fn new(
        store: Arc<BlobStore>,
        settings: MagicLinkSettings,
        identity: Identity,
        time: SharedTime,
    ) -> Self {
        Self { store, settings, identity, time, silence: pace::SILENCE }
    }
}

/// What an attempt tells.
#[derive(Debug)]
pub(crate) struct FetchEvent {
    command_id: CommandId,
    attempt: u64,
    what: FetchWhat,
}

#[derive(Debug)]
enum FetchWhat {
    Progress(Bytes),
    Ended(Result<(), Trouble>, Bytes),
}

/// Begins attempts and ends them: one at a time.
#[derive(Debug)]
pub(crate) struct Fetcher {
    means: Arc<Means>,
    events: mpsc::Sender<FetchEvent>,
    running: Option<Running>,
    /// The thread before: the next one waits for its end, so that the folder has one user.
    thread: Option<JoinHandle<()>>,
    attempts: u64,
    /// What came from the network for the commands before the last one.
    received_before_bytes: u64,
    /// How it went for the command that was last fetched for.
    last: Option<Last>,
    is_collection_due: bool,
}

#[derive(Debug)]
struct Running {
    command_id: CommandId,
    attempt: u64,
    stop: Arc<Stop>,
}

#[derive(Debug)]
struct Last {
    command_id: CommandId,
    bytes: Bytes,
    most_bytes: u64,
    stubborn: u32,
    problem: Option<String>,
    traffic: Arc<Traffic>,
}

impl Fetcher {
    pub(crate) fn new(means: Means, events: mpsc::Sender<FetchEvent>) -> Self {
        Self {
            means: Arc::new(means),
            events,
            running: None,
            thread: None,
            attempts: 0,
            received_before_bytes: 0,
            last: None,
            is_collection_due: false,
        }
    }

    /// Where the blobs are, for the executor.
    pub(crate) fn folder(&self) -> &Path {
        self.means.store.folder()
    }

    /// Begins an attempt; one that is under way ends. Gives back an end only when it cannot be begun.
    pub(crate) fn start(&mut self, order: Order) -> Option<FetchEnd> {
        self.stop_running();
        let command_id = order.command_id;
        let is_new = self.last.as_ref().is_none_or(|last| last.command_id != command_id);
        if is_new || order.rehash {
            self.means.store.forget_checks();
        }
        if is_new {
            self.received_before_bytes = self.received_bytes();
            self.last = Some(Last::new(command_id));
        }
        let traffic = self.last.as_ref().map(|last| Arc::clone(&last.traffic)).unwrap_or_default();
        self.attempts += 1;
        let attempt = self.attempts;
        let stop = Arc::new(Stop::default());
        self.running = Some(Running { command_id, attempt, stop: Arc::clone(&stop) });
        let (means, events) = (Arc::clone(&self.means), self.events.clone());
        let begun = self.begin_thread(move || {
            let mut progress = Progress::new(command_id, attempt, events.clone());
            let (order, means, stop, progress) = (&order, &means, &stop, &mut progress);
            let limit = RateLimit::new(means.settings.rate_limit_kib_s);
            let client = None;
            let mut running =
                Attempt { order, means, stop, progress, limit, traffic, client, number: attempt };
            let end = running.run();
            let what = FetchWhat::Ended(end, running.progress.bytes());
            let _ = events.blocking_send(FetchEvent { command_id, attempt, what });
        });
        let error = begun.err()?;
        self.running = None;
        Some(FetchEnd::Failed { message: format!("no thread can be begun: {error}"), progressed: false })
    }

    /// Ends the attempt for this command, if it is under way.
    pub(crate) fn stop(&mut self, command_id: CommandId) {
        if self.running.as_ref().is_some_and(|running| running.command_id == command_id) {
            self.stop_running();
        }
    }

    /// Ends what is under way; what came is durable when the thread has ended.
    pub(crate) fn end(&mut self) -> Option<JoinHandle<()>> {
        self.stop_running();
        self.thread.take()
    }

    fn stop_running(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop.set();
        }
    }

    /// Takes note of what an attempt tells; what the state must hear is given back.
    pub(crate) fn heard(&mut self, event: FetchEvent) -> Option<(CommandId, FetchEnd)> {
        let running = self.running.as_ref()?;
        // The last words of an attempt that was ended.
        if running.attempt != event.attempt {
            return None;
        }
        let last = self.last.as_mut()?;
        match event.what {
            FetchWhat::Progress(bytes) => {
                last.bytes = bytes;
                None
            }
            FetchWhat::Ended(end, bytes) => {
                self.running = None;
                Some((event.command_id, last.ended(end, bytes)))
            }
        }
    }

    /// What is not needed could not be removed when it should.
    pub(crate) const fn is_collection_due(&self) -> bool {
        self.is_collection_due
    }

    /// Removes what no open job needs; open jobs are named by their bundles. Nothing is done while an attempt is under way:
    /// its end is an occasion too.
    pub(crate) fn collect(&mut self, open: Vec<Digest>) {
        self.is_collection_due = self.running.is_some();
        if !self.is_collection_due {
            let means = Arc::clone(&self.means);
            let keep_bytes = means.settings.keep_mib * 1024 * 1024;
            // When no thread can be begun, the next end of a job is an occasion again.
            let _ = self.begin_thread(move || means.store.collect(&open, keep_bytes));
        }
    }

    fn begin_thread(&mut self, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let before = self.thread.take();
        let work = move || {
            if let Some(before) = before {
                let _ = before.join();
            }
            work();
        };
        self.thread = Some(thread::Builder::new().name("fetch".to_owned()).spawn(work)?);
        Ok(())
    }

    /// What has come from the network for all commands since the agent started.
    pub(crate) fn received_bytes(&self) -> u64 {
        let last_bytes = self.last.as_ref().map_or(0, |last| last.traffic.received_bytes());
        self.received_before_bytes.saturating_add(last_bytes)
    }

    /// What the center hears of the fetching for a command.
    pub(crate) fn told(&self, command_id: CommandId) -> Option<BundleUnderWay> {
        let FetchView { have_bytes, total_bytes, problem } = self.view(command_id)?;
        let problem = problem.map(|problem| shorten(&problem, MAX_TOLD_BYTES));
        Some(BundleUnderWay { command_id, have_bytes, total_bytes, problem })
    }

    /// What a technician sees of the fetching for a command.
    pub(crate) fn view(&self, command_id: CommandId) -> Option<FetchView> {
        let last = self.last.as_ref().filter(|last| last.command_id == command_id)?;
        Some(FetchView {
            have_bytes: last.bytes.have,
            total_bytes: Some(last.bytes.all).filter(|all| *all > 0),
            problem: last.problem.clone(),
        })
    }
}

impl Last {
    fn new(command_id: CommandId) -> Self {
        let (bytes, traffic) = (Bytes::default(), Arc::default());
        Self { command_id, bytes, most_bytes: 0, stubborn: 0, problem: None, traffic }
    }

    fn ended(&mut self, end: Result<(), Trouble>, bytes: Bytes) -> FetchEnd {
        if bytes.all > 0 {
            self.bytes = bytes;
        }
        let progressed = bytes.have >= self.most_bytes.saturating_add(LEAST_PROGRESS_BYTES);
        if progressed {
            self.most_bytes = bytes.have;
        }
        self.stubborn = if matches!(end, Err(Trouble::Stubborn(_))) { self.stubborn + 1 } else { 0 };
        let end = match end {
            Ok(()) => FetchEnd::Complete,
            Err(Trouble::Passing(message)) if self.traffic.is_over() => {
                let (came, most) = (self.traffic.received_bytes(), self.traffic.most_bytes());
                let detail = format!(
                    "{came} bytes have come and it is not there; {most} are the most that are paid for it: {message}"
                );
                FetchEnd::Refused { reason: RefusalReason::FetchFailed, detail }
            }
            Err(Trouble::Stubborn(refusal)) if self.stubborn < STUBBORN_ATTEMPTS => {
                FetchEnd::Failed { message: refusal.detail, progressed }
            }
            Err(Trouble::Refused(refusal) | Trouble::Stubborn(refusal)) => {
                FetchEnd::Refused { reason: refusal.reason, detail: refusal.detail }
            }
            Err(Trouble::Passing(message)) => FetchEnd::Failed { message, progressed },
        };
        self.problem = match &end {
            FetchEnd::Complete => None,
            FetchEnd::Refused { detail: message, .. } | FetchEnd::Failed { message, .. } => {
                Some(message.clone())
            }
        };
        end
    }
}
