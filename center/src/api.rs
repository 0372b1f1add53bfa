//! The JSON of the REST API, for the server and for the command line that asks it. All paths are below `/api/v1`; every request
//! but `GET /health` needs `Authorization: Bearer TOKEN`; errors are RFC 9457 problem details.

use keros_protocol::{
    CommandId, Delivery, Eui, Job, JobLimits, JobOptions, Outcome, Telemetry, UnixSeconds, UpdateId,
};
use serde::{Deserialize, Serialize};

/// `GET /gateways/{eui}`, and the elements of `GET /gateways`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GatewayView {
    /// The gateway.
    pub(crate) eui: Eui,
    /// Its name; `klk-<codename>-<last six hex digits>` or the EUI when none was given.
    pub(crate) name: String,
    /// Free text.
    #[serde(default)]
    pub(crate) description: String,
    /// Declared by an operator, not only seen.
    pub(crate) declared: bool,
    /// Groups that it is in.
    pub(crate) groups: Vec<String>,
    /// By its presence message.
    pub(crate) online: bool,
    /// When its last telemetry arrived, by the center's clock.
    pub(crate) last_telemetry_unix_s: Option<UnixSeconds>,
    /// Its last telemetry, without the package list (only in `GET /gateways/{eui}`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) telemetry: Option<Telemetry>,
    /// KerOS version as last stated.
    pub(crate) keros_version: Option<String>,
    /// Agent version as last stated.
    pub(crate) agent_version: Option<String>,
}

/// `POST /gateways`: declare one beforehand, or name one that is known.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DeclareGateway {
    /// The gateway, in any spelling that people use.
    pub(crate) eui: String,
    /// Its name.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// Free text.
    #[serde(default)]
    pub(crate) description: String,
}

/// `GET /groups/{name}`, the elements of `GET /groups`, and the body of `POST /groups`.
/// `PUT` and `DELETE /groups/{name}/gateways/{eui}` change its members, `DELETE /groups/{name}` removes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GroupView {
    /// Its name.
    pub(crate) name: String,
    /// Free text.
    #[serde(default)]
    pub(crate) description: String,
    /// Its members.
    #[serde(default)]
    pub(crate) gateways: Vec<Eui>,
}

/// `POST /updates`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SendUpdate {
    /// The group.
    pub(crate) group: String,
    /// What is to be done.
    pub(crate) job: Job,
    /// How much it may use.
    #[serde(default)]
    pub(crate) limits: JobLimits,
    /// How it is to be done.
    #[serde(default)]
    pub(crate) options: JobOptions,
    /// Seconds until the commands expire; 7 days by default.
    #[serde(default)]
    pub(crate) expires_in_s: Option<u64>,
}

/// `GET /updates/{id}`, the answer to `POST /updates`, and the elements of `GET /updates` (without `gateways`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct UpdateView {
    /// The update.
    pub(crate) update_id: UpdateId,
    /// The group that it was sent to.
    pub(crate) group: String,
    /// Kind of its job.
    pub(crate) kind: String,
    /// When it was sent.
    pub(crate) created_at_unix_s: UnixSeconds,
    /// When its commands expire.
    pub(crate) expires_at_unix_s: UnixSeconds,
    /// `in_progress`, `sent`, `partially_sent`, `cancelled`, `expired`: about delivery only.
    pub(crate) state: String,
    /// Whether every gateway has a terminal outcome, or will never get the command.
    pub(crate) ended: bool,
    /// How many gateways have which delivery and which outcome, by name (`none` when not received).
    pub(crate) deliveries: std::collections::BTreeMap<String, u32>,
    /// As above, for outcomes.
    pub(crate) outcomes: std::collections::BTreeMap<String, u32>,
    /// One line per gateway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) gateways: Vec<DeliveryView>,
}

/// One gateway of an update; also the data of each `gateway` event of `GET /updates/{id}/events` (server-sent events: first
/// one for every gateway, then one per change; after the last terminal outcome one `ended` event with the [`UpdateView`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DeliveryView {
    /// The gateway.
    pub(crate) eui: Eui,
    /// Its name.
    pub(crate) name: String,
    /// Its command.
    pub(crate) command_id: CommandId,
    /// How far the command has come.
    pub(crate) delivery: Delivery,
    /// What became of it; absent until received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<Outcome>,
    /// How often it was sent.
    pub(crate) times_sent: u32,
    /// When any of this last changed, by the center's clock.
    pub(crate) changed_at_unix_s: UnixSeconds,
}

/// RFC 9457 problem details, `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Problem {
    /// `about:blank`: the status says it.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The status in words.
    pub(crate) title: String,
    /// HTTP status.
    pub(crate) status: u16,
    /// What went wrong and what to do.
    pub(crate) detail: String,
}
