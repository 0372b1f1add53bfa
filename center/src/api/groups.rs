//! Groups of gateways.

use keros_protocol::Eui;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::{CustomerId, GroupId};

/// The body of `POST /groups`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CreateGroup {
    /// Its name.
    pub(crate) name: String,
    /// Free text.
    #[serde(default)]
    pub(crate) description: String,
    /// Its members.
    #[serde(default)]
    pub(crate) gateways: Vec<Eui>,
    /// Whose it is, by id or name; the caller's only customer, or `main`, when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) customer: Option<String>,
}

/// `GET /groups/{group}`, where the group is named by its id or its name, and the elements of `GET /groups`.
/// `PUT` and `DELETE /groups/{group}/gateways/{eui}` change its members, `DELETE /groups/{group}` removes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct GroupView {
    /// Its id.
    pub(crate) group_id: GroupId,
    /// Whose it is.
    pub(crate) customer_id: CustomerId,
    /// That customer's name.
    pub(crate) customer: String,
    /// Its name.
    pub(crate) name: String,
    /// Free text.
    #[serde(default)]
    pub(crate) description: String,
    /// Its members.
    #[serde(default)]
    pub(crate) gateways: Vec<Eui>,
}

/// The answer to `POST /groups/{group}/nudge`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub(crate) struct NudgedGroup {
    /// Members that are connected, and are asked for telemetry.
    pub(crate) asked: u32,
    /// Members that are not: they send it by themselves when they come back.
    pub(crate) not_connected: u32,
}
