//! Center to gateway.

use serde::{Deserialize, Serialize};

use crate::{CommandId, Envelope, Eui, UnixSeconds};

/// The payload of `…/down`: the answer to a telemetry, an acknowledgement of reports, or a nudge.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Downlink {
    /// The telemetry that this answers; absent when it answers none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub telemetry_id: Option<uuid::Uuid>,
    /// A signed [`Statement`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<Envelope>,
    /// Signed commands that the center has no `received` for, oldest first, at most
    /// [`crate::limits::MAX_COMMANDS_PER_DOWNLINK`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<Envelope>,
    /// "Send telemetry now." The agent limits how often it obeys.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub nudge: bool,
    /// The center does not know the package list whose digest the telemetry stated: send it in full next time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub packages_wanted: bool,
}

/// The signed payload of payload type [`Envelope::STATEMENT`]: what the center says to one gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The one gateway that it is for.
    pub eui: Eui,
    /// The center's clock.
    pub time_unix_s: UnixSeconds,
    /// Up to where the center has stored this gateway's reports; absent when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_report: Option<ReportPosition>,
    /// Commands to be cancelled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cancellations: Vec<Cancellation>,
    /// Nonces that the gateway asked to have signed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nonces: Vec<String>,
}

impl Statement {
    /// Whether it cancels this command.
    #[must_use]
    pub fn cancels(&self, command_id: CommandId) -> bool {
        self.cancellations.iter().any(|cancellation| cancellation.command_id == command_id)
    }
}

/// One cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancellation {
    /// The command to be cancelled.
    pub command_id: CommandId,
}

/// A place in a gateway's sequence of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportPosition {
    /// The sequence: made anew when a gateway loses its state, so that numbers never meet others' numbers.
    pub stream: uuid::Uuid,
    /// The number within it.
    pub number: u64,
}
