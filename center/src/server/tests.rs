//! The whole center beside a real mosquitto, with a gateway played by another MQTT client.

use std::net::TcpListener as StdListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use keros_protocol::{
    ClockState, CommandId, Downlink, Envelope, Eui, KeyRing, Outcome, Report, ReportPosition, SigningKey,
    Statement, Summary, Telemetry,
};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, Packet, Publish, PublishProperties};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use serde_json::{Value, json};

use super::*;
use crate::api::{Problem, UpdateView};

const EUI: Eui = Eui::from_u64(0x7076_FF00_5607_0123);
const LIMIT: Duration = Duration::from_secs(20);

struct Mosquitto {
    child: Child,
    port: u16,
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Mosquitto {
    fn start(folder: &Path) -> Option<Self> {
        let program =
            ["/usr/sbin/mosquitto", "/usr/bin/mosquitto"].into_iter().find(|p| Path::new(p).exists());
        let Some(program) = program else {
            println!("skipped: mosquitto is not installed");
            return None;
        };
        let port = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = folder.join("mosquitto.conf");
        std::fs::write(&config, format!("listener {port} 127.0.0.1\nallow_anonymous true\n")).unwrap();
        let child = Command::new(program)
            .arg("-c")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Self { child, port })
    }
}

struct Running {
    rest: SocketAddr,
    token: String,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Running {
    async fn start(folder: &Path, port: u16) -> Self {
        let settings = settings(folder, port);
        let (stop, stopped) = watch::channel(false);
        let (ready, is_ready) = oneshot::channel();
        let task = tokio::spawn(serve(settings, ready, stopped));
        let ready = tokio::time::timeout(LIMIT, is_ready).await.unwrap().unwrap();
        let token = std::fs::read_to_string(folder.join("data/api-token")).unwrap().trim().to_owned();
        Self { rest: ready.rest_address, token, stop, task }
    }

    async fn stop(self) {
        self.stop.send(true).unwrap();
        tokio::time::timeout(LIMIT, self.task).await.unwrap().unwrap().unwrap();
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        ask(self.rest, &self.token, method, path, body).await
    }

    async fn update(&self, id: &str) -> UpdateView {
        serde_json::from_value(self.ask("GET", &format!("/updates/{id}"), Value::Null).await.1).unwrap()
    }

    async fn until(&self, what: &str, id: &str, holds: impl Fn(&UpdateView) -> bool) -> UpdateView {
        let begin = Instant::now();
        loop {
            let view = self.update(id).await;
            if holds(&view) {
                return view;
            }
            assert!(begin.elapsed() < LIMIT, "not yet {what}: {view:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn settings(folder: &Path, port: u16) -> ServeSettings {
    let key = |name: &str, seed| {
        let path = folder.join(name);
        std::fs::write(&path, SigningKey::pem_from_seed(&[seed; 32])).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    ServeSettings {
        data_folder: folder.join("data"),
        rest_address: "127.0.0.1:0".parse().unwrap(),
        broker: BrokerChoice::External(ExternalBroker {
            host: "127.0.0.1".to_owned(),
            port,
            tls: None,
            username: None,
            password_file: None,
        }),
        topic_prefix: Prefix::default(),
        command_key_file: key("command.pem", 1),
        statement_key_file: key("statement.pem", 2),
        database_url: None,
    }
}

async fn ask(rest: SocketAddr, token: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("http://{rest}/api/v1{path}"))
        .header("Authorization", format!("Bearer {token}"))
        .header("Content-Type", "application/json")
        .body(if body.is_null() { Vec::new() } else { serde_json::to_vec(&body).unwrap() })
        .unwrap();
    tokio::task::spawn_blocking(move || {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(LIMIT));
        let agent: ureq::Agent = config.build().into();
        let mut response = agent.run(request).unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
    })
    .await
    .unwrap()
}

/// A gateway that speaks by hand.
struct Gateway {
    eui: Eui,
    client: AsyncClient,
    down: mpsc::Receiver<Publish>,
    stream: uuid::Uuid,
}

impl Gateway {
    async fn connect(eui: Eui, port: u16) -> Self {
        let prefix = Prefix::default();
        let mut options = MqttOptions::new(eui.to_string(), "127.0.0.1", port);
        options.set_keep_alive(Duration::from_secs(20)).set_outgoing_inflight_upper_limit(16);
        options.set_max_packet_size(Some(32 * 1024 * 1024));
        let topic = prefix.topic(eui, keros_protocol::topics::Leaf::Presence);
        options.set_last_will(LastWill::new(topic.clone(), "offline", QoS::AtLeastOnce, true, None));
        let (client, mut event_loop) = AsyncClient::new(options, 16);
        let (sender, down) = mpsc::channel(64);
        tokio::spawn(async move {
            loop {
                match event_loop.poll().await {
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        if sender.send(publish).await.is_err() {
                            return;
                        }
                    }
                    Ok(_) => {}
                    Err(_) if sender.is_closed() => return,
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        });
        let own = prefix.topic(eui, keros_protocol::topics::Leaf::Down);
        client.subscribe(own, QoS::AtLeastOnce).await.unwrap();
        client.publish(topic, QoS::AtLeastOnce, true, "online").await.unwrap();
        Self { eui, client, down, stream: uuid::Uuid::now_v7() }
    }

    fn topic(&self, leaf: keros_protocol::topics::Leaf) -> String {
        Prefix::default().topic(self.eui, leaf)
    }

    async fn send_telemetry(&self, nonces: Vec<String>) -> uuid::Uuid {
        let telemetry = Telemetry { nonces, ..telemetry(self.eui) };
        let topic = self.topic(keros_protocol::topics::Leaf::Telemetry);
        let properties = PublishProperties {
            correlation_data: Some(telemetry.telemetry_id.as_bytes().to_vec().into()),
            response_topic: Some(self.topic(keros_protocol::topics::Leaf::Down)),
            ..PublishProperties::default()
        };
        let payload = serde_json::to_vec(&telemetry).unwrap();
        self.client
            .publish_with_properties(topic, QoS::AtLeastOnce, false, payload, properties)
            .await
            .unwrap();
        telemetry.telemetry_id
    }

    async fn report(&self, number: u64, after: u64, command_id: CommandId, outcome: Outcome) {
        let report = Report {
            eui: self.eui,
            position: ReportPosition { stream: self.stream, number },
            after,
            command_id,
            update_id: None,
            time_unix_s: 1,
            outcome,
        };
        let topic = self.topic(keros_protocol::topics::Leaf::Report);
        let payload = serde_json::to_vec(&report).unwrap();
        self.client.publish(topic, QoS::AtLeastOnce, false, payload).await.unwrap();
    }

    /// The next Downlink that is wanted; others are left out.
    async fn downlink(&mut self, wanted: impl Fn(&Downlink) -> bool) -> (Downlink, Publish) {
        let next = async {
            loop {
                let publish = self.down.recv().await.unwrap();
                let downlink: Downlink = serde_json::from_slice(&publish.payload).unwrap();
                if wanted(&downlink) {
                    return (downlink, publish);
                }
            }
        };
        tokio::time::timeout(LIMIT, next).await.expect("no such Downlink came")
    }
}

fn telemetry(eui: Eui) -> Telemetry {
    Telemetry {
        telemetry_id: uuid::Uuid::now_v7(),
        eui,
        protocol_version: 1,
        agent_version: "0.1.0".to_owned(),
        codename: Some("wiis".to_owned()),
        keros_version: Some("6.3.1".parse().unwrap()),
        boot_id: None,
        time_unix_s: 1,
        clock: ClockState::Synchronised,
        uptime: Some(5),
        cpu_percent: None,
        memory_percent: None,
        temperature: None,
        disks: Vec::new(),
        network_interface_category: None,
        packages_digest: None,
        installed_packages: None,
        job: None,
        reports_pending: 0,
        nonces: Vec::new(),
    }
}

fn ring(seed: u8) -> KeyRing {
    KeyRing::new(vec![SigningKey::from_pem(&SigningKey::pem_from_seed(&[seed; 32])).unwrap().public()])
}

fn statement(downlink: &Downlink) -> Statement {
    let payload = downlink.statement.as_ref().unwrap().verify(Envelope::STATEMENT, &ring(2)).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

fn script_order(group: &str) -> Value {
    json!({"group": group, "job": {"kind": "jetporch", "script": "- name: x\n", "vars": {}}})
}

async fn group_of(center: &Running, name: &str, gateways: &[Eui]) {
    let (status, body) = center.ask("POST", "/groups", json!({"name": name, "gateways": gateways})).await;
    assert_eq!(status, 201, "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_goes_out_and_its_outcome_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let Some(broker) = Mosquitto::start(folder.path()) else { return };
    let center = Running::start(folder.path(), broker.port).await;
    let mut gateway = Gateway::connect(EUI, broker.port).await;

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

    let succeeded =
        Outcome::Succeeded { summary: Summary { created: 2, ..Summary::default() }, dry_run: false };
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
async fn garbage_on_every_topic_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(broker) = Mosquitto::start(folder.path()) else { return };
    let center = Running::start(folder.path(), broker.port).await;
    let mut gateway = Gateway::connect(EUI, broker.port).await;
    let other = Eui::from_u64(7);
    for leaf in keros_protocol::topics::Leaf::ALL {
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
    let center = Running::start(folder.path(), broker.port).await;
    let mut gateway = Gateway::connect(EUI, broker.port).await;
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

    gateway.report(1, 0, command.command_id, Outcome::Received {}).await;
    gateway.report(2, 1, command.command_id, Outcome::Accepted {}).await;
    let center = Running::start(folder.path(), broker.port).await;
    center.until("accepted", &update_id, |view| view.gateways[0].outcome == Some(Outcome::Accepted {})).await;
    center.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_center_without_a_broker_serves_and_connects_later() {
    let folder = tempfile::tempdir().unwrap();
    let Some(broker) = Mosquitto::start(folder.path()) else { return };
    let port = broker.port;
    drop(broker);
    let center = Running::start(folder.path(), port).await;
    let (status, health) = center.ask("GET", "/health", Value::Null).await;
    assert_eq!((status, &health["broker_connected"]), (200, &Value::Bool(false)));
    let config = folder.path().join("mosquitto.conf");
    let mut child =
        Command::new("/usr/sbin/mosquitto").arg("-c").arg(config).stderr(Stdio::null()).spawn().unwrap();
    let begin = Instant::now();
    while center.ask("GET", "/health", Value::Null).await.1["broker_connected"] != true {
        assert!(begin.elapsed() < LIMIT, "never connected");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    center.stop().await;
}

#[tokio::test]
async fn rest_refuses_with_problem_details() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), 1).await;
    for (method, path, body, status) in [
        ("GET", "/gateways/xyz", Value::Null, 400),
        ("GET", "/gateways/7076FF0056070123", Value::Null, 404),
        ("POST", "/gateways", json!({"eui": "12"}), 422),
        ("POST", "/gateways", json!([]), 400),
        ("GET", "/groups/none", Value::Null, 404),
        ("POST", "/groups", json!({"name": "a/b"}), 422),
        ("POST", "/groups", json!({"name": "a", "gateways": ["7076FF0056070123"]}), 404),
        ("PUT", "/groups/none/gateways/7076FF0056070123", Value::Null, 404),
        ("POST", "/updates", script_order("none"), 404),
        ("GET", "/updates/1", Value::Null, 400),
        ("GET", "/updates/01890000-0000-7000-8000-000000000000", Value::Null, 404),
        ("POST", "/gateways/7076FF0056070123/nudge", Value::Null, 404),
        ("GET", "/nothing", Value::Null, 404),
        ("PATCH", "/groups", Value::Null, 405),
    ] {
        let (found, body) = center.ask(method, path, body).await;
        assert_eq!(found, status, "{method} {path}: {body}");
        let problem: Problem = serde_json::from_value(body).unwrap();
        assert_eq!(problem.status, status);
        assert!(!problem.detail.is_empty());
    }
    center.stop().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    use std::io::{Read as _, Write as _};
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), 1).await;
    let (rest, token) = (center.rest, center.token.clone());
    let answer = tokio::task::spawn_blocking(move || {
        let mut socket = std::net::TcpStream::connect(rest).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        let head = format!(
            "POST /api/v1/groups HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 10000000\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).unwrap();
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    });
    assert_eq!(answer.await.unwrap(), "HTTP/1.1 413");
    center.stop().await;
}

#[tokio::test]
async fn rest_needs_the_token_for_all_but_health() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), 1).await;
    for path in ["/gateways", "/updates/1/events", "/nothing"] {
        for token in ["", "wrong", &center.token[..63]] {
            let (status, _) = ask(center.rest, token, "GET", path, Value::Null).await;
            assert_eq!(status, 401, "{path} {token:?}");
        }
    }
    assert_eq!(ask(center.rest, "", "GET", "/health", Value::Null).await.0, 200);
    center.stop().await;
}

#[tokio::test]
async fn groups_and_updates_by_rest() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), 1).await;
    for (eui, name) in [("7076ff0056070123", "mast"), ("70-76-FF-00-56-07-01-24", "roof")] {
        let (status, body) = center.ask("POST", "/gateways", json!({"eui": eui, "name": name})).await;
        assert_eq!((status, &body["declared"], &body["name"]), (201, &json!(true), &json!(name)));
    }
    group_of(&center, "a b", &[EUI]).await;
    let (status, _) = center.ask("POST", "/groups", json!({"name": "a b"})).await;
    assert_eq!(status, 409);
    let (status, group) = center.ask("PUT", "/groups/a%20b/gateways/7076FF0056070124", Value::Null).await;
    assert_eq!((status, group["gateways"].as_array().unwrap().len()), (200, 2));
    let (_, gateways) = center.ask("GET", "/gateways?limit=1", Value::Null).await;
    assert_eq!((gateways.as_array().unwrap().len(), &gateways[0]["groups"]), (1, &json!(["a b"])));

    // Not connected: no nudge.
    let (status, _) = center.ask("POST", "/gateways/7076FF0056070123/nudge", Value::Null).await;
    assert_eq!(status, 409);

    let (status, first) = center.ask("POST", "/updates", script_order("a b")).await;
    assert_eq!((status, &first["state"]), (201, &json!("in_progress")));
    let (status, problem) = center.ask("POST", "/updates", script_order("a b")).await;
    assert_eq!(status, 409);
    assert!(problem["detail"].as_str().unwrap().contains(first["update_id"].as_str().unwrap()));

    // Another group with one of the gateways has to wait too.
    group_of(&center, "other", &[EUI]).await;
    let (status, _) = center.ask("POST", "/updates", script_order("other")).await;
    assert_eq!(status, 409);
    let (_, list) = center.ask("GET", "/updates", Value::Null).await;
    assert_eq!((list.as_array().unwrap().len(), list[0].get("gateways")), (1, None));

    let (status, group) = center.ask("DELETE", "/groups/a%20b/gateways/7076FF0056070124", Value::Null).await;
    assert_eq!((status, group["gateways"].as_array().unwrap().len()), (200, 1));
    assert_eq!(center.ask("DELETE", "/groups/a%20b", Value::Null).await.0, 204);
    assert_eq!(center.ask("GET", "/groups/a%20b", Value::Null).await.0, 404);
    center.stop().await;
}

#[tokio::test]
async fn orders_out_of_bounds_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), 1).await;
    center.ask("POST", "/gateways", json!({"eui": EUI})).await;
    group_of(&center, "all", &[EUI]).await;
    group_of(&center, "empty", &[]).await;
    let with = |key: &str, value: Value| {
        let mut order = script_order("all");
        order[key] = value;
        order
    };
    let script = |text: String| json!({"kind": "jetporch", "script": text});
    for order in [
        script_order("empty"),
        with("expires_in_s", json!(0)),
        with("expires_in_s", json!(1_000_000_000)),
        with("limits", json!({"total_s": 0})),
        with("options", json!({"confirm_window_s": 1_000_000})),
        with("job", json!({"kind": "later"})),
        with("job", json!({"kind": "magic_link", "digest": "sha256:12", "source": "https://host/v2/x"})),
        with("job", script("x".repeat(300 * 1024))),
        with("job", script("\u{1}".repeat(250 * 1024))),
    ] {
        let (status, body) = center.ask("POST", "/updates", order.clone()).await;
        assert_eq!(status, 422, "{body}");
    }
    center.stop().await;
}
