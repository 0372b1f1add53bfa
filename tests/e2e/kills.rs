//! SIGKILL for each program at ten moments of a command: one terminal status, and it is true; no task ever runs twice.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use keros_tests::{Broker, Center, Gateway, GatewayOptions, KEROS_6, Mosquitto, MosquittoMode, wait_for};
use serde_json::Value;

const EUI: &str = "7076FF0000000001";

/// Moments: right after sending, and after each of the first nine tasks has done its work.
const MOMENTS: usize = 10;
const TASKS: usize = 12;

/// Everything that a command needs.
struct Site {
    /// A process of its own, so that it can be killed alone; none where the center has its own broker.
    broker: Option<Mosquitto>,
    center: Center,
    gateway: Gateway,
}

impl Site {
    fn start(folder: &Path) -> Result<Self> {
        let broker = Mosquitto::start(&folder.join("broker"), MosquittoMode::Open)?;
        let center = Center::start(&folder.join("center"), Broker::External(broker.port, vec![]))?;
        let trust = center.keys().join("trust");
        let options = GatewayOptions { port: broker.port, trust, ..GatewayOptions::default() };
        let gateway = Gateway::start(&folder.join("gateway"), EUI, KEROS_6, &options)?;
        center.wait_for_telemetry(&[EUI])?;
        Ok(Self { broker: Some(broker), center, gateway })
    }

    /// With the center's embedded broker: when one is killed, so is the other.
    fn start_embedded(folder: &Path) -> Result<Self> {
        let center = Center::start(&folder.join("center"), Broker::Embedded)?;
        let options = GatewayOptions {
            port: center.mqtt_port(),
            trust: center.keys().join("trust"),
            password: center.gateway_password(EUI)?,
            ..GatewayOptions::default()
        };
        let gateway = Gateway::start(&folder.join("gateway"), EUI, KEROS_6, &options)?;
        center.wait_for_telemetry(&[EUI])?;
        Ok(Self { broker: None, center, gateway })
    }

    /// Sends the script, waits for the moment, strikes, waits for the end: what the center says, and what was done.
    fn strike(
        &mut self,
        moment: usize,
        strike: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<(Value, Vec<String>)> {
        let _ = std::fs::remove_file(self.gateway.root.join("done"));
        let update_id = self.center.send(&format!("moment-{moment}"), &[EUI], &script())?;
        if moment > 0 {
            wait_for(&format!("task {moment} has done its work"), || {
                Ok((self.done().len() >= moment).then_some(()))
            })?;
        }
        strike(self)?;
        let update = self.center.wait_for_end(&update_id).with_context(|| {
            format!("--- agent\n{}\n--- center\n{}", tail(&self.gateway.log()), tail(&self.center.log()))
        })?;
        Ok((update["gateways"][0]["outcome"].clone(), self.done()))
    }

    fn done(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.gateway.root.join("done")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// Each task writes its number, then takes a moment.
fn script() -> String {
    let task =
        |n| format!("    - !shell {{ name: t{n}, cmd: 'echo {n} >> \"$KEROS_ROOT/done\"; sleep 0.1' }}\n");
    let tasks: String = (1..=TASKS).map(task).collect();
    format!("- name: twelve steps\n  groups: [all]\n  tasks:\n{tasks}")
}

/// The tasks ran in order, each once.
fn in_order(done: &[String]) -> bool {
    done.iter().enumerate().all(|(index, line)| *line == (index + 1).to_string())
}

/// Whoever else is killed, the job itself is untouched: it succeeds, and every task ran exactly once.
fn job_survives(
    start: impl FnOnce(&Path) -> Result<Site>,
    strike: impl Fn(&mut Site) -> Result<()>,
) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut site = start(folder.path())?;
    for moment in 0..MOMENTS {
        let (outcome, done) = site.strike(moment, &strike)?;
        ensure!(outcome["status"] == "succeeded", "moment {moment}: {outcome:#}");
        ensure!(done.len() == TASKS && in_order(&done), "moment {moment}: {done:?}");
    }
    Ok(())
}

#[test]
fn the_job_succeeds_when_the_agent_is_killed() -> Result<()> {
    job_survives(Site::start, |site| {
        site.gateway.kill()?;
        site.gateway.restart()
    })
}

#[test]
fn the_job_succeeds_when_the_center_is_killed() -> Result<()> {
    job_survives(Site::start, |site| {
        site.center.kill()?;
        site.center.restart()
    })
}

#[test]
fn the_job_succeeds_when_the_broker_is_killed() -> Result<()> {
    job_survives(Site::start, |site| {
        let broker = site.broker.as_mut().context("this site has a broker of its own")?;
        broker.kill()?;
        broker.restart()
    })
}

#[test]
fn the_job_succeeds_when_the_center_is_killed_together_with_its_embedded_broker() -> Result<()> {
    job_survives(Site::start_embedded, |site| {
        site.center.kill()?;
        site.center.restart()
    })
}

#[test]
fn the_job_is_interrupted_at_the_task_under_way_when_the_executor_is_killed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut site = Site::start(folder.path())?;
    for moment in 0..MOMENTS {
        let (outcome, done) = site.strike(moment, |site| {
            wait_for("an executor was killed", || Ok((site.gateway.kill_executor()? > 0).then_some(())))
        })?;
        ensure!(in_order(&done), "moment {moment}: {done:?}");
        if outcome["status"] == "succeeded" {
            // It was killed before it had started anything, and then run for the first time.
            ensure!(moment == 0 && done.len() == TASKS, "moment {moment}: {outcome:#} {done:?}");
            continue;
        }
        ensure!(outcome["status"] == "interrupted", "moment {moment}: {outcome:#}");
        let under_way = usize::try_from(outcome["task"]["number"].as_u64().unwrap_or(0))?;
        let may_have_done = under_way.saturating_sub(1)..=under_way;
        ensure!(may_have_done.contains(&done.len()), "moment {moment}: {outcome:#} but done: {done:?}");
    }
    Ok(())
}

#[test]
fn power_loss_of_the_whole_gateway_is_interrupted_or_run_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut site = Site::start(folder.path())?;
    for moment in 0..MOMENTS {
        let (outcome, done) = site.strike(moment, |site| {
            site.gateway.kill()?;
            site.gateway.kill_executor()?;
            site.gateway.restart()
        })?;
        ensure!(in_order(&done), "moment {moment}: {done:?}");
        let whole = outcome["status"] == "succeeded" && done.len() == TASKS;
        ensure!(whole || outcome["status"] == "interrupted", "moment {moment}: {outcome:#} {done:?}");
        ensure!(moment == 0 || !whole, "moment {moment}: a job that was cut off cannot have succeeded");
    }
    Ok(())
}
