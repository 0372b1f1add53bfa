//! The MQTT of a probe: CONNECT, SUBSCRIBE, DISCONNECT, by rumqttc's own packets.

use std::io;

use bytes::BytesMut;
use keros_protocol::topics::Leaf;
use rumqttc::v5::mqttbytes::v5::{
    Connect, Disconnect, DisconnectReasonCode, Filter, Login as Credentials, Packet, SubAck, Subscribe,
    SubscribeReasonCode, check,
};
use rumqttc::v5::mqttbytes::{Error, QoS};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use super::{Login, Step, Target, Trouble, TroubleKind, judge};
use crate::config::BrokerSettings;
use crate::mqtt;

/// A broker says nothing longer to somebody who has just come. A Downlink that was on its way is the exception, and ends the
/// probe of the topic with an error that is none of the gateway's.
const MAX_PACKET_BYTES: u32 = 64 * 1024;
/// The first byte of CONNACK, and of DISCONNECT.
const ANSWERS: [u8; 2] = [0x20, 0xe0];
/// The first byte of a TLS alert: a TLS port was spoken to without TLS.
const TLS_ALERT: u8 = 0x15;
/// Nobody pings during a probe.
const KEEP_ALIVE_S: u16 = 60;

/// What MQTT goes over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// Logged in.
pub(super) struct Session<'a, S> {
    stream: S,
    buffer: BytesMut,
    broker: &'a BrokerSettings,
    topic: String,
}

/// CONNECT. The step that failed may be TLS after all.
pub(super) async fn log_in<'a, S: Stream>(
    target: &Target<'a>,
    stream: S,
    until: Instant,
) -> Result<Session<'a, S>, (Step, Trouble)> {
    let broker = target.broker;
    let topic = broker.topic_prefix.topic(target.eui, Leaf::Down);
    let credentials = mqtt::credentials(broker, target.eui).map_err(|error| {
        let denied = broker.password_file.as_ref().is_some_and(|file| {
            matches!(std::fs::File::open(file), Err(error) if error.kind() == io::ErrorKind::PermissionDenied)
        });
        let kind = if denied { TroubleKind::Unreadable } else { TroubleKind::PasswordFile };
        (Step::LogIn, Trouble::new(kind, mqtt::chain(&error)))
    })?;
    let client_id = match target.login {
        Login::Beside => format!("{}-probe", target.eui),
        Login::No | Login::AsAgent => target.eui.to_string(),
    };
    let connect = Connect { keep_alive: KEEP_ALIVE_S, client_id, clean_start: true, properties: None };
    let credentials = credentials.map(|(user, password)| Credentials::new(user, password));
    let mut session = Session { stream, buffer: BytesMut::new(), broker, topic };
    match session.connect(Packet::Connect(connect, None, credentials), until).await {
        Ok(()) => Ok(session),
        Err(trouble) if judge::is_of_tls(trouble.kind) => Err((Step::Tls, trouble)),
        Err(trouble) => Err((Step::LogIn, trouble)),
    }
}

impl<S: Stream> Session<'_, S> {
    /// The topic on which the center speaks to this gateway.
    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    async fn connect(&mut self, packet: Packet, until: Instant) -> Result<(), Trouble> {
        self.send(&packet, until).await?;
        match self.receive(until).await? {
            Packet::ConnAck(answer) => judge::connack(answer.code).map_or(Ok(()), Err),
            Packet::Disconnect(farewell) => {
                let text = format!("the broker says farewell: {:?}", farewell.reason_code);
                Err(Trouble::new(TroubleKind::LogInRefused, text))
            }
            _ => Err(Trouble::new(TroubleKind::OtherProtocol, "the answer is no CONNACK")),
        }
    }

    /// Asks to hear the own topic; what comes on it is passed over.
    pub(super) async fn subscribe(&mut self, until: Instant) -> Result<(), Trouble> {
        let mut subscribe = Subscribe::new(Filter::new(self.topic.clone(), QoS::AtMostOnce), None);
        subscribe.pkid = 1;
        self.send(&Packet::Subscribe(subscribe), until).await?;
        loop {
            match self.receive(until).await? {
                Packet::SubAck(answer) => return granted(&answer),
                Packet::Publish(_) => {}
                other => {
                    let text = format!("the broker's answer is {other:?}");
                    return Err(Trouble::new(TroubleKind::TopicRefused, text));
                }
            }
        }
    }

    /// Says farewell; nothing depends on it.
    pub(super) async fn leave(&mut self, until: Instant) {
        let farewell = Disconnect::new(DisconnectReasonCode::NormalDisconnection);
        let _ = self.send(&Packet::Disconnect(farewell), until).await;
        let _ = timeout_at(until, self.stream.shutdown()).await;
    }

    async fn send(&mut self, packet: &Packet, until: Instant) -> Result<(), Trouble> {
        let mut bytes = BytesMut::new();
        let written = packet.write(&mut bytes, None);
        written.map_err(|error| Trouble::new(TroubleKind::Machine, error.to_string()))?;
        let write = async {
            self.stream.write_all(&bytes).await?;
            self.stream.flush().await
        };
        let sent = timeout_at(until, write).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        match sent {
            Ok(()) => Ok(()),
            // A broker that hangs up may have said why.
            Err(error) => match self.receive(until).await {
                Err(trouble) if trouble.kind != TroubleKind::Closed => Err(trouble),
                _ => Err(judge::session(&error, self.broker.tls.as_ref())),
            },
        }
    }

    async fn receive(&mut self, until: Instant) -> Result<Packet, Trouble> {
        loop {
            if let Some(first) = self.buffer.first() {
                judge_first(*first)?;
            }
            // An older MQTT's packet is whole, and too short for this one.
            let other = |error: Error| Trouble::new(TroubleKind::OtherProtocol, error.to_string());
            match check(self.buffer.iter(), Some(MAX_PACKET_BYTES)) {
                Ok(_) => return Packet::read(&mut self.buffer, Some(MAX_PACKET_BYTES)).map_err(other),
                Err(Error::InsufficientBytes(_)) => {}
                Err(error) => return Err(other(error)),
            }
            let read = timeout_at(until, self.stream.read_buf(&mut self.buffer)).await;
            let read = read.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            match read {
                Ok(0) => return Err(Trouble::new(TroubleKind::Closed, "the connection was closed")),
                Ok(_) => {}
                Err(error) => return Err(judge::session(&error, self.broker.tls.as_ref())),
            }
        }
    }
}

/// What is no MQTT is told at once: rumqttc would wait for more of it.
fn judge_first(first: u8) -> Result<(), Trouble> {
    match first {
        TLS_ALERT => Err(Trouble::new(TroubleKind::OtherProtocol, "it speaks TLS")),
        _ if ANSWERS.contains(&first) || matches!(first >> 4, 3 | 9) => Ok(()),
        _ => {
            Err(Trouble::new(TroubleKind::OtherProtocol, format!("its answer begins with byte {first:#04x}")))
        }
    }
}

fn granted(answer: &SubAck) -> Result<(), Trouble> {
    match answer.return_codes.first() {
        Some(SubscribeReasonCode::Success(_)) => Ok(()),
        code => Err(Trouble::new(TroubleKind::TopicRefused, format!("the broker's answer is {code:?}"))),
    }
}
