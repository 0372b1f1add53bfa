//! Two centers on one PostgreSQL and one mosquitto, with real gateways: they share the load, and when one of them is killed under load, or
//! the database, every command still runs once and every status arrives.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use keros_test_postgres::Postgres;
use keros_tests::{
    Broker, Center, Gateway, GatewayOptions, KEROS_6, Mosquitto, MosquittoMode, Talk, run_ok, wait_for,
};
use serde_json::{Value, json};

const GATEWAYS: usize = 8;

/// How often a center is killed while commands run.
const KILLS: usize = 3;

/// What a killed center had been given goes with it: the gateway sends it again after 30 s (agent/machine/src/outbox.rs), and 60 s later once
/// more if that is lost too.
const SENT_AGAIN: Duration = Duration::from_secs(120);

/// For so long the database is away at least.
const AWAY: Duration = Duration::from_secs(3);

/// Whoever gets by without a second sending is much faster than that.
const AT_ONCE: Duration = Duration::from_secs(25);

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
    talk: Talk,
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
        let talk = Talk::listen(broker.port, &folder.path().join("talk"))?;
        let mut site = Self { gateways: Vec::new(), one, other, talk, broker, database, folder };
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

    /// How many reports the broker has given to a center.
    fn reports_given_to(&self, center: &Center) -> Result<usize> {
        let wanted = format!("Sending PUBLISH to {} ", center.client_id()?);
        let log = self.broker.log();
        Ok(log.lines().filter(|line| line.contains(&wanted) && line.contains("/report'")).count())
    }

    /// How many reports the gateways have sent.
    fn reports_sent(&self) -> usize {
        let log = self.broker.log();
        log.lines()
            .filter(|line| line.contains("Received PUBLISH from ") && line.contains("/report'"))
            .count()
    }

    /// What a gateway was told to be kept it forgets.
    fn what_was_acknowledged_is_kept(&self) -> Result<()> {
        let rows = self.database.sql("keros", "SELECT eui || ' ' || stream || ' ' || number FROM reports")?;
        let kept: BTreeSet<&str> = rows.lines().collect();
        let acknowledged = self.talk.acknowledged()?;
        ensure!(acknowledged.len() >= GATEWAYS, "{acknowledged:?}");
        for report in acknowledged {
            ensure!(kept.contains(report.as_str()), "acknowledged, and not kept: {report}\n{rows}");
        }
        Ok(())
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

/// A center's own transactions are never still for so long, not even on a loaded machine.
const STILL: &str = "interval '500 milliseconds'";

/// Stops a center where it is, but in no transaction: the other one would wait for that until PostgreSQL ends it, and the broker lets go of a
/// stopped center before. A transaction that waits for a lock when its center stops would hold it later.
fn freeze(center: &Center, database: &Postgres) -> Result<()> {
    let still = format!(
        "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
         OR (state LIKE 'idle in transaction%' AND state_change < clock_timestamp() - {STILL})"
    );
    wait_for("the center is stopped outside of a transaction", || {
        signal(center, "STOP")?;
        std::thread::sleep(Duration::from_secs(1));
        if database.sql("keros", &still)? == "0" {
            return Ok(Some(()));
        }
        signal(center, "CONT").map(|()| None)
    })
}

/// Stops a process where it is, or lets it go on.
fn signal(center: &Center, name: &str) -> Result<()> {
    let id = center.id().context("the center runs")?;
    run_ok(Path::new("/bin/kill"), [format!("-{name}"), id.to_string()]).map(drop)
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
    let mut updates = Vec::new();
    for round in 1..=KILLS {
        let before = site.reports_given_to(&site.one)?;
        if round == 1 {
            // It will be given messages, and acknowledge none.
            freeze(&site.one, &site.database)?;
        }
        // While commands of the round before wait for a gateway whose telemetry went with a center, the order is refused.
        updates.push(wait_for("the order is taken", || send(&site.other, "all").map(Some))?);
        if round == 1 {
            wait_for("it holds reports", || {
                Ok((site.reports_given_to(&site.one)? >= before + GATEWAYS / 2).then_some(()))
            })?;
        } else {
            // Some have begun, none has ended.
            wait_for("commands run", || Ok((site.have_run(round)? >= GATEWAYS / 4).then_some(())))?;
        }
        site.one.kill()?;
        site.one.restart()?;
        wait_for("it hears the gateways", || {
            Ok((site.one.get("/health")?["broker_connected"] == true).then_some(()))
        })?;
    }
    for update in &updates {
        let view = site.other.wait_for_end_within(SENT_AGAIN, update).with_context(|| site.other.log())?;
        all_succeeded(&view)?;
        assert_eq!(site.one.get(&format!("/updates/{update}"))?["ended"], true);
    }
    assert_eq!(site.have_run(KILLS)?, GATEWAYS, "each command ran once");
    site.what_was_acknowledged_is_kept()?;
    // Both did a part of it.
    for center in [&site.one, &site.other] {
        let given = site.reports_given_to(center)?;
        println!("{} was given {given} reports", center.client_id()?);
        assert!(given > 0, "it was given no report");
    }
    Ok(())
}

#[test]
fn reports_that_two_centers_take_in_another_order_are_known_at_once_and_sent_once() -> Result<()> {
    let Some(site) = Site::start()? else { return Ok(()) };
    site.one.post("/groups", &json!({ "name": "all", "gateways": site.euis() }))?;
    let sent_before = site.reports_sent();
    // One is slow: what it is given is looked at later than all that the other is given.
    freeze(&site.one, &site.database)?;
    let update = send(&site.other, "all")?;
    let early = || site.database.sql("keros", "SELECT COUNT(*) FROM early_reports");
    let waiting =
        wait_for("reports have overtaken others", || Ok(Some(early()?).filter(|count| count != "0")));
    signal(&site.one, "CONT")?;
    println!("{} reports waited for one before them", waiting?);
    let begin = std::time::Instant::now();
    all_succeeded(&site.other.wait_for_end_within(AT_ONCE, &update).with_context(|| site.other.log())?)?;
    println!("all ended {:?} after the slow center went on", begin.elapsed());
    assert_eq!(early()?, "0");
    site.what_was_acknowledged_is_kept()?;
    assert_eq!(site.have_run(1)?, GATEWAYS, "each command ran once");
    // No gateway had to say anything twice.
    let mut kept = 0;
    for eui in site.euis() {
        let line = site.one.get(&format!("/updates/{update}/gateways/{eui}"))?;
        kept += line["reports"].as_array().context("a line has reports")?.len();
    }
    assert_eq!(site.reports_sent() - sent_before, kept, "reports that were sent, and that were kept");
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
        // Nobody is told anything, however many ask: what was committed before has been sent by now.
        let told = site.talk.told();
        for gateway in &site.gateways {
            gateway.technician(&["telemetry", "--now"])?;
        }
        wait_for("gateways have asked", || Ok((!site.talk.unanswered()?.is_empty()).then_some(())))?;
        std::thread::sleep(AWAY);
        ensure!(site.talk.told() == told, "a gateway was answered without a database");
        // Gateways that have their command go on, and their reports wait; the others wait for theirs.
        site.database.restart()?;
        all_succeeded(&site.other.wait_for_end(&update).with_context(|| site.other.log())?)?;
        assert_eq!(site.have_run(round)?, GATEWAYS, "each command ran once");
        ensure!(site.one.is_running() && site.other.is_running(), "a center has ended");
        wait_for("every telemetry is answered", || {
            let unanswered = site.talk.unanswered()?;
            ensure!(unanswered.is_empty(), "{unanswered:?}");
            Ok(Some(()))
        })?;
        site.what_was_acknowledged_is_kept()?;
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
