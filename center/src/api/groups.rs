//! Groups of gateways.

use keros_protocol::Eui;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::{CustomerId, GroupId};

/// The body of `POST /groups`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CreateGroup {
    /// Its name.
    pub(crate) name: String,
    /// Free text.
    #[serde(default)]
    pub(crate) description: String,
    /// Gateways that are put into it.
    #[serde(default)]
    pub(crate) gateways: Vec<Eui>,
    /// The rule that other gateways are members by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rule: Option<String>,
    /// Whether people want to hear of members that are out of reach.
    #[serde(default)]
    pub(crate) alerting: bool,
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
    /// The rule that gateways are members by, beside those that were put into it; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rule: Option<String>,
    /// Whether people want to hear of members that are out of reach.
    #[serde(default)]
    pub(crate) alerting: bool,
    /// How many members it has at this moment.
    #[serde(default)]
    pub(crate) gateway_count: u32,
    /// Its members at this moment (not in `GET /groups`): those that were put into it and those that meet its rule; retired ones are none.
    #[serde(default)]
    pub(crate) gateways: Vec<Eui>,
    /// The gateways that were put into it (not in `GET /groups`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) put_in: Vec<Eui>,
}

impl GroupView {
    /// What can be changed of it, as an order that changes nothing. A page that shows only this is out of date when this has changed, whoever
    /// became a member meanwhile.
    pub(crate) fn properties(&self) -> EditGroup {
        EditGroup {
            name: Some(self.name.clone()),
            description: Some(self.description.clone()),
            rule: Some(self.rule.clone().unwrap_or_default()),
            alerting: Some(self.alerting),
        }
    }
}

/// `PATCH /groups/{group}`. What is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct EditGroup {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// Its rule; empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rule: Option<String>,
    /// Whether people want to hear of members that are out of reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) alerting: Option<bool>,
}

/// The answer to `POST /groups/{group}/nudge`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub(crate) struct NudgedGroup {
    /// Members that are connected, and are asked for telemetry.
    pub(crate) asked: u32,
    /// Members that are not: they send it by themselves when they come back.
    pub(crate) not_connected: u32,
}
