//! The lines of an update, one gateway each: in parts, one by one, and put together by what a dry run would change.

use std::num::NonZeroU32;

use keros_protocol::{Outcome, UnixSeconds, UpdateId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DeliveryView;

/// The query of `GET /updates/{id}/gateways`. At most one of the first four is stated.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct LineQuery {
    /// Those whose delivery this is: `waiting`, `sent`, `received`, `cancelled`, `expired`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delivery: Option<String>,
    /// Those whose outcome has this name; `none`: of which nothing was reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<String>,
    /// `true`: those whose gateway is silent, or says that it is at it, for longer than its command may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) overdue: Option<bool>,
    /// Those whose dry run would change just this: the digest of a group of `GET /updates/{id}/differences`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) differences: Option<String>,
    /// Elements at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<NonZeroU32>,
    /// Where the part begins: as the `Link` of the part before says, else at the first element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<String>,
}

impl LineQuery {
    /// As it stands behind the question mark, without the limit. All that a query may hold once it was understood needs no escapes.
    pub(crate) fn text(&self) -> String {
        let parts = [
            self.delivery.as_ref().map(|name| format!("delivery={name}")),
            self.outcome.as_ref().map(|name| format!("outcome={name}")),
            self.overdue.map(|overdue| format!("overdue={overdue}")),
            self.differences.as_ref().map(|digest| format!("differences={digest}")),
            self.cursor.as_ref().map(|eui| format!("cursor={eui}")),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join("&")
    }
}

/// `GET /updates/{id}/gateways/{eui}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct LineView {
    /// How far it has come, as in the update's own list.
    #[serde(flatten)]
    pub(crate) delivery: DeliveryView,
    /// What its dry run would change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) differences: Option<String>,
    /// What the gateway reported, oldest first. Of a great number the last ones; old reports are removed in time.
    pub(crate) reports: Vec<ReportView>,
}

/// One report of a gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ReportView {
    /// Name of its status.
    pub(crate) status: String,
    /// When it came, by the center's clock.
    pub(crate) received_at_unix_s: UnixSeconds,
    /// When it happened, by the gateway's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) time_unix_s: Option<UnixSeconds>,
    /// What happened; absent when this center does not know the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<Outcome>,
    /// What is odd about it, and why it changed nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

/// `GET /updates/{id}/differences`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct DifferencesView {
    /// The update.
    pub(crate) update_id: UpdateId,
    /// Gateways on which the same would happen, the greatest group first.
    pub(crate) groups: Vec<DifferencesGroup>,
    /// How many such groups there are, if more than are shown.
    pub(crate) group_count: u32,
    /// How many gateways would be left as they are.
    pub(crate) unchanged: u32,
    /// How many gateways have not said what would happen: not yet, or because their dry run ended otherwise.
    pub(crate) other: u32,
}

/// Gateways on which the same would happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct DifferencesGroup {
    /// Names the group: `GET /updates/{id}/gateways?differences=…` lists its gateways.
    pub(crate) digest: String,
    /// How many gateways.
    pub(crate) count: u32,
    /// What would be changed: each task in words, files as unified diffs.
    pub(crate) differences: String,
    /// The first of them.
    pub(crate) gateways: Vec<DeliveryView>,
}
