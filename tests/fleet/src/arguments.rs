//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Many virtual gateways against one center. All of it on this machine.
#[derive(Debug, Parser)]
#[command(name = "keros-fleet", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Real connections to a real broker, and a real center.
    Run(FleetArguments),
    /// No connections, faster than real time: the center's service alone, on a real database.
    Day(DayArguments),
    /// What a broker does in a second when whoever answers does nothing.
    Limit(LimitArguments),
    /// The center's pages and lists, with a great fleet behind them.
    Pages(PagesArguments),
    /// The tables of docs/scale.md.
    Bench(BenchArguments),
    /// The center's process of `day`, which starts it.
    #[command(hide = true)]
    Center(CenterArguments),
}

/// `day`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DayArguments {
    /// How many.
    #[arg(long, default_value_t = 1000)]
    pub(crate) gateways: u32,
    /// Hours of telemetry, after the first one, in which all come.
    #[arg(long, default_value_t = 2)]
    pub(crate) hours: u32,
    /// A PostgreSQL or SQLite address for the center; without it, the center's default.
    #[arg(long)]
    pub(crate) database: Option<String>,
    /// Messages of one transaction at most. Those that come at the same millisecond share one.
    #[arg(long, default_value_t = 64)]
    pub(crate) batch: usize,
    /// By which the dice fall.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Keep the files of the center here.
    #[arg(long)]
    pub(crate) folder: Option<PathBuf>,
    /// The summary as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `pages`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PagesArguments {
    /// How many gateways.
    #[arg(long, default_value_t = 1000)]
    pub(crate) gateways: u32,
    /// A PostgreSQL or SQLite address for the center; without it, the center's default.
    #[arg(long)]
    pub(crate) database: Option<String>,
    /// Keep the files of the center here.
    #[arg(long)]
    pub(crate) folder: Option<PathBuf>,
}

/// `center`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CenterArguments {
    /// Its data.
    #[arg(long)]
    pub(crate) folder: PathBuf,
    /// Its database, when that is no file there.
    #[arg(long)]
    pub(crate) database: Option<String>,
}

/// `run`.
#[derive(Debug, Clone, Args)]
pub(crate) struct FleetArguments {
    /// How many.
    #[arg(long, default_value_t = 200)]
    pub(crate) gateways: u32,
    /// Which broker they connect to.
    #[arg(long, value_enum, default_value_t = BrokerKind::Mosquitto)]
    pub(crate) broker: BrokerKind,
    /// A PostgreSQL or SQLite address for the center; without it, the center's default.
    #[arg(long)]
    pub(crate) database: Option<String>,
    /// Seconds between two telemetries of a gateway.
    #[arg(long, default_value_t = 5)]
    pub(crate) interval: u64,
    /// How long exchanges are measured, seconds.
    #[arg(long, default_value_t = 20)]
    pub(crate) seconds: u64,
    /// New connections a second, at the beginning.
    #[arg(long, default_value_t = 500)]
    pub(crate) connects: u64,
    /// By which the dice fall.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Updates that are sent to all gateways, one after the other.
    #[arg(long, default_value_t = 1)]
    pub(crate) updates: u32,
    /// The confirm window of their scripts, seconds.
    #[arg(long, default_value_t = 0)]
    pub(crate) confirm_window: u32,
    /// How often the center is killed and started again during each update.
    #[arg(long, default_value_t = 0)]
    pub(crate) restarts: u32,
    /// Each gateway loses its connection, its agent, its power or its state so often on average, seconds; 0: never.
    #[arg(long, default_value_t = 0)]
    pub(crate) mishap_every: u64,
    /// Seconds that one update may take, before what is missing is named.
    #[arg(long, default_value_t = 300)]
    pub(crate) limit: u64,
    /// Keep the files of the center here.
    #[arg(long)]
    pub(crate) folder: Option<PathBuf>,
    /// The summary as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BrokerKind {
    /// The center's own.
    Embedded,
    /// Debian's.
    Mosquitto,
}

/// `bench`.
#[derive(Debug, Clone, Args)]
pub(crate) struct BenchArguments {
    /// Only fleets of so many gateways, and smaller ones.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) most: u32,
}

/// `limit`.
#[derive(Debug, Clone, Args)]
pub(crate) struct LimitArguments {
    /// How many gateways.
    #[arg(long, default_value_t = 1000)]
    pub(crate) gateways: u32,
    /// Seconds between two telemetries of a gateway.
    #[arg(long, default_value_t = 1)]
    pub(crate) interval: u64,
    /// How long it is measured, seconds.
    #[arg(long, default_value_t = 20)]
    pub(crate) seconds: u64,
}

impl FleetArguments {
    /// What a table measures.
    pub(crate) const fn quiet() -> Self {
        Self {
            gateways: 0,
            broker: BrokerKind::Mosquitto,
            database: None,
            interval: 5,
            seconds: 20,
            connects: 500,
            seed: 1,
            updates: 1,
            confirm_window: 0,
            restarts: 0,
            mishap_every: 0,
            limit: 600,
            folder: None,
            json: true,
        }
    }
}

impl DayArguments {
    /// What a table measures.
    pub(crate) const fn quiet() -> Self {
        Self { gateways: 0, hours: 2, database: None, batch: 64, seed: 1, folder: None, json: true }
    }
}
