//! Two centers on one PostgreSQL and one mosquitto, with real gateways: they share the load, and when one of them is killed under load, or
//! the database, every command still runs once and every status arrives.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use keros_test_postgres::Postgres;
use keros_tests::{Broker, Center, Gateway, GatewayOptions, KEROS_6, Mosquitto, MosquittoMode, wait_for};
use serde_json::{Value, json};

const GATEWAYS: usize = 8;

/// How often a center is killed while commands run.
const KILLS: usize = 3;

/// Two centers may take a gateway's reports in another order than they were sent. What came too early is not kept, and the gateway sends it again
/// after 30 s, then 60 s, 120 s (agent/machine/src/outbox.rs).
const IN_ANY_ORDER: Duration = Duration::from_secs(300);

/// It takes a while, reports on its way, and leaves a line for each run.
const SCRIPT: &str = r#"
- name: count
  groups: [all]
  tasks:
    - !shell { name: begin, cmd: 'sleep 0.3' }
    - !shell { name: count, cmd: 'echo ran >> "$KEROS_ROOT/count"' }
    - !shell { name: go on, cmd: 'sleep 0.3' }
    - !shell { name: end, cmd: 'sleep 0.3' }
"#;

/// Gateways come first, so that they end first.
struct Site {
    gateways: Vec<Gateway>,
    one: Center,
    other: Center,
    broker: Mosquitto,
    database: Postgres,
    folder: tempfile::TempDir,
}

impl Site {
    /// `None`: PostgreSQL is not installed, which was said.
    fn start() -> Result<Option<Self>> {
        let Some(database) = Postgres::start()? else {
            keros_skip::skipped("PostgreSQL is not installed (Debian: postgresql)");
            return Ok(None);
        };
        database.create("keros")?;
        let folder = tempfile::tempdir()?;
        let broker = Mosquitto::start(&folder.path().join("broker"), MosquittoMode::Open)?;
        let links = folder.path().join("links").display().to_string();
        let more =
            ["--database", &database.url("keros"), "--links-folder", &links].map(str::to_owned).to_vec();
        let external = Broker::External(broker.port, Vec::new());
        let one = Center::start_with(&folder.path().join("one"), external, more.clone())?;
        let other = one.beside(&folder.path().join("other"), more)?;
        let mut site = Self { gateways: Vec::new(), one, other, broker, database, folder };
        for number in 1..=GATEWAYS {
            let options = GatewayOptions {
                port: site.broker.port,
                trust: site.one.keys().join("trust"),
                ..GatewayOptions::default()
            };
            let eui = format!("7076FF00000000{number:02X}");
            let place = site.folder.path().join(&eui);
            site.gateways.push(Gateway::start(&place, &eui, KEROS_6, &options)?);
        }
        site.one.wait_for_telemetry(&site.euis())?;
        Ok(Some(site))
    }

    fn euis(&self) -> Vec<&str> {
        self.gateways.iter().map(|gateway| gateway.eui.as_str()).collect()
    }

    /// How many gateways have run all of this so many times; an error when one has run it too often.
    fn have_run(&self, times: usize) -> Result<usize> {
        let mut done = 0;
        for gateway in &self.gateways {
            let runs = runs(&gateway.root)?;
            ensure!(runs <= times, "{} ran {runs} times, {times} commands were sent", gateway.eui);
            done += usize::from(runs == times);
        }
        Ok(done)
    }
}

fn runs(root: &Path) -> Result<usize> {
    match std::fs::read_to_string(root.join("count")) {
        Ok(text) => Ok(text.lines().count()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Sends the script to a group that is there.
fn send(center: &Center, group: &str) -> Result<String> {
    let job = json!({ "kind": "jetporch", "script": SCRIPT });
    let order = json!({ "group": group, "job": job, "options": { "confirm_window_s": 0 } });
    let update = center.post("/updates", &order)?;
    Ok(update["update_id"].as_str().context("an update has an id")?.to_owned())
}

fn all_succeeded(update: &Value) -> Result<()> {
    let lines = update["gateways"].as_array().context("an update has lines")?;
    ensure!(lines.len() == GATEWAYS, "{update:#}");
    for line in lines {
        ensure!(line["outcome"]["status"] == "succeeded" && line["delivery"] == "received", "{line:#}");
    }
    Ok(())
}

#[test]
fn a_center_that_is_killed_under_load_costs_no_command_and_no_status() -> Result<()> {
    let Some(mut site) = Site::start()? else { return Ok(()) };
    site.one.post("/groups", &json!({ "name": "all", "gateways": site.euis() }))?;
    for center in [&site.one, &site.other] {
        wait_for("the centers know of each other", || {
            Ok((center.get("/health")?["other_centers"] == 1).then_some(()))
        })?;
    }
    for round in 1..=KILLS {
        let update = send(&site.one, "all")?;
        // Some have begun, none has ended.
        wait_for("commands run", || Ok((site.have_run(round)? >= GATEWAYS / 4).then_some(())))?;
        site.one.kill()?;
        let view = site.other.wait_for_end_within(IN_ANY_ORDER, &update).with_context(|| site.other.log())?;
        all_succeeded(&view)?;
        assert_eq!(site.have_run(round)?, GATEWAYS, "each command ran once");
        site.one.restart()?;
        assert_eq!(site.one.get(&format!("/updates/{update}"))?["ended"], true);
        wait_for("it hears the gateways", || {
            Ok((site.one.get("/health")?["broker_connected"] == true).then_some(()))
        })?;
    }
    // Both did a part of it.
    let log = site.broker.log();
    for center in [&site.one, &site.other] {
        let id = center.client_id()?;
        let got = log
            .lines()
            .filter(|line| line.contains(&format!("Sending PUBLISH to {id} ")) && line.contains("/report'"));
        let got = got.count();
        println!("{id} was given {got} reports");
        assert!(got > 0, "{id} was given no report");
    }
    Ok(())
}

#[test]
fn a_database_that_goes_away_and_comes_back_costs_nothing_and_no_answer_is_wrong() -> Result<()> {
    let Some(mut site) = Site::start()? else { return Ok(()) };
    site.one.post("/groups", &json!({ "name": "all", "gateways": site.euis() }))?;
    for round in 1..=2 {
        let update = send(&site.one, "all")?;
        wait_for("commands run", || Ok((site.have_run(round)? >= 1).then_some(())))?;
        if round == 1 {
            site.database.kill()?
        } else {
            site.database.stop()?
        }
        // What is asked meanwhile is refused, and never answered by half.
        let error = site
            .one
            .get(&format!("/updates/{update}"))
            .err()
            .context("an answer without a database")?
            .to_string();
        ensure!(error.contains("503") && error.contains("/health"), "{error}");
        let error = site.other.get("/health").err().context("it is well without a database")?.to_string();
        ensure!(error.contains("503") && error.contains("no database"), "{error}");
        // Gateways that have their command go on, and their reports wait; the others wait for theirs.
        site.database.restart()?;
        all_succeeded(
            &site.other.wait_for_end_within(IN_ANY_ORDER, &update).with_context(|| site.other.log())?,
        )?;
        assert_eq!(site.have_run(round)?, GATEWAYS, "each command ran once");
        ensure!(site.one.is_running() && site.other.is_running(), "a center has ended");
    }
    Ok(())
}

#[test]
fn who_watches_at_one_center_sees_what_the_other_does_and_strangers_are_kept_out() -> Result<()> {
    let Some(mut site) = Site::start()? else { return Ok(()) };
    site.one.post("/groups", &json!({ "name": "all", "gateways": site.euis() }))?;
    let update = send(&site.one, "all")?;
    // It ends when it was told of the last change, whichever center was given that report.
    site.other.command_line(&["update", "watch", &update])?;
    all_succeeded(&site.one.get(&format!("/updates/{update}"))?)?;
    // A center with another folder of Magic Links would serve what the others do not have.
    let more = ["--database", &site.database.url("keros")].map(str::to_owned).to_vec();
    let stranger = site.folder.path().join("stranger");
    let mut command = std::process::Command::new(keros_tests::keros_program("keros-center")?);
    command
        .args(["serve", "--rest", "127.0.0.1:0", "--data-folder"])
        .arg(&stranger)
        .arg("--keys")
        .arg(site.one.keys());
    command.arg("--external-broker").arg(format!("127.0.0.1:{}", site.broker.port)).args(more);
    let output = command.output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && told.contains("--links-folder"), "{told}");
    site.one.kill()
}
