//! The JSON of the REST API, for the server and for the command line that asks it. All paths are below `/api/v1`; every request
//! but `GET /health` needs `Authorization: Bearer TOKEN`; errors are RFC 9457 problem details. `GET`, `HEAD` and `PUT
//! /blobs/{digest}` carry plain bytes.

use keros_protocol::magic_link::{BundleFile, Digest, GatewayPattern, KerosRange, MagicLink, Title};
use keros_protocol::{
    CommandId, Delivery, Envelope, Eui, Job, JobLimits, Outcome, Telemetry, UnixSeconds, UpdateId,
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

/// `POST /updates`. A Magic Link without `source` is one of the center's own store.
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
    pub(crate) options: SendOptions,
    /// Seconds until the commands expire; 7 days by default.
    #[serde(default)]
    pub(crate) expires_in_s: Option<u64>,
}

/// How the job is to be done. A field that is not stated has its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SendOptions {
    /// Change nothing, report what would change.
    pub(crate) dry_run: bool,
    /// Undo the job unless the center is reached again within this many seconds, up to 86,400; 0: no such window. Absent: 1800, or 0
    /// for what is carried by hand. A dry run has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) confirm_window_s: Option<u32>,
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
    /// The Magic Link that it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) magic_link: Option<Digest>,
    /// It is the command of `POST /magic-links/{digest}/sign`: a person carries it to its one gateway; `group` is empty.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) by_hand: bool,
    /// When it was sent.
    pub(crate) created_at_unix_s: UnixSeconds,
    /// When its commands expire.
    pub(crate) expires_at_unix_s: UnixSeconds,
    /// `in_progress`, `sent`, `partially_sent`, `cancelled`, `expired`: about delivery only.
    pub(crate) state: String,
    /// Whether every gateway has a terminal outcome, or will never get the command.
    pub(crate) ended: bool,
    /// How many gateways have neither.
    #[serde(default)]
    pub(crate) open: u32,
    /// How many of these have been silent for longer than their command may take.
    #[serde(default)]
    pub(crate) overdue: u32,
    /// How many gateways have which delivery and which outcome, by name (`none` when not received).
    pub(crate) deliveries: std::collections::BTreeMap<String, u32>,
    /// As above, for outcomes.
    pub(crate) outcomes: std::collections::BTreeMap<String, u32>,
    /// One line per gateway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) gateways: Vec<DeliveryView>,
}

/// One gateway of an update; also the data of each `gateway` event of `GET /updates/{id}/events` (server-sent events: first
/// one for every gateway, then one per change; an `overdue` event with the [`UpdateView`] whenever all that have not ended are
/// overdue; after the last terminal outcome one `ended` event with the [`UpdateView`]).
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
    /// When an operator asked for its end, by the center's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cancel_requested_at_unix_s: Option<UnixSeconds>,
    /// The gateway has been silent for longer than the command may take. Its word is taken whenever it comes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) overdue: bool,
}

/// The answer to `POST /updates/{id}/cancel` and `POST /updates/{id}/gateways/{eui}/cancel`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CancelView {
    /// The update.
    pub(crate) update_id: UpdateId,
    /// How many gateways have which answer.
    pub(crate) answers: std::collections::BTreeMap<String, u32>,
    /// One line per gateway.
    pub(crate) gateways: Vec<CancelledDelivery>,
}

/// What cancelling comes to for one gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CancelledDelivery {
    /// The gateway.
    pub(crate) eui: Eui,
    /// Its name.
    pub(crate) name: String,
    /// Its command.
    pub(crate) command_id: CommandId,
    /// What it comes to.
    pub(crate) answer: CancelAnswer,
    /// How far the command has come.
    pub(crate) delivery: Delivery,
    /// What is known of it; absent until received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<Outcome>,
}

/// What cancelling a command comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CancelAnswer {
    /// The gateway was never sent it, and never will be.
    NeverDelivered,
    /// The gateway may have it, and is asked to end it: its outcome will say what came of that.
    Asked,
    /// It had ended already.
    TooLate,
}

impl CancelAnswer {
    /// The name in the REST API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NeverDelivered => "never_delivered",
            Self::Asked => "asked",
            Self::TooLate => "too_late",
        }
    }
}

/// `POST /magic-links/collect`: remove the links that no update runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct CollectLinks {
    /// Only those that were put into the store, and last sent, longer ago than this.
    pub(crate) older_than_s: u64,
}

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct RemovedLinks {
    /// Magic Links.
    pub(crate) links: u32,
    /// Blobs that no other link names.
    pub(crate) blobs: u32,
    /// Their bytes.
    pub(crate) bytes: u64,
}

/// `POST /magic-links/{digest}/sign`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SignLink {
    /// The gateway, in any spelling that people use.
    pub(crate) eui: String,
    /// How much it may use.
    #[serde(default)]
    pub(crate) limits: JobLimits,
    /// How it is to be done.
    #[serde(default)]
    pub(crate) options: SendOptions,
    /// Seconds until the command expires; 7 days by default.
    #[serde(default)]
    pub(crate) expires_in_s: Option<u64>,
}

/// The answer to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SignedLink {
    /// The update that follows what becomes of it; cancelling it works as for any other.
    pub(crate) update: UpdateView,
    /// The signed command: what is carried to the gateway.
    pub(crate) envelope: Envelope,
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

/// `GET /magic-links/{digest}` (`sha256:` and 64 hex digits, or the first 8 or more of them alone), the elements of `GET /magic-links`
/// (without `gateways`, `files` and `updates`), and the answer to `PUT /magic-links/{digest}`, whose body is the manifest. Blobs come
/// before it: `PUT /blobs/{digest}`. `DELETE /magic-links/{digest}` answers with [`RemovedLinks`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LinkView {
    /// The hash.
    pub(crate) digest: Digest,
    /// What it is called.
    pub(crate) name: String,
    /// What it does.
    #[serde(default)]
    pub(crate) description: String,
    /// The gateways that it is declared for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) gateways: Vec<GatewayPattern>,
    /// How many these are.
    pub(crate) gateway_count: u32,
    /// The KerOS versions that it fits; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keros: Option<KerosRange>,
    /// The hardware that it fits; empty: any.
    #[serde(default)]
    pub(crate) models: Vec<String>,
    /// When its time is over; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at_unix_s: Option<UnixSeconds>,
    /// The file that is run.
    pub(crate) playbook: Title,
    /// All files together.
    pub(crate) size_bytes: u64,
    /// The files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) files: Vec<LinkFileView>,
    /// How many these are.
    pub(crate) file_count: u32,
    /// When the center got it; absent when it is not the center's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created_at_unix_s: Option<UnixSeconds>,
    /// The updates that name it, newest first, 100 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) updates: Vec<UpdateId>,
    /// With `?group=NAME`: the gateways of that group that it is not declared for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) not_declared: Option<Vec<Eui>>,
    /// With `?group=NAME`: those that it is declared for and does not fit, by what they last told of their KerOS and hardware.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) not_compatible: Option<Vec<Eui>>,
}

/// A file of a Magic Link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LinkFileView {
    /// Its path in the bundle.
    pub(crate) title: Title,
    /// Its length.
    pub(crate) size_bytes: u64,
    /// Its content.
    pub(crate) digest: Digest,
    /// It is a program.
    #[serde(default)]
    pub(crate) executable: bool,
}

impl LinkView {
    /// What a link says of itself, without what the center knows of it.
    pub(crate) fn new(digest: Digest, link: &MagicLink) -> Self {
        let MagicLink { manifest, config } = link.clone();
        let file = |file: BundleFile| LinkFileView {
            title: file.title,
            size_bytes: file.blob.size,
            digest: file.blob.digest,
            executable: file.executable,
        };
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        Self {
            digest,
            gateway_count: count(config.gateways.len()),
            file_count: count(manifest.files.len()),
            name: config.name,
            description: config.description,
            gateways: config.gateways,
            keros: config.keros,
            models: config.models,
            expires_at_unix_s: config.expires_at_unix_s,
            playbook: config.playbook,
            size_bytes: manifest.total_bytes(),
            files: manifest.files.into_iter().map(file).collect(),
            created_at_unix_s: None,
            updates: Vec::new(),
            not_declared: None,
            not_compatible: None,
        }
    }
}

/// `POST /enrolments`: lines with which these gateways join.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EnrolOrder {
    /// The gateways.
    pub(crate) gateways: Vec<Eui>,
    /// For how long each line is good; a day when nothing is said.
    #[serde(default)]
    pub(crate) valid_s: Option<u64>,
}

/// The elements of the answer to `POST /enrolments`. Whoever has the line can join as this gateway.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EnrolmentLine {
    /// The gateway.
    pub(crate) eui: Eui,
    /// To be pasted there; it is not shown again.
    pub(crate) line: String,
    /// From then on it is no longer good.
    pub(crate) expires_at_unix_s: UnixSeconds,
}

/// The elements of `GET /enrolments`, newest first. `DELETE /enrolments/{eui}` takes back what is pending.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Serialize, Deserialize)]
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
