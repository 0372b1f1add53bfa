//! What MQTT 5 promises and agent and center rely on.

use std::time::Duration;

use keros_protocol::topics::Leaf;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, PubAckReason, PublishProperties, SubscribeReasonCode};

use super::client::TestClient;
use super::*;

#[tokio::test]
async fn all_properties_of_a_message_arrive() {
    let broker = TestBroker::start().await;
    let mut center = broker.center().await;
    assert!(matches!(center.subscribe("keros/v1/+/telemetry").await, SubscribeReasonCode::Success(_)));
    let mut gateway = broker.gateway(OWN).await;
    let sent = PublishProperties {
        response_topic: Some(topic(OWN, Leaf::Down)),
        correlation_data: Some(vec![0, 1, 2, 255].into()),
        content_type: Some("application/json".to_owned()),
        message_expiry_interval: Some(3600),
        payload_format_indicator: Some(1),
        user_properties: vec![("a".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())],
        ..PublishProperties::default()
    };
    let answer = gateway.publish_with(&topic(OWN, Leaf::Telemetry), "{}", sent.clone()).await;
    assert_eq!(answer, PubAckReason::Success);

    let message = center.message().await;
    assert_eq!(
        (&message.topic[..], &message.payload[..]),
        (topic(OWN, Leaf::Telemetry).as_bytes(), &b"{}"[..])
    );
    let got = message.properties.unwrap();
    assert_eq!(got.response_topic, sent.response_topic);
    assert_eq!(got.correlation_data, sent.correlation_data);
    assert_eq!(got.content_type, sent.content_type);
    assert_eq!(got.payload_format_indicator, sent.payload_format_indicator);
    assert!(got.message_expiry_interval.is_some_and(|left_s| (3590..=3600).contains(&left_s)), "{got:?}");
    let ours: Vec<_> = got.user_properties.into_iter().filter(|(name, _)| name == "a").collect();
    assert_eq!(ours, sent.user_properties);
}

#[tokio::test]
async fn a_cut_gateway_is_offline_for_those_who_listen_and_for_those_who_come_later() {
    let broker = TestBroker::start().await;
    let mut center = broker.center().await;
    center.subscribe("keros/v1/+/presence").await;
    let presence = topic(OWN, Leaf::Presence);
    let mut options = broker.gateway_options(OWN);
    options.set_last_will(LastWill::new(&presence, "offline", QoS::AtLeastOnce, true, None));
    let gateway = TestClient::connect(options).await.unwrap();
    gateway.client.publish(&presence, QoS::AtLeastOnce, true, "online").await.unwrap();
    assert_eq!(&center.message().await.payload[..], b"online");
    gateway.cut().await;
    assert_eq!(&center.message().await.payload[..], b"offline");

    drop(center);
    let mut later = broker.center().await;
    later.subscribe("keros/v1/+/presence").await;
    let retained = later.message().await;
    assert!(retained.retain);
    assert_eq!(&retained.payload[..], b"offline");
}

#[tokio::test]
async fn what_was_not_acknowledged_comes_again_after_a_cut() {
    let broker = TestBroker::start().await;
    let mut center = broker.center().await;
    let mut options = broker.gateway_options(OWN);
    options.set_manual_acks(true).set_clean_start(false).set_session_expiry_interval(Some(3600));
    let mut gateway = TestClient::connect(options.clone()).await.unwrap();
    gateway.subscribe(&topic(OWN, Leaf::Down)).await;
    center.publish(&topic(OWN, Leaf::Down), "first").await;
    assert_eq!(&gateway.message().await.payload[..], b"first");
    gateway.cut().await;
    center.publish(&topic(OWN, Leaf::Down), "while away").await;

    let mut gateway = TestClient::connect(options).await.unwrap();
    assert!(gateway.connack.session_present);
    let mut again = [gateway.message().await, gateway.message().await];
    again.sort_by_key(|message| message.payload.clone());
    assert_eq!(&again[0].payload[..], b"first");
    assert!(again[0].dup);
    assert_eq!(&again[1].payload[..], b"while away");
}

#[tokio::test]
async fn a_message_is_not_delivered_after_its_expiry() {
    let broker = TestBroker::start().await;
    let mut center = broker.center().await;
    let mut options = broker.gateway_options(OWN);
    options.set_clean_start(false).set_session_expiry_interval(Some(3600));
    let mut gateway = TestClient::connect(options.clone()).await.unwrap();
    gateway.subscribe(&topic(OWN, Leaf::Down)).await;
    gateway.cut().await;

    let short = PublishProperties { message_expiry_interval: Some(1), ..PublishProperties::default() };
    center.publish_with(&topic(OWN, Leaf::Down), "short-lived", short).await;
    // The passing of this second is the matter of this test.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    center.publish(&topic(OWN, Leaf::Down), "lasting").await;
    let mut gateway = TestClient::connect(options).await.unwrap();
    assert_eq!(&gateway.message().await.payload[..], b"lasting");
}

#[tokio::test]
async fn centers_share_what_comes_in() {
    let broker = TestBroker::start().await;
    let mut center = broker.center().await;
    let answer = center.subscribe("$share/centers/keros/v1/+/report").await;
    assert!(matches!(answer, SubscribeReasonCode::Success(_)), "{answer:?}");
    broker.gateway(OWN).await.publish(&topic(OWN, Leaf::Report), "{}").await;
    assert_eq!(center.message().await.topic, topic(OWN, Leaf::Report));
}

#[tokio::test]
async fn stopping_ends_all_connections() {
    let broker = TestBroker::start().await;
    let mut gateway = broker.gateway(OWN).await;
    let address = broker.running.addresses[0];
    broker.running.stop().await;
    gateway.ended().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
