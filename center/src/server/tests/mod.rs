//! The whole center, over REST and over MQTT: beside a real mosquitto and with its own broker, with a gateway played by hand.

mod accounts;
mod bad_http;
mod bad_input;
mod beside;
mod cli;
mod conflicts;
mod edge;
mod events;
mod http;
mod links;
mod mqtt;
mod orders;
mod pages;
mod registry;
mod rest;
mod things;
mod tls;

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

use keros_protocol::topics::Leaf;

use self::http::{Answer, http};
use super::*;
use crate::api::UpdateView;
use crate::broker::passwords;

const EUI: Eui = Eui::from_u64(0x7076_FF00_5607_0123);
const LIMIT: Duration = Duration::from_secs(20);

/// A broker of Debian's, on a free port.
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
    /// `None`: it is not installed.
    fn start(folder: &Path) -> Option<Self> {
        let port = keros_ports::free_port().unwrap();
        Self::start_on(folder, port)
    }

    fn start_on(folder: &Path, port: u16) -> Option<Self> {
        Self::start_with(folder, port, "allow_anonymous true\n")
    }

    fn start_with(folder: &Path, port: u16, settings: &str) -> Option<Self> {
        let program =
            ["/usr/sbin/mosquitto", "/usr/bin/mosquitto"].into_iter().find(|p| Path::new(p).exists());
        let Some(program) = program else {
            keros_skip::skipped("mosquitto is not installed");
            return None;
        };
        let config = folder.join("mosquitto.conf");
        std::fs::write(&config, format!("listener {port} 127.0.0.1\n{settings}")).unwrap();
        let child = Command::new(program)
            .arg("-c")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Self { child, port })
    }

    fn choice(&self) -> BrokerChoice {
        external(self.port)
    }
}

fn external(port: u16) -> BrokerChoice {
    BrokerChoice::External(ExternalBroker {
        host: "127.0.0.1".to_owned(),
        port,
        tls: None,
        username: None,
        password_file: None,
    })
}

/// The center's own broker, and the password of one gateway.
fn embedded(folder: &Path, eui: Eui) -> (BrokerChoice, String) {
    let path = folder.join("broker-users");
    let password = passwords::set_new_password(&path, eui).unwrap();
    let listen = vec![Listener { address: ([127, 0, 0, 1], 0).into(), tls: None }];
    (BrokerChoice::Embedded { listen, gateways: GatewayAccess { password_file: Some(path) } }, password)
}

struct Running {
    rest: SocketAddr,
    mqtt: Vec<SocketAddr>,
    registry: SocketAddr,
    token: String,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Running {
    async fn start(folder: &Path, broker: BrokerChoice) -> Self {
        Self::start_with(folder, settings(folder, broker)).await
    }

    async fn start_with(folder: &Path, settings: ServeSettings) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (ready, is_ready) = oneshot::channel();
        let task = tokio::spawn(serve(settings, ready, stopped));
        let ready = tokio::time::timeout(LIMIT, is_ready).await.unwrap().unwrap();
        let token = std::fs::read_to_string(folder.join("data/api-token")).unwrap().trim().to_owned();
        let registry = ready.registry_addresses[0];
        Self { rest: ready.rest_address, mqtt: ready.mqtt_addresses, registry, token, stop, task }
    }

    /// Starts, and waits until it hears the gateways: what they send before is nobody's.
    async fn start_connected(folder: &Path, broker: BrokerChoice) -> Self {
        let running = Self::start(folder, broker).await;
        running.until_connected().await;
        running
    }

    async fn stop(self) {
        self.stop.send(true).unwrap();
        tokio::time::timeout(LIMIT, self.task).await.unwrap().unwrap().unwrap();
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        ask(self.rest, &self.token, method, path, body).await
    }

    async fn until_connected(&self) {
        let begin = Instant::now();
        while self.ask("GET", "/health", Value::Null).await.1["broker_connected"] != true {
            assert!(begin.elapsed() < LIMIT, "never connected");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
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

fn settings(folder: &Path, broker: BrokerChoice) -> ServeSettings {
    let key = |name: &str, seed| {
        let path = folder.join(name);
        std::fs::write(&path, SigningKey::pem_from_seed(&[seed; 32])).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    ServeSettings {
        data_folder: folder.join("data"),
        rest_address: "127.0.0.1:0".parse().unwrap(),
        broker,
        topic_prefix: Prefix::default(),
        max_groups: 100,
        command_key_file: key("command.pem", 1),
        statement_key_file: key("statement.pem", 2),
        database_url: None,
        retention: crate::service::Retention::default(),
        registry: RegistrySettings {
            plain: Some("127.0.0.1:0".parse().unwrap()),
            ..RegistrySettings::default()
        },
        webhooks: crate::webhooks::Reach::Anywhere,
        enrol: EnrolSettings::default(),
        behind_proxy: None,
    }
}

async fn ask(rest: SocketAddr, token: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
    let headers =
        [("Authorization", format!("Bearer {token}")), ("Content-Type", "application/json".to_owned())];
    let body = match body {
        Value::Null => Vec::new(),
        // No route takes a string as JSON: it is a file.
        Value::String(text) => text.into_bytes(),
        body => serde_json::to_vec(&body).unwrap(),
    };
    let answer = http(method, format!("http://{rest}/api/v1{path}"), &headers, body).await;
    (answer.status, answer.json())
}

/// A gateway that speaks by hand.
struct Gateway {
    eui: Eui,
    client: AsyncClient,
    down: mpsc::Receiver<Publish>,
    task: tokio::task::JoinHandle<()>,
    stream: uuid::Uuid,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gateway {
    async fn connect(eui: Eui, port: u16, password: Option<&str>) -> Self {
        let prefix = Prefix::default();
        let mut options = MqttOptions::new(eui.to_string(), "127.0.0.1", port);
        options.set_keep_alive(Duration::from_secs(20)).set_outgoing_inflight_upper_limit(16);
        options.set_max_packet_size(Some(32 * 1024 * 1024));
        if let Some(password) = password {
            options.set_credentials(eui.to_string(), password);
        }
        let topic = prefix.topic(eui, Leaf::Presence);
        options.set_last_will(LastWill::new(topic.clone(), "offline", QoS::AtLeastOnce, true, None));
        let (client, mut event_loop) = AsyncClient::new(options, 16);
        // Room for all that a test lets come before it looks: the connection must not wait for the test.
        let (sender, down) = mpsc::channel(1024);
        let task = tokio::spawn(async move {
            loop {
                match event_loop.poll().await {
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        if sender.try_send(publish).is_err() {
                            return;
                        }
                    }
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        });
        let own = prefix.topic(eui, Leaf::Down);
        client.subscribe(own, QoS::AtLeastOnce).await.unwrap();
        client.publish(topic, QoS::AtLeastOnce, true, "online").await.unwrap();
        Self { eui, client, down, task, stream: uuid::Uuid::now_v7() }
    }

    fn topic(&self, leaf: Leaf) -> String {
        Prefix::default().topic(self.eui, leaf)
    }

    async fn send_telemetry(&self, nonces: Vec<String>) -> uuid::Uuid {
        let telemetry = Telemetry { nonces, ..telemetry(self.eui) };
        let topic = self.topic(Leaf::Telemetry);
        let properties = PublishProperties {
            correlation_data: Some(telemetry.telemetry_id.as_bytes().to_vec().into()),
            response_topic: Some(self.topic(Leaf::Down)),
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
        let topic = self.topic(Leaf::Report);
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
        bundle: None,
        reports_pending: 0,
        report_stream: None,
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
    let script = "- name: a play\n  groups:\n    - all\n  tasks:\n    - !echo\n      msg: hello\n";
    json!({"group": group, "job": {"kind": "jetporch", "script": script, "vars": {}}})
}

async fn group_of(center: &Running, name: &str, gateways: &[Eui]) {
    let (status, body) = center.ask("POST", "/groups", json!({"name": name, "gateways": gateways})).await;
    assert_eq!(status, 201, "{body}");
}
