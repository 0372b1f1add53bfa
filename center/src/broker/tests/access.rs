//! A gateway that is in somebody else's hands can do no harm to the others.

use keros_protocol::topics::Leaf;
use rumqttc::v5::ConnectionError;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, LastWill, PubAckReason, SubscribeReasonCode};

use super::client::{TestClient, options, with_password};
use super::*;

#[tokio::test]
async fn a_gateway_cannot_read_what_is_not_its_own() {
    let broker = TestBroker::start().await;
    let mut center = broker.center().await;
    let mut gateway = broker.gateway(OWN).await;
    for filter in [
        "#",
        "+/#",
        "keros/#",
        "keros/v1/+/down",
        "keros/v1/7076FF0056070123/+",
        "keros/v1/7076FF0056070123/#",
        "keros/v1/7076FF0056070124/down",
        "keros/v1/7076FF0056070124/presence",
        "$share/x/keros/v1/7076FF0056070124/down",
        "$share/x/keros/v1/7076FF0056070123/down",
        "$SYS/#",
    ] {
        assert_eq!(gateway.subscribe(filter).await, SubscribeReasonCode::NotAuthorized, "{filter}");
    }
    let own = gateway.subscribe(&topic(OWN, Leaf::Down)).await;
    assert!(matches!(own, SubscribeReasonCode::Success(_)), "{own:?}");
    center.publish(&topic(OTHER, Leaf::Down), "not for it").await;
    center.publish(&topic(OWN, Leaf::Down), "for it").await;
    assert_eq!(&gateway.message().await.payload[..], b"for it");
}

#[tokio::test]
async fn a_gateway_cannot_write_what_is_not_its_own() {
    let broker = TestBroker::start().await;
    let mut center = broker.center().await;
    center.subscribe("keros/#").await;
    let mut gateway = broker.gateway(OWN).await;
    for topic in [
        "keros/v1/7076FF0056070124/telemetry",
        "keros/v1/7076FF0056070124/down",
        "keros/v1/7076FF0056070123/down",
        "keros/v1/7076FF0056070123/other",
        "keros/v1/7076FF0056070123/telemetry/x",
        "keros",
        "$SYS/x",
        "x",
    ] {
        assert_eq!(gateway.publish(topic, "forged").await, PubAckReason::NotAuthorized, "{topic}");
    }
    for leaf in [Leaf::Telemetry, Leaf::Report, Leaf::Presence] {
        let own = topic(OWN, leaf);
        assert!(matches!(
            gateway.publish(&own, "true").await,
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers
        ));
        let message = center.message().await;
        assert_eq!((&message.topic[..], &message.payload[..]), (own.as_bytes(), &b"true"[..]));
    }
}

#[tokio::test]
async fn only_who_knows_the_password_comes_in() {
    let broker = TestBroker::start().await;
    let own = OWN.to_string();
    let anonymous = options(broker.running.addresses[0], &own);
    let as_center =
        |options| with_password(options, &broker.running.center_username, &broker.running.center_password);
    for (what, options) in [
        ("nobody", anonymous.clone()),
        ("wrong password", with_password(anonymous.clone(), &own, "wrong")),
        ("another's password", with_password(anonymous.clone(), &own, &broker.passwords[1])),
        ("lower case", with_password(anonymous.clone(), &own.to_lowercase(), &broker.passwords[0])),
        ("the center by the gateways' door", as_center(anonymous.clone())),
        ("a gateway by the center's door", {
            let options = options(broker.running.center_address, &own);
            with_password(options, &own, &broker.passwords[0])
        }),
        ("another's client identifier", {
            let mut options = broker.gateway_options(OWN);
            options.set_client_id(OTHER.to_string());
            options
        }),
        ("the center's client identifier", {
            let mut options = broker.gateway_options(OWN);
            options.set_client_id("keros-center".to_owned());
            options
        }),
        ("a last will on another's topic", {
            let mut options = broker.gateway_options(OWN);
            let topic = topic(OTHER, Leaf::Presence);
            options.set_last_will(LastWill::new(topic, "offline", QoS::AtLeastOnce, true, None));
            options
        }),
    ] {
        let refused = TestClient::connect(options).await.map(|_| ()).unwrap_err();
        assert!(
            matches!(refused, ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized)),
            "{what}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn a_broker_that_nobody_could_log_in_to_does_not_start() {
    let mut settings = settings(std::path::Path::new("unused"));
    settings.gateways.password_file = None;
    let error = start(settings).await.unwrap_err().to_string();
    assert!(error.contains("password file"), "{error}");
}
