//! The same tasks as a Magic Link: their texts are files of a bundle that is too large to be fetched at once.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use keros_tests::{Answer, Bundle, Center, HOST_SEEN_FROM_VM, StandIn};
use serde_json::json;

use crate::job::{Job, TASKS, content};

/// What the agent writes at most between two moments at which it makes sure that a part is durable, twice over.
const WEIGHT_BYTES: usize = 10 * 1024 * 1024;
/// So that the bundle takes some seconds, in which the power can be cut.
pub(crate) const SETTINGS: &str = "magic_links: { allow_http: true, rate_limit_kib_s: 2048 }\n";

/// A bundle that was sent, and where it is fetched from.
pub(crate) struct Sent {
    bundle: Bundle,
    source: StandIn,
    pub(crate) update: String,
}

impl Sent {
    /// Sends a round's tasks to the group.
    pub(crate) fn send(center: &Center, folder: &Path, group: &str, eui: &str, round: u64) -> Result<Self> {
        let weight: Vec<u8> = (0..WEIGHT_BYTES as u64).map(|n| ((n * (2 * round + 1)) >> 3) as u8).collect();
        let script = Job::Link.script(round);
        let texts: Vec<(String, String)> = (2..=TASKS)
            .step_by(2)
            .map(|number| (format!("files/{number}.conf"), content(round, number)))
            .collect();
        let mut files: Vec<(&str, &[u8])> = vec![("site.yml", script.as_bytes()), ("weight", &weight)];
        files.extend(texts.iter().map(|(title, text)| (title.as_str(), text.as_bytes())));
        let bundle = Bundle::write(&folder.join(group), &[eui], &files)?;
        let blobs = bundle.layout.join("blobs/sha256");
        let source = StandIn::start(move |asked| {
            let hex = asked.path.rsplit(':').next().unwrap_or_default();
            std::fs::read(blobs.join(hex)).map_or(Answer::Status(404), Answer::Bytes)
        })?;
        center.post("/groups", &json!({ "name": group, "gateways": [eui] }))?;
        let url = format!("http://{HOST_SEEN_FROM_VM}:{}/v2/links/rig", source.port);
        let job = json!({ "kind": "magic_link", "digest": bundle.digest, "source": url });
        let order = json!({ "group": group, "job": job, "options": Job::Link.options() });
        let update = center.post("/updates", &order)?;
        let update = update["update_id"].as_str().context("an update has an id")?.to_owned();
        Ok(Self { bundle, source, update })
    }

    /// The path of what has come of the weight, on the gateway.
    pub(crate) fn part(&self) -> String {
        format!("/var/lib/keros-agent/bundles/partial/{}", self.bundle.manifest.files[1].blob.digest.hex())
    }

    /// Where each request for the weight began.
    pub(crate) fn begins(&self) -> Vec<u64> {
        let digest = self.bundle.manifest.files[1].blob.digest.to_string();
        let asked = self.source.asked();
        asked.iter().filter(|asked| asked.path.ends_with(&digest)).map(|asked| asked.from).collect()
    }

    /// What was durable before the cut is not fetched again: at least this many bytes.
    pub(crate) fn went_on_from(&self, durable: u64) -> Result<()> {
        let begins = self.begins();
        ensure!(begins.last().is_some_and(|from| *from >= durable), "{durable} bytes were there: {begins:?}");
        Ok(())
    }
}
