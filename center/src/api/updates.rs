//! Updates, and cancelling them.

use keros_protocol::magic_link::Digest;
use keros_protocol::{CommandId, Delivery, Eui, Job, JobLimits, Outcome, UnixSeconds, UpdateId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plan::{Follow, RolloutView, WaitsFor};
use crate::access::{CustomerId, GroupId, UserId};
use crate::plan::Plan;

/// `POST /updates`. A Magic Link without `source` is one of the center's own store.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SendUpdate {
    /// The group, by id or name.
    pub(crate) group: String,
    /// What is to be done.
    pub(crate) job: Job,
    /// How much it may use.
    #[serde(default)]
    pub(crate) limits: JobLimits,
    /// How it is to be done.
    #[serde(default)]
    pub(crate) options: SendOptions,
    /// Seconds until the commands expire, from `plan.not_before_unix_s` on when that is stated; 7 days by default.
    #[serde(default)]
    pub(crate) expires_in_s: Option<u64>,
    /// When the commands are handed out: at once when nothing is said.
    #[serde(default)]
    pub(crate) plan: Plan,
    /// Send a dry run to all gateways at once; the real one follows by `POST /updates/{id}/carry-out`, with `options` and `plan`.
    #[serde(default)]
    pub(crate) dry_run_first: bool,
}

/// `POST /gateways/{eui}/updates`: an update for one gateway. The fields are those of [`SendUpdate`]; a plan has no stages.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SendToGateway {
    /// What is to be done.
    pub(crate) job: Job,
    /// How much it may use.
    #[serde(default)]
    pub(crate) limits: JobLimits,
    /// How it is to be done.
    #[serde(default)]
    pub(crate) options: SendOptions,
    /// Seconds until the command expires.
    #[serde(default)]
    pub(crate) expires_in_s: Option<u64>,
    /// When the command is handed out.
    #[serde(default)]
    pub(crate) plan: Plan,
    /// Send a dry run first.
    #[serde(default)]
    pub(crate) dry_run_first: bool,
}

/// `POST /updates/{id}/retry` and `POST /updates/{id}/carry-out`: the same job again, for those of its gateways that ended so. A field that
/// is not stated is as it was.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct FollowUp {
    /// Outcomes by name, and `expired` and `cancelled` also of commands that were never delivered. Retry: all but `succeeded` and
    /// `cancelled` when nothing is said; carry out: `succeeded`.
    pub(crate) outcomes: Vec<String>,
    /// How it is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) options: Option<SendOptions>,
    /// When the commands are handed out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) plan: Option<Plan>,
    /// Seconds until the commands expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_in_s: Option<u64>,
}

/// How the job is to be done. A field that is not stated has its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct UpdateView {
    /// The update.
    pub(crate) update_id: UpdateId,
    /// The name that the group had that it was sent to.
    pub(crate) group: String,
    /// The group's id; absent when it is carried by hand. The group may be gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) group_id: Option<GroupId>,
    /// Whose it is.
    pub(crate) customer_id: CustomerId,
    /// That customer's name.
    pub(crate) customer: String,
    /// The log-in name of who sent it; empty in what was sent before there were users.
    pub(crate) created_by: String,
    /// That user; absent for the center's own token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created_by_id: Option<UserId>,
    /// The gateway, when it was sent to one and not to a group; `group` is empty then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gateway: Option<Eui>,
    /// Kind of its job.
    pub(crate) kind: String,
    /// What its script is called: the name of the first play, else the first line; absent for Magic Links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) title: Option<String>,
    /// The Magic Link that it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) magic_link: Option<Digest>,
    /// It is the command of `POST /magic-links/{digest}/sign`: a person carries it to its one gateway; `group` is empty.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) by_hand: bool,
    /// Nothing is changed: it is a dry run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) dry_run: bool,
    /// It is the dry run of an order that may be carried out: `POST /updates/{id}/carry-out`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_first: bool,
    /// When its commands are handed out; absent: at once.
    #[serde(default, skip_serializing_if = "Plan::is_empty")]
    pub(crate) plan: Plan,
    /// How far its roll-out is; absent when it has no stages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rollout: Option<RolloutView>,
    /// The update whose job it does again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) follows: Option<Follow>,
    /// The updates that do its job again (only in `GET /updates/{id}`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) followed_by: Vec<Follow>,
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
    /// How many of these are silent, or say that they are at it, for longer than their command may take.
    #[serde(default)]
    pub(crate) overdue: u32,
    /// How many gateways have which delivery and which outcome, by name (`none` when not received).
    pub(crate) deliveries: std::collections::BTreeMap<String, u32>,
    /// As above, for outcomes.
    pub(crate) outcomes: std::collections::BTreeMap<String, u32>,
    /// One line per gateway. The answer to an order has none when there are more than 1000 gateways: `GET /updates/{id}/gateways` gives
    /// them in parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) gateways: Vec<DeliveryView>,
}

impl UpdateView {
    /// How many gateways it is for, with its lines or without.
    pub(crate) fn gateway_count(&self) -> u32 {
        self.deliveries.values().sum()
    }
}

/// One gateway of an update; also the data of each `gateway` event of `GET /updates/{id}/events` (server-sent events: first
/// one for every gateway, then one per change; an `overdue` event with the [`UpdateView`] whenever all that have not ended are
/// overdue; after the last terminal outcome one `ended` event with the [`UpdateView`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// The gateway is silent, or says that it is at it, for longer than the command may take. Its word is taken whenever it comes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) overdue: bool,
    /// What it waits for; absent when nothing more is expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) waits_for: Option<WaitsFor>,
}

/// The answer to `POST /updates/{id}/cancel` and `POST /updates/{id}/gateways/{eui}/cancel`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CancelView {
    /// The update.
    pub(crate) update_id: UpdateId,
    /// How many gateways have which answer.
    pub(crate) answers: std::collections::BTreeMap<String, u32>,
    /// One line per gateway.
    pub(crate) gateways: Vec<CancelledDelivery>,
}

/// What cancelling comes to for one gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
