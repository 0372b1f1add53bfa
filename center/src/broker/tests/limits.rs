//! Messages and clients that are too large, too many or too slow.

use keros_protocol::topics::Leaf;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::PubAckReason;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::client::TestClient;
use super::*;

#[tokio::test]
async fn the_greatest_downlink_arrives() {
    let broker = TestBroker::start().await;
    let mut gateway = broker.gateway(OWN).await;
    gateway.subscribe(&topic(OWN, Leaf::Down)).await;
    let payload = vec![b'x'; keros_protocol::limits::MAX_DOWNLINK_BYTES];
    broker.center().await.publish(&topic(OWN, Leaf::Down), payload).await;
    assert_eq!(gateway.message().await.payload.len(), keros_protocol::limits::MAX_DOWNLINK_BYTES);
}

#[tokio::test]
async fn a_gateway_gets_nothing_larger_than_it_said() {
    let broker = TestBroker::start().await;
    let mut center = broker.center().await;
    let mut options = broker.gateway_options(OWN);
    options.set_max_packet_size(Some(1000));
    let mut gateway = TestClient::connect(options).await.unwrap();
    gateway.subscribe(&topic(OWN, Leaf::Down)).await;
    center.publish(&topic(OWN, Leaf::Down), vec![b'x'; 2000]).await;
    center.publish(&topic(OWN, Leaf::Down), "small").await;
    assert_eq!(&gateway.message().await.payload[..], b"small");
}

#[tokio::test]
async fn an_oversized_message_ends_only_its_senders_connection() {
    let broker = TestBroker::start().await;
    let mut other = broker.gateway(OTHER).await;
    let mut raw = tokio::net::TcpStream::connect(broker.running.addresses[0]).await.unwrap();
    raw.write_all(&connect_packet(OWN, &broker.passwords[0])).await.unwrap();
    let mut connack = [0; 4];
    raw.read_exact(&mut connack).await.unwrap();
    assert_eq!((connack[0], connack[3]), (0x20, 0), "CONNACK, success");
    // PUBLISH, remaining length 10 MiB: refused by its head, before its body is there.
    raw.write_all(&[0x30, 0x80, 0x80, 0x80, 0x05]).await.unwrap();
    let mut rest = Vec::new();
    let _ = raw.read_to_end(&mut rest).await;
    assert_eq!(other.publish(&topic(OTHER, Leaf::Telemetry), "{}").await, PubAckReason::Success);
}

#[tokio::test]
async fn only_presence_is_small_enough_to_be_retained() {
    let broker = TestBroker::start().await;
    let gateway = broker.gateway(OWN).await;
    let mut center = broker.center().await;
    let large = vec![b'x'; 1000];
    gateway.client.publish(topic(OWN, Leaf::Telemetry), QoS::AtLeastOnce, true, large).await.unwrap();
    gateway.client.publish(topic(OWN, Leaf::Presence), QoS::AtLeastOnce, true, "online").await.unwrap();
    // Once the presence is there, the telemetry before it was judged too.
    center.subscribe("keros/v1/+/presence").await;
    center.message().await;
    drop(center);
    let mut center = broker.center().await;
    center.subscribe("keros/#").await;
    assert_eq!(center.message().await.topic, topic(OWN, Leaf::Presence));
}

#[tokio::test]
async fn garbage_and_silence_harm_nobody() {
    let broker = TestBroker::start().await;
    let address = broker.running.addresses[0];
    let _silent = tokio::net::TcpStream::connect(address).await.unwrap();
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 64], &[0xff; 64], &[0x10, 0xff, 0xff, 0xff, 0x7f]] {
        let mut raw = tokio::net::TcpStream::connect(address).await.unwrap();
        raw.write_all(garbage).await.unwrap();
        raw.shutdown().await.unwrap();
        let _ = raw.read_to_end(&mut Vec::new()).await;
    }
    let mut gateway = broker.gateway(OWN).await;
    assert_eq!(gateway.publish(&topic(OWN, Leaf::Telemetry), "{}").await, PubAckReason::Success);
}

/// A CONNECT packet of MQTT 5 (section 3.1), byte by byte.
fn connect_packet(eui: keros_protocol::Eui, password: &str) -> Vec<u8> {
    let text = |text: &str| [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat();
    let eui = eui.to_string();
    let body =
        [&text("MQTT")[..], &[5, 0b1100_0010, 0, 60, 0], &text(&eui), &text(&eui), &text(password)].concat();
    [&[0x10, u8::try_from(body.len()).unwrap()][..], &body].concat()
}
