//! Every report on its way to the center, overheard at the broker.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use crate::{Mosquitto, Process, mosquitto_client, wait_for};

/// Listens at a mosquitto until it is dropped.
#[derive(Debug)]
pub struct Reports {
    heard: PathBuf,
    _listener: Process,
}

impl Reports {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the broker does not let it.
    pub fn listen(folder: &Path, broker: &Mosquitto) -> Result<Self> {
        let heard = folder.join("reports.jsonl");
        let before = subscriptions(broker);
        let mut command = mosquitto_client("mosquitto_sub", broker.port)?;
        let listener = Process::start(command.args(["-q", "1", "-t", "keros/v1/+/report"]), &heard)?;
        let reports = Self { heard, _listener: listener };
        wait_for("the listener has subscribed", || Ok((subscriptions(broker) > before).then_some(())))?;
        Ok(reports)
    }

    /// The terminal reports about an update's commands: for each command, what it was told under which number. One that was
    /// sent again is one all the same.
    ///
    /// # Errors
    /// When something else than a report was heard.
    pub fn terminals(&self) -> Result<BTreeMap<String, BTreeMap<String, Value>>> {
        let mut terminals: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
        for line in self.text().lines().filter(|line| line.starts_with('{')) {
            let Ok(report) = serde_json::from_str::<Value>(line) else { continue };
            let status = report["status"].as_str().unwrap_or_default();
            if ["received", "accepted", "running", "confirming"].contains(&status) {
                continue;
            }
            let command = report["command_id"].as_str().unwrap_or_default().to_owned();
            let place = format!("{} {}", report["stream"], report["number"]);
            terminals.entry(command).or_default().insert(place, report);
        }
        Ok(terminals)
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.heard).unwrap_or_default()
    }
}

fn subscriptions(broker: &Mosquitto) -> usize {
    broker.log().matches("Sending SUBACK").count()
}
