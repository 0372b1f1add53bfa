//! Broken gateways, each really broken, and the advice that `keros-agent doctor` prints for it, word for word (`golden/`; with
//! `KEROS_BLESS=1` they are written anew). `docs/technician.md` has the same texts.

mod booted;
mod broken;
mod guide;
mod sick;

use anyhow::Result;
use keros_tests::{Broker, Center, Gateway, GatewayOptions, KEROS_6};

use sick::{EUI, Seen, failed};

#[test]
fn a_healthy_gateway_is_told_so_and_its_connection_is_not_disturbed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let center = Center::start(&folder.path().join("center"), Broker::Embedded)?;
    let options = GatewayOptions {
        port: center.mqtt_port(),
        trust: center.keys().join("trust"),
        password: center.gateway_password(EUI)?,
        ..GatewayOptions::default()
    };
    let gateway = Gateway::start(&folder.path().join("gateway"), EUI, KEROS_6, &options)?;
    center.wait_for_telemetry(&[EUI])?;
    let connection = || -> Result<serde_json::Value> {
        let (_, text) = gateway.technician(&["status", "--json"])?;
        let status: serde_json::Value = serde_json::from_str(&text)?;
        Ok(status["connection"].clone())
    };
    let before = connection()?;
    assert_eq!(before["state"], "connected");
    let seen = Seen::of(&gateway, folder.path())?;
    assert_eq!((seen.code, failed(&seen.findings)), (0, vec![]), "{:#?}", seen.findings);
    for check in ["identity", "config", "keys", "tcp", "log-in", "topic", "service", "executor", "telemetry"]
    {
        assert_eq!(seen.verdict(check), "ok", "{check}: {:#?}", seen.findings);
    }
    assert_eq!(connection()?, before, "the agent was pushed out");
    let (code, text) = gateway.technician(&["doctor"])?;
    assert!(code == 0 && text.contains("Nothing failed"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80 || line.contains("/tmp/")), "{text}");
    Ok(())
}
