//! Hands what arrived to the service, many messages in one transaction, and acknowledges them to the broker when they are committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::v5::Publish;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::publish;
use crate::bounds::BATCH;
use crate::service::{Center, Handled, Message, unix_now};
use crate::store::StoreError;

/// Pauses between attempts when the database fails.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A message, and the connection that it came by.
pub(super) struct Arrival {
    pub(super) session: u64,
    pub(super) publish: Publish,
    /// Its bytes among those that may wait.
    pub(super) _room: OwnedSemaphorePermit,
}

/// Runs until the queue is closed.
pub(super) async fn run(
    center: Arc<Center>,
    client: AsyncClient,
    mut inbox: mpsc::Receiver<Arrival>,
    session: Arc<AtomicU64>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    let started = Instant::now();
    while inbox.recv_many(&mut batch, BATCH).await > 0 {
        let now_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        // Those that are left out are acknowledged to the broker, and not to the gateway.
        let admitted: Vec<&Arrival> = batch
            .iter()
            .filter(|arrival| message(arrival).is_none_or(|message| center.admits(&message, now_ms)))
            .collect();
        match handle(&center, &admitted).await {
            Ok(handled) => act(&center, &client, handled).await,
            // One message may be the reason: each is given alone, so that it does not hold up the others.
            Err(error) => {
                complain(&error, "messages could not be stored: each is tried alone");
                for arrival in &admitted {
                    let handled = insist(&center, arrival).await;
                    act(&center, &client, handled).await;
                }
            }
        }
        for arrival in batch.drain(..) {
            // A packet id means nothing in another connection; there the message comes again.
            if arrival.session == session.load(Ordering::Acquire)
                && client.ack(&arrival.publish).await.is_err()
            {
                return;
            }
        }
    }
}

async fn handle(center: &Center, arrivals: &[&Arrival]) -> Result<Handled, StoreError> {
    let messages: Vec<Message<'_>> = arrivals.iter().filter_map(|arrival| message(arrival)).collect();
    if messages.len() < arrivals.len() {
        center.count_unusable();
    }
    center.handle(&messages, unix_now()).await
}

fn message(arrival: &Arrival) -> Option<Message<'_>> {
    let publish = &arrival.publish;
    let properties = publish.properties.as_ref();
    Some(Message {
        topic: std::str::from_utf8(&publish.topic).ok()?,
        payload: &publish.payload,
        correlation: properties.and_then(|p| p.correlation_data.as_deref()),
        response_topic: properties.and_then(|p| p.response_topic.as_deref()),
    })
}

/// Tries one message until it is stored, or until it is clear that it never can be.
async fn insist(center: &Center, arrival: &Arrival) -> Handled {
    let mut pause = FIRST_PAUSE;
    loop {
        match handle(center, &[arrival]).await {
            Ok(handled) => return handled,
            Err(error) if error.is_about_data() => {
                let topic = String::from_utf8_lossy(&arrival.publish.topic);
                complain(&error, &format!("a message on {topic} is left out: it can't be stored"));
                center.count_unusable();
                return Handled::default();
            }
            Err(error) => complain(&error, "a message could not be stored: tried again"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// What was committed is told and sent.
async fn act(center: &Center, client: &AsyncClient, handled: Handled) {
    center.tell(&handled.changes);
    for message in handled.outgoing {
        publish(center, client, message).await;
    }
}

fn complain(error: &StoreError, what: &str) {
    use std::error::Error as _;
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    tracing::error!(error = text, "{what}");
}
