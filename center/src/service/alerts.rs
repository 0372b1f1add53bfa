//! Webhooks are told of gateways that nothing comes from any more, and that are back: of those in a group whose alerting is on, once for each
//! change. That it was told is kept together with the message, so several centers tell it once.

use std::collections::BTreeMap;

use keros_protocol::{Eui, UnixSeconds};
use serde_json::{Value, json};
use sqlx::AnyConnection;

use super::center::Center;
use super::groups::members_of;
use super::order::OrderError;
use super::webhooks::enqueue;
use crate::access::CustomerId;
use crate::bounds::{ALERTED_AT_ONCE, ALERTED_IN_ONE};
use crate::gateway::status::{ConnectionStatus, Moments};
use crate::store::fleet::{self, Filter};
use crate::store::{GatewayRow, StoreError, alerts, groups};
use crate::webhooks::EventKind;

impl Center {
    /// Looks for gateways that have fallen silent, and for those that are back.
    pub(crate) async fn alert(&self, now: UnixSeconds) -> Result<(), OrderError> {
        // Nearly always there is nothing to tell: nobody waits for the look.
        let mut connection = self.store.read().await?;
        if silent(&mut connection, now).await?.is_empty() && back(&mut connection, now).await?.is_empty() {
            return Ok(());
        }
        drop(connection);
        let mut transaction = self.store.begin().await?;
        alerts::forget_retired(&mut transaction).await?;
        let silent = silent(&mut transaction, now).await?;
        tell(&mut transaction, EventKind::GatewayUnreachable, silent, Some(now), now).await?;
        let back = back(&mut transaction, now).await?;
        tell(&mut transaction, EventKind::GatewayBack, back, None, now).await?;
        Ok(transaction.commit().await.map_err(StoreError::from)?)
    }
}

/// Those of groups with alerting that have fallen silent; each once, however many groups it is in.
async fn silent(connection: &mut AnyConnection, now: UnixSeconds) -> Result<Vec<GatewayRow>, OrderError> {
    let mut found = BTreeMap::new();
    for group in groups::alerting(connection).await? {
        let filter =
            Filter { statuses: vec![ConnectionStatus::Unreachable], ..Filter::members(members_of(&group)?) };
        let room = ALERTED_AT_ONCE.saturating_sub(found.len());
        for row in fleet::not_alerted(connection, &filter, now, room).await? {
            found.insert(row.eui, row);
        }
    }
    Ok(found.into_values().collect())
}

async fn back(connection: &mut AnyConnection, now: UnixSeconds) -> Result<Vec<GatewayRow>, StoreError> {
    alerts::back(connection, Moments::at(now).silent_before, ALERTED_AT_ONCE).await
}

/// Tells the webhooks of each gateway's customer, of many gateways in one message, and keeps that they are told.
async fn tell(
    connection: &mut AnyConnection,
    kind: EventKind,
    gateways: Vec<GatewayRow>,
    alerted_at: Option<UnixSeconds>,
    now: UnixSeconds,
) -> Result<(), StoreError> {
    let euis: Vec<Eui> = gateways.iter().map(|row| row.eui).collect();
    alerts::keep(connection, &euis, alerted_at).await?;
    let mut by_customer: BTreeMap<CustomerId, Vec<Value>> = BTreeMap::new();
    for row in &gateways {
        tracing::info!(eui = %row.eui, event = kind.as_str(), "people are told of a gateway");
        by_customer.entry(row.customer_id).or_default().push(shown(row));
    }
    for (customer, gateways) in by_customer {
        for gateways in gateways.chunks(ALERTED_IN_ONE) {
            enqueue(connection, customer, kind, &json!({ "gateways": gateways }), now).await?;
        }
    }
    Ok(())
}

fn shown(row: &GatewayRow) -> Value {
    json!({
        "eui": row.eui,
        "name": row.shown_name(),
        "online": row.online,
        "last_telemetry_unix_s": row.last_telemetry_at,
    })
}
