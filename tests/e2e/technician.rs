//! What the technician beside the gateway sees, with the broker there and gone.

use anyhow::Result;
use keros_tests::{Broker, Center, Gateway, GatewayOptions, KEROS_6, Mosquitto, MosquittoMode, wait_for};

const EUI: &str = "7076FF0000000001";

#[test]
fn status_is_one_screen_also_with_the_broker_gone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut broker = Mosquitto::start(&folder.path().join("broker"), MosquittoMode::Open)?;
    let center = Center::start(&folder.path().join("center"), Broker::External(broker.port, vec![]))?;
    let options =
        GatewayOptions { port: broker.port, trust: center.keys().join("trust"), ..GatewayOptions::default() };
    let gateway = Gateway::start(&folder.path().join("gateway"), EUI, KEROS_6, &options)?;
    center.wait_for_telemetry(&[EUI])?;
    let script = "- name: p\n  groups: [all]\n  tasks:\n    - !shell { name: wait, cmd: 'until [ -e \"$KEROS_ROOT/go\" ]; do sleep 0.05; done' }\n";
    // Without the center it would wait for its confirmation.
    let options = serde_json::json!({ "confirm_window_s": 0 });
    let update_id = center.send_with("g", &[EUI], script, &options)?;

    let status = |what: &str, words: &[&str]| {
        wait_for(what, || {
            let (code, text) = gateway.technician(&["status"])?;
            Ok((code == 0 && words.iter().all(|word| text.contains(word))).then_some(text))
        })
    };
    let port = broker.port.to_string();
    let connected = status("a connected status", &[EUI, KEROS_6, "connected", &port, "task 1 of 1"])?;
    broker.kill()?;
    let alone = status("a status without broker", &[EUI, KEROS_6, "task 1 of 1", "wait"])?;
    for text in [&connected, &alone] {
        assert!(text.lines().count() <= 24, "one screen:\n{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "one screen:\n{text}");
    }
    std::fs::write(gateway.root.join("go"), "")?;
    status("the end of the job, offline", &["succeeded"])?;
    broker.restart()?;
    let update = center.wait_for_end(&update_id)?;
    assert_eq!(update["gateways"][0]["outcome"]["status"], "succeeded", "{update:#}");
    Ok(())
}

#[test]
fn an_agent_that_does_not_run_is_named_with_advice() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let gateway = Gateway::prepare(
        folder.path(),
        EUI,
        KEROS_6,
        &GatewayOptions { port: 1, ..GatewayOptions::default() },
    )?;
    let (code, text) = gateway.technician(&["status"])?;
    assert_eq!(code, 69, "{text}");
    assert!(text.contains("systemctl"), "{text}");
    Ok(())
}
