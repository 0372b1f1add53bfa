//! Twenty gateways at one center, round after round. In each round every agent or executor has a fault in it: it is killed,
//! or a call to the kernel fails, at a number that the seed says. The center has one too, and the broker is killed. What has
//! ended is started again, as systemd does. Then, for each gateway: every task once at most, one terminal report, and true.
//!
//! `KEROS_FAULT_RUNS` says how many commands are run (100 by default), `KEROS_SEED` with which seed it begins.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use keros_tests::{
    Broker, Center, Gateway, GatewayOptions, Injection, KEROS_6, Mosquitto, MosquittoMode, Process, Random,
    Reports, count_from_environment, ensure_true, injected, keros_program, steps_script, wait_for,
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const GATEWAYS: usize = 20;
const TASKS: u64 = 5;
/// The first so many runs kill the executor at each of the syncs of a job in turn, of which it has fewer.
const SYNCS: u64 = 16;
/// A command takes two seconds; a loaded machine, twenty gateways at a time, each traced.
const ROUND_LIMIT: Duration = Duration::from_secs(120);

/// What goes wrong in one run.
#[derive(Debug)]
struct Faults {
    agent: Option<Injection>,
    executor: Option<Injection>,
}

struct Site {
    gateways: Vec<Gateway>,
    reports: Reports,
    center: Center,
    broker: Mosquitto,
    folder: tempfile::TempDir,
}

#[derive(Debug, Default)]
struct Tally {
    runs: usize,
    kills: usize,
    errors: usize,
    statuses: std::collections::BTreeMap<String, usize>,
}

impl Site {
    fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let broker = Mosquitto::start(&folder.path().join("broker"), MosquittoMode::Open)?;
        let center = Center::start(&folder.path().join("center"), Broker::External(broker.port, vec![]))?;
        let reports = Reports::listen(folder.path(), &broker)?;
        let mut gateways = Vec::new();
        for number in 0..GATEWAYS {
            let eui = format!("7076FF00000000{number:02X}");
            let place = folder.path().join(&eui);
            std::fs::create_dir(&place)?;
            let options = GatewayOptions {
                port: broker.port,
                trust: center.keys().join("trust"),
                executor: Some(place.join("keros-executor")),
                // A command that could not be stored comes again with the answer to the next telemetry.
                telemetry_interval_s: Some(5),
                ..GatewayOptions::default()
            };
            gateways.push(Gateway::prepare(&place, &eui, KEROS_6, &options)?);
        }
        Ok(Self { gateways, reports, center, broker, folder })
    }

    /// One command for each gateway. The first run has this number.
    fn round(&mut self, first_run: u64, seed: u64, tally: &mut Tally) -> Result<()> {
        let mut random = Random::new(seed + first_run);
        let log = self.folder.path().join(format!("strace-center-{first_run}"));
        let of_center = Injection::random(&mut random);
        self.center.kill()?;
        self.center.restart_with(&of_center, &log)?;
        let mut logs = vec![log];
        let mut faults = vec![format!("center: {of_center}")];
        for (index, gateway) in self.gateways.iter_mut().enumerate() {
            let run = first_run + index as u64;
            let of_run = Faults::of(run, &mut random);
            logs.extend(of_run.place(gateway, first_run)?);
            faults.push(format!("run {run}, {}: {of_run:?}", gateway.eui));
        }
        let broker_dies_at = random.below(GATEWAYS as u64);
        let told = self.carry_through(first_run, broker_dies_at).and_then(|update| self.judge(&update));
        let counts =
            told.with_context(|| format!("seed {seed}, round of run {first_run}:\n{}", faults.join("\n")))?;
        for status in counts {
            *tally.statuses.entry(status).or_default() += 1;
        }
        let (kills, errors) = injected(&logs);
        tally.runs += GATEWAYS;
        tally.kills += kills + 1;
        tally.errors += errors;
        Ok(())
    }

    /// Sends the script to all, keeps everything running, waits for the end.
    fn carry_through(&mut self, round: u64, broker_dies_at: u64) -> Result<Value> {
        let begin = Instant::now();
        let mut update_id = None;
        let mut broker_died = false;
        loop {
            self.keep_running()?;
            let missing = match self.look(round, &mut update_id) {
                Ok(update) if update["ended"] == json!(true) => return Ok(update),
                Ok(update) => {
                    if !broker_died && update["ended_gateways"].as_u64().unwrap_or(0) >= broker_dies_at {
                        broker_died = true;
                        self.broker.kill()?;
                        self.broker.restart()?;
                    }
                    self.of_the_unfinished(&update)
                }
                Err(error) => format!("{error:#}"),
            };
            if begin.elapsed() > ROUND_LIMIT {
                let center = tail(&self.center.log());
                bail!("not at its end after {ROUND_LIMIT:?}: {missing}\n--- center\n{center}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The update as the center has it; it is sent when all are there. The center may be gone at any moment.
    fn look(&self, round: u64, update_id: &mut Option<String>) -> Result<Value> {
        let euis: Vec<_> = self.gateways.iter().map(|gateway| gateway.eui.as_str()).collect();
        if update_id.is_none() {
            let group = format!("round-{round}");
            // A center that was killed may have taken it all the same: then it is among its updates.
            let updates = self.center.get("/updates")?;
            let mine = updates
                .as_array()
                .and_then(|all| all.iter().find(|update| update["group"] == group.as_str()));
            *update_id = match mine {
                Some(update) => update["update_id"].as_str().map(str::to_owned),
                None => {
                    self.center
                        .post("/groups", &json!({ "name": group, "gateways": euis }))
                        .or_else(|error| self.center.get(&format!("/groups/{group}")).map_err(|_| error))?;
                    let job = json!({ "kind": "jetporch", "script": steps_script(TASKS) });
                    let options = json!({ "confirm_window_s": 0 });
                    let update = self
                        .center
                        .post("/updates", &json!({ "group": group, "job": job, "options": options }))?;
                    update["update_id"].as_str().map(str::to_owned)
                }
            };
        }
        let id = update_id.as_deref().context("an update has an id")?;
        let mut update = self.center.get(&format!("/updates/{id}"))?;
        let lines = update["gateways"].as_array().context("an update has lines")?;
        let ended = lines.iter().filter(|line| line["outcome"]["summary"].is_object()).count();
        update["ended_gateways"] = json!(ended);
        Ok(update)
    }

    fn of_the_unfinished(&self, update: &Value) -> String {
        let lines = update["gateways"].as_array().into_iter().flatten();
        let unfinished = lines.filter(|line| !line["outcome"]["summary"].is_object());
        let told = unfinished.map(|line| {
            let gateway = self.gateways.iter().find(|gateway| line["eui"] == gateway.eui.as_str());
            format!("{line:#}\n--- agent\n{}", tail(&gateway.map(Gateway::log).unwrap_or_default()))
        });
        told.collect::<Vec<_>>().join("\n")
    }

    fn keep_running(&mut self) -> Result<()> {
        if !self.center.is_running() {
            self.center.restart()?;
        }
        for gateway in &mut self.gateways {
            if !gateway.is_running() {
                gateway.restart()?;
            }
        }
        Ok(())
    }

    /// Gives the statuses.
    fn judge(&self, update: &Value) -> Result<Vec<String>> {
        let terminals = self.reports.terminals()?;
        for (command, told) in &terminals {
            ensure!(told.len() == 1, "one terminal report for each command, but {command}: {told:#?}");
        }
        let lines = update["gateways"].as_array().context("an update has lines")?;
        ensure!(lines.len() == GATEWAYS, "{update:#}");
        let mut statuses = Vec::new();
        for gateway in &self.gateways {
            let line = lines.iter().find(|line| line["eui"] == gateway.eui.as_str()).context("its line")?;
            let outcome = &line["outcome"];
            ensure_true(outcome, TASKS, &gateway.root).with_context(|| {
                format!("{}: {outcome:#}\n--- agent\n{}", gateway.eui, tail(&gateway.log()))
            })?;
            statuses.push(outcome["status"].as_str().unwrap_or_default().to_owned());
        }
        Ok(statuses)
    }
}

impl Faults {
    fn of(run: u64, random: &mut Random) -> Self {
        let maybe = |random: &mut Random| (random.below(3) != 0).then(|| Injection::random(random));
        let (agent, executor) = (maybe(random), maybe(random));
        if run < SYNCS {
            return Self { agent: None, executor: Some(Injection::kill_at_sync(run + 1)) };
        }
        Self { agent, executor }
    }

    /// Begins the agent anew, with its fault in it and the other in the next executor. Gives the logs that tell whether it came
    /// to them.
    fn place(&self, gateway: &mut Gateway, round: u64) -> Result<Vec<PathBuf>> {
        gateway.kill()?;
        gateway.kill_executor()?;
        let _ = std::fs::remove_file(gateway.root.join("done"));
        let place = gateway.config().with_file_name("");
        let script = place.join("keros-executor");
        let program = keros_program("keros-executor")?;
        let log = |of: &str| place.join(format!("strace-{of}-{round}"));
        if let Some(injection) = &self.executor {
            injection.once(&program, &script, &log("executor"))?;
        } else {
            let _ = std::fs::remove_file(&script);
            std::os::unix::fs::symlink(&program, &script)?;
        }
        match &self.agent {
            Some(injection) => gateway.restart_with(injection, &log("agent"))?,
            None => gateway.restart()?,
        }
        Ok(vec![log("agent"), log("executor")])
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

/// Of a task that a panic ends nothing would be heard any more, and what waits for it would wait for ever.
#[test]
fn an_agent_that_panics_ends_as_a_whole() -> Result<()> {
    if !Path::new("/usr/bin/strace").exists() {
        keros_skip::skipped("strace is not installed");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let eui = "7076FF0000000001";
    let options = GatewayOptions { port: 9, trust: folder.path().to_owned(), ..GatewayOptions::default() };
    let gateway = Gateway::prepare(folder.path(), eui, KEROS_6, &options)?;
    // The runtime panics when it cannot wake itself, in whichever task it does so; the first few times it can.
    let mut command = Command::new("/usr/bin/strace");
    command.args(["-D", "-qq", "-o", "/dev/null", "-P", "anon_inode:[eventfd]", "-e", "trace=write"]);
    command.args(["-e", "inject=write:error=EIO:when=4+"]).arg(keros_program("keros-agent")?);
    let mut agent = Process::start(
        command.arg("run").arg("--config").arg(gateway.config()),
        &folder.path().join("panics.log"),
    )?;
    let status = wait_for("the end of the agent", || agent.ended())?;
    let log = std::fs::read_to_string(folder.path().join("panics.log"))?;
    ensure!(status.signal() == Some(Signal::SIGABRT as i32), "{status}\n{log}");
    ensure!(log.contains("panicked at"), "what has happened is told: {log}");
    Ok(())
}

#[test]
fn whoever_is_killed_at_whatever_call_each_command_runs_once_and_its_status_is_true() -> Result<()> {
    if !Path::new("/usr/bin/strace").exists() {
        keros_skip::skipped("strace is not installed");
        return Ok(());
    }
    let runs = count_from_environment("KEROS_FAULT_RUNS", 100)?;
    let seed = u64::try_from(count_from_environment("KEROS_SEED", 1)?)?;
    let begin = Instant::now();
    let mut site = Site::start()?;
    let mut tally = Tally::default();
    while tally.runs < runs {
        site.round(tally.runs as u64, seed, &mut tally)?;
    }
    let Tally { runs, kills, errors, statuses } = tally;
    println!(
        "seed {seed}: runs: {runs}; programs killed: {kills}; calls failed: {errors}; statuses lost: 0 of {runs}; commands run \
         twice: 0 of {runs}; {statuses:?}; {:.0} s",
        begin.elapsed().as_secs_f64()
    );
    Ok(())
}
