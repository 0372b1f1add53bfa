//! A center with its own broker and registry, and gateways that trust it: all over TLS.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{Broker, Center, Gateway, GatewayOptions, Pki, free_port};

/// All of it in one folder.
#[derive(Debug)]
pub struct Fleet {
    /// They come first, so that they end first.
    pub gateways: Vec<Gateway>,
    /// The center.
    pub center: Center,
    /// Whom everybody trusts.
    pub pki: Pki,
    folder: tempfile::TempDir,
}

impl Fleet {
    /// Starts the center, and a gateway for each EUI and KerOS version.
    ///
    /// # Errors
    /// When something does not come up.
    pub fn start(gateways: &[(&str, &str)]) -> Result<Self> {
        Self::start_with(gateways, &GatewayOptions::default())
    }

    /// As [`Fleet::start`]; the broker's address, keys and passwords are added to the options.
    ///
    /// # Errors
    /// When something does not come up.
    pub fn start_with(gateways: &[(&str, &str)], options: &GatewayOptions) -> Result<Self> {
        let registry = ["--registry-tls".to_owned(), format!("127.0.0.1:{}", free_port()?)];
        Self::start_registry(gateways, options, &registry)
    }

    /// As [`Fleet::start_with`], with these arguments for the center's registry.
    ///
    /// # Errors
    /// When something does not come up.
    pub fn start_registry(
        gateways: &[(&str, &str)],
        options: &GatewayOptions,
        registry: &[String],
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let pki = Pki::new(&folder.path().join("pki"))?;
        let (cert, key) = pki.issue("center", "localhost")?;
        let broker = Broker::EmbeddedTls(cert, key);
        let center = Center::start_with(&folder.path().join("center"), broker, registry.to_vec())?;
        let mut fleet = Self { gateways: Vec::new(), center, pki, folder };
        for (eui, keros) in gateways {
            let options = GatewayOptions {
                port: fleet.center.mqtt_port(),
                trust: fleet.center.keys().join("trust"),
                password: fleet.center.gateway_password(eui)?,
                ca: Some(fleet.pki.path("ca.pem")),
                ..options.clone()
            };
            fleet.gateways.push(Gateway::start(&fleet.path(eui), eui, keros, &options)?);
        }
        let euis: Vec<&str> = gateways.iter().map(|(eui, _)| *eui).collect();
        fleet.center.wait_for_telemetry(&euis)?;
        Ok(fleet)
    }

    /// A path in its folder, which is removed at the end.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sends a Magic Link to all gateways; without a source it is the center's own.
    ///
    /// # Errors
    /// When the center refuses.
    pub fn send_link(&self, group: &str, hash: &str, source: Option<&str>) -> Result<String> {
        self.send_link_for(group, hash, source, 3600)
    }

    /// As [`Fleet::send_link`]; it may be started for so long.
    ///
    /// # Errors
    /// When the center refuses.
    pub fn send_link_for(
        &self,
        group: &str,
        hash: &str,
        source: Option<&str>,
        expires_in_s: u64,
    ) -> Result<String> {
        let euis: Vec<&str> = self.gateways.iter().map(|gateway| gateway.eui.as_str()).collect();
        self.center.post("/groups", &json!({ "name": group, "gateways": euis }))?;
        let mut job = json!({ "kind": "magic_link", "digest": hash });
        if let Some(source) = source {
            job["source"] = json!(source);
        }
        let options = json!({ "confirm_window_s": 0 });
        let order = json!({ "group": group, "job": job, "options": options, "expires_in_s": expires_in_s });
        let update = self.center.post("/updates", &order)?;
        Ok(update["update_id"].as_str().context("an update has an id")?.to_owned())
    }

    /// Waits for the end of an update; for each gateway its outcome.
    ///
    /// # Errors
    /// After the limit, with what the agents logged.
    pub fn outcomes(&self, update: &str) -> Result<BTreeMap<String, Value>> {
        let update = self.center.wait_for_end(update).with_context(|| self.logs())?;
        let gateways = update["gateways"].as_array().context("an update has gateways")?;
        Ok(gateways
            .iter()
            .map(|line| (line["eui"].as_str().unwrap_or_default().to_owned(), line["outcome"].clone()))
            .collect())
    }

    /// As [`Fleet::outcomes`], each in a word or two: `succeeded`, `refused: not_declared`.
    ///
    /// # Errors
    /// After the limit, with what the agents logged.
    pub fn ends(&self, update: &str) -> Result<BTreeMap<String, String>> {
        let outcomes = self.outcomes(update)?;
        Ok(outcomes.into_iter().map(|(eui, outcome)| (eui, in_a_word(&outcome))).collect())
    }

    fn logs(&self) -> String {
        self.gateways.iter().map(|gateway| format!("--- {}\n{}\n", gateway.eui, gateway.log())).collect()
    }
}

fn in_a_word(outcome: &Value) -> String {
    let status = outcome["status"].as_str().unwrap_or("none");
    match outcome["reason"].as_str() {
        Some(reason) => format!("{status}: {reason}"),
        None => status.to_owned(),
    }
}
