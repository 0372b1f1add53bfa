//! How gateways join.

use keros_protocol::{Eui, UnixSeconds};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `POST /enrolments`: lines with which these gateways join.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct EnrolOrder {
    /// The gateways.
    pub(crate) gateways: Vec<Eui>,
    /// For how long each line is good; a day when nothing is said.
    #[serde(default)]
    pub(crate) valid_s: Option<u64>,
}

/// The elements of the answer to `POST /enrolments`. Whoever has the line can join as this gateway.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct EnrolmentLine {
    /// The gateway.
    pub(crate) eui: Eui,
    /// To be pasted there; it is not shown again.
    pub(crate) line: String,
    /// From then on it is no longer good.
    pub(crate) expires_at_unix_s: UnixSeconds,
}

/// The elements of `GET /enrolments`, newest first. `DELETE /enrolments/{eui}` takes back what is pending.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct EnrolmentView {
    /// The gateway.
    pub(crate) eui: Eui,
    /// How far it is.
    pub(crate) state: EnrolmentState,
    /// When the line was made.
    pub(crate) created_at_unix_s: UnixSeconds,
    /// From then on it is no longer good.
    pub(crate) expires_at_unix_s: UnixSeconds,
    /// When the gateway said that it uses its new log-in.
    pub(crate) confirmed_at_unix_s: Option<UnixSeconds>,
}

/// How far an enrolment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EnrolmentState {
    /// Nobody has asked with it.
    Pending,
    /// A gateway has asked, and was given its log-in.
    Issued,
    /// The gateway uses it.
    Confirmed,
    /// Its time was over first.
    Expired,
    /// It was taken back, or another line took its place.
    Cancelled,
}

/// The answer to `POST /gateways/{eui}/lock-out`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct LockedOut {
    /// The gateway.
    pub(crate) eui: Eui,
    /// Lines that were taken back.
    pub(crate) tokens: u64,
    /// Certificates that were revoked.
    pub(crate) certificates: u64,
    /// It had a password.
    pub(crate) password: bool,
    /// It was connected to the embedded broker.
    pub(crate) was_connected: bool,
}
