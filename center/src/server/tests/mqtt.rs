//! Gateways and brokers.

use super::*;
use crate::store::testing;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_goes_out_and_its_outcome_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let Some(broker) = Mosquitto::start(folder.path()) else { return };
    let center = Running::start_connected(folder.path(), broker.choice()).await;
    let gateway = Gateway::connect(EUI, broker.port, None).await;
    carry_a_command(center, gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_broker_carries_a_command_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (choice, password) = embedded(folder.path(), EUI);
    let center = Running::start_connected(folder.path(), choice).await;
    let gateway = Gateway::connect(EUI, center.mqtt[0].port(), Some(&password)).await;
    carry_a_command(center, gateway).await;
}

async fn carry_a_command(center: Running, mut gateway: Gateway) {
    // The first telemetry makes it known; it is answered with its id, its nonce and the time.
    let id = gateway.send_telemetry(vec!["abc".to_owned()]).await;
    let (answer, publish) = gateway.downlink(|d| d.telemetry_id == Some(id)).await;
    assert!(answer.commands.is_empty());
    assert_eq!(statement(&answer).nonces, ["abc"]);
    let properties = publish.properties.unwrap();
    assert_eq!(properties.content_type.as_deref(), Some("application/json"));
    assert_eq!(properties.correlation_data.as_deref(), Some(&id.as_bytes()[..]));
    assert!(properties.message_expiry_interval.is_some());

    // An update nudges the gateway, which is online; the next telemetry is answered with the command.
    group_of(&center, "all", &[EUI]).await;
    let (status, update) = center.ask("POST", "/updates", script_order("all")).await;
    assert_eq!(status, 201, "{update}");
    let update_id = update["update_id"].as_str().unwrap().to_owned();
    gateway.downlink(|d| d.nudge).await;
    let id = gateway.send_telemetry(Vec::new()).await;
    let (answer, _) = gateway.downlink(|d| d.telemetry_id == Some(id)).await;
    let payload = answer.commands[0].verify(Envelope::COMMAND, &ring(1)).unwrap();
    let command: keros_protocol::Command = serde_json::from_slice(&payload).unwrap();
    assert_eq!((command.eui, command.update_id.to_string()), (EUI, update_id.clone()));
    let view = center.update(&update_id).await;
    assert_eq!((view.state.as_str(), view.ended, view.gateways[0].times_sent), ("sent", false, 1));

    // It is sent again until it is received, and not after.
    let id = gateway.send_telemetry(Vec::new()).await;
    let (answer, _) = gateway.downlink(|d| d.telemetry_id == Some(id)).await;
    assert_eq!(answer.commands.len(), 1);
    gateway.report(1, 0, command.command_id, Outcome::Received {}).await;
    let acknowledged =
        |number| move |d: &Downlink| statement(d).last_report.is_some_and(|p| p.number == number);
    gateway.downlink(acknowledged(1)).await;
    let id = gateway.send_telemetry(Vec::new()).await;
    let (answer, _) = gateway.downlink(|d| d.telemetry_id == Some(id)).await;
    assert!(answer.commands.is_empty());
    assert_eq!(statement(&answer).last_report.unwrap().stream, gateway.stream);

    let succeeded = Outcome::Succeeded {
        summary: Summary { created: 2, ..Summary::default() },
        dry_run: false,
        differences: None,
    };
    gateway.report(2, 1, command.command_id, Outcome::Running { task: None }).await;
    gateway.report(3, 2, command.command_id, succeeded.clone()).await;
    gateway.downlink(acknowledged(3)).await;
    let view = center.update(&update_id).await;
    assert!(view.ended);
    assert_eq!(view.gateways[0].outcome, Some(succeeded));
    assert_eq!(view.gateways[0].name, "klk-wiis-070123");
    center.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_floods_the_center_is_cut_and_others_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let Some(broker) = Mosquitto::start(folder.path()) else { return };
    let center = Running::start_connected(folder.path(), broker.choice()).await;
    let rogue = Gateway::connect(EUI, broker.port, None).await;
    let unknown = CommandId(uuid::Uuid::now_v7());
    let long = Outcome::Failed {
        task: None,
        exit_code: None,
        message: "x".repeat(400_000),
        output: None,
        summary: Summary::default(),
    };
    let burst = crate::bounds::REPORT_RATE.burst_bytes / 400_000 + 10;
    for number in 1..=burst {
        rogue.report(number, 0, unknown, long.clone()).await;
    }
    let begin = Instant::now();
    while center.ask("GET", "/health", Value::Null).await.1["messages_over_rate"].as_u64().unwrap() < 5 {
        assert!(begin.elapsed() < LIMIT, "nothing was left out");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut other = Gateway::connect(Eui::from_u64(8), broker.port, None).await;
    let id = other.send_telemetry(Vec::new()).await;
    other.downlink(|d| d.telemetry_id == Some(id)).await;
    // What is left out is acknowledged to the broker: nothing waits behind it.
    let mut rogue = rogue;
    let id = rogue.send_telemetry(Vec::new()).await;
    rogue.downlink(|d| d.telemetry_id == Some(id)).await;
    center.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_every_topic_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(broker) = Mosquitto::start(folder.path()) else { return };
    let center = Running::start_connected(folder.path(), broker.choice()).await;
    let mut gateway = Gateway::connect(EUI, broker.port, None).await;
    let other = Eui::from_u64(7);
    for leaf in Leaf::ALL {
        let foreign = serde_json::to_vec(&telemetry(other)).unwrap();
        let whole = serde_json::to_vec(&telemetry(EUI)).unwrap();
        let payloads = [
            vec![0xFF; 10 * 1024 * 1024],
            Vec::new(),
            b"{\"eui\":1}".to_vec(),
            foreign,
            whole[..40].to_vec(),
        ];
        for payload in payloads {
            for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
                gateway.client.publish(gateway.topic(leaf), qos, false, payload.clone()).await.unwrap();
            }
        }
    }
    gateway.client.publish("keros/v1/nobody/telemetry", QoS::AtLeastOnce, false, "x").await.unwrap();
    let id = gateway.send_telemetry(Vec::new()).await;
    let next = async {
        loop {
            let publish = gateway.down.recv().await.unwrap();
            if let Ok(downlink) = serde_json::from_slice::<Downlink>(&publish.payload)
                && downlink.telemetry_id == Some(id)
            {
                return;
            }
        }
    };
    tokio::time::timeout(LIMIT, next).await.expect("the telemetry is answered");
    let (status, _) = center.ask("GET", &format!("/gateways/{other}"), Value::Null).await;
    assert_eq!(status, 404, "a gateway can't be made known by another");
    let (_, health) = center.ask("GET", "/health", Value::Null).await;
    assert!(health["messages_left_out"].as_u64().unwrap() > 20, "{health}");
    center.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_that_come_while_the_center_is_away_are_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let Some(broker) = Mosquitto::start(folder.path()) else { return };
    let center = Running::start_connected(folder.path(), broker.choice()).await;
    let mut gateway = Gateway::connect(EUI, broker.port, None).await;
    let id = gateway.send_telemetry(Vec::new()).await;
    gateway.downlink(|d| d.telemetry_id == Some(id)).await;
    group_of(&center, "all", &[EUI]).await;
    let (_, update) = center.ask("POST", "/updates", script_order("all")).await;
    let update_id = update["update_id"].as_str().unwrap().to_owned();
    let id = gateway.send_telemetry(Vec::new()).await;
    let (answer, _) = gateway.downlink(|d| d.telemetry_id == Some(id)).await;
    let payload = answer.commands[0].unverified_payload().unwrap();
    let command: keros_protocol::Command = serde_json::from_slice(&payload).unwrap();
    center.stop().await;

    let tell = async || {
        gateway.report(1, 0, command.command_id, Outcome::Received {}).await;
        gateway.report(2, 1, command.command_id, Outcome::Accepted {}).await;
    };
    tell().await;
    let center = Running::start_connected(folder.path(), broker.choice()).await;
    if testing::is_shared() {
        // The broker holds nothing for one of several centers (see mqtt/mod.rs): the gateway sends again what is not acknowledged.
        assert_eq!(center.update(&update_id).await.gateways[0].outcome, None);
        tell().await;
    }
    center.until("accepted", &update_id, |view| view.gateways[0].outcome == Some(Outcome::Accepted {})).await;
    center.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_center_without_a_broker_serves_and_connects_later() {
    let folder = tempfile::tempdir().unwrap();
    let Some(broker) = Mosquitto::start(folder.path()) else { return };
    let port = broker.port;
    drop(broker);
    let center = Running::start(folder.path(), external(port)).await;
    let (status, health) = center.ask("GET", "/health", Value::Null).await;
    assert_eq!((status, &health["broker_connected"]), (200, &Value::Bool(false)));
    let _broker = Mosquitto::start_on(folder.path(), port);
    center.until_connected().await;
    center.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_over_the_embedded_broker_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (choice, password) = embedded(folder.path(), EUI);
    let center = Running::start_connected(folder.path(), choice).await;
    let port = center.mqtt[0].port();
    let mut gateway = Gateway::connect(EUI, port, Some(&password)).await;
    for leaf in [Leaf::Telemetry, Leaf::Report, Leaf::Presence] {
        for payload in [vec![0xFF; 1024 * 1024], vec![b'['; 300_000], Vec::new(), b"{}".to_vec()] {
            for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
                gateway.client.publish(gateway.topic(leaf), qos, false, payload.clone()).await.unwrap();
            }
        }
    }
    let id = gateway.send_telemetry(Vec::new()).await;
    gateway.downlink(|d| d.telemetry_id == Some(id)).await;
    let (_, health) = center.ask("GET", "/health", Value::Null).await;
    assert!(health["messages_left_out"].as_u64().unwrap() >= 12, "{health}");
    center.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_cannot_be_stored_is_acknowledged_only_when_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (choice, password) = embedded(folder.path(), EUI);
    let center = Running::start_connected(folder.path(), choice).await;
    let mut gateway = Gateway::connect(EUI, center.mqtt[0].port(), Some(&password)).await;
    let id = gateway.send_telemetry(Vec::new()).await;
    gateway.downlink(|d| d.telemetry_id == Some(id)).await;

    let store = Store::open(&folder.path().join("data"), None).await.unwrap();
    let run = async |sql: &'static str| {
        let mut transaction = store.begin().await.unwrap();
        sqlx::query(sql).execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
    };
    run("ALTER TABLE report_positions RENAME TO away").await;
    gateway.report(1, 0, CommandId(uuid::Uuid::now_v7()), Outcome::Received {}).await;
    let silent = tokio::time::timeout(Duration::from_millis(700), gateway.down.recv()).await;
    assert!(silent.is_err(), "nothing is acknowledged: {silent:?}");
    assert_eq!(center.ask("GET", "/health", Value::Null).await.0, 200);
    run("ALTER TABLE away RENAME TO report_positions").await;
    gateway.downlink(|d| statement(d).last_report.is_some_and(|p| p.number == 1)).await;
    store.close().await;
    center.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_comes_back_with_less_room_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let Some(broker) = Mosquitto::start(folder.path()) else { return };
    let port = broker.port;
    let center = Running::start_connected(folder.path(), broker.choice()).await;
    let mut gateway = Gateway::connect(EUI, port, None).await;
    for _ in 0..15 {
        let id = gateway.send_telemetry(Vec::new()).await;
        gateway.downlink(|d| d.telemetry_id == Some(id)).await;
    }
    drop((broker, gateway));
    let _broker =
        Mosquitto::start_with(folder.path(), port, "allow_anonymous true\nmax_inflight_messages 3\n");
    center.until_connected().await;
    let mut gateway = Gateway::connect(EUI, port, None).await;
    // More than the packet ids that the center's client has.
    let mut last = uuid::Uuid::nil();
    for _ in 0..300 {
        last = gateway.send_telemetry(Vec::new()).await;
    }
    gateway.downlink(|d| d.telemetry_id == Some(last)).await;
    center.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_comes_back_at_once_is_heard_and_answered() {
    let folder = tempfile::tempdir().unwrap();
    let (choice, password) = embedded(folder.path(), EUI);
    let center = Running::start_connected(folder.path(), choice).await;
    let port = center.mqtt[0].port();
    for _ in 0..50 {
        let mut gateway = Gateway::connect(EUI, port, Some(&password)).await;
        let id = gateway.send_telemetry(Vec::new()).await;
        gateway.downlink(|d| d.telemetry_id == Some(id)).await;
    }
    center.stop().await;
}
