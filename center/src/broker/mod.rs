//! The embedded MQTT 5 broker: the routing of the `mqtt5` crate behind entrances, log-in and access rules of our own.
//!
//! A gateway logs in with its own password or its own client certificate and can use nothing but its own topics. The
//! center comes by a loopback port and with a password that exist only as long as the process. It must not look into
//! messages: the center's own MQTT client does that, and works the same with any other MQTT 5 broker.

mod access;
mod gate;
mod listen;
mod login;
pub(crate) mod passwords;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use keros_protocol::limits;
use keros_protocol::topics::Prefix;
use mqtt5::broker::config::BrokerConfig;
use mqtt5::broker::resource_monitor::{ResourceLimits, ResourceMonitor};
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::storage::QueueLimits;
use mqtt5::broker::sys_topics::BrokerStats;
use mqtt5::broker::{DynamicStorage, MemoryBackend};
use ring::hmac;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, broadcast, mpsc};

pub(crate) use gate::Gate;
use listen::{Core, Door};
use login::{CENTER_USERNAME, Entrance, Guard};
use passwords::PasswordFile;

/// Connections at one time: the fleet that one center serves, and those that are just being replaced.
const MAX_CONNECTIONS: usize = 150_000;

/// The greatest message is a Downlink; half as much again for topic and properties.
pub(crate) const MAX_PACKET_BYTES: usize = limits::MAX_DOWNLINK_BYTES * 3 / 2;

/// A retained message is one word: `online` or `offline`.
const MAX_RETAINED_BYTES: usize = 64;

/// Messages kept for one client that is slow or away, and their bytes. The center's own bursts need the most.
const MAX_QUEUED_MESSAGES: usize = 10_000;
const MAX_QUEUED_BYTES: usize = 64 * 1024 * 1024;

/// How long a session outlives its connection at most. Whatever it would have carried is sent again after that.
const MAX_SESSION_EXPIRY: Duration = Duration::from_secs(24 * 3600);

/// How often expired sessions and messages are cleared away.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// How long stopping waits for connections to end.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// How the broker is set up.
#[derive(Debug, Clone)]
pub(crate) struct BrokerSettings {
    /// Where gateways come in.
    pub(crate) listen: Vec<Listener>,
    /// First levels of all topics.
    pub(crate) topic_prefix: Prefix,
    /// How gateways log in.
    pub(crate) gateways: GatewayAccess,
    /// Who is locked out all the same.
    pub(crate) gate: Arc<Gate>,
}

/// One address where gateways come in.
#[derive(Debug, Clone)]
pub(crate) struct Listener {
    /// Port 0: any free one.
    pub(crate) address: SocketAddr,
    /// `None`: plain TCP.
    pub(crate) tls: Option<TlsFiles>,
}

/// PEM files for one TLS listener.
#[derive(Debug, Clone)]
pub(crate) struct TlsFiles {
    /// The broker's certificate chain.
    pub(crate) cert: PathBuf,
    /// Its private key.
    pub(crate) key: PathBuf,
    /// Authorities whose client certificates log a gateway in: common name = EUI.
    pub(crate) client_cas: Vec<PathBuf>,
}

/// How gateways log in. Without a password file, only by client certificate.
#[derive(Debug, Clone, Default)]
pub(crate) struct GatewayAccess {
    /// File made by `keros-center broker-user add`; read again whenever it changes.
    pub(crate) password_file: Option<PathBuf>,
}

/// The broker at work; it stops when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    /// The addresses of [`BrokerSettings::listen`], with the ports that were given.
    pub(crate) addresses: Vec<SocketAddr>,
    /// The loopback address for the center alone: plain TCP.
    pub(crate) center_address: SocketAddr,
    /// The center's user name there.
    pub(crate) center_username: String,
    /// The center's password there.
    pub(crate) center_password: String,
    shutdown: broadcast::Sender<()>,
    closed: mpsc::Receiver<()>,
}

impl Running {
    /// Ends all connections and waits until they have ended, at most five seconds.
    pub(crate) async fn stop(mut self) {
        let _ = self.shutdown.send(());
        if tokio::time::timeout(STOP_LIMIT, self.closed.recv()).await.is_err() {
            tracing::warn!("the broker's connections did not all end in {} s", STOP_LIMIT.as_secs());
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.shutdown.send(());
    }
}

/// Starts the broker on all addresses, or on none.
///
/// # Errors
/// When an address cannot be used, a file cannot be read, or nobody could log in.
pub(crate) async fn start(settings: BrokerSettings) -> anyhow::Result<Running> {
    let with_certificates =
        settings.listen.iter().any(|l| l.tls.as_ref().is_some_and(|t| !t.client_cas.is_empty()));
    if settings.gateways.password_file.is_none() && !with_certificates && !settings.listen.is_empty() {
        anyhow::bail!(
            "no gateway could log in to the broker: give it a password file, or a TLS listener with a client authority"
        );
    }
    let center_password = passwords::random_text()?;
    let guard = Arc::new(guard(&settings, &center_password)?);
    let (shutdown, _) = broadcast::channel(1);
    let (open, closed) = mpsc::channel(1);
    let core = Arc::new(core(guard, shutdown.clone(), open).await?);

    let mut doors = vec![center_door().await?];
    for listener in &settings.listen {
        doors.push(gateway_door(listener).await?);
    }
    let mut addresses = doors.iter().map(Door::address).collect::<Result<Vec<_>, _>>()?;
    let center_address = addresses.remove(0);
    for door in doors {
        tokio::spawn(door.serve(Arc::clone(&core)));
    }
    tokio::spawn(sweep(core));
    Ok(Running {
        addresses,
        center_address,
        center_username: CENTER_USERNAME.to_owned(),
        center_password,
        shutdown,
        closed,
    })
}

fn guard(settings: &BrokerSettings, center_password: &str) -> anyhow::Result<Guard> {
    let passwords = settings.gateways.password_file.as_deref().map(PasswordFile::open).transpose()?;
    let center_key = hmac::Key::new(hmac::HMAC_SHA256, passwords::random_text()?.as_bytes());
    let center_tag = hmac::sign(&center_key, center_password.as_bytes());
    let gate = Arc::clone(&settings.gate);
    Ok(Guard { prefix: settings.topic_prefix.clone(), passwords, gate, center_key, center_tag })
}

async fn core(
    guard: Arc<Guard>,
    shutdown: broadcast::Sender<()>,
    open: mpsc::Sender<()>,
) -> anyhow::Result<Core> {
    let config = config();
    let limits = QueueLimits { max_messages: MAX_QUEUED_MESSAGES, max_bytes: MAX_QUEUED_BYTES };
    let storage = Arc::new(DynamicStorage::Memory(MemoryBackend::with_queue_limits(limits)));
    let router = MessageRouter::with_storage(Arc::clone(&storage))
        .with_fallback_queue_limits(limits)
        .with_retained_limits(config.max_retained_messages, config.max_retained_message_size);
    router.initialize().await.context("cannot start the broker")?;
    // Connections are counted at the door; the monitor's own limits would only be in the way.
    let monitor = ResourceLimits {
        max_connections: MAX_CONNECTIONS,
        max_connections_per_ip: MAX_CONNECTIONS,
        max_message_rate_per_client: 0,
        max_bandwidth_per_client: 0,
        ..ResourceLimits::default()
    };
    Ok(Core {
        guard,
        config: Arc::new(config),
        router: Arc::new(router),
        storage,
        stats: Arc::new(BrokerStats::new()),
        monitor: Arc::new(ResourceMonitor::new(monitor)),
        places: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        shutdown,
        open,
    })
}

fn config() -> BrokerConfig {
    BrokerConfig {
        bind_addresses: Vec::new(),
        max_clients: MAX_CONNECTIONS,
        session_expiry_interval: MAX_SESSION_EXPIRY,
        max_packet_size: MAX_PACKET_BYTES,
        topic_alias_maximum: 16,
        maximum_qos: 1,
        max_subscriptions_per_client: 16,
        max_retained_messages: MAX_CONNECTIONS,
        max_retained_message_size: MAX_RETAINED_BYTES,
        server_receive_maximum: Some(256),
        sys_topics_enabled: false,
        ..BrokerConfig::default()
    }
}

async fn center_door() -> anyhow::Result<Door> {
    let socket = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))
        .await
        .context("cannot listen on a loopback port for the center itself")?;
    Ok(Door { socket, entrance: Entrance::Center, tls: None })
}

async fn gateway_door(listener: &Listener) -> anyhow::Result<Door> {
    let tls = match &listener.tls {
        Some(files) => Some(listen::tls_acceptor(files).await?),
        None => None,
    };
    let socket = TcpListener::bind(listener.address)
        .await
        .with_context(|| format!("the broker cannot listen on {}", listener.address))?;
    Ok(Door { socket, entrance: Entrance::Gateways { certificate: None }, tls })
}

async fn sweep(core: Arc<Core>) {
    let mut shutdown = core.shutdown.subscribe();
    let mut interval = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        tokio::select! {
            _ = interval.tick() => {
                core.monitor.cleanup_expired_windows().await;
                core.router.sweep_sessions().await;
            }
            _ = shutdown.recv() => return,
        }
    }
}
