//! The agent's state is damaged while a command is under way: the center hears the one true end all the same.

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use keros_tests::{
    Broker, Center, Gateway, GatewayOptions, KEROS_6, ensure_true, steps_script_with, wait_for,
};
use serde_json::{Value, json};

const EUI: &str = "7076FF0000000001";
const TASKS: u64 = 3;
/// The second task waits for this file.
const HOLD: &str = "while [ ! -e \"$KEROS_ROOT/leave\" ]; do sleep 0.1; done";

struct Site {
    gateway: Gateway,
    center: Center,
    state: PathBuf,
    _folder: tempfile::TempDir,
}

impl Site {
    fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let center = Center::start(&folder.path().join("center"), Broker::Embedded)?;
        let place = folder.path().join("gateway");
        let options = GatewayOptions {
            port: center.mqtt_port(),
            trust: center.keys().join("trust"),
            password: center.gateway_password(EUI)?,
            ..GatewayOptions::default()
        };
        let gateway = Gateway::start(&place, EUI, KEROS_6, &options)?;
        center.wait_for_telemetry(&[EUI])?;
        center.post("/groups", &json!({ "name": "g", "gateways": [EUI] }))?;
        Ok(Self { gateway, center, state: place.join("state/state.json"), _folder: folder })
    }

    fn update(&self, update: &str) -> Result<Value> {
        self.center.get(&format!("/updates/{update}"))
    }

    fn done(&self) -> usize {
        fs::read_to_string(self.gateway.root.join("done")).unwrap_or_default().lines().count()
    }

    fn wait_for_done(&self, tasks: usize) -> Result<()> {
        wait_for("so many tasks are done", || Ok((self.done() >= tasks).then_some(())))
    }

    fn release(&self) -> Result<()> {
        Ok(fs::write(self.gateway.root.join("leave"), "")?)
    }

    /// The command runs, and the center knows it; then the agent is killed.
    fn begin(&mut self, expires_in_s: u64) -> Result<String> {
        let _ = fs::remove_file(self.gateway.root.join("leave"));
        let job = json!({ "kind": "jetporch", "script": steps_script_with(TASKS, HOLD) });
        let order = json!({
            "group": "g", "job": job, "options": { "confirm_window_s": 0 }, "expires_in_s": expires_in_s,
        });
        let update = self.center.post("/updates", &order)?;
        let update = update["update_id"].as_str().context("an update has an id")?.to_owned();
        self.wait_for_done(1)?;
        wait_for("the center knows that it runs", || {
            let status = self.update(&update)?["gateways"][0]["outcome"]["status"].clone();
            Ok((status == "running").then_some(()))
        })?;
        self.gateway.kill()?;
        Ok(update)
    }

    /// The agent starts with a state that it cannot read.
    fn start_damaged(&mut self) -> Result<()> {
        let bytes = fs::read(&self.state)?;
        fs::write(&self.state, &bytes[..bytes.len() / 2])?;
        self.gateway.restart()
    }

    /// The end that the center was told: it is true, and the only one.
    fn end(&self, update: &str) -> Result<Value> {
        let told = self.center.wait_for_end(update).with_context(|| self.gateway.log())?;
        let line = &told["gateways"][0];
        ensure_true(&line["outcome"], TASKS, &self.gateway.root).with_context(|| self.gateway.log())?;
        ensure!(line["delivery"] == "received" && line["times_sent"] == 1, "nothing went back: {line:#}");
        Ok(line["outcome"].clone())
    }
}

#[test]
fn a_command_that_runs_while_the_state_is_lost_has_its_true_end() -> Result<()> {
    let mut site = Site::start()?;
    let update = site.begin(3600)?;
    site.start_damaged()?;
    wait_for("the executor has told the new agent that it runs", || {
        let told = site.gateway.technician(&["jobs", "--json"])?.1;
        Ok(told.contains("running").then_some(()))
    })?;
    site.release()?;
    let outcome = site.end(&update)?;
    ensure!(outcome["status"] == "succeeded", "{outcome:#}");
    Ok(())
}

#[test]
fn what_had_ended_was_cancelled_or_expired_when_the_state_was_lost_is_told_as_it_ended() -> Result<()> {
    let mut site = Site::start()?;
    for (name, expires_in_s) in [("ended", 3600), ("cancelled", 3600), ("expired", 15)] {
        let update = site.begin(expires_in_s)?;
        site.release()?;
        site.wait_for_done(3)?;
        if name == "cancelled" {
            site.center.post(&format!("/updates/{update}/cancel"), &json!({}))?;
        }
        let expires_at = site.update(&update)?["expires_at_unix_s"].as_u64().context("it expires")?;
        if name == "expired" {
            wait_for("its time is over", || {
                let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
                Ok((now > expires_at).then_some(()))
            })?;
        }
        site.start_damaged()?;
        let outcome = site.end(&update).with_context(|| name)?;
        ensure!(outcome["status"] == "succeeded", "{name}: {outcome:#}");
    }
    Ok(())
}
