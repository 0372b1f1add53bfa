//! One run: connect all, measure, send updates while things go wrong, and hold what every gateway knows against what the center
//! says.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use keros_protocol::{CommandId, Eui, Outcome};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::arguments::FleetArguments;
use crate::gateway::Gateway;
use crate::numbers::{Numbers, Stretch, read};
use crate::place::{Place, profile};
use crate::process::{Usage, raise_open_files, usage};
use crate::world::{self, Plan};

/// The first gateway; the others follow.
pub(crate) const FIRST_EUI: u64 = 0x7076_FF00_5600_0000;
/// What is sent. Nothing of it is run.
pub(crate) const SCRIPT: &str = "- name: the fleet\n  groups: [all]\n  tasks:\n    - !shell\n      name: one\n      cmd: 'true'\n    - !shell\n      name: two\n      cmd: 'true'\n    - !shell\n      name: three\n      cmd: 'true'\n";
/// Connecting may take so much longer than it should.
const CONNECT_GRACE: Duration = Duration::from_secs(120);

/// What a run has shown.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    gateways: u32,
    broker: String,
    database: String,
    interval_s: u64,
    /// Until all were connected, seconds.
    connect_s: f64,
    /// Only telemetry.
    steady: Stretch,
    center: Cost,
    mosquitto: Option<Cost>,
    updates: Vec<UpdateTold>,
    mishaps: u64,
    promises: Promises,
}

/// What a process used while exchanges were measured.
#[derive(Debug, Serialize)]
struct Cost {
    /// Of one core, percent.
    cpu_percent: f64,
    /// For each exchange, microseconds.
    cpu_us_per_exchange: f64,
    /// At the end, MiB.
    rss_mib: f64,
    /// The most since its start, MiB.
    peak_mib: f64,
}

/// One update.
#[derive(Debug, Serialize)]
struct UpdateTold {
    /// Until the center had accepted it, seconds.
    accepted_s: f64,
    /// Until every gateway had ended it, seconds.
    ended_s: f64,
    /// How many gateways ended it how, by the center's word.
    outcomes: BTreeMap<String, u64>,
    /// Exchanges meanwhile.
    meanwhile: Stretch,
}

/// What was promised, and how often it was not kept.
#[derive(Debug, Default, Serialize)]
struct Promises {
    /// Commands of which both sides know the end.
    compared: u64,
    /// Gateways that started an update more than once.
    started_twice: u64,
    /// Lines of updates without an end, or that no gateway knows of.
    missing: u64,
    /// Lines with another end than the gateway's.
    different: u64,
    /// Statements and commands that a gateway did not believe.
    disbelieved: u64,
    /// Reports that the center has not acknowledged in the end.
    unacknowledged: u64,
    /// The first of them in words.
    examples: Vec<String>,
}

impl Summary {
    /// As a line of [`Summary::HEAD`]'s table.
    pub(crate) fn row(&self) -> String {
        let ms = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}"));
        let broker_us = self.mosquitto.as_ref().map(|cost| format!("{:.0}", cost.cpu_us_per_exchange));
        let update = self.updates.first();
        let update_s = |of: fn(&UpdateTold) -> f64| {
            update.map_or_else(|| "-".to_owned(), |update| format!("{:.2}", of(update)))
        };
        format!(
            "| {} | {} | {} | {:.0} | {:.0} | {} | {} | {:.0} | {} | {:.0} | {} | {} | {} |",
            self.gateways,
            self.broker,
            self.database,
            f64::from(self.gateways) / self.interval_s as f64,
            self.steady.exchanges_per_s,
            ms(self.steady.p50_ms),
            ms(self.steady.p99_ms),
            self.center.cpu_us_per_exchange,
            broker_us.as_deref().unwrap_or("in it"),
            self.center.peak_mib,
            update_s(|update| update.accepted_s),
            update_s(|update| update.ended_s),
            self.promises.broken(),
        )
    }

    /// The head of the table.
    pub(crate) const HEAD: &str = "| gateways | broker | database | asked a second | answered a second | p50 ms | p99 ms | center, CPU µs each | mosquitto, CPU µs each | center, peak MiB | update accepted s | ended everywhere s | promises broken |\n| ---: | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |";
}

impl Promises {
    fn broken(&self) -> u64 {
        self.started_twice + self.missing + self.different + self.disbelieved
    }

    fn tell(&mut self, text: String) {
        if self.examples.len() < 5 {
            self.examples.push(text);
        }
    }
}

/// Gateways in a thread of their own.
struct Fleet {
    thread: JoinHandle<Result<Vec<Gateway>>>,
    numbers: Arc<Numbers>,
    over: watch::Sender<bool>,
}

/// Does all of it. What was promised and not kept is an error, with the summary before it.
pub(crate) fn run(arguments: &FleetArguments) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let folder = arguments.folder.clone().unwrap_or_else(|| scratch.path().to_owned());
    let summary = run_in(&folder, arguments)?;
    if arguments.json {
        println!("{}", serde_json::to_string(&summary)?);
    } else {
        println!("{}", serde_json::to_string_pretty(&summary)?);
    }
    let broken = summary.promises.broken();
    ensure!(broken == 0, "{broken} promises were not kept: {:?}", summary.promises.examples);
    Ok(())
}

/// The same without a word, in this folder.
pub(crate) fn run_in(folder: &Path, arguments: &FleetArguments) -> Result<Summary> {
    let files = raise_open_files()?;
    // Each connection is a descriptor here, and one of the broker's.
    ensure!(
        u64::from(arguments.gateways) + 100 < files,
        "{files} open files are allowed here (ulimit -Hn): not enough for {} gateways",
        arguments.gateways
    );
    let euis: Vec<Eui> =
        (0..u64::from(arguments.gateways)).map(|number| Eui::from_u64(FIRST_EUI + number)).collect();
    let mut place = Place::start(folder, arguments, &euis)?;
    let fleet = start(&place, arguments, &euis)?;
    let connect_s = wait_until_heard(&fleet, arguments)?;
    // What came with the connections is over.
    std::thread::sleep(Duration::from_secs(arguments.interval.min(10)));
    let (steady, center, mosquitto) = measure(&place, &fleet, arguments)?;
    progress(arguments, &format!("{:.0} exchanges a second", steady.exchanges_per_s));
    let mut updates = Vec::new();
    let mut ids = Vec::new();
    if arguments.updates > 0 {
        place.center.post("/groups", &json!({ "name": "fleet", "gateways": euis }))?;
    }
    for number in 0..arguments.updates {
        let (id, told) = update(&mut place, &fleet, arguments)?;
        progress(arguments, &format!("update {}: {:?}", number + 1, told.outcomes));
        updates.push(told);
        ids.push(id);
    }
    let mishaps = read(&fleet.numbers.mishaps);
    fleet.over.send_replace(true);
    let gateways = fleet.thread.join().map_err(|_| anyhow::anyhow!("the thread of the gateways broke"))??;
    let promises = compare(&place, &ids, &gateways)?;
    let database = arguments.database.as_deref().map_or("sqlite", |url| url.split(':').next().unwrap_or("?"));
    Ok(Summary {
        gateways: arguments.gateways,
        broker: format!("{:?}", arguments.broker).to_lowercase(),
        database: database.to_owned(),
        interval_s: arguments.interval,
        connect_s,
        steady,
        center,
        mosquitto,
        updates,
        mishaps,
        promises,
    })
}

fn progress(arguments: &FleetArguments, text: &str) {
    if !arguments.json {
        eprintln!("{text}");
    }
}

fn start(place: &Place, arguments: &FleetArguments, euis: &[Eui]) -> Result<Fleet> {
    let plan = Plan {
        port: place.center.mqtt_port(),
        password: place.password.clone(),
        euis: euis.to_vec(),
        profile: profile(&place.center.keys().join("trust"), arguments.interval * 1000)?,
        seed: arguments.seed,
        connects_per_s: arguments.connects,
        mishap_every_s: arguments.mishap_every,
    };
    let numbers = Arc::<Numbers>::default();
    let (over, receiver) = watch::channel(false);
    let of_thread = Arc::clone(&numbers);
    let thread = std::thread::Builder::new()
        .name("gateways".to_owned())
        .spawn(move || world::run(plan, of_thread, receiver))?;
    Ok(Fleet { thread, numbers, over })
}

/// Waits until each gateway has been connected, and as many telemetries were answered.
fn wait_until_heard(fleet: &Fleet, arguments: &FleetArguments) -> Result<f64> {
    let begin = Instant::now();
    let gateways = u64::from(arguments.gateways);
    let limit = Duration::from_secs(gateways / arguments.connects.max(1)) + CONNECT_GRACE;
    let mut connect_s = None;
    loop {
        let connected = read(&fleet.numbers.connected);
        // A mishap may keep some of them away at any moment.
        if connected * 100 >= gateways * if arguments.mishap_every > 0 { 90 } else { 100 } {
            let connect_s = *connect_s.get_or_insert(begin.elapsed().as_secs_f64());
            if read(&fleet.numbers.answered) >= gateways {
                return Ok(connect_s);
            }
        }
        let answered = read(&fleet.numbers.answered);
        ensure!(
            begin.elapsed() < limit,
            "after {limit:?} {connected} of {gateways} gateways are connected, and {answered} telemetries answered; {} connections broke",
            read(&fleet.numbers.broken)
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn measure(
    place: &Place,
    fleet: &Fleet,
    arguments: &FleetArguments,
) -> Result<(Stretch, Cost, Option<Cost>)> {
    let center = place.center.id().context("the center runs")?;
    let broker = place.mosquitto.as_ref().and_then(keros_tests::Mosquitto::id);
    let before = (fleet.numbers.snapshot(), usage(center)?, broker.map(usage).transpose()?);
    let begin = Instant::now();
    std::thread::sleep(Duration::from_secs(arguments.seconds));
    let seconds = begin.elapsed().as_secs_f64();
    let steady = fleet.numbers.snapshot().since(&before.0, seconds);
    let of_center = cost(before.1, usage(center)?, &steady);
    let of_broker = match (broker, before.2) {
        (Some(broker), Some(before)) => Some(cost(before, usage(broker)?, &steady)),
        _ => None,
    };
    Ok((steady, of_center, of_broker))
}

fn cost(before: Usage, after: Usage, stretch: &Stretch) -> Cost {
    let cpu_s = after.cpu_s - before.cpu_s;
    Cost {
        cpu_percent: cpu_s / stretch.seconds * 100.0,
        cpu_us_per_exchange: cpu_s * 1e6 / (stretch.answered.max(1) as f64),
        rss_mib: after.rss_mib,
        peak_mib: after.peak_mib,
    }
}

/// Sends an update to all, and waits until it has ended everywhere.
fn update(place: &mut Place, fleet: &Fleet, arguments: &FleetArguments) -> Result<(String, UpdateTold)> {
    let before = fleet.numbers.snapshot();
    let job = json!({ "kind": "jetporch", "script": SCRIPT });
    let options = json!({ "confirm_window_s": arguments.confirm_window });
    let begin = Instant::now();
    let answer =
        place.center.post("/updates", &json!({ "group": "fleet", "job": job, "options": options }))?;
    let accepted_s = begin.elapsed().as_secs_f64();
    let id = answer["update_id"].as_str().context("an update has an id")?.to_owned();
    for _ in 0..arguments.restarts {
        std::thread::sleep(Duration::from_millis(700));
        place.center.kill()?;
        place.center.restart()?;
    }
    let limit = Duration::from_secs(arguments.limit);
    let view = loop {
        // The newest one, without its lines.
        let view = place.center.get("/updates?limit=1")?[0].take();
        ensure!(view["update_id"] == json!(id), "the newest update is another one: {view}");
        if view["ended"] == json!(true) {
            break view;
        }
        if begin.elapsed() > limit {
            bail!("the update has not ended after {limit:?}: {view}");
        }
        std::thread::sleep(Duration::from_millis(250));
    };
    let ended = begin.elapsed().as_secs_f64();
    let outcomes = serde_json::from_value(view["outcomes"].clone())?;
    let meanwhile = fleet.numbers.snapshot().since(&before, ended);
    Ok((id, UpdateTold { accepted_s, ended_s: ended, outcomes, meanwhile }))
}

/// All lines of an update, page by page.
fn lines(center: &keros_tests::Center, id: &str) -> Result<Vec<Value>> {
    const PAGE: usize = 1000;
    let mut lines: Vec<Value> = Vec::new();
    loop {
        let after = lines.last().and_then(|line| line["eui"].as_str()).map(|eui| format!("&cursor={eui}"));
        let place = format!("/updates/{id}/gateways?limit={PAGE}{}", after.unwrap_or_default());
        let Value::Array(mut page) = center.get(&place)? else { bail!("{place} is no list") };
        let is_last = page.len() < PAGE;
        lines.append(&mut page);
        if is_last {
            return Ok(lines);
        }
    }
}

/// Holds the gateways' own word against the center's.
fn compare(place: &Place, updates: &[String], gateways: &[Gateway]) -> Result<Promises> {
    let mut promises = Promises::default();
    let by_eui: BTreeMap<String, &Gateway> =
        gateways.iter().map(|gateway| (gateway.eui.to_string(), gateway)).collect();
    for gateway in gateways {
        promises.started_twice += gateway.started_twice() as u64;
        promises.disbelieved += gateway.disbelieved;
        promises.unacknowledged += u64::from(gateway.reports_pending());
    }
    for id in updates {
        let lines = lines(&place.center, id)?;
        promises.missing += (gateways.len() - lines.len().min(gateways.len())) as u64;
        for line in &lines {
            let eui = line["eui"].as_str().unwrap_or_default();
            let gateway = by_eui.get(eui).with_context(|| format!("{eui} is no gateway of this fleet"))?;
            compare_line(line, gateway, &mut promises)?;
        }
    }
    Ok(promises)
}

fn compare_line(line: &Value, gateway: &Gateway, promises: &mut Promises) -> Result<()> {
    let id: CommandId = serde_json::from_value(line["command_id"].clone())?;
    let told: Option<Outcome> = serde_json::from_value(line["outcome"].clone())?;
    let ends = gateway.ends();
    match (told.filter(Outcome::is_terminal), ends.get(&id)) {
        (Some(told), Some(end)) => {
            promises.compared += 1;
            if told.name() != end.name() {
                promises.different += 1;
                promises.tell(format!(
                    "{}: {} at the center, {} at the gateway",
                    gateway.eui,
                    told.name(),
                    end.name()
                ));
            }
        }
        (told, end) => {
            promises.missing += 1;
            promises.tell(format!("{}: {told:?} at the center, {end:?} at the gateway", gateway.eui));
        }
    }
    Ok(())
}
