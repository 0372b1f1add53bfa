//! A small client for tests: everything that arrives is kept until a test asks for it.

use std::net::SocketAddr;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, Packet, PubAckReason, Publish, PublishProperties, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Nothing here takes longer, unless it never comes.
const LIMIT: Duration = Duration::from_secs(10);

pub(super) struct TestClient {
    pub(super) client: AsyncClient,
    pub(super) connack: ConnAck,
    events: mpsc::UnboundedReceiver<Result<Packet, String>>,
    task: JoinHandle<()>,
}

pub(super) fn options(address: SocketAddr, client_id: &str) -> MqttOptions {
    let mut options = MqttOptions::new(client_id, address.ip().to_string(), address.port());
    options.set_outgoing_inflight_upper_limit(16);
    options.set_max_packet_size(Some(4 * 1024 * 1024));
    options.set_keep_alive(Duration::from_secs(30));
    options
}

pub(super) fn with_password(mut options: MqttOptions, username: &str, password: &str) -> MqttOptions {
    options.set_credentials(username, password);
    options
}

impl TestClient {
    /// Connects once.
    pub(super) async fn connect(options: MqttOptions) -> Result<Self, ConnectionError> {
        let (client, mut event_loop) = AsyncClient::new(options, 64);
        let connack =
            tokio::time::timeout(LIMIT, connack(&mut event_loop)).await.expect("an answer to CONNECT")?;
        let (sender, events) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            loop {
                match event_loop.poll().await {
                    Ok(Event::Incoming(packet)) => drop(sender.send(Ok(packet))),
                    Ok(Event::Outgoing(_)) => {}
                    Err(error) => return drop(sender.send(Err(error.to_string()))),
                }
            }
        });
        Ok(Self { client, connack, events, task })
    }

    /// The next packet for which `wanted` has an answer; others are dropped. `what` is said when it never comes.
    pub(super) async fn wait_for<T>(&mut self, what: &str, wanted: impl Fn(&Packet) -> Option<T>) -> T {
        let search = async {
            loop {
                match self.events.recv().await {
                    Some(Ok(packet)) => {
                        if let Some(found) = wanted(&packet) {
                            return found;
                        }
                    }
                    other => panic!("waiting for {what}: the connection ended: {other:?}"),
                }
            }
        };
        tokio::time::timeout(LIMIT, search).await.unwrap_or_else(|_| panic!("no {what} within {LIMIT:?}"))
    }

    pub(super) async fn message(&mut self) -> Publish {
        self.wait_for("message", |packet| match packet {
            Packet::Publish(publish) => Some(publish.clone()),
            _ => None,
        })
        .await
    }

    /// Subscribes and returns the broker's answer.
    pub(super) async fn subscribe(&mut self, filter: &str) -> SubscribeReasonCode {
        self.client.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
        self.wait_for("SUBACK", |packet| match packet {
            Packet::SubAck(suback) => Some(suback.return_codes[0]),
            _ => None,
        })
        .await
    }

    /// Publishes with QoS 1 and returns the broker's answer.
    pub(super) async fn publish(&mut self, topic: &str, payload: impl Into<Vec<u8>>) -> PubAckReason {
        self.publish_with(topic, payload, PublishProperties::default()).await
    }

    pub(super) async fn publish_with(
        &mut self,
        topic: &str,
        payload: impl Into<Vec<u8>>,
        properties: PublishProperties,
    ) -> PubAckReason {
        let payload = payload.into();
        self.client
            .publish_with_properties(topic, QoS::AtLeastOnce, false, payload, properties)
            .await
            .unwrap();
        self.wait_for("PUBACK", |packet| match packet {
            Packet::PubAck(puback) => Some(puback.reason),
            _ => None,
        })
        .await
    }

    /// Waits until the broker has ended the connection, and says how.
    pub(super) async fn ended(&mut self) -> String {
        let search = async {
            loop {
                if let Err(error) = self.events.recv().await.expect("an error at the end") {
                    return error;
                }
            }
        };
        tokio::time::timeout(LIMIT, search).await.expect("the connection to end")
    }

    /// Cuts the connection without a word, as a power cut does.
    pub(super) async fn cut(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for TestClient {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connack(event_loop: &mut EventLoop) -> Result<ConnAck, ConnectionError> {
    loop {
        if let Event::Incoming(Packet::ConnAck(connack)) = event_loop.poll().await? {
            return Ok(connack);
        }
    }
}
