//! Sends what is due, a few at a time, and one of each webhook: a receiver that is slow holds up only itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinSet};

use super::Courier;
use crate::service::{Center, unix_now};
use crate::store::WebhookId;

/// Messages under way at the same time, a thread each.
const AT_ONCE: usize = 8;

/// How often it is looked whether something is due.
const PERIOD: Duration = Duration::from_secs(1);

/// Sends until `stop` holds true. What is under way then is sent again after the next start.
pub(crate) async fn run(
    center: Arc<Center>,
    courier: Courier,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut under_way: JoinSet<()> = JoinSet::new();
    let mut busy: BTreeMap<Id, WebhookId> = BTreeMap::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            Some(ended) = under_way.join_next_with_id() => {
                let id = ended.as_ref().map_or_else(tokio::task::JoinError::id, |(id, ())| *id);
                busy.remove(&id);
            }
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        }
        let room = AT_ONCE.saturating_sub(busy.len());
        let taken: Vec<WebhookId> = busy.values().copied().collect();
        match center.claim_messages(&taken, room, unix_now()).await {
            Ok(claimed) => {
                for message in claimed {
                    let (center, courier, webhook) =
                        (Arc::clone(&center), courier.clone(), message.webhook_id);
                    let task = under_way.spawn(async move { center.send_message(&courier, message).await });
                    busy.insert(task.id(), webhook);
                }
            }
            Err(error) => {
                let error = anyhow::Error::from(error);
                tracing::error!(
                    error = format!("{error:#}"),
                    "cannot read the messages of webhooks: tried again"
                );
            }
        }
    }
}
