//! Webhooks: making them, what they are told, and what became of that.

use keros_protocol::{UnixSeconds, UpdateId};
use serde_json::{Value, json};
use sqlx::AnyConnection;
use uuid::Uuid;

use super::as_seen::still_as_seen;
use super::audit::{What, audit};
use super::center::{Center, unix_now};
use super::customers::customer_for;
use super::order::OrderError;
use super::state::Counts;
use super::views;
use crate::access::{Action, Caller, CustomerId};
use crate::api::{CreateWebhook, EditWebhook, WebhookMessageView, WebhookView};
use crate::bounds::{MAX_WEBHOOKS, WEBHOOK_AGE_S, WEBHOOK_LEASE_S, WEBHOOK_MESSAGES_WAITING};
use crate::cli::text::utc;
use crate::store::{MessageRow, MessageState, StoreError, UpdateRow, WebhookId, WebhookRow, webhooks};
use crate::webhooks::{Courier, EventKind, Parcel, Secret, check_url, retry_at};

/// Messages of a webhook that are shown.
const SHOWN: u32 = 100;

/// A message that somebody is about to send.
#[derive(Debug, Clone)]
pub(crate) struct Claimed {
    /// Whom it is for.
    pub(crate) webhook_id: WebhookId,
    row: MessageRow,
    parcel: Parcel,
}

impl Center {
    /// The webhooks of the customers whose ones the caller may see.
    pub(crate) async fn webhooks(&self, caller: &Caller) -> Result<Vec<WebhookView>, OrderError> {
        caller.require_somewhere(Action::SeeWebhooks)?;
        let visible = caller.where_may(Action::SeeWebhooks);
        let mut connection = self.store.read().await?;
        let mut views = Vec::new();
        for row in webhooks::list(&mut connection).await? {
            if visible.has(&row.customer_id) {
                let waiting = webhooks::waiting(&mut connection, row.webhook_id).await?;
                views.push(view(row, waiting));
            }
        }
        Ok(views)
    }

    /// One webhook.
    pub(crate) async fn webhook(&self, caller: &Caller, id: WebhookId) -> Result<WebhookView, OrderError> {
        let mut connection = self.store.read().await?;
        let row = find_webhook(&mut connection, caller, id, Action::SeeWebhooks).await?;
        let waiting = webhooks::waiting(&mut connection, id).await?;
        Ok(view(row, waiting))
    }

    /// Makes a webhook; the answer has its secret.
    pub(crate) async fn create_webhook(
        &self,
        caller: &Caller,
        order: CreateWebhook,
        now: UnixSeconds,
    ) -> Result<WebhookView, OrderError> {
        self.check_webhook_url(&order.url)?;
        let events = events(order.events);
        let secret = new_secret()?;
        let mut transaction = self.store.begin().await?;
        let customer =
            customer_for(&mut transaction, caller, order.customer.as_deref(), Action::EditWebhooks).await?;
        if webhooks::of_customer(&mut transaction, customer.id).await?.len() >= MAX_WEBHOOKS {
            return Err(OrderError::Conflict(format!(
                "the customer {:?} has {MAX_WEBHOOKS} webhooks: remove one first",
                customer.name
            )));
        }
        let row = WebhookRow {
            webhook_id: WebhookId::new(),
            customer_id: customer.id,
            url: order.url,
            secret,
            events,
            enabled: true,
            created_at: now,
            created_by: caller.name.clone(),
        };
        webhooks::create(&mut transaction, &row).await?;
        audit(&mut transaction, caller, Action::EditWebhooks, what(&row, "made")).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        let secret = Some(row.secret.to_text());
        Ok(WebhookView { secret, ..view(row, 0) })
    }

    /// Changes a webhook.
    pub(crate) async fn edit_webhook(
        &self,
        caller: &Caller,
        id: WebhookId,
        order: EditWebhook,
    ) -> Result<WebhookView, OrderError> {
        if let Some(url) = &order.url {
            self.check_webhook_url(url)?;
        }
        let secret = order.new_secret.then(new_secret).transpose()?;
        let mut transaction = self.store.begin().await?;
        let mut row = find_webhook(&mut transaction, caller, id, Action::EditWebhooks).await?;
        let waiting = webhooks::waiting(&mut transaction, id).await?;
        still_as_seen(caller, &view(row.clone(), waiting))?;
        row.url = order.url.unwrap_or(row.url);
        row.events = order.events.map_or(row.events, events);
        row.enabled = order.enabled.unwrap_or(row.enabled);
        let shown = secret.as_ref().map(Secret::to_text);
        row.secret = secret.unwrap_or(row.secret);
        webhooks::keep(&mut transaction, &row).await?;
        audit(&mut transaction, caller, Action::EditWebhooks, what(&row, "changed")).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(WebhookView { secret: shown, ..view(row, waiting) })
    }

    /// Removes a webhook, with what waits.
    pub(crate) async fn remove_webhook(&self, caller: &Caller, id: WebhookId) -> Result<(), OrderError> {
        let mut transaction = self.store.begin().await?;
        let row = find_webhook(&mut transaction, caller, id, Action::EditWebhooks).await?;
        let waiting = webhooks::waiting(&mut transaction, id).await?;
        still_as_seen(caller, &view(row.clone(), waiting))?;
        webhooks::remove(&mut transaction, id).await?;
        audit(&mut transaction, caller, Action::EditWebhooks, what(&row, "removed")).await?;
        Ok(transaction.commit().await.map_err(StoreError::from)?)
    }

    /// Sends a test message.
    pub(crate) async fn test_webhook(
        &self,
        caller: &Caller,
        id: WebhookId,
        now: UnixSeconds,
    ) -> Result<(), OrderError> {
        let mut transaction = self.store.begin().await?;
        let row = find_webhook(&mut transaction, caller, id, Action::EditWebhooks).await?;
        let data = json!({ "sent_by": caller.name });
        put(&mut transaction, &row, EventKind::Test, &data, now).await?;
        audit(&mut transaction, caller, Action::EditWebhooks, what(&row, "tested")).await?;
        Ok(transaction.commit().await.map_err(StoreError::from)?)
    }

    /// The newest messages of a webhook.
    pub(crate) async fn webhook_messages(
        &self,
        caller: &Caller,
        id: WebhookId,
    ) -> Result<Vec<WebhookMessageView>, OrderError> {
        let mut connection = self.store.read().await?;
        find_webhook(&mut connection, caller, id, Action::SeeWebhooks).await?;
        let rows = webhooks::messages(&mut connection, id, SHOWN).await?;
        Ok(rows.into_iter().map(message_view).collect())
    }

    /// Takes what is due, for some time: one message of each webhook that nobody here is busy with.
    pub(crate) async fn claim_messages(
        &self,
        busy: &[WebhookId],
        limit: usize,
        now: UnixSeconds,
    ) -> Result<Vec<Claimed>, StoreError> {
        if limit == 0 || webhooks::due(&mut *self.store.read().await?, busy, now, 1).await?.is_empty() {
            return Ok(Vec::new());
        }
        let mut transaction = self.store.begin().await?;
        let mut claimed = Vec::new();
        for row in webhooks::due(&mut transaction, busy, now, limit).await? {
            let Some(webhook) = webhooks::find(&mut transaction, row.webhook_id).await? else { continue };
            webhooks::claim(&mut transaction, row.message_id, now.saturating_add(WEBHOOK_LEASE_S)).await?;
            let parcel = Parcel {
                id: row.message_id.to_string(),
                url: webhook.url,
                secret: webhook.secret,
                body: row.body.clone(),
            };
            claimed.push(Claimed { webhook_id: row.webhook_id, row, parcel });
        }
        transaction.commit().await?;
        Ok(claimed)
    }

    /// Sends a message and keeps what came of it. If that cannot be kept, it is sent again.
    pub(crate) async fn send_message(&self, courier: &Courier, message: Claimed) {
        let Claimed { webhook_id, row, parcel } = message;
        let sender = courier.clone();
        let sent = tokio::task::spawn_blocking(move || sender.send(&parcel, unix_now())).await;
        let sent =
            sent.unwrap_or_else(|_| Err((None, "the sending broke: the center's log says more".to_owned())));
        if let Err((_, error)) = &sent {
            tracing::warn!(%webhook_id, message = %row.message_id, attempts = row.attempts + 1, error, "a webhook did not take a message");
        }
        let row = after_attempt(row, sent, unix_now());
        let kept = async {
            let mut transaction = self.store.begin().await?;
            webhooks::keep_attempt(&mut transaction, &row).await?;
            Ok::<_, StoreError>(transaction.commit().await?)
        };
        if let Err(error) = kept.await {
            let error = anyhow::Error::from(error);
            tracing::error!(
                error = format!("{error:#}"),
                "what a webhook said could not be kept: it is told again"
            );
        }
    }

    /// Removes old messages.
    pub(crate) async fn tidy_webhooks(&self, now: UnixSeconds) -> Result<(), StoreError> {
        let mut transaction = self.store.begin().await?;
        webhooks::prune(&mut transaction, now.saturating_sub(WEBHOOK_AGE_S)).await?;
        Ok(transaction.commit().await?)
    }

    fn check_webhook_url(&self, url: &str) -> Result<(), OrderError> {
        check_url(url, self.webhook_reach).map_err(OrderError::Invalid)
    }
}

/// What is kept of a message after an attempt. Pure.
fn after_attempt(row: MessageRow, sent: Result<u16, (Option<u16>, String)>, now: UnixSeconds) -> MessageRow {
    let attempts = row.attempts.saturating_add(1);
    let (state, next_at, http_status, error) = match sent {
        Ok(status) => (MessageState::Taken, None, Some(status), None),
        Err((status, error)) => match retry_at(attempts, now) {
            Some(at) => (MessageState::Waiting, Some(at), status, Some(error)),
            None => (MessageState::GivenUp, None, status, Some(error)),
        },
    };
    MessageRow {
        state,
        attempts,
        next_at,
        tried_at: Some(now),
        http_status: http_status.map(u32::from),
        error,
        ..row
    }
}

/// Keeps what the webhooks of a customer are told, in the transaction of what it is about.
pub(super) async fn enqueue(
    connection: &mut AnyConnection,
    customer: CustomerId,
    kind: EventKind,
    data: &Value,
    now: UnixSeconds,
) -> Result<(), StoreError> {
    for webhook in webhooks::of_customer(connection, customer).await? {
        if webhook.enabled && webhook.events.contains(&kind) {
            put(connection, &webhook, kind, data, now).await?;
        }
    }
    Ok(())
}

async fn put(
    connection: &mut AnyConnection,
    webhook: &WebhookRow,
    kind: EventKind,
    data: &Value,
    now: UnixSeconds,
) -> Result<(), StoreError> {
    let is_full = webhooks::waiting(connection, webhook.webhook_id).await? >= WEBHOOK_MESSAGES_WAITING;
    if is_full {
        tracing::error!(webhook_id = %webhook.webhook_id, "too many messages of a webhook wait: one is left out");
    }
    let body = json!({ "type": kind.as_str(), "timestamp": utc(now), "data": data });
    let row = MessageRow {
        message_id: Uuid::now_v7(),
        webhook_id: webhook.webhook_id,
        event: kind,
        body: body.to_string(),
        state: if is_full { MessageState::LeftOut } else { MessageState::Waiting },
        attempts: 0,
        next_at: (!is_full).then_some(now),
        created_at: now,
        tried_at: None,
        http_status: None,
        error: None,
    };
    webhooks::put_message(connection, &row).await
}

/// What is told of an update: as the REST API shows it, without its lines.
pub(super) fn update_data(row: UpdateRow, counts: Counts) -> Value {
    let update_id: UpdateId = row.update_id;
    let view = views::update(row, counts);
    serde_json::to_value(view).unwrap_or_else(|_| json!({ "update_id": update_id }))
}

async fn find_webhook(
    connection: &mut AnyConnection,
    caller: &Caller,
    id: WebhookId,
    action: Action,
) -> Result<WebhookRow, OrderError> {
    let found = webhooks::find(connection, id).await?.filter(|row| caller.sees(&row.customer_id));
    let row = found.ok_or_else(|| {
        OrderError::NotFound(format!("there is no webhook {id}: `keros-center webhooks` lists them"))
    })?;
    caller.require(action, &row.customer_id)?;
    Ok(row)
}

fn events(stated: Vec<EventKind>) -> Vec<EventKind> {
    let mut events = if stated.is_empty() { EventKind::ALL.to_vec() } else { stated };
    events.sort();
    events.dedup();
    events
}

fn new_secret() -> Result<Secret, OrderError> {
    Secret::random().ok_or_else(|| OrderError::Unavailable("the system gives no random numbers".to_owned()))
}

fn what(row: &WebhookRow, detail: &str) -> What {
    let detail = format!("{detail}: {}", host_of(&row.url));
    What::of(row.customer_id, format!("webhook {}", row.webhook_id), detail)
}

/// Of an address what is no secret: its path often is one, and more people see the audit log than webhooks.
fn host_of(url: &str) -> String {
    let place = url.split(['?', '#']).next().unwrap_or_default();
    place.split('/').take(3).collect::<Vec<_>>().join("/")
}

fn view(row: WebhookRow, waiting: u32) -> WebhookView {
    WebhookView {
        webhook_id: row.webhook_id,
        customer_id: row.customer_id,
        url: row.url,
        events: row.events,
        enabled: row.enabled,
        created_at_unix_s: row.created_at,
        created_by: row.created_by,
        waiting,
        secret: None,
    }
}

fn message_view(row: MessageRow) -> WebhookMessageView {
    WebhookMessageView {
        message_id: row.message_id,
        event: row.event,
        state: row.state,
        attempts: row.attempts,
        created_at_unix_s: row.created_at,
        tried_at_unix_s: row.tried_at,
        next_at_unix_s: row.next_at,
        http_status: row.http_status,
        error: row.error,
        body: serde_json::from_str(&row.body).unwrap_or(Value::Null),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhooks::ATTEMPTS;

    fn waiting(attempts: u32) -> MessageRow {
        MessageRow {
            message_id: Uuid::from_u128(1),
            webhook_id: WebhookId::new(),
            event: EventKind::Test,
            body: "{}".to_owned(),
            state: MessageState::Waiting,
            attempts,
            next_at: Some(50),
            created_at: 1,
            tried_at: None,
            http_status: None,
            error: None,
        }
    }

    #[test]
    fn the_audit_log_has_the_host_of_a_webhook_and_not_the_secret_in_its_path() {
        for (url, host) in [
            ("https://hooks.example/services/T0/B0/secret", "https://hooks.example"),
            ("https://hooks.example:8443/?key=secret", "https://hooks.example:8443"),
            ("https://hooks.example", "https://hooks.example"),
            ("https://hooks.example?key=secret", "https://hooks.example"),
        ] {
            assert_eq!(host_of(url), host);
        }
    }

    #[test]
    fn a_message_is_tried_again_until_it_is_taken_or_given_up() {
        let no = || Err((Some(500), "it answered 500".to_owned()));
        for (attempts, sent, state, next_at) in [
            (0, Ok(204), MessageState::Taken, None),
            (5, Ok(200), MessageState::Taken, None),
            (0, no(), MessageState::Waiting, Some(105)),
            (0, Err((None, "nobody answers".to_owned())), MessageState::Waiting, Some(105)),
            (1, no(), MessageState::Waiting, Some(400)),
            (ATTEMPTS - 1, no(), MessageState::GivenUp, None),
        ] {
            let row = after_attempt(waiting(attempts), sent.clone(), 100);
            assert_eq!((row.state, row.next_at, row.attempts), (state, next_at, attempts + 1), "{sent:?}");
            assert_eq!((row.tried_at, row.error.is_none()), (Some(100), sent.is_ok()));
        }
    }
}
