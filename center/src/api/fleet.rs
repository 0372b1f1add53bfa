//! Lists of gateways, and what is told of one.

use keros_protocol::{Delivery, Eui, Package, UnixSeconds, UpdateId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::gateway::status::ConnectionStatus;

/// Connection status, as the vendor's clients know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Connection {
    /// Operational, Warning, Unreachable or Unknown.
    pub(crate) status: ConnectionStatus,
    /// When the last telemetry came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_update_time_unix_s: Option<UnixSeconds>,
    /// How often telemetry is expected, seconds.
    pub(crate) message_interval_s: u64,
}

/// What a vital can be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum VitalValue {
    /// A number.
    Number(f64),
    /// A word.
    Text(String),
}

/// One vital, under the vendor's name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Vital {
    /// `cpu_percent`, `memory_percent`, `temperature`, `uptime` (seconds), `network_interface_category`, `keros`.
    pub(crate) name: String,
    /// Its value.
    pub(crate) value: VitalValue,
    /// When it was heard, by the center's clock.
    pub(crate) date_unix_s: UnixSeconds,
}

/// How many gateways have each status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct GatewayCounts {
    /// All of them.
    pub(crate) total: u32,
    /// Telemetry comes, and says nothing bad.
    pub(crate) operational: u32,
    /// It is late, or says something that is worth a look.
    pub(crate) warning: u32,
    /// Nothing has come for long.
    pub(crate) unreachable: u32,
    /// Nothing has come ever.
    pub(crate) unknown: u32,
}

/// `GET /gateways/{eui}/history`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct History {
    /// The hours of the last week in which telemetry came, the oldest first.
    pub(crate) hours: Vec<HourPoint>,
    /// The days of the last year before today in which telemetry came, the oldest first.
    pub(crate) days: Vec<DayPoint>,
}

/// The last vitals of an hour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct HourPoint {
    /// When the hour began.
    pub(crate) time_unix_s: UnixSeconds,
    /// CPU in use, percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_percent: Option<f64>,
    /// Memory in use, percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) memory_percent: Option<f64>,
    /// Degrees Celsius.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) temperature: Option<f64>,
}

/// The vitals of a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct DayPoint {
    /// When the day began, UTC.
    pub(crate) time_unix_s: UnixSeconds,
    /// CPU in use, percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_percent: Option<OfDay>,
    /// Memory in use, percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) memory_percent: Option<OfDay>,
    /// Degrees Celsius.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) temperature: Option<OfDay>,
}

/// One vital of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct OfDay {
    /// On average.
    pub(crate) average: i32,
    /// At most.
    pub(crate) maximum: i32,
}

/// `GET /gateways/{eui}/packages`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Packages {
    /// How many are installed.
    pub(crate) total: u32,
    /// Those that were searched for, sorted by name.
    pub(crate) packages: Vec<Package>,
}

/// One update of a gateway: `GET /gateways/{eui}/updates`, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct GatewayUpdate {
    /// The update.
    pub(crate) update_id: UpdateId,
    /// Kind of its job.
    pub(crate) kind: String,
    /// The group that it was sent to.
    pub(crate) group: String,
    /// When it was sent.
    pub(crate) created_at_unix_s: UnixSeconds,
    /// How far its command has come.
    pub(crate) delivery: Delivery,
    /// The name of what became of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<String>,
}

/// `PATCH /gateways/{eui}`. What is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct EditGateway {
    /// Its name; empty for none, and then it is called by its host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// All of its labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) labels: Option<Vec<String>>,
    /// Where it stands: latitude and longitude in degrees, with a comma between, like `60.1699, 24.9384`; empty for not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) location: Option<String>,
}

/// `POST /gateways/{eui}/move`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct MoveGateway {
    /// The customer that it is to belong to, by id or name.
    pub(crate) customer: String,
}

/// `POST /gateways/import`, whose body is CSV: what came of it; with `dry_run=true` what would, with all that is wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ImportView {
    /// It was only asked what would be: nothing was changed.
    pub(crate) dry_run: bool,
    /// Gateways that were not known.
    pub(crate) added: u32,
    /// Gateways that were known, and are named, described or labelled otherwise.
    pub(crate) changed: u32,
    /// Gateways that are as the file says.
    pub(crate) unchanged: u32,
    /// What is wrong, with the lines.
    pub(crate) errors: Vec<ImportError>,
}

/// What is wrong with a line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ImportError {
    /// Counted from 1, with the head; 0 for the whole file.
    pub(crate) line: u64,
    /// What is wrong, and what to do.
    pub(crate) message: String,
}

/// One gateway, for `DELETE`-like orders that answer with what was affected: `POST /gateways/{eui}/retire`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Retired {
    /// The gateway.
    pub(crate) eui: Eui,
    /// Updates whose command was still waiting, and is never sent now.
    pub(crate) cancelled: Vec<UpdateId>,
    /// Updates that the gateway has, and is asked to end.
    pub(crate) asked: Vec<UpdateId>,
}
