//! Debian's mosquitto with TLS, client certificates and the shipped access list.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use keros_tests::{
    Broker, Center, Gateway, GatewayOptions, KEROS_6, Mosquitto, MosquittoMode, Pki, mosquitto_client,
    wait_for,
};

const MINE: &str = "7076FF0000000001";
const OTHER: &str = "7076FF0000000002";

struct Site {
    folder: tempfile::TempDir,
    pki: Pki,
    broker: Mosquitto,
    center: Center,
}

impl Site {
    fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let pki = Pki::new(&folder.path().join("pki"))?;
        let broker = Mosquitto::start(&folder.path().join("broker"), MosquittoMode::Shipped(&pki))?;
        let (cert, key) = pki.issue("center", "keros-center")?;
        let arguments = [("ca", pki.path("ca.pem")), ("cert", cert), ("key", key)]
            .into_iter()
            .flat_map(|(flag, path)| [format!("--external-broker-{flag}"), path.display().to_string()])
            .collect();
        let center = Center::start(&folder.path().join("center"), Broker::External(broker.port, arguments))?;
        Ok(Self { folder, pki, broker, center })
    }

    fn certificate(&self, eui: &str) -> Result<(PathBuf, PathBuf, PathBuf)> {
        let (cert, key) = self.pki.issue(eui, eui)?;
        Ok((self.pki.path("ca.pem"), cert, key))
    }

    /// A mosquitto client with this gateway's certificate.
    fn client(&self, program: &str, eui: &str) -> Result<Command> {
        let (ca, cert, key) = self.certificate(eui)?;
        let mut command = mosquitto_client(program, self.broker.port)?;
        command.arg("--cafile").arg(ca).arg("--cert").arg(cert).arg("--key").arg(key);
        Ok(command)
    }
}

#[test]
fn a_command_succeeds_over_mutual_tls() -> Result<()> {
    let site = Site::start()?;
    let trust = site.center.keys().join("trust");
    let (ca, cert, key) = site.certificate(MINE)?;
    let (port, client) = (site.broker.port, Some((cert, key)));
    let options = GatewayOptions { port, trust, ca: Some(ca), client, ..GatewayOptions::default() };
    let gateway = Gateway::start(&site.folder.path().join("gateway"), MINE, KEROS_6, &options)?;
    site.center.wait_for_telemetry(&[MINE])?;
    let script = "- name: p\n  groups: [all]\n  tasks:\n    - !file { path: /made }\n";
    let update = site.center.wait_for_end(&site.center.send("g", &[MINE], script)?)?;
    assert_eq!(update["gateways"][0]["outcome"]["status"], "succeeded", "{update:#}");
    assert!(gateway.root.join("made").exists());
    let (code, status) = gateway.technician(&["status"])?;
    assert_eq!(code, 0, "{status}");
    assert!(status.contains("mutual"), "the technician sees that TLS is mutual:\n{status}");
    Ok(())
}

#[test]
fn another_gateways_certificate_can_neither_read_nor_write_a_gateways_topics() -> Result<()> {
    let mut site = Site::start()?;
    // What speaks with the center's certificate below is the center for the broker: of the two, one would push the other out.
    site.center.kill()?;
    let topic = |eui: &str, leaf: &str| format!("keros/v1/{eui}/{leaf}");

    // The control: with its own certificate both work, so that a refusal below is no accident.
    let seen = site.folder.path().join("seen");
    let listen = |eui: &str, topics: &[String]| -> Result<std::process::Child> {
        let mut command = site.client("mosquitto_sub", eui)?;
        for topic in topics {
            command.args(["-t", topic]);
        }
        let file = std::fs::File::options().create(true).append(true).open(seen.join(eui))?;
        Ok(command.args(["-q", "1", "-v"]).stdout(file).spawn()?)
    };
    std::fs::create_dir_all(&seen)?;
    let publish = |eui: &str, topic: &str, text: &str| -> Result<bool> {
        let mut command = site.client("mosquitto_pub", eui)?;
        let output = command.args(["-t", topic, "-q", "1", "-m", text]).output()?;
        Ok(output.status.success() && output.stderr.is_empty())
    };
    // A second connection of a client ends its first one: each speaks before it listens, but for the forgeries.
    assert!(publish(MINE, &topic(MINE, "telemetry"), "{}")?, "a gateway may write its own telemetry");
    let mut own = listen(MINE, &[topic(MINE, "down")])?;
    let subscribed = |count: usize| {
        wait_for("a gateway listens", || {
            let heard = site.broker.log().matches("Sending SUBACK to 7076FF").count();
            Ok((heard >= count).then_some(()))
        })
    };
    subscribed(1)?;
    for leaf in ["telemetry", "report", "presence", "down"] {
        publish(OTHER, &topic(MINE, leaf), "forged")?;
    }
    let everything = [topic(OTHER, "down"), topic(MINE, "down"), topic(MINE, "#"), "#".to_owned()];
    let mut foreign = listen(OTHER, &everything)?;
    subscribed(2)?;

    // What the center says to a gateway, and what that gateway says, reaches no other gateway.
    let from_center = |eui: &str, text: &str| -> Result<bool> {
        let mut center = site.center_client()?;
        Ok(center.args(["-t", &topic(eui, "down"), "-q", "1", "-m", text]).status()?.success())
    };
    let hears = |eui: &str, text: &str| {
        wait_for("a gateway hears the center", || {
            Ok(std::fs::read_to_string(seen.join(eui))?.contains(text).then_some(()))
        })
    };
    assert!(from_center(MINE, "for mine")?);
    hears(MINE, "for mine")?;
    own.kill()?;
    own.wait()?;
    for leaf in ["telemetry", "report", "presence"] {
        assert!(publish(MINE, &topic(MINE, leaf), "{}")?, "a gateway may write its own {leaf}");
    }
    assert!(from_center(OTHER, "for other")?);
    hears(OTHER, "for other")?;
    foreign.kill()?;
    foreign.wait()?;
    // Its subscriptions overlap: the broker may send what is its own once for each of them.
    let heard = std::fs::read_to_string(seen.join(OTHER))?;
    assert!(heard.lines().all(|line| line.ends_with("for other")), "the other gateway heard:\n{heard}");
    let log = site.broker.log();
    for leaf in ["telemetry", "report", "presence", "down"] {
        let denied = |line: &&str| {
            line.contains(&format!("Denied PUBLISH from {OTHER}")) && line.contains(&topic(MINE, leaf))
        };
        assert!(log.lines().any(|line| denied(&line)), "{leaf} of another was not denied:\n{log}");
    }
    let heard = std::fs::read_to_string(seen.join(MINE))?;
    assert!(!heard.contains("forged"), "{heard}");
    Ok(())
}

#[test]
fn a_gateway_cannot_push_out_another_by_its_client_identifier() -> Result<()> {
    let site = Site::start()?;
    let listen = |eui: &str| -> Result<std::process::Child> {
        let mut command = site.client("mosquitto_sub", eui)?;
        Ok(command.args(["-i", MINE, "-t", &format!("keros/v1/{eui}/down")]).spawn()?)
    };
    let mut mine = listen(MINE)?;
    wait_for("the gateway listens", || {
        Ok(site.broker.log().contains("Sending SUBACK to 7076FF").then_some(()))
    })?;
    let mut other = listen(OTHER)?;
    wait_for("the other listens", || {
        Ok((site.broker.log().matches("Sending SUBACK to 7076FF").count() > 1).then_some(()))
    })?;
    let log = site.broker.log();
    for child in [&mut mine, &mut other] {
        child.kill()?;
        child.wait()?;
    }
    assert!(!log.contains("already connected"), "{log}");
    Ok(())
}

impl Site {
    fn center_client(&self) -> Result<Command> {
        let mut command = mosquitto_client("mosquitto_pub", self.broker.port)?;
        command.arg("--cafile").arg(self.pki.path("ca.pem"));
        command.arg("--cert").arg(self.pki.path("center.pem")).arg("--key").arg(self.pki.path("center.key"));
        Ok(command)
    }
}
