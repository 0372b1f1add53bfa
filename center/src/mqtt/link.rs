//! Polls the connection to the broker: connects again with growing pauses, subscribes, and queues what arrives.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use keros_protocol::topics::Leaf;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet, Publish, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttState};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, watch};

use super::inbox::Arrival;
use crate::bounds::{INBOX, INBOX_BYTES, SEND_MAXIMUM};
use crate::service::Center;

/// Pauses between attempts to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A farewell to the broker takes no longer.
const FAREWELL: Duration = Duration::from_millis(500);

/// One center's connection.
pub(super) struct Link {
    center: Arc<Center>,
    client: AsyncClient,
    arrivals: mpsc::Sender<Arrival>,
    /// Bytes that may still wait.
    room: Arc<Semaphore>,
    /// Raised whenever the connection ends: packet ids mean nothing in the next one.
    session: Arc<AtomicU64>,
    subscribed: bool,
    overflowed: bool,
    dropped: u64,
    pause: Duration,
}

impl Link {
    pub(super) fn new(
        center: Arc<Center>,
        client: AsyncClient,
        arrivals: mpsc::Sender<Arrival>,
        session: Arc<AtomicU64>,
    ) -> Self {
        Self {
            center,
            client,
            arrivals,
            room: Arc::new(Semaphore::new(INBOX_BYTES)),
            session,
            subscribed: true,
            overflowed: false,
            dropped: 0,
            pause: FIRST_PAUSE,
        }
    }

    pub(super) async fn run(mut self, mut event_loop: EventLoop, mut stop: watch::Receiver<bool>) {
        loop {
            if !self.subscribed {
                self.subscribed = self.subscribe();
            }
            let event = tokio::select! {
                event = event_loop.poll() => event,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let ended = match event {
                Ok(event) => self.take(event),
                Err(error) => Some(error.to_string()),
            };
            if let Some(reason) = ended {
                self.let_go(&mut event_loop);
                self.lost(&reason);
                tokio::select! {
                    () = self.wait() => {}
                    _ = stop.wait_for(|stop| *stop) => return,
                }
            }
        }
        self.center.set_connected(false);
        farewell(&self.client, &mut event_loop).await;
    }

    /// Ends the connection, and makes ready for the next one.
    fn let_go(&mut self, event_loop: &mut EventLoop) {
        event_loop.clean();
        // What was read and not yet looked at belongs to this connection.
        while let Some(event) = event_loop.state.events.pop_front() {
            self.take(event);
        }
        // rumqttc goes on counting packet ids where it was, and finds no end when the next broker allows fewer of them.
        event_loop.state = MqttState::new(SEND_MAXIMUM, true);
    }

    /// Takes what happened; a text when the connection has to end.
    fn take(&mut self, event: Event) -> Option<String> {
        match event {
            Event::Incoming(Packet::ConnAck(_)) => {
                tracing::info!("connected to the broker");
                self.pause = FIRST_PAUSE;
                self.subscribed = false;
            }
            Event::Incoming(Packet::SubAck(answer)) => {
                let refused = |code: &&SubscribeReasonCode| !matches!(code, SubscribeReasonCode::Success(_));
                match answer.return_codes.iter().find(refused) {
                    None => self.center.set_connected(true),
                    Some(code) => {
                        tracing::error!(?code, "the broker refused a subscription: look at its access rules");
                    }
                }
            }
            Event::Incoming(Packet::Publish(publish)) => self.queue(publish),
            _ => {}
        }
        self.overflowed.then(|| "more messages came than were agreed on".to_owned())
    }

    /// Never waits: the connection would stand still meanwhile.
    fn queue(&mut self, publish: Publish) {
        let session = self.session.load(Ordering::Acquire);
        // Messages without acknowledgement must not take the room of those with one.
        let has_room = publish.qos != QoS::AtMostOnce || self.arrivals.capacity() > INBOX / 2;
        if !has_room {
            self.dropped += 1;
            if self.dropped.is_power_of_two() {
                tracing::warn!(dropped = self.dropped, "too many messages of QoS 0: some are left out");
            }
            return;
        }
        let bytes = u32::try_from(publish.payload.len()).unwrap_or(u32::MAX);
        // It is not acknowledged, so the broker sends it again in the next connection.
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(bytes) else {
            self.overflowed = true;
            return;
        };
        let arrival = Arrival { session, publish, _room: room };
        if let Err(TrySendError::Full(_)) = self.arrivals.try_send(arrival) {
            self.overflowed = true;
        }
    }

    fn subscribe(&self) -> bool {
        let prefix = self.center.prefix();
        let filters = [Leaf::Presence, Leaf::Telemetry, Leaf::Report]
            .map(|leaf| Filter::new(prefix.all_gateways(leaf), QoS::AtLeastOnce));
        // It fails only while the queue is full, and is then tried again after the next event.
        self.client.try_subscribe_many(filters).is_ok()
    }

    fn lost(&mut self, reason: &str) {
        self.session.fetch_add(1, Ordering::AcqRel);
        self.subscribed = true;
        self.center.set_connected(false);
        tracing::warn!(reason, pause = ?self.pause, "no connection to the broker");
    }

    /// A pause before the next attempt, and until all that came is stored: only then there is room for as much again.
    async fn wait(&mut self) {
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        if std::mem::take(&mut self.overflowed)
            && let Ok(permits) = self.arrivals.reserve_many(INBOX).await
        {
            drop(permits);
        }
    }
}

/// Says goodbye, so that the broker need not find out by itself.
async fn farewell(client: &AsyncClient, event_loop: &mut EventLoop) {
    if client.try_disconnect().is_err() {
        return;
    }
    let until_closed = async {
        loop {
            match event_loop.poll().await {
                Ok(Event::Outgoing(rumqttc::Outgoing::Disconnect)) | Err(_) => break,
                Ok(_) => {}
            }
        }
    };
    let _: Result<(), _> = tokio::time::timeout(FAREWELL, until_closed).await;
}
