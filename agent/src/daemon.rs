//! The daemon: sets everything up, and runs the one loop. All that happens comes to this loop over bounded channels; the
//! tasks beside it own a socket or a pipe each and decide nothing.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use keros_machine::{Event, Setup, State};
use keros_platform::{Identity, read_keyring};
use keros_protocol::{KeyPurpose, ReportPosition};
use keros_service::{Named, Notify, log};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time;

use crate::clock::{BUILT_AT_UNIX_S, Clock, SharedTime};
use crate::config::Settings;
use crate::core::{Core, Parts, fresh_nonce};
use crate::executor_client::SessionEvent;
use crate::fetch::{BlobStore, FetchEvent, Fetcher, Means};
use crate::local::{self, LocalRequest, Shown, StatusView, TelemetryAnswer};
use crate::mqtt::{Link, LinkControl, LinkEvent};
use crate::numbers::Numbers;
use crate::status::{self, Connection, Fixed};
use crate::store::Store;
use crate::{by_hand, config, mqtt};

/// The loop comes around at least this often, to notice a wall clock that has jumped.
const MAX_SLEEP: Duration = Duration::from_secs(600);
/// Descriptors that are looked at in one go; tokio keeps 12 bytes for each, and by itself would for 1024.
const IO_EVENTS: usize = 32;
/// For the farewell to the broker, and for a part of a bundle to become durable.
const FAREWELL_LIMIT: Duration = Duration::from_secs(2);

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// What keeps the daemon from starting. Once it runs, nothing ends it but a signal.
pub(crate) fn run(settings: Settings, warnings: Vec<String>) -> anyhow::Result<ExitCode> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().max_io_events_per_tick(IO_EVENTS).build()?;
    let code = runtime.block_on(serve(settings, warnings));
    // A name that is still being resolved must not hold up the end.
    runtime.shutdown_background();
    code
}

async fn serve(settings: Settings, mut warnings: Vec<String>) -> anyhow::Result<ExitCode> {
    let environment_eui = std::env::var("EUI64").ok();
    let identity = Identity::read(&settings.platform_root, &settings.identity, environment_eui.as_deref())?;
    let clock = Clock::new();
    let (mut core, mut channels) = set_up(settings, identity, clock, &mut warnings)?;
    let mut notify = Notify::new();
    let mut connection = Connection::new(clock.now().unix_s);
    let started_at_unix_s = clock.now().unix_s;
    // The tasks of the sockets make them before they wait for anything.
    tokio::task::yield_now().await;
    core.boot();
    notify.ready();
    tracing::info!(eui = %core.shell().identity.eui, version = env!("CARGO_PKG_VERSION"), "started");
    loop {
        let shell = core.shell();
        let fixed = Fixed { identity: &shell.identity, broker: &shell.settings.broker, started_at_unix_s };
        shell.numbers.fetched_bytes.set(shell.fetcher.received_bytes());
        let told = core.warnings().into_iter().chain(warnings.iter().cloned()).collect();
        let (state, answered_unix_s) = (core.state(), shell.answered_unix_s);
        let fetch = |id| shell.fetcher.view(id);
        let view = status::view(&fixed, &connection, state, answered_unix_s, fetch, clock.now(), told);
        channels.status.send_replace(Arc::new(view));
        notify.status(connection.line());
        notify.alive();
        let wake = wake_at(&core, clock, &notify);
        tokio::select! {
            Some(event) = channels.link.recv() => on_link(&mut core, &mut connection, event),
            Some(event) = channels.sessions.recv() => core.session(event),
            Some(event) = channels.fetches.recv() => core.fetched(event),
            Some(request) = channels.requests.recv() => on_request(&mut core, request),
            () = time::sleep_until(wake.into()) => core.apply(vec![Event::Woken]),
            _ = channels.terminate.recv() => break,
            _ = channels.interrupt.recv() => break,
            // It ends only by a mistake of ours, and the agent would live on without a link for ever.
            ended = &mut channels.link_task => {
                anyhow::bail!("the task of the connection has ended by itself ({ended:?}): begun anew with the whole agent")
            }
        }
    }
    notify.stopping();
    core.flush();
    // Nobody hears any more what an attempt to fetch says.
    drop(channels.fetches);
    let fetching = core.end_fetching();
    farewell(&core, &channels.link_control, channels.link_task).await;
    if let Some(thread) = fetching {
        let ended = tokio::task::spawn_blocking(move || thread.join());
        let _ = time::timeout(FAREWELL_LIMIT, ended).await;
    }
    Ok(ExitCode::SUCCESS)
}

/// What comes to the loop, and what goes out of it.
struct Channels {
    link: mpsc::Receiver<LinkEvent>,
    link_control: Arc<LinkControl>,
    link_task: JoinHandle<()>,
    sessions: mpsc::Receiver<SessionEvent>,
    fetches: mpsc::Receiver<FetchEvent>,
    requests: mpsc::Receiver<LocalRequest>,
    status: watch::Sender<Arc<StatusView>>,
    terminate: Signal,
    interrupt: Signal,
}

fn set_up(
    settings: Settings,
    identity: Identity,
    clock: Clock,
    warnings: &mut Vec<String>,
) -> anyhow::Result<(Core, Channels)> {
    let now = clock.now();
    let stream = ReportPosition { stream: uuid::Uuid::now_v7(), number: 0 };
    let (store, kept, damage) = Store::open(&settings.state_folder, identity.eui, stream, now.unix_s)?;
    for text in &damage {
        log::tell(Named::StateDamaged, text);
    }
    warnings.extend(damage);
    warnings.extend(untrusting(&settings));
    let setup = Setup {
        eui: identity.eui,
        telemetry_interval_ms: milliseconds(settings.telemetry.interval),
        telemetry_min_interval_ms: milliseconds(settings.telemetry.min_interval),
        built_at_unix_s: BUILT_AT_UNIX_S.max(settings.time_floor_unix_s),
    };
    let state = State::new(setup, kept);
    let time = SharedTime::new(clock, state.time_judge());
    let link_control = Arc::new(LinkControl::default());
    let (session_events, sessions) = mpsc::channel(8);
    let (fetch_events, fetches) = mpsc::channel(4);
    let (link_events, link) = mpsc::channel(4);
    let (to_loop, requests) = mpsc::channel(4);
    let fixed = Fixed { identity: &identity, broker: &settings.broker, started_at_unix_s: now.unix_s };
    let view =
        status::view(&fixed, &Connection::new(now.unix_s), &state, None, |_| None, now, warnings.clone());
    let (status, views) = watch::channel(Arc::new(view));
    let blobs = Arc::new(BlobStore::new(settings.state_folder.join("bundles"), &settings.platform_root));
    let numbers = Arc::new(Numbers::default());
    let shown = Shown {
        status: views,
        config_json: config::settings_json(&settings).into(),
        numbers: Arc::clone(&numbers),
        time: time.clone(),
        state_folder: settings.state_folder.as_path().into(),
    };
    serve_technician(&settings, shown, to_loop, Arc::clone(&blobs))?;
    let link_task = tokio::spawn(mqtt::run(
        Link {
            settings: settings.broker.clone(),
            eui: identity.eui,
            time: time.clone(),
            control: link_control.clone(),
        },
        link_events,
    ));
    let link_of_core = link_control.clone();
    let means = Means::new(blobs, settings.magic_links.clone(), identity.clone(), time.clone());
    let core = Core::new(Parts {
        settings,
        identity,
        clock,
        time,
        store,
        state,
        link: link_of_core,
        session_events,
        fetcher: Fetcher::new(means, fetch_events),
        numbers,
    });
    let terminate = signal(SignalKind::terminate())?;
    let interrupt = signal(SignalKind::interrupt())?;
    let channels =
        Channels { link, link_control, link_task, sessions, fetches, requests, status, terminate, interrupt };
    Ok((core, channels))
}

/// Without keys the gateway can be seen, but nothing can be ordered.
fn untrusting(settings: &Settings) -> Vec<String> {
    let folder = &settings.trust_folder;
    let lacking = KeyPurpose::ALL.into_iter().filter_map(|purpose| {
        let advice = format!("no {} of the center is believed", purpose.as_str());
        match read_keyring(folder, purpose) {
            Ok(ring) if ring.is_empty() => {
                Some(format!("{advice}: {} has no file {}-*.pem", folder.display(), purpose.as_str()))
            }
            Ok(_) => None,
            Err(error) => Some(format!("{advice}: {}", mqtt::chain(&error))),
        }
    });
    let lacking: Vec<_> = lacking.collect();
    for text in &lacking {
        log::tell(Named::TrustLacking, text);
    }
    lacking
}

fn serve_technician(
    settings: &Settings,
    shown: Shown,
    requests: mpsc::Sender<LocalRequest>,
    blobs: Arc<BlobStore>,
) -> anyhow::Result<()> {
    let folder = settings.runtime_folder.clone();
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let (root_folder, root_requests, numbers) =
        (folder.clone(), requests.clone(), Arc::clone(&shown.numbers));
    let max_bytes = settings.magic_links.max_mib * 1024 * 1024;
    tokio::spawn(async move {
        if let Err(error) = local::serve_status(&folder, shown, requests).await {
            tracing::error!(%error, "the status socket cannot be served");
        }
    });
    tokio::spawn(async move {
        if let Err(error) = local::serve_control(&root_folder, blobs, max_bytes, root_requests, numbers).await
        {
            tracing::error!(%error, "the control socket cannot be served");
        }
    });
    Ok(())
}

fn on_link(core: &mut Core, connection: &mut Connection, event: LinkEvent) {
    let now_unix_s = core.shell().clock.now().unix_s;
    match event {
        LinkEvent::Connecting => connection.set("connecting", now_unix_s),
        LinkEvent::Up(publisher) => {
            log::tell(Named::LinkUp, &"connected to the broker");
            connection.set("connected", now_unix_s);
            core.shell().numbers.connections.count();
            core.set_publisher(Some(publisher));
            core.apply(vec![Event::Connected { fresh_nonce: fresh_nonce() }]);
        }
        LinkEvent::Message(message, publisher) => core.message(&message, &publisher),
        LinkEvent::Down { error } => {
            log::tell(Named::LinkDown, &format_args!("no connection to the broker: {error}"));
            connection.failed(error, now_unix_s);
            core.shell().numbers.connections_lost.count();
            core.set_publisher(None);
            core.apply(vec![Event::Disconnected]);
        }
    }
}

fn on_request(core: &mut Core, request: LocalRequest) {
    match request {
        LocalRequest::TelemetryNow { answer } => drop(answer.send(telemetry_now(core))),
        LocalRequest::Command { envelope, only_check, answer } => {
            drop(answer.send(by_hand::command(core, &envelope, only_check)));
        }
        LocalRequest::Cancel { command_id, answer } => {
            drop(answer.send(by_hand::cancel(core, command_id)));
        }
    }
}

fn telemetry_now(core: &mut Core) -> TelemetryAnswer {
    let connected = core.shell().publisher.is_some();
    // First the wish: whether it is obeyed at once shows in the time that is left.
    core.apply(vec![Event::TelemetryWanted]);
    let now = core.shell().clock.now();
    let at_unix_s = if core.state().telemetry_sent_at() == Some(now.unix_s) {
        now.unix_s
    } else {
        core.state().telemetry_due_at(now)
    };
    if connected { TelemetryAnswer::Due { at_unix_s } } else { TelemetryAnswer::WhenConnected {} }
}

fn wake_at(core: &Core, clock: Clock, notify: &Notify) -> Instant {
    let now = Instant::now();
    let machine = core.next_wake_ms().map(|wake_ms| clock.at(wake_ms));
    let watchdog = notify.interval().map(|interval| now + interval);
    [machine, watchdog].into_iter().flatten().fold(now + MAX_SLEEP, Instant::min)
}

/// Jobs go on in the executor; the broker is told.
async fn farewell(core: &Core, control: &LinkControl, link_task: JoinHandle<()>) {
    control.close();
    let Some(publisher) = &core.shell().publisher else { return };
    if publisher.farewell().is_ok() {
        let _ = time::timeout(FAREWELL_LIMIT, link_task).await;
    }
    tracing::info!("ended");
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
