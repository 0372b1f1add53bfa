//! The broker with a client that is not of its own family: `rumqttc`, as agent and center use it.

mod access;
mod client;
mod limits;
mod properties;
mod tls;

use std::path::Path;

use keros_protocol::Eui;
use keros_protocol::topics::{Leaf, Prefix};

use super::{BrokerSettings, GatewayAccess, Listener, Running, passwords, start};
use client::TestClient;

const OWN: Eui = Eui::from_u64(0x7076_FF00_5607_0123);
const OTHER: Eui = Eui::from_u64(0x7076_FF00_5607_0124);

/// A broker on a free port with two gateways that have passwords.
struct TestBroker {
    running: Running,
    passwords: [String; 2],
    _folder: tempfile::TempDir,
}

impl TestBroker {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwords");
        let passwords = [OWN, OTHER].map(|eui| passwords::set_new_password(&path, eui).unwrap());
        let running = start(settings(&path)).await.unwrap();
        Self { running, passwords, _folder: folder }
    }

    async fn center(&self) -> TestClient {
        let options = client::options(self.running.center_address, "keros-center");
        let options =
            client::with_password(options, &self.running.center_username, &self.running.center_password);
        TestClient::connect(options).await.unwrap()
    }

    fn gateway_options(&self, eui: Eui) -> rumqttc::v5::MqttOptions {
        let options = client::options(self.running.addresses[0], &eui.to_string());
        let password = &self.passwords[usize::from(eui == OTHER)];
        client::with_password(options, &eui.to_string(), password)
    }

    async fn gateway(&self, eui: Eui) -> TestClient {
        TestClient::connect(self.gateway_options(eui)).await.unwrap()
    }
}

fn settings(password_file: &Path) -> BrokerSettings {
    BrokerSettings {
        listen: vec![Listener { address: ([127, 0, 0, 1], 0).into(), tls: None }],
        topic_prefix: Prefix::default(),
        gateways: GatewayAccess { password_file: Some(password_file.to_owned()) },
        gate: std::sync::Arc::default(),
    }
}

fn topic(eui: Eui, leaf: Leaf) -> String {
    Prefix::default().topic(eui, leaf)
}
