//! The center as an MQTT 5 client. It carries messages between the broker and the service, and must decide nothing about them.
//!
//! Three tasks: one polls the connection and never waits for anything else; one hands messages to the service in batches and
//! acknowledges them to the broker once they are committed; one sends nudges. The queues between them are bounded.

mod inbox;
mod link;
mod tls;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Context as _, bail};
use keros_protocol::Eui;
use keros_protocol::limits::MAX_REPORT_BYTES;
use keros_protocol::topics::{CONTENT_TYPE, Leaf};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use rumqttc::v5::{AsyncClient, MqttOptions};
use rumqttc::{NetworkOptions, TlsConfiguration, Transport};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::bounds::{INBOX, RECEIVE_MAXIMUM, REQUESTS, SEND_MAXIMUM};
use crate::service::{Center, Outgoing, unix_now};

pub(crate) use tls::{certificates, client_config};

/// The greatest message of a gateway, and room for topic and properties. The broker is told; it drops what is larger.
const MAX_PACKET_BYTES: usize = MAX_REPORT_BYTES + 16 * 1024;

/// The broker keeps the session of a center that is away for 7 days.
const SESSION_EXPIRY_S: u32 = 7 * 86_400;

const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// How to reach the broker.
pub(crate) struct Connection {
    /// Host name or address.
    pub(crate) host: String,
    /// TCP port.
    pub(crate) port: u16,
    /// `None`: no TLS.
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
    /// User name and password.
    pub(crate) credentials: Option<(String, String)>,
    /// The same after a restart.
    pub(crate) client_id: String,
    /// Other centers share the messages.
    pub(crate) is_shared: bool,
}

impl Connection {
    fn options(self) -> MqttOptions {
        let mut options = MqttOptions::new(self.client_id, self.host, self.port);
        // A broker would go on giving a center that is away its share, and mosquitto gives it to nobody else when the session ends. So the
        // session ends with the connection, all that comes goes to the others, and what was on its way is sent again: reports by their
        // gateways until they are acknowledged, telemetry by those that are asked for it.
        let session_expiry_s = if self.is_shared { 0 } else { SESSION_EXPIRY_S };
        options
            .set_keep_alive(KEEP_ALIVE)
            .set_clean_start(self.is_shared)
            .set_session_expiry_interval(Some(session_expiry_s))
            .set_receive_maximum(Some(RECEIVE_MAXIMUM))
            .set_max_packet_size(u32::try_from(MAX_PACKET_BYTES).ok())
            .set_outgoing_inflight_upper_limit(SEND_MAXIMUM)
            .set_manual_acks(true);
        // Else an answer waits up to 40 ms for the acknowledgement of the packet before it (Nagle's algorithm, RFC 896).
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        if let Some(tls) = self.tls {
            options.set_transport(Transport::Tls(TlsConfiguration::Rustls(tls)));
        }
        if let Some((username, password)) = self.credentials {
            options.set_credentials(username, password);
        }
        options
    }
}

/// Serves until `stop` holds true.
pub(crate) async fn run(
    center: Arc<Center>,
    connection: Connection,
    nudges: mpsc::Receiver<Vec<Eui>>,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let filters = link::filters(center.prefix(), connection.is_shared);
    let (client, event_loop) = AsyncClient::new(connection.options(), REQUESTS);
    let (arrivals, inbox) = mpsc::channel(INBOX);
    let session = Arc::new(AtomicU64::new(0));
    let link = link::Link::new(Arc::clone(&center), client.clone(), filters, arrivals, Arc::clone(&session));
    let mut helpers = JoinSet::new();
    helpers.spawn(inbox::run(Arc::clone(&center), client.clone(), inbox, session));
    helpers.spawn(nudge(center, client, nudges));
    // Dropping the helpers at its end ends them: what they had not committed comes again.
    tokio::select! {
        () = link.run(event_loop, stop) => Ok(()),
        Some(ended) = helpers.join_next() => {
            ended.context("a part of the MQTT client broke")?;
            bail!("a part of the MQTT client ended by itself")
        }
    }
}

async fn nudge(center: Arc<Center>, client: AsyncClient, mut nudges: mpsc::Receiver<Vec<Eui>>) {
    while let Some(gateways) = nudges.recv().await {
        for eui in gateways {
            match center.nudge_message(eui, unix_now()).await {
                Ok(message) => publish(&center, &client, message).await,
                Err(error) => tracing::error!(%eui, %error, "cannot nudge a gateway"),
            }
        }
    }
}

/// Hands a message to the connection; waits while the queue is full.
async fn publish(center: &Center, client: &AsyncClient, message: Outgoing) {
    let properties = PublishProperties {
        content_type: Some(CONTENT_TYPE.to_owned()),
        correlation_data: message.correlation.map(Into::into),
        message_expiry_interval: Some(message.kind.expiry_s()),
        // 1: the payload is UTF-8.
        payload_format_indicator: Some(1),
        ..PublishProperties::default()
    };
    let topic = center.prefix().topic(message.eui, Leaf::Down);
    let published =
        client.publish_with_properties(topic, QoS::AtLeastOnce, false, message.payload, properties).await;
    if published.is_err() {
        // Only after the end of the connection's task. All of it is made anew for the next telemetry.
        tracing::debug!(eui = %message.eui, "a message was not sent: the center stops");
    }
}
