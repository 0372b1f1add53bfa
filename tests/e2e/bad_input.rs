//! What a hostile or broken peer sends: each gets its named refusal or a log line, and agent and center go on.

use std::io::Write as _;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use keros_protocol::{Envelope, SigningKey};
use keros_tests::{
    Broker, Center, Gateway, GatewayOptions, KEROS_6, Mosquitto, MosquittoMode, mosquitto_client, wait_for,
};
use serde_json::{Value, json};

const EUI: &str = "7076FF0000000001";
const OTHER: &str = "7076FF0000000002";
const GOOD: &str =
    "- name: p\n  groups: [all]\n  tasks:\n    - !shell { cmd: 'echo run >> \"$KEROS_ROOT/runs\"' }\n";

/// A gateway and a center on an open broker, so that the test can say anything to both.
struct Site {
    folder: tempfile::TempDir,
    broker: Mosquitto,
    center: Center,
    gateway: Gateway,
}

impl Site {
    fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let broker = Mosquitto::start(&folder.path().join("broker"), MosquittoMode::Open)?;
        let center = Center::start(&folder.path().join("center"), Broker::External(broker.port, vec![]))?;
        let options = GatewayOptions {
            port: broker.port,
            trust: center.keys().join("trust"),
            ..GatewayOptions::default()
        };
        let gateway = Gateway::start(&folder.path().join("gateway"), EUI, KEROS_6, &options)?;
        center.wait_for_telemetry(&[EUI])?;
        Ok(Self { folder, broker, center, gateway })
    }

    fn publish(&self, topic: &str, payload: &[u8]) -> Result<()> {
        let mut command = mosquitto_client("mosquitto_pub", self.broker.port)?;
        // mosquitto_pub does not take an empty message from its standard input.
        let message = if payload.is_empty() { "-n" } else { "-s" };
        let mut child = command.args(["-t", topic, "-q", "1", message]).stdin(Stdio::piped()).spawn()?;
        child.stdin.take().context("a pipe")?.write_all(payload)?;
        ensure!(child.wait()?.success(), "publishing on {topic}");
        Ok(())
    }

    fn down(&self, downlink: &Value) -> Result<()> {
        self.publish(&format!("keros/v1/{EUI}/down"), downlink.to_string().as_bytes())
    }

    fn command_key(&self) -> Result<SigningKey> {
        Ok(SigningKey::from_pem(&std::fs::read_to_string(self.center.keys().join("command.key.pem"))?)?)
    }

    /// The outcome that the gateway has for a command, once it is terminal.
    fn outcome(&self, command_id: &str) -> Result<Value> {
        wait_for(&format!("{command_id} has ended on the gateway"), || {
            let (code, text) = self.gateway.technician(&["job", command_id, "--json"])?;
            ensure!(code == 0, "{text}");
            let job: Value = serde_json::from_str(&text)?;
            let status = job["outcome"]["status"].as_str().unwrap_or_default();
            Ok((!matches!(status, "received" | "accepted" | "running")).then(|| job["outcome"].clone()))
        })
        .with_context(|| self.gateway.log())
    }

    /// Agent and center still carry a command to its end.
    fn still_works(&mut self, group: &str) -> Result<()> {
        ensure!(self.center.is_running(), "the center has ended:\n{}", self.center.log());
        ensure!(
            self.gateway.process().is_some_and(keros_tests::Process::is_running),
            "{}",
            self.gateway.log()
        );
        let update = self.center.wait_for_end(&self.center.send(group, &[EUI], GOOD)?)?;
        ensure!(update["gateways"][0]["outcome"]["status"] == "succeeded", "{update:#}");
        Ok(())
    }

    fn runs(&self) -> usize {
        std::fs::read_to_string(self.gateway.root.join("runs")).unwrap_or_default().lines().count()
    }
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

fn command(id: &str, script: &str) -> Value {
    json!({
        "command_id": id, "update_id": uuid::Uuid::now_v7(), "eui": EUI,
        "issued_at_unix_s": now(), "expires_at_unix_s": now() + 3600,
        "job": { "kind": "jetporch", "script": script },
    })
}

fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

#[test]
fn each_bad_command_has_its_named_refusal_and_runs_nothing() -> Result<()> {
    let mut site = Site::start()?;
    let key = site.command_key()?;
    let foreign = SigningKey::from_pem(&SigningKey::pem_from_seed(&[9; 32]))?;
    let statement_key =
        SigningKey::from_pem(&std::fs::read_to_string(site.center.keys().join("statement.key.pem"))?)?;
    let sign = |value: &Value, key: &SigningKey| {
        Envelope::sign(Envelope::COMMAND, value.to_string().as_bytes(), key)
    };
    let with = |id: &str, field: &str, value: Value| {
        let mut command = command(id, GOOD);
        command[field] = value;
        command
    };
    let job = |job: Value| move |id: &str| with(id, "job", job.clone());
    let script = |text: String| job(json!({ "kind": "jetporch", "script": text }));
    let bomb = {
        let levels: String =
            (1..30).map(|n| format!("  a{n}: &a{n} [{p},{p}]\n", p = format!("*a{}", n - 1))).collect();
        format!("- name: p\n  groups: [all]\n  vars:\n    a0: &a0 x\n{}", levels.replace("  a", "    a"))
    };
    let many = format!("- name: p\n  groups: [all]\n  tasks:\n{}", "    - !echo {msg: a}\n".repeat(11_000));

    type Make<'a> = Box<dyn Fn(&str) -> Value + 'a>;
    let signed: Vec<(&str, Make<'_>)> = vec![
        ("wrong_target", Box::new(|id| with(id, "eui", json!(OTHER)))),
        ("expired", Box::new(|id| with(id, "expires_at_unix_s", json!(now() - 1)))),
        ("unsupported", Box::new(job(json!({ "kind": "firmware" })))),
        ("unparsable", Box::new(|id| with(id, "expires_at_unix_s", json!("tomorrow")))),
        ("unparsable", Box::new(script("- name: [".to_owned()))),
        (
            "unparsable",
            Box::new(script("- name: p\n  groups: [all]\n  tasks:\n    - !nosuch { a: 1 }\n".to_owned())),
        ),
        ("too_large", Box::new(script(bomb))),
        ("too_large", Box::new(script(many))),
        ("too_large", Box::new(script(format!("# {}", "x".repeat(300 * 1024))))),
    ];
    let mut expected = Vec::new();
    for (reason, make) in &signed {
        let id = new_id();
        site.down(&json!({ "commands": [sign(&make(&id), &key)] }))?;
        expected.push((*reason, id));
    }
    for key in [&foreign, &statement_key] {
        let id = new_id();
        site.down(&json!({ "commands": [sign(&command(&id, GOOD), key)] }))?;
        expected.push(("bad_signature", id));
    }
    let id = new_id();
    let mut altered = sign(&command(&id, GOOD), &key);
    altered.payload = sign(&command(&id, &GOOD.replace("run", "rm")), &key).payload;
    site.down(&json!({ "commands": [altered] }))?;
    expected.push(("bad_signature", id));

    for (reason, id) in &expected {
        let outcome = site.outcome(id)?;
        assert_eq!(outcome["status"], "refused", "{outcome:#}");
        assert_eq!(outcome["reason"], *reason, "{outcome:#}");
    }
    assert_eq!(site.runs(), 0, "nothing of all this has run");
    site.still_works("after")?;
    assert_eq!(site.runs(), 1);
    Ok(())
}

#[test]
fn the_same_command_three_times_runs_once() -> Result<()> {
    let site = Site::start()?;
    let id = new_id();
    let envelope =
        Envelope::sign(Envelope::COMMAND, command(&id, GOOD).to_string().as_bytes(), &site.command_key()?);
    site.down(&json!({ "commands": [envelope, envelope] }))?;
    site.down(&json!({ "commands": [envelope] }))?;
    assert_eq!(site.outcome(&id)?["status"], "succeeded");
    site.down(&json!({ "commands": [envelope] }))?;
    let last = new_id();
    let envelope =
        Envelope::sign(Envelope::COMMAND, command(&last, GOOD).to_string().as_bytes(), &site.command_key()?);
    site.down(&json!({ "commands": [envelope] }))?;
    assert_eq!(site.outcome(&last)?["status"], "succeeded");
    assert_eq!(site.runs(), 2, "each of the two commands ran once");
    Ok(())
}

#[test]
fn garbage_on_every_topic_stops_neither_agent_nor_center() -> Result<()> {
    let mut site = Site::start()?;
    let huge = vec![b'x'; 10 * 1024 * 1024];
    let deep = "[".repeat(100_000);
    let wrong_types =
        json!({ "commands": 5, "statement": [], "telemetry_id": {}, "eui": 7, "number": "x" }).to_string();
    let truncated = &wrong_types[..wrong_types.len() / 2];
    let garbage: [&[u8]; 8] = [
        b"",
        b"\0\xff\xfe",
        b"null",
        b"[]",
        truncated.as_bytes(),
        wrong_types.as_bytes(),
        deep.as_bytes(),
        &huge,
    ];
    for leaf in ["down", "telemetry", "report", "presence"] {
        for payload in garbage {
            site.publish(&format!("keros/v1/{EUI}/{leaf}"), payload)?;
        }
    }
    for topic in ["keros/v1/nobody/telemetry", "keros/v1/7076ff0000000001/report", "keros/v1/x/y/presence"] {
        let _ = site.publish(topic, b"{}");
    }
    site.still_works("after")?;
    assert!(
        site.gateway.log().contains("a Downlink that cannot be read"),
        "the agent has logged it:\n{}",
        site.gateway.log()
    );
    drop(site.folder);
    Ok(())
}
