//! The tables of webhooks and of their messages.

use std::fmt;
use std::str::FromStr;

use keros_protocol::UnixSeconds;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, QueryBuilder, Row as _};
use uuid::Uuid;

use super::{Result, StoreError, count, number, numbered, optional_number, parsed, to_big};
use crate::access::CustomerId;
use crate::webhooks::{EventKind, Secret};

/// A webhook.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub(crate) struct WebhookId(#[schemars(with = "String")] Uuid);

impl WebhookId {
    /// A new one.
    pub(crate) fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for WebhookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for WebhookId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> std::result::Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

/// A webhook as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WebhookRow {
    /// Its id.
    pub(crate) webhook_id: WebhookId,
    /// Whose it is.
    pub(crate) customer_id: CustomerId,
    /// Where messages go.
    pub(crate) url: String,
    /// Signs them.
    pub(crate) secret: Secret,
    /// What it is told of.
    pub(crate) events: Vec<EventKind>,
    /// It is in use.
    pub(crate) enabled: bool,
    /// When it was made.
    pub(crate) created_at: UnixSeconds,
    /// By whom.
    pub(crate) created_by: String,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MessageState {
    /// It is tried, again and again.
    Waiting,
    /// The receiver took it.
    Taken,
    /// It was tried for days.
    GivenUp,
    /// Too many waited already.
    LeftOut,
}

impl MessageState {
    /// The name in the REST API, and in the table.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Taken => "taken",
            Self::GivenUp => "given_up",
            Self::LeftOut => "left_out",
        }
    }
}

impl FromStr for MessageState {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let all = [Self::Waiting, Self::Taken, Self::GivenUp, Self::LeftOut];
        all.into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// A message as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MessageRow {
    /// Names it.
    pub(crate) message_id: Uuid,
    /// Whom it is for.
    pub(crate) webhook_id: WebhookId,
    /// What happened.
    pub(crate) event: EventKind,
    /// JSON.
    pub(crate) body: String,
    /// What became of it.
    pub(crate) state: MessageState,
    /// How often it was tried.
    pub(crate) attempts: u32,
    /// When it is tried next.
    pub(crate) next_at: Option<UnixSeconds>,
    /// When it happened.
    pub(crate) created_at: UnixSeconds,
    /// When it was tried last.
    pub(crate) tried_at: Option<UnixSeconds>,
    /// What the receiver answered then.
    pub(crate) http_status: Option<u32>,
    /// What went wrong then.
    pub(crate) error: Option<String>,
}

/// What [`webhook_row`] reads.
macro_rules! webhooks {
    ($rest:literal) => {
        concat!("SELECT webhook_id, customer_id, url, secret, events, enabled, created_at, created_by FROM webhooks ", $rest)
    };
}

fn webhook_row(row: &AnyRow) -> Result<WebhookRow> {
    let events: String = row.try_get("events")?;
    let kinds: std::result::Result<Vec<EventKind>, _> =
        events.split(',').filter(|text| !text.is_empty()).map(str::parse).collect();
    let secret: String = row.try_get("secret")?;
    Ok(WebhookRow {
        webhook_id: parsed(row, "webhook_id")?,
        customer_id: parsed(row, "customer_id")?,
        url: row.try_get("url")?,
        secret: Secret::from_text(&secret)
            .ok_or_else(|| StoreError::Row { column: "secret", value: "(not shown)".to_owned() })?,
        events: kinds.map_err(|_| StoreError::Row { column: "events", value: events })?,
        enabled: number(row, "enabled")? != 0,
        created_at: number(row, "created_at")?,
        created_by: row.try_get("created_by")?,
    })
}

fn events_text(events: &[EventKind]) -> String {
    events.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(",")
}

/// Keeps a new webhook.
pub(crate) async fn create(connection: &mut AnyConnection, row: &WebhookRow) -> Result<()> {
    sqlx::query(
        "INSERT INTO webhooks (webhook_id, customer_id, url, secret, events, enabled, created_at, created_by) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(row.webhook_id.to_string())
    .bind(row.customer_id.to_string())
    .bind(row.url.clone())
    .bind(row.secret.to_text())
    .bind(events_text(&row.events))
    .bind(i64::from(row.enabled))
    .bind(to_big(row.created_at))
    .bind(row.created_by.clone())
    .execute(connection)
    .await?;
    Ok(())
}

/// Keeps what can be changed of a webhook.
pub(crate) async fn keep(connection: &mut AnyConnection, row: &WebhookRow) -> Result<()> {
    sqlx::query("UPDATE webhooks SET url = $2, secret = $3, events = $4, enabled = $5 WHERE webhook_id = $1")
        .bind(row.webhook_id.to_string())
        .bind(row.url.clone())
        .bind(row.secret.to_text())
        .bind(events_text(&row.events))
        .bind(i64::from(row.enabled))
        .execute(connection)
        .await?;
    Ok(())
}

/// Removes a webhook with its messages.
pub(crate) async fn remove(connection: &mut AnyConnection, webhook_id: WebhookId) -> Result<()> {
    for sql in
        ["DELETE FROM webhook_messages WHERE webhook_id = $1", "DELETE FROM webhooks WHERE webhook_id = $1"]
    {
        sqlx::query(sql).bind(webhook_id.to_string()).execute(&mut *connection).await?;
    }
    Ok(())
}

/// All webhooks, oldest first.
pub(crate) async fn list(connection: &mut AnyConnection) -> Result<Vec<WebhookRow>> {
    let rows = sqlx::query(webhooks!("ORDER BY webhook_id")).fetch_all(connection).await?;
    rows.iter().map(webhook_row).collect()
}

/// Those of a customer.
pub(crate) async fn of_customer(
    connection: &mut AnyConnection,
    customer: CustomerId,
) -> Result<Vec<WebhookRow>> {
    let rows = sqlx::query(webhooks!("WHERE customer_id = $1 ORDER BY webhook_id"))
        .bind(customer.to_string())
        .fetch_all(connection)
        .await?;
    rows.iter().map(webhook_row).collect()
}

/// One webhook.
pub(crate) async fn find(
    connection: &mut AnyConnection,
    webhook_id: WebhookId,
) -> Result<Option<WebhookRow>> {
    let row = sqlx::query(webhooks!("WHERE webhook_id = $1"))
        .bind(webhook_id.to_string())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(webhook_row).transpose()
}

/// How many messages of a webhook wait.
pub(crate) async fn waiting(connection: &mut AnyConnection, webhook_id: WebhookId) -> Result<u32> {
    let row =
        sqlx::query("SELECT COUNT(*) AS n FROM webhook_messages WHERE webhook_id = $1 AND state = 'waiting'")
            .bind(webhook_id.to_string())
            .fetch_one(connection)
            .await?;
    count(&row, "n")
}

/// Keeps a new message.
pub(crate) async fn put_message(connection: &mut AnyConnection, row: &MessageRow) -> Result<()> {
    sqlx::query(
        "INSERT INTO webhook_messages (message_id, webhook_id, event, body, state, attempts, next_at, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(row.message_id.to_string())
    .bind(row.webhook_id.to_string())
    .bind(row.event.as_str())
    .bind(row.body.clone())
    .bind(row.state.as_str())
    .bind(i64::from(row.attempts))
    .bind(row.next_at.map(to_big))
    .bind(to_big(row.created_at))
    .execute(connection)
    .await?;
    Ok(())
}

/// What [`message_row`] reads.
macro_rules! messages {
    ($rest:literal) => {
        concat!(
            "SELECT m.message_id AS message_id, m.webhook_id AS webhook_id, m.event AS event, m.body AS body, m.state AS state, \
                       m.attempts AS attempts, m.next_at AS next_at, m.created_at AS created_at, m.tried_at AS tried_at, \
                       m.http_status AS http_status, m.error AS error FROM webhook_messages m ",
            $rest
        )
    };
}

fn message_row(row: &AnyRow) -> Result<MessageRow> {
    Ok(MessageRow {
        message_id: parsed(row, "message_id")?,
        webhook_id: parsed(row, "webhook_id")?,
        event: parsed(row, "event")?,
        body: row.try_get("body")?,
        state: parsed(row, "state")?,
        attempts: count(row, "attempts")?,
        next_at: optional_number(row, "next_at")?,
        created_at: number(row, "created_at")?,
        tried_at: optional_number(row, "tried_at")?,
        http_status: optional_number(row, "http_status")?.and_then(|status| u32::try_from(status).ok()),
        error: row.try_get("error")?,
    })
}

/// The message of each webhook that has been due for longest, of webhooks that are in use and not among `without`.
pub(crate) async fn due(
    connection: &mut AnyConnection,
    without: &[WebhookId],
    now: UnixSeconds,
    limit: usize,
) -> Result<Vec<MessageRow>> {
    // One of each webhook: no other one of it is due for longer.
    let mut query = QueryBuilder::<sqlx::Any>::new(messages!(""));
    query.push("JOIN webhooks w ON w.webhook_id = m.webhook_id WHERE w.enabled = 1 AND m.next_at <= ");
    query.push_bind(to_big(now));
    query.push(
        " AND NOT EXISTS (SELECT 1 FROM webhook_messages o WHERE o.webhook_id = m.webhook_id AND o.next_at IS NOT NULL \
         AND (o.next_at < m.next_at OR (o.next_at = m.next_at AND o.message_id < m.message_id)))",
    );
    if !without.is_empty() {
        query.push(" AND m.webhook_id NOT IN (");
        let mut ids = query.separated(", ");
        for id in without {
            ids.push_bind(id.to_string());
        }
        query.push(")");
    }
    query.push(" ORDER BY m.next_at, m.message_id LIMIT ").push_bind(to_big(limit as u64));
    let rows = numbered(query)?.fetch_all(connection).await?;
    rows.iter().map(message_row).collect()
}

/// The message is tried by somebody until then.
pub(crate) async fn claim(
    connection: &mut AnyConnection,
    message_id: Uuid,
    until: UnixSeconds,
) -> Result<()> {
    sqlx::query("UPDATE webhook_messages SET next_at = $2 WHERE message_id = $1")
        .bind(message_id.to_string())
        .bind(to_big(until))
        .execute(connection)
        .await?;
    Ok(())
}

/// What came of an attempt. One that was taken before stays so.
pub(crate) async fn keep_attempt(connection: &mut AnyConnection, row: &MessageRow) -> Result<()> {
    sqlx::query(
        "UPDATE webhook_messages SET state = $2, attempts = $3, next_at = $4, tried_at = $5, http_status = $6, error = $7 \
         WHERE message_id = $1 AND state = 'waiting'",
    )
    .bind(row.message_id.to_string())
    .bind(row.state.as_str())
    .bind(i64::from(row.attempts))
    .bind(row.next_at.map(to_big))
    .bind(row.tried_at.map(to_big))
    .bind(row.http_status.map(i64::from))
    .bind(row.error.clone())
    .execute(connection)
    .await?;
    Ok(())
}

/// The newest messages of a webhook.
pub(crate) async fn messages(
    connection: &mut AnyConnection,
    webhook_id: WebhookId,
    limit: u32,
) -> Result<Vec<MessageRow>> {
    let rows = sqlx::query(messages!("WHERE m.webhook_id = $1 ORDER BY m.message_id DESC LIMIT $2"))
        .bind(webhook_id.to_string())
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(message_row).collect()
}

/// Removes messages that nobody waits for any more and that are older than `before`.
pub(crate) async fn prune(connection: &mut AnyConnection, before: UnixSeconds) -> Result<()> {
    sqlx::query("DELETE FROM webhook_messages WHERE state <> 'waiting' AND created_at < $1")
        .bind(to_big(before))
        .execute(connection)
        .await?;
    Ok(())
}
