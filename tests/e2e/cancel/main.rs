//! Cancelling at each moment of a command's life: the center's answer says what is known, the gateway's outcome what came of it, and
//! no task runs that need not.

mod by_root;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use keros_tests::{
    Broker, Center, Gateway, GatewayOptions, KEROS_6, Mosquitto, MosquittoMode, mosquitto_client, wait_for,
};
use serde_json::{Value, json};

const EUI: &str = "7076FF0000000001";

struct Site {
    broker: Mosquitto,
    center: Center,
    gateway: Gateway,
    folder: PathBuf,
}

impl Site {
    fn start(folder: &Path) -> Result<Self> {
        Self::start_with(folder, "")
    }

    /// With these lines in the agent's configuration.
    fn start_with(folder: &Path, more: &str) -> Result<Self> {
        let mut site = Self::prepare(folder, more)?;
        site.gateway.restart()?;
        site.center.wait_for_telemetry(&[EUI])?;
        Ok(site)
    }

    /// The agent is not there yet; the gateway is known.
    fn without_agent(folder: &Path) -> Result<Self> {
        Self::prepare(folder, "")
    }

    fn prepare(folder: &Path, more: &str) -> Result<Self> {
        let broker = Mosquitto::start(&folder.join("broker"), MosquittoMode::Open)?;
        let center = Center::start(&folder.join("center"), Broker::External(broker.port, vec![]))?;
        center.post("/gateways", &json!({ "eui": EUI }))?;
        let trust = center.keys().join("trust");
        let more = more.to_owned();
        let options = GatewayOptions { port: broker.port, trust, more, ..GatewayOptions::default() };
        let gateway = Gateway::prepare(&folder.join("gateway"), EUI, KEROS_6, &options)?;
        Ok(Self { broker, center, gateway, folder: folder.to_owned() })
    }

    /// Sends a script whose tasks write their numbers; those named in `gated` go on when [`Site::open_gate`] says so.
    fn send(&self, group: &str, tasks: u32, gated: &[u32], options: &Value) -> Result<String> {
        let mut script = "- name: steps\n  groups: [all]\n  tasks:\n".to_owned();
        script.push_str("    - !copy { name: file, content: \"new\\n\", dest: /etc/made }\n");
        for n in 1..=tasks {
            let gate = if gated.contains(&n) {
                format!("; while [ ! -e {} ]; do sleep 0.05; done", self.gate(group).display())
            } else {
                String::new()
            };
            script.push_str(&format!(
                "    - !shell {{ name: t{n}, cmd: 'echo {n} >> \"$KEROS_ROOT/{group}\"{gate}' }}\n"
            ));
        }
        self.center.post("/groups", &json!({ "name": group, "gateways": [EUI] }))?;
        let job = json!({ "kind": "jetporch", "script": script });
        let order = json!({ "group": group, "job": job, "options": options });
        let update = self.center.post("/updates", &order)?;
        Ok(update["update_id"].as_str().context("an update has an id")?.to_owned())
    }

    fn gate(&self, group: &str) -> PathBuf {
        self.folder.join(format!("gate-{group}"))
    }

    fn open_gate(&self, group: &str) -> Result<()> {
        Ok(std::fs::write(self.gate(group), "")?)
    }

    /// The numbers that the tasks have written.
    fn done(&self, group: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.gateway.root.join(group)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn until_done(&self, group: &str, tasks: usize) -> Result<()> {
        let what = format!("{tasks} tasks of {group} have begun");
        wait_for(&what, || Ok((self.done(group).len() >= tasks).then_some(())))
    }

    fn line(&self, update_id: &str) -> Result<Value> {
        Ok(self.center.get(&format!("/updates/{update_id}"))?["gateways"][0].clone())
    }

    fn until_outcome(&self, update_id: &str, status: &str) -> Result<()> {
        wait_for(&format!("the center knows {status}"), || {
            Ok((self.line(update_id)?["outcome"]["status"] == status).then_some(()))
        })
    }

    /// Cancels, and gives the answer for the gateway.
    fn cancel(&self, update_id: &str) -> Result<Value> {
        let answer = self.center.post(&format!("/updates/{update_id}/cancel"), &json!({}))?;
        Ok(answer["gateways"][0].clone())
    }

    fn end(&self, update_id: &str) -> Result<Value> {
        let update = self.center.wait_for_end(update_id).with_context(|| {
            format!("--- agent\n{}\n--- center\n{}", self.gateway.log(), self.center.log())
        })?;
        Ok(update["gateways"][0]["outcome"].clone())
    }

    /// A telemetry in the gateway's name, whose answer nobody hears.
    fn telemetry_by_hand(&self) -> Result<()> {
        let telemetry = json!({
            "telemetry_id": uuid::Uuid::now_v7(), "eui": EUI, "protocol_version": 1, "agent_version": "by hand",
            "time_unix_s": 5, "clock": "synchronised",
        });
        let mut command = mosquitto_client("mosquitto_pub", self.broker.port)?;
        command.args(["-q", "1", "-s", "-t", &format!("keros/v1/{EUI}/telemetry")]);
        let mut child = command.stdin(Stdio::piped()).spawn()?;
        child.stdin.take().context("a pipe")?.write_all(telemetry.to_string().as_bytes())?;
        ensure!(child.wait()?.success(), "mosquitto_pub failed");
        Ok(())
    }
}

#[test]
fn what_waits_is_never_delivered_by_the_command_line() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut site = Site::without_agent(folder.path())?;
    let update_id = site.send("waits", 1, &[], &json!({}))?;
    let text = site.center.command_line(&["update", "cancel", &update_id, "--gateway", EUI, "--yes"])?;
    ensure!(text.contains("never delivered"), "{text}");
    let update = site.center.get(&format!("/updates/{update_id}"))?;
    ensure!(update["state"] == "cancelled" && update["ended"] == true, "{update:#}");
    // The next one goes, and the cancelled one does not go with it.
    site.gateway.restart()?;
    site.center.wait_for_telemetry(&[EUI])?;
    let next = site.send("next", 1, &[], &json!({ "confirm_window_s": 0 }))?;
    ensure!(site.end(&next)?["status"] == "succeeded");
    let line = site.line(&update_id)?;
    ensure!(
        line["delivery"] == "cancelled" && line["times_sent"] == 0 && line.get("outcome").is_none(),
        "{line:#}"
    );
    ensure!(site.done("waits").is_empty());
    Ok(())
}

#[test]
fn what_was_sent_and_not_received_is_received_and_cancelled_without_a_start() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut site = Site::without_agent(folder.path())?;
    let update_id = site.send("sent", 1, &[], &json!({}))?;
    site.telemetry_by_hand()?;
    wait_for("it is sent", || Ok((site.line(&update_id)?["delivery"] == "sent").then_some(())))?;
    let answer = site.cancel(&update_id)?;
    ensure!(answer["answer"] == "asked" && answer["delivery"] == "sent", "{answer:#}");
    site.gateway.restart()?;
    let outcome = site.end(&update_id)?;
    ensure!(outcome["status"] == "cancelled" && outcome.get("task").is_none(), "{outcome:#}");
    ensure!(site.line(&update_id)?["delivery"] == "received");
    ensure!(site.done("sent").is_empty());
    Ok(())
}

#[test]
fn what_waits_for_its_turn_on_the_gateway_is_not_started() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Site::start(folder.path())?;
    let first = site.send("first", 1, &[1], &json!({ "confirm_window_s": 0 }))?;
    site.until_done("first", 1)?;
    let second = site.send("second", 1, &[], &json!({}))?;
    site.until_outcome(&second, "accepted")?;
    let answer = site.cancel(&second)?;
    ensure!(answer["answer"] == "asked" && answer["outcome"]["status"] == "accepted", "{answer:#}");
    let outcome = site.end(&second)?;
    ensure!(outcome["status"] == "cancelled" && outcome.get("task").is_none(), "{outcome:#}");
    site.open_gate("first")?;
    ensure!(site.end(&first)?["status"] == "succeeded");
    ensure!(site.done("second").is_empty());
    Ok(())
}

#[test]
fn what_runs_stops_behind_the_task_under_way() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Site::start(folder.path())?;
    let update_id = site.send("runs", 4, &[2], &json!({ "confirm_window_s": 0 }))?;
    site.until_done("runs", 2)?;
    site.until_outcome(&update_id, "running")?;
    let answer = site.cancel(&update_id)?;
    ensure!(answer["answer"] == "asked" && answer["outcome"]["status"] == "running", "{answer:#}");
    wait_for("the executor has heard of it", || {
        Ok(site.gateway.log().contains("it stops after the task under way").then_some(()))
    })?;
    site.open_gate("runs")?;
    let outcome = site.end(&update_id)?;
    // The file is task 1.
    ensure!(outcome["status"] == "cancelled" && outcome["task"]["number"] == 3, "{outcome:#}");
    ensure!(site.done("runs") == ["1", "2"], "{:?}", site.done("runs"));
    let answer = site.cancel(&update_id)?;
    ensure!(answer["answer"] == "too_late" && answer["outcome"]["status"] == "cancelled", "{answer:#}");
    Ok(())
}

#[test]
fn what_is_provisional_is_rolled_back_at_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut site = Site::start(folder.path())?;
    let update_id = site.send("provisional", 1, &[1], &json!({ "confirm_window_s": 3600 }))?;
    site.until_done("provisional", 1)?;
    site.until_outcome(&update_id, "running")?;
    ensure!(site.gateway.root.join("etc/made").exists());
    // Out of reach the job ends; the center, which still knows it as running, is told to cancel it.
    site.broker.kill()?;
    let answer = site.cancel(&update_id)?;
    ensure!(answer["answer"] == "asked" && answer["outcome"]["status"] == "running", "{answer:#}");
    site.open_gate("provisional")?;
    wait_for("the job waits for its confirmation", || {
        let (_, text) = site.gateway.technician(&["jobs"])?;
        Ok(text.contains("confirming").then_some(()))
    })?;
    site.broker.restart()?;
    let outcome = site.end(&update_id)?;
    ensure!(outcome["status"] == "rolled_back", "{outcome:#}");
    ensure!(outcome["reason"].as_str().is_some_and(|reason| reason.contains("cancel")), "{outcome:#}");
    ensure!(!site.gateway.root.join("etc/made").exists(), "the file is still there: {outcome:#}");
    Ok(())
}

#[test]
fn what_has_ended_out_of_reach_keeps_its_outcome() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut site = Site::start(folder.path())?;
    let update_id = site.send("ended", 1, &[1], &json!({ "confirm_window_s": 0 }))?;
    site.until_done("ended", 1)?;
    site.until_outcome(&update_id, "running")?;
    site.broker.kill()?;
    ensure!(site.cancel(&update_id)?["answer"] == "asked");
    site.open_gate("ended")?;
    wait_for("the job has ended", || {
        let (_, text) = site.gateway.technician(&["jobs"])?;
        Ok(text.contains("succeeded").then_some(()))
    })?;
    site.broker.restart()?;
    ensure!(site.end(&update_id)?["status"] == "succeeded");
    let answer = site.cancel(&update_id)?;
    ensure!(answer["answer"] == "too_late" && answer["outcome"]["status"] == "succeeded", "{answer:#}");
    Ok(())
}
