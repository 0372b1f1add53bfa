//! The connection to the broker: kept up, with a last will, and taken up again after a while when it is lost. It must not
//! know what the messages mean.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use keros_protocol::topics::{CONTENT_TYPE, Leaf};
use keros_protocol::{Eui, Presence, limits};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnectProperties, ConnectReturnCode, Filter, LastWill, Packet, Publish, PublishProperties,
    RetainForwardRule, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, StateError};
use rumqttc::{Outgoing, Transport};
use tokio::sync::{Notify, mpsc};
use tokio::time;

use crate::clock::SharedTime;
use crate::config::BrokerSettings;
use crate::tls::{self, TlsError};

/// Name resolution, TCP, TLS and CONNACK together; a slow cellular link needs several round trips of a second.
const CONNECT_LIMIT: Duration = Duration::from_secs(40);
/// From CONNACK to SUBACK.
const SUBSCRIBE_LIMIT: Duration = Duration::from_secs(30);
/// How much later than the keep-alive something must have happened.
const KEEP_ALIVE_GRACE: Duration = Duration::from_secs(60);
/// Wait before the next attempt, at first.
const MIN_BACKOFF: Duration = Duration::from_secs(1);
/// A connection that lasted this long was a good one.
const STABLE_AFTER: Duration = Duration::from_secs(60);
/// Unacknowledged messages in either direction; rumqttc's default would allocate 65,535 slots.
const INFLIGHT_OUT: u16 = 16;
const INFLIGHT_IN: u16 = 4;
/// Packets that wait for the socket: 8 reports, their repetition, telemetry, acknowledgements.
const QUEUE: usize = 32;
/// Topic, properties and header of a publish, beyond the payload.
const PACKET_OVERHEAD_BYTES: usize = 64 * 1024;
/// No password is longer.
const MAX_PASSWORD_BYTES: u64 = 4096;

/// What happens on the connection.
pub(crate) enum LinkEvent {
    /// An attempt begins.
    Connecting,
    /// Connected and subscribed.
    Up(Publisher),
    /// A message; it must be acknowledged with the publisher.
    Message(Box<Publish>, Publisher),
    /// No connection; the next attempt follows after a while.
    Down {
        /// Why, and what to do.
        error: String,
    },
}

/// How to reach the broker, and as whom.
pub(crate) struct Link {
    pub(crate) settings: BrokerSettings,
    pub(crate) eui: Eui,
    pub(crate) time: SharedTime,
    pub(crate) control: Arc<LinkControl>,
}

/// By which the main loop ends a connection.
#[derive(Default)]
pub(crate) struct LinkControl {
    closing: AtomicBool,
    reset: Notify,
}

impl LinkControl {
    /// Begins a new connection: this one does not take messages any more.
    pub(crate) fn reset(&self) {
        self.reset.notify_one();
    }

    /// No new connection when this one ends.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("the password file {0} cannot be read, or is longer than {MAX_PASSWORD_BYTES} bytes")]
    Password(String),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("{0}")]
    Connection(String),
    #[error("no sign of life from the broker")]
    Silent,
    #[error("the broker answers, but has not acknowledged a message for {} s", .0.as_secs())]
    Unacknowledged(Duration),
    #[error(
        "the broker does not allow to subscribe to {0}; its access rules must let a gateway read its own topics"
    )]
    Subscribe(String),
    #[error("begun anew: a job is to be confirmed, or the broker took no more messages")]
    Reset,
}

/// Publishes on the connection that it belongs to. Nothing here waits.
#[derive(Clone)]
pub(crate) struct Publisher {
    client: AsyncClient,
    topics: Arc<Topics>,
}

struct Topics {
    telemetry: String,
    report: String,
    presence: String,
    down: String,
}

/// The queue of the connection is full: it should be begun anew.
#[derive(Debug)]
pub(crate) struct Full;

impl Publisher {
    /// Publishes a report.
    pub(crate) fn report(&self, payload: Vec<u8>) -> Result<(), Full> {
        let properties =
            PublishProperties { content_type: Some(CONTENT_TYPE.to_owned()), ..Default::default() };
        self.publish(&self.topics.report, payload, properties)
    }

    /// Publishes telemetry; nobody needs it when the next one is due.
    pub(crate) fn telemetry(&self, payload: Vec<u8>, id: uuid::Uuid, interval: Duration) -> Result<(), Full> {
        let properties = PublishProperties {
            content_type: Some(CONTENT_TYPE.to_owned()),
            response_topic: Some(self.topics.down.clone()),
            correlation_data: Some(id.to_string().into()),
            message_expiry_interval: Some(u32::try_from(interval.as_secs()).unwrap_or(u32::MAX).max(1)),
            ..Default::default()
        };
        self.publish(&self.topics.telemetry, payload, properties)
    }

    /// Tells the broker that a message has arrived for good.
    pub(crate) fn acknowledge(&self, publish: &Publish) -> Result<(), Full> {
        self.client.try_ack(publish).map_err(|_| Full)
    }

    /// Says farewell; the connection ends then.
    pub(crate) fn farewell(&self) -> Result<(), Full> {
        self.presence(Presence::Offline)?;
        self.client.try_disconnect().map_err(|_| Full)
    }

    fn presence(&self, presence: Presence) -> Result<(), Full> {
        let payload = presence.as_str();
        self.client.try_publish(&self.topics.presence, QoS::AtLeastOnce, true, payload).map_err(|_| Full)
    }

    fn publish(&self, topic: &str, payload: Vec<u8>, properties: PublishProperties) -> Result<(), Full> {
        let sent =
            self.client.try_publish_with_properties(topic, QoS::AtLeastOnce, false, payload, properties);
        sent.map_err(|_| Full)
    }
}

/// Keeps the connection up until [`LinkControl::close`].
pub(crate) async fn run(link: Link, events: mpsc::Sender<LinkEvent>) {
    let mut backoff = MIN_BACKOFF;
    for attempt in 0.. {
        if events.send(LinkEvent::Connecting).await.is_err() {
            return;
        }
        let begin = Instant::now();
        let error = match serve(&link, attempt, &events).await {
            Ok(()) => return,
            Err(error) => error,
        };
        if link.control.closing.load(Ordering::Relaxed) {
            return;
        }
        if events.send(LinkEvent::Down { error: chain(&error) }).await.is_err() {
            return;
        }
        if begin.elapsed() >= STABLE_AFTER {
            backoff = MIN_BACKOFF;
        }
        time::sleep(with_jitter(backoff)).await;
        backoff = (backoff * 2).min(link.settings.reconnect_max);
    }
}

/// Half to all of it: gateways that lose their broker at the same moment must not come back at the same moment.
fn with_jitter(backoff: Duration) -> Duration {
    // The low 32 bits of a UUID of version 7 are random.
    let random = uuid::Uuid::now_v7().as_u128() as u32;
    backoff.mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX))
}

/// One connection, from the attempt to its end. `Ok` when the main loop has gone, or has said farewell.
async fn serve(link: &Link, attempt: u64, events: &mpsc::Sender<LinkEvent>) -> Result<(), LinkError> {
    let prefix = &link.settings.topic_prefix;
    let topics = Arc::new(Topics {
        telemetry: prefix.topic(link.eui, Leaf::Telemetry),
        report: prefix.topic(link.eui, Leaf::Report),
        presence: prefix.topic(link.eui, Leaf::Presence),
        down: prefix.topic(link.eui, Leaf::Down),
    });
    let options = options(link, attempt, &topics)?;
    // A new event loop for each connection: rumqttc's own reconnecting would send old packets again, out of order.
    let (client, mut connection) = AsyncClient::new(options, QUEUE);
    let publisher = Publisher { client, topics };
    let mut limit = CONNECT_LIMIT;
    let mut owed = Acknowledgements::new(connection.options.keep_alive());
    loop {
        let event = next(link, &mut connection, owed.cap(limit)).await;
        // A broker that answers pings, and nothing else, is alive by every other measure.
        owed.judge()?;
        let event = event?;
        owed.note(&event);
        match event {
            Event::Incoming(Packet::ConnAck(_)) => {
                greet(&publisher)?;
                limit = SUBSCRIBE_LIMIT;
            }
            Event::Incoming(Packet::SubAck(answer)) => {
                if !answer.return_codes.iter().all(|code| matches!(code, SubscribeReasonCode::Success(_))) {
                    return Err(LinkError::Subscribe(publisher.topics.down.clone()));
                }
                limit = connection.options.keep_alive() + KEEP_ALIVE_GRACE;
                if events.send(LinkEvent::Up(publisher.clone())).await.is_err() {
                    return Ok(());
                }
            }
            Event::Incoming(Packet::Publish(message)) => {
                if events.send(LinkEvent::Message(Box::new(message), publisher.clone())).await.is_err() {
                    return Ok(());
                }
            }
            // The farewell is on its way.
            Event::Outgoing(Outgoing::Disconnect) => return Ok(()),
            Event::Incoming(_) | Event::Outgoing(_) => {}
        }
    }
}

/// Messages that the broker has to acknowledge. One that acknowledges none while a dead link would be noticed, two pings, is
/// left: the messages are kept, and go to the next one. Any acknowledgement gives it this time anew, since a long message
/// takes its time on a slow link.
struct Acknowledgements {
    limit: Duration,
    owed: usize,
    since: Instant,
}

impl Acknowledgements {
    fn new(keep_alive: Duration) -> Self {
        Self { limit: keep_alive * 2, owed: 0, since: Instant::now() }
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Outgoing(Outgoing::Publish(_)) => {
                if self.owed == 0 {
                    self.since = Instant::now();
                }
                self.owed += 1;
            }
            Event::Incoming(Packet::PubAck(_)) => {
                self.owed = self.owed.saturating_sub(1);
                self.since = Instant::now();
            }
            Event::Incoming(_) | Event::Outgoing(_) => {}
        }
    }

    /// How long to wait for the next event, when it is that long at most.
    fn cap(&self, limit: Duration) -> Duration {
        if self.owed == 0 { limit } else { limit.min(self.limit.saturating_sub(self.since.elapsed())) }
    }

    fn judge(&self) -> Result<(), LinkError> {
        if self.owed > 0 && self.since.elapsed() >= self.limit {
            return Err(LinkError::Unacknowledged(self.limit));
        }
        Ok(())
    }
}

async fn next(link: &Link, connection: &mut EventLoop, limit: Duration) -> Result<Event, LinkError> {
    tokio::select! {
        polled = time::timeout(limit, connection.poll()) => match polled {
            Ok(Ok(event)) => Ok(event),
            Ok(Err(error)) => Err(LinkError::Connection(explain(&error, &link.settings))),
            Err(_) => Err(LinkError::Silent),
        },
        () = link.control.reset.notified() => Err(LinkError::Reset),
    }
}

fn greet(publisher: &Publisher) -> Result<(), LinkError> {
    // Nothing is retained there; a broker that has to look for it among all that it retains takes long when a whole fleet comes back.
    let mut filter = Filter::new(publisher.topics.down.clone(), QoS::AtLeastOnce);
    filter.retain_forward_rule = RetainForwardRule::Never;
    let subscribed = publisher.client.try_subscribe_many([filter]);
    subscribed.map_err(|_| LinkError::Reset)?;
    publisher.presence(Presence::Online).map_err(|Full| LinkError::Reset)
}

fn options(link: &Link, attempt: u64, topics: &Topics) -> Result<MqttOptions, LinkError> {
    let settings = &link.settings;
    let mut options = MqttOptions::new(link.eui.to_string(), settings.host.clone(), settings.port);
    // rumqttc refuses less than 5 s with a panic, and cuts seconds to 16 bits.
    options.set_keep_alive(settings.keep_alive.clamp(Duration::from_secs(5), Duration::from_secs(65_535)));
    options.set_connection_timeout(CONNECT_LIMIT.as_secs().saturating_sub(10));
    options.set_clean_start(true);
    options.set_manual_acks(true);
    options.set_outgoing_inflight_upper_limit(INFLIGHT_OUT);
    options.set_request_channel_capacity(QUEUE);
    let mut properties = ConnectProperties::new();
    properties.session_expiry_interval = Some(0);
    properties.receive_maximum = Some(INFLIGHT_IN);
    properties.max_packet_size = u32::try_from(limits::MAX_DOWNLINK_BYTES + PACKET_OVERHEAD_BYTES).ok();
    options.set_connect_properties(properties);
    let farewell = Presence::Offline.as_str();
    options.set_last_will(LastWill::new(&topics.presence, farewell, QoS::AtLeastOnce, true, None));
    if let Some((user, password)) = credentials(settings, link.eui)? {
        options.set_credentials(user, password);
    }
    if let Some(tls) = &settings.tls {
        let config = tls::client_config(tls, &link.time, attempt)?;
        options.set_transport(Transport::tls_with_config(config.into()));
    }
    Ok(options)
}

/// The log-in, if one is set. Read at each attempt, so that a new password needs no restart.
///
/// # Errors
/// When the password file cannot be read.
pub(crate) fn credentials(
    settings: &BrokerSettings,
    eui: Eui,
) -> Result<Option<(String, String)>, LinkError> {
    let password = match &settings.password_file {
        None => None,
        Some(path) => {
            let text = keros_platform::read_small(path, MAX_PASSWORD_BYTES)
                .ok_or_else(|| LinkError::Password(path.display().to_string()))?;
            Some(text.lines().next().unwrap_or_default().to_owned())
        }
    };
    Ok(match (&settings.username, password) {
        (None, None) => None,
        (user, password) => {
            Some((user.clone().unwrap_or_else(|| eui.to_string()), password.unwrap_or_default()))
        }
    })
}

/// The error with its causes, and what to do where that is known.
fn explain(error: &ConnectionError, settings: &BrokerSettings) -> String {
    let broker = format!("{}:{}", settings.host, settings.port);
    match error {
        ConnectionError::ConnectionRefused(ConnectReturnCode::BadUserNamePassword) => {
            format!("{broker} refused the log-in: check `broker.username` and the password file")
        }
        ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized) => {
            format!("{broker} does not let this gateway in: check its account or certificate at the broker")
        }
        ConnectionError::ConnectionRefused(code) => format!("{broker} refused the connection: {code:?}"),
        ConnectionError::Timeout(_) => {
            format!("no answer from {broker}: check the address, the port and firewalls")
        }
        ConnectionError::MqttState(StateError::ConnectionAborted) => {
            format!("{broker} closed the connection")
        }
        ConnectionError::Tls(error) => explain_tls(&chain(error), &broker),
        // With TLS 1.3 the broker's verdict on our certificate comes after the handshake.
        ConnectionError::MqttState(error) if error.to_string().contains("fatal alert") => {
            explain_tls(&chain(error), &broker)
        }
        ConnectionError::Io(error) if error.to_string().contains("lookup") => {
            format!("cannot find {broker}: {error}; check `broker.host` and the gateway's name servers")
        }
        ConnectionError::Io(error) => format!("cannot reach {broker}: {error}"),
        other => format!("{broker}: {other}"),
    }
}

fn explain_tls(text: &str, broker: &str) -> String {
    let advice = if text.contains("UnknownIssuer") {
        "; its certificate is not signed by an authority in `broker.tls.ca_file`"
    } else if text.contains("NotValidForName") {
        "; its certificate is for another name than `broker.host`"
    } else if text.contains("Expired") || text.contains("NotValidYet") {
        "; check the broker's certificate and this gateway's clock"
    } else if text.contains("CertificateRequired") {
        "; the broker wants a client certificate: set `broker.tls.client_cert_file` and `client_key_file`"
    } else if text.contains("UnknownCA")
        || text.contains("BadCertificate")
        || text.contains("CertificateUnknown")
    {
        "; the broker does not believe this gateway's certificate"
    } else {
        ""
    };
    format!("TLS with {broker}: {text}{advice}")
}

/// The whole chain of causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
