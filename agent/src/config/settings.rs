//! The valid settings: what the rest of the agent works with. How they are read and checked is in the modules beside it.

use std::path::PathBuf;
use std::time::Duration;

use keros_platform::IdentityOverride;
use keros_protocol::topics::Prefix;

/// All settings of the agent.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Identity set by hand.
    pub(crate) identity: IdentityOverride,
    /// Where the platform's files are looked for; `/` on a gateway.
    pub(crate) platform_root: PathBuf,
    /// The broker.
    pub(crate) broker: BrokerSettings,
    /// When telemetry is sent.
    pub(crate) telemetry: TelemetrySettings,
    /// State that survives a restart.
    pub(crate) state_folder: PathBuf,
    /// Sockets for the technician.
    pub(crate) runtime_folder: PathBuf,
    /// Trusted public keys.
    pub(crate) trust_folder: PathBuf,
    /// How the executor is reached.
    pub(crate) executor: ExecutorAccess,
    /// How Magic Links are fetched.
    pub(crate) magic_links: MagicLinkSettings,
    /// It is not earlier than this, whatever the clock says.
    pub(crate) time_floor_unix_s: u64,
}

/// The broker and how to log in.
#[derive(Debug, Clone)]
pub(crate) struct BrokerSettings {
    /// Host name or address.
    pub(crate) host: String,
    /// TCP port; 8883 by default with TLS, 1883 without.
    pub(crate) port: u16,
    /// TLS; `None`: plain TCP.
    pub(crate) tls: Option<TlsSettings>,
    /// User name; the EUI by default when there is a password.
    pub(crate) username: Option<String>,
    /// File with the password in its first line.
    pub(crate) password_file: Option<PathBuf>,
    /// First levels of all topics.
    pub(crate) topic_prefix: Prefix,
    /// MQTT keep-alive.
    pub(crate) keep_alive: Duration,
    /// Longest wait between two attempts to connect.
    pub(crate) reconnect_max: Duration,
}

/// TLS towards the broker.
#[derive(Debug, Clone)]
pub(crate) struct TlsSettings {
    /// PEM file of the authorities that may have signed the broker's certificate.
    pub(crate) ca_file: PathBuf,
    /// PEM files of the client's certificate chain and its private key.
    pub(crate) client: Option<(PathBuf, PathBuf)>,
}

/// When telemetry is sent.
#[derive(Debug, Clone)]
pub(crate) struct TelemetrySettings {
    /// The regular interval; an hour by default. A gateway's phase in it comes from its EUI.
    pub(crate) interval: Duration,
    /// Never more often than this, whatever asks for it: a nudge, a reconnect, the technician.
    pub(crate) min_interval: Duration,
}

/// How the executor is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExecutorAccess {
    /// Its Unix socket: one connection per session.
    Socket(PathBuf),
    /// A program with arguments, started in a session of its own: one process per session.
    Command(Vec<String>),
}

/// A log-in, and the one registry that gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RegistryLogin {
    /// The registry, with its port where it is not the scheme's own.
    pub(crate) host: String,
    /// User name.
    pub(crate) username: String,
    /// File with the password in its first line.
    pub(crate) password_file: PathBuf,
}

/// How Magic Links are fetched, and how many are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MagicLinkSettings {
    /// PEM file of the authorities that may have signed a source's certificate; `None`: those that the system trusts.
    pub(crate) ca_file: Option<PathBuf>,
    /// Sources without TLS may be asked too.
    pub(crate) allow_http: bool,
    /// `http://host:port` of a proxy that passes connections on.
    pub(crate) proxy: Option<String>,
    /// Never faster than this, KiB a second; 0: as fast as it comes.
    pub(crate) rate_limit_kib_s: u64,
    /// Hosts, with their port where it is not the scheme's own, that a source may send on to.
    pub(crate) redirect_hosts: Vec<String>,
    /// For a registry that asks for a log-in.
    pub(crate) registry_login: Option<RegistryLogin>,
    /// No bundle is greater than this, MiB.
    pub(crate) max_mib: u64,
    /// The most that bundles of ended jobs may take, MiB.
    pub(crate) keep_mib: u64,
}
