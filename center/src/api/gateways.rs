//! Gateways.

use keros_protocol::{Eui, Telemetry, UnixSeconds};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Connection, Vital};
use crate::access::CustomerId;
use crate::gateway::location::Location;

/// `GET /gateways/{eui}`, and the elements of `GET /gateways`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct GatewayView {
    /// The gateway.
    pub(crate) eui: Eui,
    /// The customer that it belongs to.
    pub(crate) customer_id: CustomerId,
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
    /// The name that an operator gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) given_name: Option<String>,
    /// Its labels.
    #[serde(default)]
    pub(crate) labels: Vec<String>,
    /// Where it stands, as an operator says it: one place, or none.
    #[serde(default)]
    pub(crate) locations: Vec<Location>,
    /// Connection status.
    pub(crate) connection_status: Connection,
    /// Names of the vitals that are worth a look: why it may be in Warning.
    #[serde(default)]
    pub(crate) warnings: Vec<String>,
    /// Its vitals (only in `GET /gateways/{eui}`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) vitals: Vec<Vital>,
    /// When it was first known.
    pub(crate) created_at_unix_s: UnixSeconds,
    /// When it was taken out of service; absent while it is in service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retired_at_unix_s: Option<UnixSeconds>,
    /// Hardware code name as last stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<String>,
    /// KerOS version as last stated.
    pub(crate) keros_version: Option<String>,
    /// Agent version as last stated.
    pub(crate) agent_version: Option<String>,
}

/// `POST /gateways`: declare one beforehand, or name one that is known.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct DeclareGateway {
    /// The gateway, in any spelling that people use.
    pub(crate) eui: String,
    /// Its name.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// Free text.
    #[serde(default)]
    pub(crate) description: String,
    /// The customer of one that is not known yet, by id or name; the caller's only one, or `main`, when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) customer: Option<String>,
}
