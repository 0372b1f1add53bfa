//! The whole way of a command, with the embedded broker and with mosquitto: the same script, the same end.

use std::path::Path;

use anyhow::{Context as _, Result};
use keros_tests::{Broker, Center, Gateway, GatewayOptions, KEROS_5, KEROS_6, Mosquitto, MosquittoMode, Pki};
use serde_json::{Value, json};

const SIX: &str = "7076FF0000000001";
const SIX_TOO: &str = "7076FF0000000002";
const FIVE: &str = "7076FF0000000005";

const SCRIPT: &str = r#"
- name: forwarder
  groups: [all]
  vars: { region: EU868 }
  tasks:
    - !directory { path: /etc/forwarder, attributes: { mode: "0o750" } }
    - !template
        name: settings
        dest: /etc/forwarder/settings.toml
        content: "region = \"{{region}}\"\n"
        and: { notify: changed }
    - !shell { name: count, cmd: 'echo run >> "$KEROS_ROOT/count"' }
  handlers:
    - !shell { name: restart, cmd: 'echo handled >> "$KEROS_ROOT/handled"', with: { subscribe: changed } }
"#;

#[test]
fn a_script_runs_on_keros_6_and_is_refused_on_keros_5_with_the_embedded_broker() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let center = Center::start(&folder.path().join("center"), Broker::Embedded)?;
    the_whole_way(folder.path(), &center, None)
}

#[test]
fn a_script_runs_on_keros_6_and_is_refused_on_keros_5_with_mosquitto() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let broker = Mosquitto::start(&folder.path().join("broker"), MosquittoMode::Open)?;
    let center = Center::start(&folder.path().join("center"), Broker::External(broker.port, vec![]))?;
    the_whole_way(folder.path(), &center, None)
}

#[test]
fn a_script_runs_on_keros_6_and_is_refused_on_keros_5_with_the_embedded_broker_over_tls() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let pki = Pki::new(&folder.path().join("pki"))?;
    let (cert, key) = pki.issue("broker", "localhost")?;
    let center = Center::start(&folder.path().join("center"), Broker::EmbeddedTls(cert, key))?;
    the_whole_way(folder.path(), &center, Some(&pki.path("ca.pem")))
}

fn the_whole_way(folder: &Path, center: &Center, ca: Option<&Path>) -> Result<()> {
    let mut gateways = Vec::new();
    for (eui, keros) in [(SIX, KEROS_6), (SIX_TOO, KEROS_6), (FIVE, KEROS_5)] {
        let options = GatewayOptions {
            port: center.mqtt_port(),
            trust: center.keys().join("trust"),
            password: center.gateway_password(eui)?,
            ca: ca.map(Path::to_owned),
            ..GatewayOptions::default()
        };
        gateways.push(Gateway::start(&folder.join(eui), eui, keros, &options)?);
    }
    center.wait_for_telemetry(&[SIX, SIX_TOO, FIVE])?;
    let update_id = center.send("site", &[SIX, SIX_TOO, FIVE], SCRIPT)?;
    let update = center.wait_for_end(&update_id)?;

    assert_eq!(update["state"], "sent");
    assert_eq!(update["outcomes"], json!({ "succeeded": 2, "refused": 1 }), "{update:#}");
    for gateway in &gateways {
        let line = line_of(&update, &gateway.eui)?;
        assert_eq!(line["delivery"], "received");
        if gateway.eui == FIVE {
            assert_eq!(line["outcome"]["reason"], "not_keros_6");
            assert!(!gateway.root.join("etc/forwarder").exists());
            continue;
        }
        assert_eq!(line["outcome"]["status"], "succeeded");
        assert_eq!(line["outcome"]["summary"]["created"], 2);
        assert_eq!(line["outcome"]["summary"]["executed"], 2);
        let read = |name: &str| std::fs::read_to_string(gateway.root.join(name));
        assert_eq!(read("etc/forwarder/settings.toml")?, "region = \"EU868\"\n");
        assert_eq!(read("count")?, "run\n");
        assert_eq!(read("handled")?, "handled\n");
    }
    Ok(())
}

fn line_of<'a>(update: &'a Value, eui: &str) -> Result<&'a Value> {
    let lines = update["gateways"].as_array().context("an update has lines")?;
    lines.iter().find(|line| line["eui"] == eui).with_context(|| format!("a line for {eui}"))
}
