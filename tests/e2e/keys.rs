//! The center's keys are switched by jobs: new ones are added, the center signs with them, the old ones are removed. A job that would leave
//! the gateway without a key that its center has is undone.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use keros_tests::{
    Broker, Center, Gateway, GatewayOptions, KEROS_6, Mosquitto, MosquittoMode, keros_program, run_ok,
};
use serde_json::{Value, json};

const EUI: &str = "7076FF0000000001";
const TRUST: &str = "/etc/keros-agent/trust";

struct Site {
    center: Center,
    gateway: Gateway,
    _broker: Mosquitto,
}

impl Site {
    fn start(folder: &Path) -> Result<Self> {
        let broker = Mosquitto::start(&folder.join("broker"), MosquittoMode::Open)?;
        let center = Center::start(&folder.join("center"), Broker::External(broker.port, vec![]))?;
        // Where jobs find it on a gateway.
        let trust = folder.join("gateway/root").join(TRUST.trim_start_matches('/'));
        fs::create_dir_all(&trust)?;
        for key in fs::read_dir(center.keys().join("trust"))? {
            let key = key?;
            fs::copy(key.path(), trust.join(key.file_name()))?;
        }
        let options = GatewayOptions { port: broker.port, trust, ..GatewayOptions::default() };
        let gateway = Gateway::start(&folder.join("gateway"), EUI, KEROS_6, &options)?;
        center.wait_for_telemetry(&[EUI])?;
        Ok(Self { center, gateway, _broker: broker })
    }

    /// Sends these tasks, and gives the outcome.
    fn job(&self, name: &str, tasks: &[String], window_s: u32) -> Result<Value> {
        let tasks: String = tasks.iter().map(|task| format!("    - {task}\n")).collect();
        let script = format!("- name: {name}\n  groups: [all]\n  tasks:\n{tasks}");
        let options = json!({ "confirm_window_s": window_s });
        let update = self.center.send_with(name, &[EUI], &script, &options)?;
        let update = self.center.wait_for_end(&update).with_context(|| self.gateway.log())?;
        Ok(update["gateways"][0]["outcome"].clone())
    }

    fn keys(&self) -> Result<Vec<String>> {
        let folder = self.gateway.root.join(TRUST.trim_start_matches('/'));
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }
}

/// The public keys in a folder that `keys generate` has made: names and texts.
fn public(keys: &Path) -> Result<Vec<(String, String)>> {
    let entries = fs::read_dir(keys.join("trust"))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().context("a name")?.to_string_lossy().into_owned();
        found.push((name, fs::read_to_string(&path)?));
    }
    found.sort();
    Ok(found)
}

fn add((name, text): &(String, String)) -> String {
    format!("!copy {{ content: \"{}\", dest: {TRUST}/{name} }}", text.replace('\n', "\\n"))
}

fn remove((name, _): &(String, String)) -> String {
    format!("!file {{ path: {TRUST}/{name}, remove: true }}")
}

fn generate(folder: &Path) -> Result<Vec<(String, String)>> {
    run_ok(&keros_program("keros-center")?, ["keys", "generate", "--folder", &folder.to_string_lossy()])?;
    public(folder)
}

#[test]
fn keys_are_switched_by_jobs_and_the_last_one_cannot_be_taken_away() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut site = Site::start(folder.path())?;
    let old = public(&site.center.keys())?;
    let fresh = folder.path().join("fresh");
    let new = generate(&fresh)?;

    // Before its time: the center has no other key that this gateway knows.
    let told = site.job("too-early", &old.iter().map(remove).collect::<Vec<_>>(), 600)?;
    ensure!(told["status"] == "rolled_back" && told["complete"] == true, "{told:#}");
    ensure!(told["reason"].as_str().unwrap_or_default().contains("the new key has signed"), "{told:#}");

    let told = site.job("add", &new.iter().map(add).collect::<Vec<_>>(), 600)?;
    ensure!(told["status"] == "succeeded", "{told:#}");
    ensure!(site.keys()?.len() == 4, "{:?}", site.keys()?);
    site.center.switch_keys(&fresh)?;
    let told = site.job("remove", &old.iter().map(remove).collect::<Vec<_>>(), 600)?;
    ensure!(told["status"] == "succeeded", "{told:#}\n{}", site.gateway.log());
    let names: Vec<_> = new.iter().map(|(name, _)| name.clone()).collect();
    ensure!(site.keys()? == names, "{:?}", site.keys()?);

    let told = site.job("remove-the-last", &new[..1].iter().map(remove).collect::<Vec<_>>(), 0)?;
    ensure!(told["status"] == "rolled_back", "{told:#}");
    ensure!(site.keys()? == names, "{:?}", site.keys()?);

    // A statement key that nobody has the other half of: the gateway cannot hear that it is to stay so.
    let stranger = generate(&folder.path().join("stranger"))?;
    let switch = [remove(&new[1]), add(&stranger[1])];
    ensure!(new[1].0.starts_with("statement-") && stranger[1].0.starts_with("statement-"), "in this order");
    let told = site.job("voice", &switch, 4)?;
    ensure!(told["status"] == "rolled_back" && told["complete"] == true, "{told:#}");
    ensure!(told["reason"].as_str().unwrap_or_default().contains("not confirmed"), "{told:#}");
    ensure!(site.keys()? == names, "{:?}", site.keys()?);

    let told = site.job("afterwards", &["!echo { msg: x }".to_owned()], 0)?;
    ensure!(told["status"] == "succeeded", "{told:#}");
    Ok(())
}
