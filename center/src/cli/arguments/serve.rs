//! `serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use keros_protocol::enroll::HostPort;
use keros_protocol::magic_link::{Source, SourceError};
use keros_protocol::topics::Prefix;

use super::DEFAULT_DATA_FOLDER;
use super::storage::DatabaseArguments;
use crate::cli::text::parse_duration_s;

/// `serve`.
#[derive(Debug, Args)]
#[command(after_long_help = SERVE_EXAMPLES)]
pub(crate) struct ServeArguments {
    /// Folder for the database, the access token (api-token), keys and broker passwords
    #[arg(long, value_name = "DIR", env = "KEROS_CENTER_DATA", default_value = DEFAULT_DATA_FOLDER)]
    pub(crate) data_folder: PathBuf,
    #[command(flatten)]
    pub(crate) database: DatabaseArguments,
    /// Address of the web pages and the REST API; port 0 is any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8480")]
    pub(crate) rest: SocketAddr,
    /// A proxy that speaks TLS to browsers, by its address: it is believed from where requests come (X-Forwarded-For), and the pages' cookies
    /// never go without TLS
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) behind_proxy: Option<std::net::IpAddr>,
    /// Plain MQTT for gateways; may be repeated. Passwords cross the network readable: for loopback and VPNs [default:
    /// 127.0.0.1:1883, when no other way in is named]
    #[arg(long, value_name = "ADDRESS", conflicts_with = "external_broker")]
    pub(crate) mqtt: Vec<SocketAddr>,
    /// MQTT over TLS for gateways; may be repeated
    #[arg(
        long,
        value_name = "ADDRESS",
        requires = "cert",
        requires = "cert_key",
        conflicts_with = "external_broker"
    )]
    pub(crate) mqtt_tls: Vec<SocketAddr>,
    /// The certificate chain of broker and registry, PEM
    #[arg(long, value_name = "FILE", requires = "cert_key")]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of that certificate, PEM
    #[arg(long, value_name = "FILE", visible_alias = "key", requires = "cert")]
    pub(crate) cert_key: Option<PathBuf>,
    /// Authority whose client certificates log a gateway in: common name = EUI, PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) client_ca: Option<PathBuf>,
    /// File of gateway passwords, made by `broker-user add` [default: broker-users in the data folder]
    #[arg(long, value_name = "FILE", conflicts_with = "external_broker")]
    pub(crate) broker_users: Option<PathBuf>,
    /// Use this MQTT 5 broker (host:port) instead of the embedded one
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_host_port)]
    pub(crate) external_broker: Option<(String, u16)>,
    /// User name at the external broker
    #[arg(long, value_name = "NAME", requires = "external_broker")]
    pub(crate) external_broker_user: Option<String>,
    /// File with the password at the external broker in its first line
    #[arg(long, value_name = "FILE", requires = "external_broker_user")]
    pub(crate) external_broker_password_file: Option<PathBuf>,
    /// Authority of the external broker's certificate, PEM: TLS
    #[arg(long, value_name = "FILE", requires = "external_broker")]
    pub(crate) external_broker_ca: Option<PathBuf>,
    /// The center's own certificate for the external broker, PEM
    #[arg(long, value_name = "FILE", requires = "external_broker_ca", requires = "external_broker_key")]
    pub(crate) external_broker_cert: Option<PathBuf>,
    /// The private key of that certificate, PEM
    #[arg(long, value_name = "FILE", requires = "external_broker_cert")]
    pub(crate) external_broker_key: Option<PathBuf>,
    /// Plain HTTP registry from which gateways fetch Magic Links: for loopback and VPNs, and only by gateways with the setting
    /// magic_links.allow_http [default: 127.0.0.1:8481, when no other way in is named]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) registry: Option<SocketAddr>,
    /// The registry over TLS, with the certificate of --cert
    #[arg(long, value_name = "ADDRESS", requires = "cert", requires = "cert_key")]
    pub(crate) registry_tls: Option<SocketAddr>,
    /// The registry's address as gateways are told, https://host[:port] [default: the address of --registry-tls or --registry, when
    /// it is a single one]
    #[arg(long, value_name = "URL", value_parser = parse_registry_url)]
    pub(crate) registry_url: Option<Source>,
    /// Authority that signed --cert, PEM: gateways that enrol trust it [default: the last certificate in --cert]
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) ca: Option<PathBuf>,
    /// Where gateways enrol, as they reach it: the address of --registry-tls [default: what --registry-url says]
    #[arg(long, value_name = "HOST:PORT", requires = "registry_tls")]
    pub(crate) enroll_at: Option<HostPort>,
    /// The broker as gateways reach it, with TLS [default: the host of --enroll-at, the port of --mqtt-tls]
    #[arg(long, value_name = "HOST:PORT", requires = "registry_tls")]
    pub(crate) broker_at: Option<HostPort>,
    /// For how long a gateway's certificate is good; it renews it when a third is left
    #[arg(long, value_name = "TIME", default_value = "365d", value_parser = parse_duration_s)]
    pub(crate) certificate_life: u32,
    /// Reports as they came are kept for so many days; what became of each command is kept with its update
    #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) keep_reports: u32,
    /// Updates that have ended are kept for so many days
    #[arg(long, value_name = "DAYS", default_value_t = 730, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) keep_updates: u32,
    /// The audit log is kept for so many days
    #[arg(long, value_name = "DAYS", default_value_t = 730, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) keep_audit: u32,
    /// The history of each gateway's CPU, memory and temperature is kept for so many days
    #[arg(long, value_name = "DAYS", default_value_t = 366, value_parser = clap::value_parser!(u32).range(1..=366))]
    pub(crate) keep_telemetry: u32,
    /// Folder of the Magic Links' files; centers that serve from one database must all have the same, on storage that they share [default:
    /// blobs in the data folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) links_folder: Option<PathBuf>,
    /// The most that the store of Magic Links may take of the disk, GiB
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) links_gib: u32,
    /// Let webhooks go to private addresses too, and without TLS: for receivers on this machine or in its network. Whoever may make
    /// webhooks reaches them then
    #[arg(long)]
    pub(crate) webhooks_anywhere: bool,
    /// Groups that one customer may have
    #[arg(long, value_name = "N", default_value_t = crate::bounds::MAX_GROUPS, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) max_groups: u32,
    /// First levels of all MQTT topics
    #[arg(long, value_name = "TOPIC", default_value = "keros")]
    pub(crate) topic_prefix: Prefix,
    /// Folder of the signing keys [default: keys in the data folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) keys: Option<PathBuf>,
}

const SERVE_EXAMPLES: &str = "\
Gateways with passwords, TLS:
  keros-center broker-user add 7076FF0056070123
  keros-center serve --mqtt-tls 0.0.0.0:8883 --cert broker.pem --cert-key broker.key.pem

Gateways with client certificates (CN = EUI):
  keros-center serve --mqtt-tls 0.0.0.0:8883 --cert broker.pem --cert-key broker.key.pem --client-ca fleet-ca.pem

With a registry, so that gateways can fetch Magic Links:
  keros-center serve --mqtt-tls 0.0.0.0:8883 --registry-tls 0.0.0.0:8443 --registry-url https://center.example:8443 \
    --cert center.pem --cert-key center.key.pem

So that gateways can enrol (`keros-center enroll EUI`): over the registry's TLS; --ca is who signed center.pem:
  keros-center serve --mqtt-tls 0.0.0.0:8883 --registry-tls 0.0.0.0:8443 --registry-url https://center.example:8443 \
    --cert center.pem --cert-key center.key.pem --ca site-ca.pem

With mosquitto or a cluster of another broker:
  keros-center serve --external-broker 127.0.0.1:1883 --external-broker-user center \
    --external-broker-password-file broker.password

A certificate without an authority, to try TLS; on the gateways center.pem is broker.tls.ca_file:
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj /CN=center.example \
    -addext subjectAltName=DNS:center.example -addext basicConstraints=critical,CA:FALSE \
    -keyout center.key.pem -out center.pem

Pages and REST API are for this machine alone unless --rest says otherwise, and speak plain HTTP: put a TLS proxy before them.
`keros-center admin create LOGIN` makes who logs in at the pages first.
KEROS_CENTER_LOG=debug logs more.";

/// The address alone, or with the repository behind it.
fn parse_registry_url(text: &str) -> Result<Source, String> {
    let whole = || format!("{}/v2/{}", text.trim_end_matches('/'), crate::links::REPOSITORY).parse();
    text.parse().or_else(|_| whole()).map_err(|error: SourceError| error.to_string())
}

fn parse_host_port(text: &str) -> Result<(String, u16), String> {
    let (host, port) = text.rsplit_once(':').ok_or("expected host:port")?;
    let port = port.parse().map_err(|_| "the port is a number from 1 to 65535".to_owned())?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || port == 0 {
        Err("expected host:port".to_owned())
    } else {
        Ok((host.to_owned(), port))
    }
}
