//! Webhooks.

use keros_protocol::UnixSeconds;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::CustomerId;
use crate::store::{MessageState, WebhookId};
use crate::webhooks::EventKind;

/// `POST /webhooks`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateWebhook {
    /// Whose updates it is told of, by id or name; the caller's only customer, or `main`, when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) customer: Option<String>,
    /// Where messages go: `https://…`.
    pub(crate) url: String,
    /// What it is told of; everything when nothing is said.
    #[serde(default)]
    pub(crate) events: Vec<EventKind>,
}

/// `PATCH /webhooks/{id}`. What is not stated stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EditWebhook {
    /// Where messages go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    /// What it is told of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) events: Option<Vec<EventKind>>,
    /// Whether it is in use. What waits goes on waiting meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) enabled: Option<bool>,
    /// Make a new secret; the answer shows it. The old one is no longer good.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) new_secret: bool,
}

/// `GET /webhooks/{id}`, and the elements of `GET /webhooks`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct WebhookView {
    /// Its id.
    pub(crate) webhook_id: WebhookId,
    /// Whose it is.
    pub(crate) customer_id: CustomerId,
    /// Where messages go.
    pub(crate) url: String,
    /// What it is told of.
    pub(crate) events: Vec<EventKind>,
    /// Whether it is in use.
    pub(crate) enabled: bool,
    /// When it was made.
    pub(crate) created_at_unix_s: UnixSeconds,
    /// By whom.
    pub(crate) created_by: String,
    /// How many messages wait.
    pub(crate) waiting: u32,
    /// What the receiver checks the signature with: only in the answer that makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<String>,
}

/// The elements of `GET /webhooks/{id}/messages`, newest first; kept for 30 days.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct WebhookMessageView {
    /// The header `webhook-id` of each attempt.
    #[schemars(with = "String")]
    pub(crate) message_id: uuid::Uuid,
    /// What happened.
    pub(crate) event: EventKind,
    /// What became of it.
    pub(crate) state: MessageState,
    /// How often it was tried.
    pub(crate) attempts: u32,
    /// When it happened.
    pub(crate) created_at_unix_s: UnixSeconds,
    /// When it was tried last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tried_at_unix_s: Option<UnixSeconds>,
    /// When it is tried next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next_at_unix_s: Option<UnixSeconds>,
    /// What the receiver answered last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) http_status: Option<u32>,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// The message.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub(crate) body: serde_json::Value,
}
