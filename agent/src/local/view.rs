//! What the technician sees: the JSON of the status socket. The main loop publishes a new view after each change.

use std::collections::BTreeMap;

use keros_machine::Cancel;
use keros_protocol::magic_link::Digest;
use keros_protocol::{CommandId, Eui, Outcome, UnixSeconds, UpdateId};
use serde::{Deserialize, Serialize};

/// `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StatusView {
    /// The agent's version.
    pub(crate) agent_version: String,
    /// The gateway.
    pub(crate) eui: Eui,
    /// Where the EUI was found, by name.
    pub(crate) identity_source: String,
    /// Hardware code name.
    pub(crate) codename: Option<String>,
    /// KerOS version; absent when this is no KerOS.
    pub(crate) keros_version: Option<String>,
    /// When the agent started, by the gateway's clock.
    pub(crate) started_at_unix_s: UnixSeconds,
    /// The connection to the broker.
    pub(crate) connection: ConnectionView,
    /// Telemetry.
    pub(crate) telemetry: TelemetryView,
    /// Reports that the center has not acknowledged.
    pub(crate) reports_pending: u32,
    /// Jobs that have not ended, in order; the first may be under way.
    pub(crate) open_jobs: Vec<JobView>,
    /// Jobs that ended, newest first.
    pub(crate) ended_jobs: Vec<JobView>,
    /// How many commands have ended in each way since this gateway's state began, by the names of the outcomes.
    #[serde(default)]
    pub(crate) ended_total: BTreeMap<String, u64>,
    /// Things that a technician should know, in words: damaged files set aside, unknown configuration keys, no trusted keys.
    pub(crate) warnings: Vec<String>,
}

/// The connection to the broker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ConnectionView {
    /// `connected`, `connecting` or `waiting` (for the next attempt).
    pub(crate) state: String,
    /// `host:port`.
    pub(crate) broker: String,
    /// `none`, `server` or `mutual`.
    pub(crate) tls: String,
    /// Since when it is in this state.
    pub(crate) since_unix_s: UnixSeconds,
    /// Why the last attempt failed or the last connection ended.
    pub(crate) last_error: Option<String>,
}

/// Telemetry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TelemetryView {
    /// When the last one was handed to the broker.
    pub(crate) last_sent_unix_s: Option<UnixSeconds>,
    /// When the center last answered one.
    pub(crate) last_answered_unix_s: Option<UnixSeconds>,
    /// When the next one is due.
    pub(crate) next_unix_s: UnixSeconds,
}

/// One job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct JobView {
    /// Its command.
    pub(crate) command_id: CommandId,
    /// Its update.
    pub(crate) update_id: Option<UpdateId>,
    /// `jetporch`, `magic_link`; absent when it could not be read.
    pub(crate) kind: Option<String>,
    /// The Magic Link that it runs; absent for a script, and where an older agent has stored the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<Digest>,
    /// When it was received.
    pub(crate) received_at_unix_s: UnixSeconds,
    /// When its outcome last changed.
    pub(crate) changed_at_unix_s: UnixSeconds,
    /// Its outcome.
    pub(crate) outcome: Outcome,
    /// What has become of its cancellation: `asked`, `stopping`, `rolling_back`, `too_late`; absent without one, and where
    /// the outcome says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cancel: Option<Cancel>,
    /// When it must have begun, ended or been confirmed, by the gateway's clock; absent when it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) due_unix_s: Option<UnixSeconds>,
    /// How far its bundle is here; absent when nothing was fetched for it since the agent started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fetch: Option<FetchView>,
}

/// The fetching of a bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FetchView {
    /// Bytes of it that are here.
    pub(crate) have_bytes: u64,
    /// Of all; absent until its manifest is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) total_bytes: Option<u64>,
    /// Why the last attempt ended before the bundle was here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
}

/// `GET /v1/jobs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct JobsView {
    /// Jobs that have not ended, in order.
    pub(crate) open_jobs: Vec<JobView>,
    /// Jobs that ended, newest first.
    pub(crate) ended_jobs: Vec<JobView>,
}
