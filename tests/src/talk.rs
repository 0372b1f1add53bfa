//! What gateways say and are told, as a listener at the broker hears it.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use keros_protocol::{Downlink, ReportPosition, Statement};
use serde_json::Value;

use crate::{Process, mosquitto_client};

/// A listener, until it is dropped.
#[derive(Debug)]
pub struct Talk {
    process: Process,
}

impl Talk {
    /// Begins to listen at the broker on this port of 127.0.0.1; what it hears goes into `file`.
    ///
    /// # Errors
    /// When Debian's `mosquitto_sub` is not installed.
    pub fn listen(port: u16, file: &Path) -> Result<Self> {
        let mut command = mosquitto_client("mosquitto_sub", port)?;
        command.args(["-q", "1", "-F", "%t %p", "-t", "keros/v1/+/telemetry", "-t", "keros/v1/+/down"]);
        Ok(Self { process: Process::start(&mut command, file)? })
    }

    /// The payloads of one kind, each with its gateway; one that is being written is left out.
    fn heard(&self, leaf: &str) -> Vec<(String, String)> {
        let log = self.process.log();
        let whole = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let of_leaf = whole.filter_map(|line| {
            let (topic, payload) = line.trim_end().split_once(' ')?;
            let eui = topic.strip_prefix("keros/v1/")?.strip_suffix(leaf)?;
            Some((eui.trim_end_matches('/').to_owned(), payload.to_owned()))
        });
        of_leaf.collect()
    }

    /// The reports up to which gateways were told that all is kept: EUI, stream and number, with blanks between.
    ///
    /// # Errors
    /// When a center has said what makes no sense.
    pub fn acknowledged(&self) -> Result<BTreeSet<String>> {
        let mut all = BTreeSet::new();
        for (eui, payload) in self.heard("down") {
            let downlink: Downlink = serde_json::from_str(&payload)?;
            let Some(envelope) = downlink.statement else { continue };
            let payload = envelope.unverified_payload().context("a statement has a payload")?;
            let statement: Statement = serde_json::from_slice(&payload)?;
            let told = |position: ReportPosition| format!("{eui} {} {}", position.stream, position.number);
            all.extend(statement.last_report.map(told));
            ensure!(statement.eui.to_string() == eui, "{eui} was told what is for {}", statement.eui);
        }
        Ok(all)
    }

    /// How many messages gateways were sent.
    #[must_use]
    pub fn told(&self) -> usize {
        self.heard("down").len()
    }

    /// The telemetries that nobody has answered.
    ///
    /// # Errors
    /// When somebody has said what makes no sense.
    pub fn unanswered(&self) -> Result<BTreeSet<String>> {
        let id = |payload: &str| -> Result<Option<String>> {
            let value: Value = serde_json::from_str(payload)?;
            Ok(value["telemetry_id"].as_str().map(str::to_owned))
        };
        let mut open = BTreeSet::new();
        for (_, payload) in self.heard("telemetry") {
            open.extend(id(&payload)?);
        }
        for (_, payload) in self.heard("down") {
            if let Some(id) = id(&payload)? {
                open.remove(&id);
            }
        }
        Ok(open)
    }
}
