//! With a center that comes up afterwards: it made the link and the command, and learns the end.

use super::*;
use keros_tests::{Broker, Center, KEROS_5};

#[test]
fn a_link_is_applied_without_a_network_once_and_the_center_learns_it_when_the_link_returns() -> Result<()> {
    for keros in [KEROS_6, KEROS_5] {
        let folder = tempfile::tempdir()?;
        let at = |name: &str| folder.path().join(name);
        let mut center = Center::start(&at("center"), Broker::Embedded)?;
        let bundle = Bundle::write(&at("layout"), &["7076FF*"], &FILES)?;
        let (hash, layout) = (bundle.digest.to_string(), bundle.layout.display().to_string());
        let (tar, command) = (at("link.tar"), at("command.json"));
        center.command_line(&["gateways", "declare", EUI])?;
        center.command_line(&["magic-link", "import", &layout])?;
        center.command_line(&["magic-link", "export", &hash, &tar.display().to_string()])?;
        fs::write(&command, center.command_line(&["magic-link", "sign", &hash, "--gateway", EUI])?)?;
        let options = GatewayOptions {
            port: center.mqtt_port(),
            trust: center.keys().join("trust"),
            password: center.gateway_password(EUI)?,
            ..GatewayOptions::default()
        };
        center.kill()?;
        let gateway = Gateway::start(&at("gateway"), EUI, keros, &options)?;
        wait_for_socket(&gateway)?;

        let (code, text) = apply(&gateway, &tar, &hash, &command)?;
        ensure!(code == 0, "{text}\n{}", gateway.log());
        ensure!(text.contains("succeeded") && text.contains("when the link returns"), "{text}");
        ensure!(fs::read_to_string(gateway.root.join("etc/motd"))? == "from a stick\n");

        let (code, text) = apply(&gateway, &bundle.layout, &hash, &command)?;
        ensure!(code == 0 && text.contains("came before") && text.contains("succeeded"), "{text}");
        ensure!(runs(&gateway) == 1, "a command runs once");

        center.restart()?;
        let envelope: Envelope = serde_json::from_slice(&fs::read(&command)?)?;
        let order: Order = serde_json::from_slice(&envelope.unverified_payload()?)?;
        let update = center.wait_for_end(&order.update_id.to_string())?;
        ensure!(update["gateways"][0]["outcome"]["status"] == "succeeded", "{update:#}");
        wait_for("nothing is owed any more", || {
            let (_, text) = gateway.technician(&["status", "--json"])?;
            let status: Value = serde_json::from_str(&text)?;
            Ok((status["reports_pending"] == 0).then_some(()))
        })?;
        ensure!(runs(&gateway) == 1, "and not once more over the network");
    }
    Ok(())
}
