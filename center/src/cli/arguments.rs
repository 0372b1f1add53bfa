//! The command line: what can be written. What it does is in the modules beside this one.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use keros_protocol::UpdateId;
use keros_protocol::enroll::HostPort;
use keros_protocol::magic_link::{Source, SourceError};
use keros_protocol::topics::Prefix;

use super::accounts::arguments::{
    AdminCommand, AuditArguments, CustomersCommand, TokenCommand, UsersCommand,
};
use super::magic_link::arguments::MagicLinkCommand;
use super::magic_link::place::Hash;
use super::text::{parse_duration_s, parse_utc};
use crate::plan::{Stage, Window};
use crate::store::WebhookId;
use crate::webhooks::EventKind;

/// Sends JetPorch scripts to groups of Kerlink gateways, and tells what became of them.
#[derive(Debug, Parser)]
#[command(name = "keros-center", version, propagate_version = true, after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Try it first, without any gateway:
  keros-center demo

Set up a center that gateways can join:
  keros-center keys generate
  keros-center serve --mqtt-tls 0.0.0.0:8883 --registry-tls 0.0.0.0:8443 --enroll-at center.example:8443 \
    --cert center.pem --cert-key center.key.pem
  keros-center enroll 7076FF0056070123

Set up a center, and a gateway's log-in by hand:
  keros-center keys generate
  keros-center broker-user add 7076FF0056070123
  keros-center serve --mqtt-tls 0.0.0.0:8883 --cert broker.pem --cert-key broker.key.pem

Send a script to a group and watch it:
  keros-center gateways
  keros-center groups create north --gateways 7076FF0056070123,7076FF0056070124
  keros-center update send --group north --script ntp.yml --watch
  keros-center update cancel 01920000-0000-7000-8000-000000000002

Make a Magic Link, a bundle with files for the gateways that it declares, and send it:
  keros-center magic-link create forwarder/ --gateways north.txt
  keros-center update send --group north --magic-link HASH

Exit codes:
  0  done; with --watch: every gateway succeeded
  1  the update has ended (or is overdue), and some gateway did not succeed; cancel: it was too late for some gateway
  2  the command line cannot be understood
  3  the script, the playbook or the variables are not valid: nothing was sent
  4  the center cannot be reached
  5  the center, or this command itself, refused or failed
  130  ended by Ctrl-C";

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the center: broker, database, REST API
    Serve(Box<ServeArguments>),
    /// Write all that the center keeps into one file, while it serves or not: the rows of its database and the files of Magic Links
    Backup(BackupArguments),
    /// Put a backup into an empty data folder or database: SQLite or PostgreSQL, whichever it was made of
    Restore(RestoreArguments),
    /// Show all of it at work on this machine: center, broker and three agents, in a temporary folder
    Demo(DemoArguments),
    /// Make or show the keys that sign what gateways are ordered
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Make or show the authority that signs gateways' certificates
    Ca {
        #[command(subcommand)]
        command: CaCommand,
    },
    /// Let gateways join: print for each the line that is pasted there
    #[command(args_conflicts_with_subcommands = true, after_long_help = ENROLL_EXAMPLES)]
    Enroll {
        #[command(flatten)]
        access: Access,
        #[command(subcommand)]
        command: Option<EnrollCommand>,
        #[command(flatten)]
        order: EnrollOrder,
    },
    /// Give gateways passwords for the embedded broker
    BrokerUser {
        #[command(subcommand)]
        command: BrokerUserCommand,
    },
    /// See and name gateways
    Gateways {
        #[command(flatten)]
        access: Access,
        #[command(subcommand)]
        command: Option<GatewaysCommand>,
    },
    /// See and change groups of gateways
    Groups {
        #[command(flatten)]
        access: Access,
        #[command(subcommand)]
        command: Option<GroupsCommand>,
    },
    /// Send updates and follow them
    Update {
        #[command(flatten)]
        access: Access,
        #[command(subcommand)]
        command: UpdateCommand,
    },
    /// See and change webhooks: addresses that are told when updates end or fail
    #[command(after_long_help = WEBHOOKS_EXAMPLES)]
    Webhooks {
        #[command(flatten)]
        access: Access,
        #[command(subcommand)]
        command: Option<WebhooksCommand>,
    },
    /// Make Magic Links, bundles that only the gateways declared in them run, and move them between folders, center and registries
    MagicLink {
        #[command(flatten)]
        access: Access,
        #[command(subcommand)]
        command: Option<MagicLinkCommand>,
    },
    /// Make the first administrator, who logs in at the pages
    Admin {
        #[command(subcommand)]
        command: AdminCommand,
    },
    /// See and change users and their roles
    Users {
        #[command(flatten)]
        access: Access,
        #[command(subcommand)]
        command: Option<UsersCommand>,
    },
    /// See and change customers
    Customers {
        #[command(flatten)]
        access: Access,
        #[command(subcommand)]
        command: Option<CustomersCommand>,
    },
    /// See, make and revoke your API tokens
    Token {
        #[command(flatten)]
        access: Access,
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// See who did what
    Audit {
        #[command(flatten)]
        access: Access,
        #[command(flatten)]
        arguments: AuditArguments,
    },
    /// Print the completions for a shell: add them with `source <(keros-center completions bash)`
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Where the center is, for commands that ask it.
#[derive(Debug, Clone, Args)]
pub(crate) struct Access {
    /// Address of the center's REST API
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "KEROS_CENTER_URL",
        default_value = "http://127.0.0.1:8480"
    )]
    pub(crate) center: String,
    /// File with the access token [default: api-token in the data folder]
    #[arg(long, global = true, value_name = "FILE", env = "KEROS_CENTER_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// The center's data folder, if it is on this machine
    #[arg(long, global = true, value_name = "DIR", env = "KEROS_CENTER_DATA", default_value = DEFAULT_DATA_FOLDER)]
    pub(crate) data_folder: PathBuf,
    /// Print JSON: what the REST API answers
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl Access {
    /// The file with the token.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.token_file.clone().unwrap_or_else(|| self.data_folder.join("api-token"))
    }
}

/// Where the center keeps its things when nothing else is said.
pub(crate) const DEFAULT_DATA_FOLDER: &str = "/var/lib/keros-center";

/// Where a center keeps its things.
#[derive(Debug, Clone, Args)]
pub(crate) struct StorageArguments {
    /// The center's data folder
    #[arg(long, value_name = "DIR", env = "KEROS_CENTER_DATA", default_value = DEFAULT_DATA_FOLDER)]
    pub(crate) data_folder: PathBuf,
    #[command(flatten)]
    pub(crate) database: DatabaseArguments,
    /// Folder of the Magic Links' files [default: blobs in the data folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) links_folder: Option<PathBuf>,
}

/// `backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArguments {
    /// The file to write; it must not be there
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) storage: StorageArguments,
}

/// `restore`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RestoreArguments {
    /// The backup
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) storage: StorageArguments,
    /// No center has served since the backup was made, as when it moves to another machine or database: commands go on as they were
    #[arg(long)]
    pub(crate) nothing_since: bool,
    /// Only read the backup, and say whether it is whole
    #[arg(long)]
    pub(crate) check: bool,
}

/// Which database.
#[derive(Debug, Clone, Args)]
pub(crate) struct DatabaseArguments {
    /// The PostgreSQL database, postgres://USER@HOST/DATABASE, for which several centers may serve; its password comes from
    /// --database-password-file, PGPASSWORD or ~/.pgpass [default: SQLite in the data folder]
    #[arg(long, value_name = "URL", env = "KEROS_CENTER_DATABASE", hide_env_values = true)]
    pub(crate) database: Option<String>,
    /// File with the password for the database in its first line
    #[arg(long, value_name = "FILE", env = "KEROS_CENTER_DATABASE_PASSWORD_FILE", requires = "database")]
    pub(crate) database_password_file: Option<PathBuf>,
}

/// `serve`.
#[derive(Debug, Args)]
#[command(after_long_help = SERVE_EXAMPLES)]
pub(crate) struct ServeArguments {
    /// Folder for the database, the access token (api-token), keys and broker passwords
    #[arg(long, value_name = "DIR", env = "KEROS_CENTER_DATA", default_value = DEFAULT_DATA_FOLDER)]
    pub(crate) data_folder: PathBuf,
    #[command(flatten)]
    pub(crate) database: DatabaseArguments,
    /// Address of the REST API; port 0 is any free one
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

The REST API is for this machine alone unless --rest says otherwise, and speaks plain HTTP: put a TLS proxy before it.
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

/// `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Leave it running at the end, until Ctrl-C
    #[arg(long)]
    pub(crate) keep: bool,
}

/// `keys …`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make the command key and the statement key, and the public files for the gateways; never overwrites
    Generate(KeysFolder),
    /// Name the keys and their files
    Show(KeysFolder),
}

/// Where keys are.
#[derive(Debug, Args)]
pub(crate) struct KeysFolder {
    /// Folder of the keys [default: keys in the data folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
    /// The center's data folder
    #[arg(long, value_name = "DIR", env = "KEROS_CENTER_DATA", default_value = DEFAULT_DATA_FOLDER)]
    pub(crate) data_folder: PathBuf,
}

impl KeysFolder {
    /// The folder.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.clone().unwrap_or_else(|| self.data_folder.join("keys"))
    }
}

/// `ca …`.
#[derive(Debug, Subcommand)]
pub(crate) enum CaCommand {
    /// Make the authority; never overwrites. From its next start on, the center gives gateways certificates instead of passwords
    Create(CaFolder),
    /// Tell where it is
    Show(CaFolder),
}

/// Where the authority is.
#[derive(Debug, Args)]
pub(crate) struct CaFolder {
    /// The center's data folder
    #[arg(long, value_name = "DIR", env = "KEROS_CENTER_DATA", default_value = DEFAULT_DATA_FOLDER)]
    pub(crate) data_folder: PathBuf,
}

/// `enroll EUI…`.
#[derive(Debug, Args)]
pub(crate) struct EnrollOrder {
    /// The gateways
    #[arg(value_name = "EUI", value_delimiter = ',', required = true)]
    pub(crate) gateways: Vec<keros_protocol::Eui>,
    /// For how long each line is good, at most 30d
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_duration_s)]
    pub(crate) valid: u32,
}

/// `enroll …`.
#[derive(Debug, Subcommand)]
pub(crate) enum EnrollCommand {
    /// List the lines that were made, and how far their gateways are
    List,
    /// Take back a line that is not used up
    Cancel {
        /// The gateway
        eui: keros_protocol::Eui,
    },
    /// Lock a gateway out: its line, its certificates and its password are no longer good, its connection is ended
    Revoke {
        /// The gateway
        eui: keros_protocol::Eui,
    },
}

const ENROLL_EXAMPLES: &str = "\
At the center, which serves with --mqtt-tls and --registry-tls:
  keros-center enroll 7076FF0056070123

At the gateway, as root: paste the line, then Enter
  sudo keros-agent enroll -

What became of it, and locking a stolen gateway out:
  keros-center enroll list
  keros-center enroll revoke 7076FF0056070123";

/// `broker-user …`.
#[derive(Debug, Subcommand)]
pub(crate) enum BrokerUserCommand {
    /// Make a new password for a gateway and print it, once; a running center knows it at once
    Add(BrokerUser),
    /// Take a gateway's password away
    Remove(BrokerUser),
    /// List the gateways that have a password
    List(BrokerUsers),
}

/// One of them.
#[derive(Debug, Args)]
pub(crate) struct BrokerUser {
    /// The gateway
    pub(crate) eui: keros_protocol::Eui,
    #[command(flatten)]
    pub(crate) users: BrokerUsers,
}

/// Where they are.
#[derive(Debug, Args)]
pub(crate) struct BrokerUsers {
    /// File of gateway passwords [default: broker-users in the data folder]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The center's data folder
    #[arg(long, value_name = "DIR", env = "KEROS_CENTER_DATA", default_value = DEFAULT_DATA_FOLDER)]
    data_folder: PathBuf,
}

impl BrokerUsers {
    /// The file.
    pub(crate) fn path(&self) -> PathBuf {
        self.file.clone().unwrap_or_else(|| broker_users_file(&self.data_folder))
    }
}

/// The file of gateway passwords when nothing else is said.
pub(crate) fn broker_users_file(data_folder: &std::path::Path) -> PathBuf {
    data_folder.join("broker-users")
}

/// `gateways …`.
#[derive(Debug, Subcommand)]
pub(crate) enum GatewaysCommand {
    /// List gateways (also without a word: all that are in service)
    #[command(after_long_help = GATEWAYS_EXAMPLES)]
    List(GatewaysWanted),
    /// Count gateways by connection status
    Count(GatewaysWanted),
    /// Show one gateway
    Show {
        /// The gateway
        eui: keros_protocol::Eui,
    },
    /// Show the vitals of its last week, or of its last year
    History {
        /// The gateway
        eui: keros_protocol::Eui,
        /// A line for each day: average and maximum
        #[arg(long)]
        days: bool,
    },
    /// Show its packages
    Packages {
        /// The gateway
        eui: keros_protocol::Eui,
        /// Part of a name or a version
        search: Option<String>,
    },
    /// Name, describe, label a gateway; what is not said stays
    Edit {
        /// The gateway
        eui: keros_protocol::Eui,
        /// Its name; empty for none
        #[arg(long)]
        name: Option<String>,
        /// Free text
        #[arg(long)]
        description: Option<String>,
        /// All of its labels; empty for none
        #[arg(long, value_delimiter = ',', value_name = "LABEL,LABEL…")]
        labels: Option<Vec<String>>,
        /// Where it stands, in degrees; empty for not known
        #[arg(long, value_name = "LATITUDE,LONGITUDE", allow_hyphen_values = true)]
        location: Option<String>,
    },
    /// Move a gateway to another customer: it leaves its groups and loses its labels; refused while an update of it has not ended
    Move {
        /// The gateway
        eui: keros_protocol::Eui,
        /// The customer, by id or name
        customer: String,
    },
    /// Take a gateway out of service: nothing is sent to it any more, what waits for it is cancelled
    Retire {
        /// The gateway
        eui: keros_protocol::Eui,
        /// Lock it out as well: its certificates and its password are no longer good
        #[arg(long)]
        lock_out: bool,
    },
    /// Take a gateway into service again; one that was locked out has to enrol anew
    Unretire {
        /// The gateway
        eui: keros_protocol::Eui,
    },
    /// Declare, name, describe, label the gateways of a CSV file: all of them, or none when one line is wrong
    #[command(after_long_help = IMPORT_EXAMPLE)]
    Import {
        /// The file, whose first line names the columns: eui,name,description,labels; `-` for the standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Only tell what would be done
        #[arg(long)]
        dry_run: bool,
        /// The customer of those that are not known yet, by id or name; your only one, or `main`, when nothing is said
        #[arg(long, value_name = "CUSTOMER")]
        customer: Option<String>,
    },
    /// Print gateways as CSV, for spreadsheets and for `import`
    Export(GatewaysWanted),
    /// Make a gateway known before it has said anything, or name it
    Declare {
        /// The gateway
        eui: keros_protocol::Eui,
        /// Its name
        #[arg(long)]
        name: Option<String>,
        /// Free text
        #[arg(long, default_value = "")]
        description: String,
        /// Its customer, by id or name; your only one, or `main`, when nothing is said
        #[arg(long, value_name = "CUSTOMER")]
        customer: Option<String>,
    },
    /// Ask a gateway to send telemetry now, and so to fetch what waits for it
    Nudge {
        /// The gateway
        eui: keros_protocol::Eui,
    },
}

/// Which gateways.
#[derive(Debug, Default, Args)]
pub(crate) struct GatewaysWanted {
    /// Part of an EUI in any spelling, a name or a description
    pub(crate) search: Option<String>,
    /// Operational, Warning, Unreachable or Unknown
    #[arg(long, value_name = "STATUS,STATUS…")]
    pub(crate) status: Option<String>,
    /// KerOS version, with a sign of comparison before it or none: 6.3, '>=6.3'
    #[arg(long, value_name = "VERSION")]
    pub(crate) keros: Option<String>,
    /// Hardware code name: wiis, fevo, …
    #[arg(long, value_name = "MODEL,MODEL…")]
    pub(crate) model: Option<String>,
    /// With one of these labels
    #[arg(long, value_name = "LABEL,LABEL…")]
    pub(crate) label: Option<String>,
    /// That meet this rule: whom a group with it would have
    #[arg(long, value_name = "RULE")]
    pub(crate) rule: Option<String>,
    /// Members of this group
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Option<String>,
    /// Of this customer
    #[arg(long, value_name = "CUSTOMER")]
    pub(crate) customer: Option<String>,
    /// Those out of service too (`all`), or only those (`yes`)
    #[arg(long, value_name = "no|yes|all")]
    pub(crate) retired: Option<String>,
    /// By eui, name, telemetry, keros or status; with - before it the other way round: --sort=-telemetry
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub(crate) sort: Option<String>,
}

const GATEWAYS_EXAMPLES: &str = "\
Whom to look at first, then those on old versions, then whom a rule would take in:
  keros-center gateways list --status unreachable,warning --sort status
  keros-center gateways list --keros '<6.3' --model wiis
  keros-center gateways list --rule 'model = wiis, fevo and keros >= 6.3 and label != test'";

const IMPORT_EXAMPLE: &str = "\
A file; labels have blanks between:
  eui,name,description,labels
  7076FF0056070123,North roof,\"Key at the desk, floor 2\",site:north roof

What it would do, then do it:
  keros-center gateways import fleet.csv --dry-run
  keros-center gateways import fleet.csv";

const RULE_HELP: &str = "\
A rule is conditions joined by `and`:
  model = wiis, fevo      hardware code name; != for none of them
  keros >= 6.3            = != < <= > >=; 6.3 means all versions that begin so
  label = site:north      = and !=
A gateway whose model or version is not known meets no condition about it. Who is a member is decided when an update is sent.

  keros-center groups edit north --rule 'label = site:north and keros >= 6'
  keros-center gateways list --rule 'label = site:north and keros >= 6'";

/// `groups …`.
#[derive(Debug, Subcommand)]
pub(crate) enum GroupsCommand {
    /// List all groups (also without a word)
    List,
    /// Show one group
    Show {
        /// Its name
        name: String,
    },
    /// Make a group
    Create {
        /// Its name
        name: String,
        /// Its gateways
        #[arg(long, value_delimiter = ',', value_name = "EUI,EUI…")]
        gateways: Vec<keros_protocol::Eui>,
        /// Free text
        #[arg(long, default_value = "")]
        description: String,
        /// The rule that other gateways are members by
        #[arg(long, value_name = "RULE")]
        rule: Option<String>,
        /// People want to hear of members that are out of reach
        #[arg(long)]
        alerting: bool,
        /// Its customer, by id or name; your only one, or `main`, when nothing is said
        #[arg(long, value_name = "CUSTOMER")]
        customer: Option<String>,
    },
    /// Name, describe, rule a group; what is not said stays
    #[command(after_long_help = RULE_HELP)]
    Edit {
        /// Its name
        group: String,
        /// Its new name
        #[arg(long)]
        name: Option<String>,
        /// Free text
        #[arg(long)]
        description: Option<String>,
        /// The rule that gateways are members by, beside those that are put into it; empty for none
        #[arg(long, value_name = "RULE")]
        rule: Option<String>,
        /// Whether people want to hear of members that are out of reach
        #[arg(long, value_name = "true|false")]
        alerting: Option<bool>,
    },
    /// Add gateways to a group
    Add {
        /// Its name
        name: String,
        /// The gateways
        #[arg(required = true, value_delimiter = ',')]
        gateways: Vec<keros_protocol::Eui>,
    },
    /// Take gateways out of a group
    Remove {
        /// Its name
        name: String,
        /// The gateways
        #[arg(required = true, value_delimiter = ',')]
        gateways: Vec<keros_protocol::Eui>,
    },
    /// Ask the connected gateways of a group to send telemetry now, and so to fetch what waits for them
    Nudge {
        /// Its name
        name: String,
    },
    /// Remove a group; its gateways stay
    Delete {
        /// Its name
        name: String,
    },
}

/// `update …`.
#[derive(Debug, Subcommand)]
pub(crate) enum UpdateCommand {
    /// Check a JetPorch script here, then send it to a group; or send a Magic Link
    #[command(after_long_help = SEND_EXAMPLES)]
    Send(Box<SendArguments>),
    /// List updates, newest first
    List,
    /// Show one update, gateway by gateway
    Show {
        /// The update
        id: UpdateId,
    },
    /// Follow an update until it has ended, or until all that has not is overdue
    Watch {
        /// The update
        id: UpdateId,
        /// Go on when a gateway is silent for longer than its command may take
        #[arg(long)]
        until_ended: bool,
    },
    /// Send the job of an update again, to those of its gateways that it did not succeed on
    Retry {
        /// The update
        id: UpdateId,
        /// Only those with these outcomes: failed, refused, timed_out, interrupted, rolled_back, cancelled, expired, succeeded [default: all that
        /// did not succeed, and expired]
        #[arg(long, value_name = "NAME,NAME…", value_delimiter = ',')]
        outcomes: Vec<String>,
    },
    /// Send what a dry run was for, to those of its gateways on which it succeeded
    CarryOut {
        /// The dry run
        id: UpdateId,
    },
    /// Let a roll-out go on that has stopped, or begin its next stage now
    GoOn {
        /// The update
        id: UpdateId,
    },
    /// Print updates, or the gateways of one, as CSV
    Export {
        /// The gateways of this update
        id: Option<UpdateId>,
    },
    /// Cancel an update: what waits is never sent, what is under way is asked to stop
    #[command(after_long_help = CANCEL_EXAMPLES)]
    Cancel {
        /// The update
        id: UpdateId,
        /// For this gateway alone
        #[arg(long, value_name = "EUI")]
        gateway: Option<keros_protocol::Eui>,
        /// Do not ask first
        #[arg(long, short = 'y')]
        yes: bool,
    },
}

const SEND_EXAMPLES: &str = "\
A script, for KerOS 6:
  keros-center update send --group north --script ntp.yml --watch

A Magic Link, for the gateways that it declares, from this center or from a registry:
  keros-center update send --group north --magic-link HASH
  keros-center update send --group north --magic-link HASH --source https://registry.example/v2/keros/base

One gateway alone; a dry run of all first; at night; one gateway, then 5 %, then the rest:
  keros-center update send --gateway 7076FF0056070123 --script ntp.yml
  keros-center update send --group north --script ntp.yml --dry-run-first
  keros-center update send --group north --script ntp.yml --not-before 2026-11-27T20:00Z --window 22:00-04:00+01:00
  keros-center update send --group north --script ntp.yml --stages 1,5% --max-failed 5";

const WEBHOOKS_EXAMPLES: &str = "\
Tell an address when updates end, fail or stop; try it; see what became of the messages:
  keros-center webhooks create https://hooks.example/keros
  keros-center webhooks test 01920000-0000-7000-8000-000000000002
  keros-center webhooks messages 01920000-0000-7000-8000-000000000002

Messages are signed as https://www.standardwebhooks.com/ says, with the secret that `create` prints once.";

/// `webhooks …`.
#[derive(Debug, Subcommand)]
pub(crate) enum WebhooksCommand {
    /// List all webhooks (also without a word)
    List,
    /// Make one and print its secret, once
    Create {
        /// Where messages go
        url: String,
        /// What it is told of: update.ended, update.failed, update.halted, gateway.unreachable, gateway.back [default: all]
        #[arg(long, value_name = "EVENT,EVENT…", value_delimiter = ',')]
        events: Vec<EventKind>,
        /// Whose updates, by name or id
        #[arg(long, value_name = "CUSTOMER")]
        customer: Option<String>,
    },
    /// Send a test message
    Test {
        /// The webhook
        id: WebhookId,
    },
    /// Show what became of the newest messages
    Messages {
        /// The webhook
        id: WebhookId,
    },
    /// Use it no more, or again
    Enable {
        /// The webhook
        id: WebhookId,
        /// Use it no more: what waits goes on waiting
        #[arg(long)]
        off: bool,
    },
    /// Make a new secret and print it, once; the old one is no longer good
    NewSecret {
        /// The webhook
        id: WebhookId,
    },
    /// Remove it, with what waits
    Delete {
        /// The webhook
        id: WebhookId,
    },
}

const CANCEL_EXAMPLES: &str = "\
For all gateways of an update, or for one:
  keros-center update cancel 01920000-0000-7000-8000-000000000002
  keros-center update cancel 01920000-0000-7000-8000-000000000002 --gateway 7076FF0056070123

What it says of each gateway:
  never delivered  it was not sent, and will not be
  asked            the gateway may have it: it does not start it, stops after the task under way, or rolls back what
                   waits for confirmation; `update watch` shows what came of it
  too late         it had ended: its outcome stays";

/// `update send`.
#[derive(Debug, Args)]
pub(crate) struct SendArguments {
    /// The group
    #[arg(long, required_unless_present = "gateway")]
    pub(crate) group: Option<String>,
    /// One gateway, and no group
    #[arg(long, value_name = "EUI", conflicts_with_all = ["group", "stages"])]
    pub(crate) gateway: Option<keros_protocol::Eui>,
    /// The JetPorch script: a YAML file, or - for standard input
    #[arg(long, value_name = "FILE", required_unless_present = "magic_link")]
    pub(crate) script: Option<PathBuf>,
    /// The hash of a Magic Link that the center has: see `keros-center magic-link create`
    #[arg(long, value_name = "HASH", conflicts_with_all = ["script", "extra_vars"])]
    pub(crate) magic_link: Option<Hash>,
    /// Where gateways get it from, like https://registry.example/v2/keros/base [default: this center]
    #[arg(long, value_name = "URL", requires = "magic_link")]
    pub(crate) source: Option<Source>,
    /// Variables: @FILE.yml, {"name": "value"} or name=value; may be repeated, the last one wins
    #[arg(short = 'e', long = "extra-vars", value_name = "VARS")]
    pub(crate) extra_vars: Vec<String>,
    /// Change nothing on the gateways, tell what would change
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Send a dry run to all gateways at once; `update carry-out` sends the real one
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) dry_run_first: bool,
    /// Hand it out to no gateway before this time of UTC, like 2026-11-27T20:00Z; --expires counts from then
    #[arg(long, value_name = "TIME", value_parser = parse_utc)]
    pub(crate) not_before: Option<u64>,
    /// Hand it out only in this window, like `22:00-04:00` or `mon-fri 22:00-04:00+01:00`; what a gateway has got goes on
    #[arg(long, value_name = "WINDOW")]
    pub(crate) window: Option<Window>,
    /// Hand it out in stages: how many gateways first (1), or which part of all (5%); the rest follows
    #[arg(long, value_name = "N,N%…", value_delimiter = ',')]
    pub(crate) stages: Vec<Stage>,
    /// Stop by itself when more than this part of a stage did not succeed, percent
    #[arg(long, value_name = "PERCENT", default_value_t = 10, requires = "stages", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) max_failed: u8,
    /// Wait at least so long between two stages
    #[arg(long, value_name = "TIME", default_value = "0", requires = "stages", value_parser = parse_duration_s)]
    pub(crate) stage_wait: u32,
    /// A gateway that has not started it by then never will
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = parse_duration_s)]
    pub(crate) expires: u32,
    /// Longest time for one task [default: 10m]
    #[arg(long, value_name = "TIME", value_parser = parse_duration_s)]
    pub(crate) task_timeout: Option<u32>,
    /// Longest time for the whole script [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = parse_duration_s)]
    pub(crate) total_timeout: Option<u32>,
    /// A gateway that does not reach the center again within this time undoes the job by itself; 0 switches that off, at most
    /// 24h [default: 30m]
    #[arg(long, value_name = "TIME", value_parser = parse_duration_s)]
    pub(crate) confirm_window: Option<u32>,
    /// Follow it until it has ended, or until all that has not is overdue
    #[arg(long)]
    pub(crate) watch: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    /// The commands in the examples of a command's help and of all below it; single quotes are taken away.
    fn examples(command: &clap::Command, found: &mut Vec<Vec<String>>) {
        let text = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
        for line in text.replace("\\\n", " ").lines() {
            let line = line.trim_start_matches("  HASH=$(").trim_end_matches(')').trim();
            if !line.starts_with("keros-center ") {
                continue;
            }
            let hash = format!("sha256:{:064}", 0);
            let quoted = |(index, part): (usize, &str)| -> Vec<String> {
                match index % 2 {
                    1 => vec![part.to_owned()],
                    _ => part
                        .split_whitespace()
                        .map(|word| if word == "HASH" { hash.clone() } else { word.to_owned() })
                        .collect(),
                }
            };
            found.push(line.split('\'').enumerate().flat_map(quoted).collect());
        }
        command.get_subcommands().for_each(|command| examples(command, found));
    }

    #[test]
    fn every_example_of_the_help_is_understood() {
        let mut found = Vec::new();
        examples(&Arguments::command(), &mut found);
        assert!(found.len() > 20, "{found:?}");
        for words in found {
            let parsed = Arguments::try_parse_from(&words);
            assert!(
                parsed.is_ok(),
                "{words:?}: {}",
                parsed.err().map(|error| error.to_string()).unwrap_or_default()
            );
        }
    }

    #[test]
    fn gateways_may_be_written_as_on_the_label() {
        let arguments = Arguments::try_parse_from([
            "keros-center",
            "groups",
            "create",
            "north",
            "--gateways",
            "7076ff0056070123,70-76-FF-00-56-07-01-24",
        ])
        .unwrap();
        let Command::Groups { command: Some(GroupsCommand::Create { gateways, .. }), .. } = arguments.command
        else {
            panic!("another command");
        };
        assert_eq!(gateways[1].to_string(), "7076FF0056070124");
    }
}
