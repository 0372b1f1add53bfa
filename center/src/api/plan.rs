//! When the commands of an update are handed out, and what each of them waits for.

use keros_protocol::{UnixSeconds, UpdateId};
use serde::{Deserialize, Serialize};

use crate::store::FollowsAs;

/// How far the roll-out of an update is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub(crate) struct RolloutView {
    /// The stage under way, from 1.
    pub(crate) stage: u32,
    /// How many there are.
    pub(crate) stages: u32,
    /// When the stage under way began.
    pub(crate) since_unix_s: UnixSeconds,
    /// When it stopped by itself; absent while it has not, or goes on again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) halted_at_unix_s: Option<UnixSeconds>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) halted_because: Option<String>,
}

/// An update that has to do with another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub(crate) struct Follow {
    /// The other update.
    #[schemars(with = "String")]
    pub(crate) update_id: UpdateId,
    /// How the later one follows the earlier one.
    #[serde(rename = "as")]
    pub(crate) kind: FollowsAs,
}

/// What the command of one gateway waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub(crate) struct WaitsFor {
    /// By name.
    pub(crate) reason: WaitsForReason,
    /// In words.
    pub(crate) text: String,
    /// When that is expected; absent when nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until_unix_s: Option<UnixSeconds>,
}

/// What a command can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WaitsForReason {
    /// The time that the order names.
    NotBefore,
    /// The order's window.
    Window,
    /// The stages before it.
    Stage,
    /// An operator's word: the roll-out was stopped.
    Halted,
    /// The next telemetry.
    Telemetry,
    /// A telemetry that is late, of a gateway that is connected.
    Silent,
    /// The gateway's connection.
    NotConnected,
    /// The gateway's first telemetry.
    NeverHeard,
    /// A person who carries it.
    Carried,
    /// The gateway's word that it has it.
    NotReceived,
    /// The gateway's first report about it.
    Report,
    /// The gateway's check.
    Check,
    /// Another job of the gateway.
    OtherJob,
    /// Its start: a bundle is fetched before.
    Start,
    /// The end of the job.
    Job,
    /// The confirmation of the job.
    Confirmation,
    /// The end that was asked for.
    Cancelling,
    /// A word that is owed.
    Overdue,
}

#[cfg(test)]
impl WaitsForReason {
    /// The name in the REST API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NotBefore => "not_before",
            Self::Window => "window",
            Self::Stage => "stage",
            Self::Halted => "halted",
            Self::Telemetry => "telemetry",
            Self::Silent => "silent",
            Self::NotConnected => "not_connected",
            Self::NeverHeard => "never_heard",
            Self::Carried => "carried",
            Self::NotReceived => "not_received",
            Self::Report => "report",
            Self::Check => "check",
            Self::OtherJob => "other_job",
            Self::Start => "start",
            Self::Job => "job",
            Self::Confirmation => "confirmation",
            Self::Cancelling => "cancelling",
            Self::Overdue => "overdue",
        }
    }
}
