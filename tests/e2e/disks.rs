//! Full disks, read-only disks and damaged files, with the real programs: nothing runs twice, every status is true, the agent
//! goes on and says what is wrong.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use keros_skip::skipped;
use keros_tests::{
    Broker, Center, Gateway, GatewayOptions, KEROS_6, Mosquitto, MosquittoMode, SmallDisk, Talk, ensure_true,
    steps_script, steps_script_with, wait_for,
};
use serde_json::{Value, json};

const EUI: &str = "7076FF0000000001";
const TASKS: u64 = 3;
/// Each write finds the disk full once when there is room for a page more each time.
const ROOMS: u64 = 12;

struct Site {
    gateway: Gateway,
    center: Center,
    place: PathBuf,
    sent: u64,
    // The gateway goes before its disk does.
    disk: Option<SmallDisk>,
    _folder: tempfile::TempDir,
}

impl Site {
    /// With a small disk on this folder of the gateway.
    fn start(small: Option<&str>) -> Result<Option<Self>> {
        if small.is_some() && !nix::unistd::geteuid().is_root() {
            skipped("only root can mount a small disk");
            return Ok(None);
        }
        let folder = tempfile::tempdir()?;
        let center = Center::start(&folder.path().join("center"), Broker::Embedded)?;
        let place = folder.path().join("gateway");
        let disk = small.map(|small| SmallDisk::mount(&place.join(small))).transpose()?;
        let options = GatewayOptions {
            port: center.mqtt_port(),
            trust: center.keys().join("trust"),
            password: center.gateway_password(EUI)?,
            ..GatewayOptions::default()
        };
        let gateway = Gateway::start(&place, EUI, KEROS_6, &options)?;
        center.wait_for_telemetry(&[EUI])?;
        Ok(Some(Self { gateway, center, place, sent: 0, disk, _folder: folder }))
    }

    fn disk(&self) -> Result<&SmallDisk> {
        self.disk.as_ref().context("this site has a small disk")
    }

    fn send(&mut self) -> Result<String> {
        self.send_script(&steps_script(TASKS))
    }

    fn send_script(&mut self, script: &str) -> Result<String> {
        self.sent += 1;
        let options = json!({ "confirm_window_s": 0 });
        self.center.send_with(&format!("g{}", self.sent), &[EUI], script, &options)
    }

    fn line(&self, update: &str) -> Result<Value> {
        Ok(self.center.get(&format!("/updates/{update}"))?["gateways"][0].clone())
    }

    /// Waits for the end; the gateway is asked for telemetry again and again, as it is every hour.
    fn end(&self, update: &str) -> Result<Value> {
        wait_for("the update has ended", || {
            self.gateway.technician(&["telemetry", "--now"])?;
            let view = self.center.get(&format!("/updates/{update}"))?;
            ensure!(view["ended"] == json!(true), "{view:#}");
            Ok(Some(()))
        })
        .with_context(|| self.gateway.log())?;
        Ok(self.line(update)?["outcome"].clone())
    }

    /// The whole disk is there again: a command succeeds.
    fn works(&mut self) -> Result<()> {
        let update = self.send()?;
        let outcome = self.end(&update)?;
        ensure!(outcome["status"] == "succeeded", "{outcome:#}\n{}", self.gateway.log());
        ensure_true(&outcome, TASKS, &self.gateway.root)
    }

    /// Sends a command to a gateway in need; when it has ended, or when the technician is told of the need, the need is over.
    fn in_need(
        &mut self,
        need: impl Fn(&SmallDisk) -> Result<()>,
        over: impl Fn(&SmallDisk) -> Result<()>,
    ) -> Result<String> {
        need(self.disk()?)?;
        let update = self.send()?;
        wait_for("an end, or a word about the disk", || {
            self.gateway.technician(&["telemetry", "--now"])?;
            let told = self.gateway.log().lines().filter(|line| line.contains("cannot ")).count() as u64;
            let ended = self.line(&update)?["outcome"]["status"].as_str().is_some_and(is_terminal);
            Ok((ended || told >= self.sent).then_some(()))
        })
        .with_context(|| self.gateway.log())?;
        over(self.disk()?)?;
        let outcome = self.end(&update)?;
        ensure_true(&outcome, TASKS, &self.gateway.root).with_context(|| format!("{outcome:#}"))?;
        let process = self.gateway.process().context("the agent was started")?;
        ensure!(process.is_running(), "the agent goes on");
        Ok(outcome["reason"].as_str().or(outcome["status"].as_str()).unwrap_or_default().to_owned())
    }

    fn each_room(mut self, name: &str) -> Result<()> {
        let mut ends = Vec::new();
        for room in 0..ROOMS {
            let end = self.in_need(|disk| disk.fill(room), SmallDisk::free);
            ends.push(end.with_context(|| format!("room for {room} pages"))?);
            self.works().with_context(|| format!("after room for {room} pages"))?;
        }
        println!(
            "{name}, full at {ROOMS} amounts of room: statuses lost: 0 of {ROOMS}; commands run twice: 0; {ends:?}"
        );
        Ok(())
    }
}

fn is_terminal(status: &str) -> bool {
    !["none", "received", "accepted", "running", "confirming"].contains(&status)
}

#[test]
fn the_agents_disk_is_full() -> Result<()> {
    let Some(site) = Site::start(Some("state"))? else { return Ok(()) };
    site.each_room("the agent's disk")
}

#[test]
fn the_executors_disk_is_full() -> Result<()> {
    let Some(mut site) = Site::start(Some("executor"))? else { return Ok(()) };
    let end = site.in_need(|disk| disk.fill(0), SmallDisk::free)?;
    ensure!(end == "no_space", "it is refused by name: {end}");
    site.works()
}

#[test]
fn the_executors_disk_becomes_full_while_a_job_runs() -> Result<()> {
    let Some(mut site) = Site::start(Some("executor"))? else { return Ok(()) };
    let mut ends = Vec::new();
    for room in 0..ROOMS {
        let script = steps_script_with(TASKS, &site.disk()?.fill_command(room));
        let update = site.send_script(&script)?;
        let outcome = site.end(&update).with_context(|| format!("room for {room} pages"))?;
        ensure_true(&outcome, TASKS, &site.gateway.root).with_context(|| format!("{outcome:#}"))?;
        ends.push(outcome["status"].as_str().unwrap_or_default().to_owned());
        site.disk()?.free()?;
        site.works().with_context(|| format!("after room for {room} pages"))?;
    }
    println!(
        "the executor's disk, full in the middle of {ROOMS} jobs: statuses lost: 0 of {ROOMS}; commands run twice: 0; {ends:?}"
    );
    Ok(())
}

#[test]
fn the_centers_disk_is_full_while_commands_run() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        skipped("only root can mount a small disk");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    // It is dropped last: the center goes before its disk does.
    let disk = SmallDisk::mount(&folder.path().join("center/data"))?;
    let broker = Mosquitto::start(&folder.path().join("broker"), MosquittoMode::Open)?;
    let talk = Talk::listen(broker.port, &folder.path().join("talk"))?;
    let mut center = Center::start(&folder.path().join("center"), Broker::External(broker.port, Vec::new()))?;
    let options =
        GatewayOptions { port: broker.port, trust: center.keys().join("trust"), ..GatewayOptions::default() };
    let euis = ["7076FF0000000001", "7076FF0000000002", "7076FF0000000003"];
    let start = |eui: &&str| Gateway::start(&folder.path().join(eui), eui, KEROS_6, &options);
    let gateways = euis.iter().map(start).collect::<Result<Vec<_>>>()?;
    center.wait_for_telemetry(&euis)?;
    for (round, room) in [0, 1, 2, 5, 20].into_iter().enumerate() {
        let before = refusals(&center);
        let options = json!({ "confirm_window_s": 0 });
        let update = center.send_with(&format!("g{round}"), &euis, &steps_script(TASKS), &options)?;
        disk.fill(room)?;
        // Reports and telemetry come until the disk refuses to take one more.
        let refused = wait_for("the disk is full", || {
            for gateway in &gateways {
                gateway.technician(&["telemetry", "--now"])?;
            }
            Ok((refusals(&center) > before).then_some(()))
        });
        refused.with_context(|| format!("room for {room} pages: {}", center.log()))?;
        disk.free()?;
        let ended = outcomes(&center.wait_for_end(&update).with_context(|| center.log())?)?;
        for (outcome, gateway) in ended.iter().zip(&gateways) {
            ensure!(outcome["status"] == "succeeded", "{outcome:#}");
            ensure_true(outcome, TASKS, &gateway.root)?;
        }
        wait_for("every telemetry is answered", || {
            let unanswered = talk.unanswered()?;
            ensure!(unanswered.is_empty(), "{unanswered:?}");
            Ok(Some(()))
        })?;
        // What it says now it still says when it has forgotten all that is not on its disk.
        center.kill()?;
        center.restart()?;
        let again = outcomes(&center.get(&format!("/updates/{update}"))?)?;
        ensure!(again == ended, "room for {room} pages: {ended:#?}, and then {again:#?}");
    }
    Ok(())
}

/// How often the center has said that it could not keep what came.
fn refusals(center: &Center) -> usize {
    center.log().lines().filter(|line| line.contains("could not be stored for now")).count()
}

/// The outcomes of an update's gateways, by their EUIs.
fn outcomes(update: &Value) -> Result<Vec<Value>> {
    let lines = update["gateways"].as_array().context("an update has lines")?;
    Ok(lines.iter().map(|line| line["outcome"].clone()).collect())
}

#[test]
fn an_agent_with_a_read_only_state_says_so_and_starts_when_it_can_write() -> Result<()> {
    let Some(mut site) = Site::start(Some("state"))? else { return Ok(()) };
    site.gateway.kill()?;
    site.disk()?.set_read_only(true)?;
    site.gateway.restart()?;
    wait_for("the agent has ended", || Ok((!site.gateway.is_running()).then_some(())))?;
    let log = site.gateway.log();
    ensure!(
        log.contains("state folder") && log.contains("Read-only"),
        "it says which folder, and why:\n{log}"
    );
    site.disk()?.set_read_only(false)?;
    site.gateway.restart()?;
    site.works()
}

#[test]
fn the_executors_disk_is_read_only_for_a_while() -> Result<()> {
    let Some(mut site) = Site::start(Some("executor"))? else { return Ok(()) };
    let end = site.in_need(|disk| disk.set_read_only(true), |disk| disk.set_read_only(false))?;
    println!("the executor's disk, read-only: {end}");
    site.works()
}

#[test]
fn a_damaged_state_of_the_agent_is_set_aside_and_told() -> Result<()> {
    let Some(mut site) = Site::start(None)? else { return Ok(()) };
    let state = site.place.join("state/state.json");
    for name in ["cut off", "empty", "zeroes", "one bit"] {
        site.works().with_context(|| format!("before: {name}"))?;
        site.gateway.kill()?;
        let mut bytes = fs::read(&state)?;
        match name {
            "cut off" => bytes.truncate(bytes.len() / 2),
            "empty" => bytes.clear(),
            "zeroes" => bytes.fill(0),
            _ => bytes[0] ^= 1,
        }
        fs::write(&state, bytes)?;
        site.gateway.restart()?;
        wait_for("the technician is told", || {
            let told = site.gateway.technician(&["status", "--json"])?.1;
            ensure!(told.contains("the stored state could not be used"), "{name}: {told}");
            Ok(Some(()))
        })?;
        ensure!(damaged_files(&state)? > 0, "{name}: the damaged file is kept");
        site.works().with_context(|| format!("after: {name}"))?;
    }
    Ok(())
}

#[test]
fn damage_to_the_executors_record_never_starts_a_command_again() -> Result<()> {
    let Some(mut site) = Site::start(None)? else { return Ok(()) };
    site.works()?;
    // The files that only the executor has: all of them cut off in the middle, one after the other.
    for file in files_below(&site.place.join("executor"))? {
        site.gateway.kill()?;
        site.gateway.kill_executor()?;
        let bytes = fs::read(&file)?;
        fs::write(&file, &bytes[..bytes.len() / 2])?;
        site.gateway.restart()?;
        let update = site.send()?;
        let outcome = site.end(&update)?;
        let told = outcome["reason"].as_str().or(outcome["status"].as_str()).unwrap_or_default();
        ensure!(["succeeded", "journal_damaged"].contains(&told), "{}: {outcome:#}", file.display());
        ensure_true(&outcome, TASKS, &site.gateway.root)?;
    }
    site.works()
}

fn damaged_files(state: &Path) -> Result<usize> {
    let folder = state.parent().context("it is in a folder")?;
    let names = fs::read_dir(folder)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter(|name| name.starts_with("state.json") && name != "state.json").count())
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else if path.metadata()?.len() > 1 {
            files.push(path);
        }
    }
    Ok(files)
}
