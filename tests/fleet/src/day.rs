//! A fleet without connections, faster than real time: hours of telemetry, then an update to all. What the center's process uses is
//! counted by the kernel.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use keros_protocol::topics::Leaf;
use keros_protocol::{Eui, KeyRing, UpdateId};
use keros_tests::Random;
use serde::Serialize;

use crate::arguments::DayArguments;
use crate::gateway::{At, Gateway, Out, Profile};
use crate::process::{Usage, usage};
use crate::run::{FIRST_EUI, SCRIPT};
use crate::talk::{Ask, CenterProcess, Message, Told, keys};
use crate::telemetry;

/// When the simulated time begins, milliseconds since 1970.
const BEGIN_UNIX_MS: u64 = 1_800_000_000_000;
const HOUR_MS: u64 = 3_600_000;
/// The center looks at its deadlines so often.
const DEADLINES_MS: u64 = 5000;
/// An update has to be over after so long.
const UPDATE_LIMIT_MS: u64 = 3 * HOUR_MS;
/// Messages of one transaction where only the result counts.
const FILL_BATCH: usize = 512;
/// From the gateway to the center and back.
const WAY_MS: u64 = 40;

/// What the simulated time has shown.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    gateways: u32,
    database: String,
    batch: usize,
    /// The hour in which all are heard of for the first time, with their packages.
    first_hour: Part,
    /// The hours after it.
    steady: Part,
    /// Of one core, percent, by the center's work in those hours.
    cpu_percent_of_a_core: f64,
    /// For each exchange.
    cpu_us_per_exchange: f64,
    /// From the order to its acceptance, seconds of real time.
    accepted_s: f64,
    /// From the order to the end everywhere.
    update: Part,
    /// How many gateways ended it how.
    outcomes: BTreeMap<String, u32>,
    /// Memory of the center's process in the end, and at most, MiB.
    rss_mib: f64,
    peak_mib: f64,
    /// The center's SQLite file, MiB.
    database_mib: Option<f64>,
    /// Gateways that started the update more than once.
    started_twice: usize,
    /// Gateways whose end is not the center's, by the counts of all.
    different: bool,
}

impl Summary {
    /// As a line of [`Summary::HEAD`]'s table.
    pub(crate) fn row(&self) -> String {
        format!(
            "| {} | {} | {:.2} | {:.0} | {:.1} | {:.0} | {} | {:.2} | {:.0} |",
            self.gateways,
            self.database,
            self.cpu_percent_of_a_core,
            self.cpu_us_per_exchange,
            self.first_hour.cpu_s,
            self.peak_mib,
            self.database_mib.map_or_else(|| "-".to_owned(), |mib| format!("{mib:.0}")),
            self.accepted_s,
            self.update.cpu_s,
        )
    }

    /// The head of the table.
    pub(crate) const HEAD: &str = "| gateways | database | of a core % | CPU µs each | first hour, CPU s | peak MiB | file MiB | update accepted s | update, CPU s |\n| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |";
}

/// A stretch of simulated time.
#[derive(Debug, Clone, Serialize)]
struct Part {
    simulated_s: f64,
    real_s: f64,
    /// Of the center's process.
    cpu_s: f64,
    telemetry: u64,
    reports: u64,
    transactions: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    telemetry: u64,
    reports: u64,
    transactions: u64,
}

struct Day {
    gateways: Vec<Gateway>,
    /// Next wake-ups; what the center has sent is under way.
    wakes: BinaryHeap<Reverse<(u64, usize)>>,
    woken_at_ms: Vec<u64>,
    under_way: BinaryHeap<Reverse<(u64, u64)>>,
    letters: BTreeMap<u64, (usize, String)>,
    letters_sent: u64,
    now_ms: u64,
    next_deadlines_ms: u64,
    waiting: Vec<Message>,
    batch: usize,
    center: CenterProcess,
    counts: Counts,
}

/// Does all of it.
pub(crate) fn run(arguments: &DayArguments) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let folder = arguments.folder.clone().unwrap_or_else(|| scratch.path().to_owned());
    let summary = run_in(&folder, arguments)?;
    println!(
        "{}",
        if arguments.json {
            serde_json::to_string(&summary)?
        } else {
            serde_json::to_string_pretty(&summary)?
        }
    );
    ensure!(summary.started_twice == 0 && !summary.different, "a promise was not kept");
    Ok(())
}

/// The same without a summary, in this folder.
pub(crate) fn run_in(folder: &Path, arguments: &DayArguments) -> Result<Summary> {
    let mut day = Day::new(folder, arguments)?;
    let note = |text: &str| {
        if !arguments.json {
            eprintln!("{text}");
        }
    };
    let first_hour = day.part(|day| {
        day.connect_all(arguments.seed, HOUR_MS / 2)?;
        day.until(HOUR_MS)
    })?;
    note(&format!("the first hour: {first_hour:?}"));
    let hours = u64::from(arguments.hours);
    let steady = day.part(|day| day.until((1 + hours) * HOUR_MS))?;
    note(&format!("{hours} more: {steady:?}"));
    day.group()?;
    let mut accepted_s = 0.0;
    let mut outcomes = BTreeMap::new();
    let update = day.part(|day| {
        let begin = Instant::now();
        let update_id = day.send()?;
        accepted_s = begin.elapsed().as_secs_f64();
        note(&format!("accepted after {accepted_s:.2} s"));
        outcomes = day.until_ended(update_id)?;
        Ok(())
    })?;
    let used = usage(day.center.id())?;
    let truth = day.truth();
    Ok(Summary {
        gateways: arguments.gateways,
        database: arguments
            .database
            .as_deref()
            .map_or("sqlite", |url| url.split(':').next().unwrap_or("?"))
            .to_owned(),
        batch: arguments.batch,
        cpu_percent_of_a_core: steady.cpu_s / steady.simulated_s * 100.0,
        cpu_us_per_exchange: steady.cpu_s * 1e6 / steady.telemetry.max(1) as f64,
        first_hour,
        steady,
        accepted_s,
        update,
        different: truth != outcomes,
        outcomes,
        rss_mib: used.rss_mib,
        peak_mib: used.peak_mib,
        database_mib: size_mib(&folder.join("center.db")),
        started_twice: day.gateways.iter().map(Gateway::started_twice).sum(),
    })
}

/// Fills a database: the packages of all gateways, an update to all that has ended, and one that waits for all.
pub(crate) fn fill(folder: &Path, gateways: u32, database: Option<&str>) -> Result<[UpdateId; 2]> {
    let database = database.map(str::to_owned);
    let arguments = DayArguments { gateways, database, batch: FILL_BATCH, ..DayArguments::quiet() };
    let mut day = Day::new(folder, &arguments)?;
    day.connect_all(arguments.seed, 1)?;
    day.until(DEADLINES_MS)?;
    day.group()?;
    let ended = day.send()?;
    day.until_ended(ended)?;
    Ok([ended, day.send()?])
}

fn size_mib(path: &Path) -> Option<f64> {
    Some(std::fs::metadata(path).ok()?.len() as f64 / f64::from(1 << 20))
}

impl Day {
    fn new(folder: &Path, arguments: &DayArguments) -> Result<Self> {
        let [command, statement] = keys()?;
        let packages = telemetry::packages();
        let profile = Arc::new(Profile {
            command_keys: KeyRing::new(vec![command.public()]),
            statement_keys: KeyRing::new(vec![statement.public()]),
            version: "6.3.1".parse()?,
            packages_digest: telemetry::digest(&packages),
            packages,
            interval_ms: HOUR_MS,
        });
        let at = at(0);
        let gateways: Vec<Gateway> = (0..u64::from(arguments.gateways))
            .map(|number| Gateway::new(Eui::from_u64(FIRST_EUI + number), &profile, arguments.seed, at))
            .collect();
        Ok(Self {
            woken_at_ms: vec![u64::MAX; gateways.len()],
            gateways,
            wakes: BinaryHeap::new(),
            under_way: BinaryHeap::new(),
            letters: BTreeMap::new(),
            letters_sent: 0,
            now_ms: 0,
            next_deadlines_ms: DEADLINES_MS,
            waiting: Vec::new(),
            batch: arguments.batch.max(1),
            center: CenterProcess::start(folder, arguments.database.as_deref())?,
            counts: Counts::default(),
        })
    }

    /// All connect within this time; a connection begins with telemetry.
    fn connect_all(&mut self, seed: u64, within_ms: u64) -> Result<()> {
        let mut random = Random::new(seed);
        let mut order: Vec<(u64, usize)> =
            (0..self.gateways.len()).map(|index| (random.below(within_ms), index)).collect();
        order.sort_unstable();
        for (at_ms, index) in order {
            self.until(at_ms)?;
            self.gateways[index].connected(at(at_ms));
            self.collect(index)?;
        }
        self.flush()
    }

    fn part(&mut self, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<Part> {
        let before: (Usage, Counts, u64, Instant) =
            (usage(self.center.id())?, self.counts, self.now_ms, Instant::now());
        work(self)?;
        Ok(Part {
            simulated_s: (self.now_ms - before.2) as f64 / 1000.0,
            real_s: before.3.elapsed().as_secs_f64(),
            cpu_s: usage(self.center.id())?.cpu_s - before.0.cpu_s,
            telemetry: self.counts.telemetry - before.1.telemetry,
            reports: self.counts.reports - before.1.reports,
            transactions: self.counts.transactions - before.1.transactions,
        })
    }

    /// All that happens up to a moment.
    fn until(&mut self, end_ms: u64) -> Result<()> {
        loop {
            let wake = self.wakes.peek().map(|Reverse((wake, _))| *wake);
            let arrival = self.under_way.peek().map(|Reverse((arrival, _))| *arrival);
            let next =
                [wake, arrival, Some(self.next_deadlines_ms)].into_iter().flatten().min().unwrap_or(end_ms);
            if next > self.now_ms {
                self.flush()?;
                // What the center has just sent may be the next thing that happens.
                let sent = self.under_way.peek().map(|Reverse((arrival, _))| *arrival);
                if sent.is_some_and(|sent| sent < next) {
                    continue;
                }
            }
            if next > end_ms {
                self.now_ms = self.now_ms.max(end_ms);
                return Ok(());
            }
            self.now_ms = self.now_ms.max(next);
            if wake == Some(next) {
                self.wake()?;
            } else if arrival == Some(next) {
                self.arrive()?;
            } else {
                self.deadlines()?;
            }
        }
    }

    fn wake(&mut self) -> Result<()> {
        let Some(Reverse((wake, index))) = self.wakes.pop() else { return Ok(()) };
        if self.woken_at_ms[index] != wake {
            return Ok(());
        }
        self.woken_at_ms[index] = u64::MAX;
        self.gateways[index].woken(at(self.now_ms));
        self.collect(index)
    }

    fn arrive(&mut self) -> Result<()> {
        let Some(Reverse((_, number))) = self.under_way.pop() else { return Ok(()) };
        let Some((index, payload)) = self.letters.remove(&number) else { return Ok(()) };
        self.gateways[index].message(at(self.now_ms), payload.as_bytes());
        self.collect(index)
    }

    fn deadlines(&mut self) -> Result<()> {
        let now = unix_s(self.now_ms);
        self.next_deadlines_ms = self.now_ms + DEADLINES_MS;
        self.center.ask(&Ask::Deadlines { since: now - DEADLINES_MS / 1000, now }).map(drop)
    }

    /// What a gateway wants, and when it wants to be woken.
    fn collect(&mut self, index: usize) -> Result<()> {
        let gateway = &mut self.gateways[index];
        let eui = gateway.eui;
        let outs = std::mem::take(&mut gateway.out);
        if let Some(next) = gateway.next_ms(at(self.now_ms)).map(|next| next.max(self.now_ms + 1))
            && next != self.woken_at_ms[index]
        {
            self.woken_at_ms[index] = next;
            self.wakes.push(Reverse((next, index)));
        }
        for out in outs {
            let Out::Publish { leaf, payload, correlation } = out else { continue };
            let is_report = leaf == Leaf::Report;
            *(if is_report { &mut self.counts.reports } else { &mut self.counts.telemetry }) += 1;
            let payload = String::from_utf8_lossy(&payload).into_owned();
            self.waiting.push(Message {
                eui,
                is_report,
                payload,
                correlation: correlation.map(|id| id.to_string()),
            });
            if self.waiting.len() >= self.batch {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// What waits goes to the center, in one transaction.
    fn flush(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let messages = std::mem::take(&mut self.waiting);
        self.counts.transactions += 1;
        let told = self.center.ask(&Ask::Hear { messages, now: unix_s(self.now_ms) })?;
        self.post(told)
    }

    /// What the center sends goes its way.
    fn post(&mut self, told: Told) -> Result<()> {
        let Told::Downs(downs) = told else { bail!("not what was asked for: {told:?}") };
        for (eui, payload) in downs {
            let index = usize::try_from(eui.as_u64() - FIRST_EUI)?;
            self.letters_sent += 1;
            self.letters.insert(self.letters_sent, (index, payload));
            self.under_way.push(Reverse((self.now_ms + WAY_MS, self.letters_sent)));
        }
        Ok(())
    }

    fn group(&mut self) -> Result<()> {
        let gateways = self.gateways.iter().map(|gateway| gateway.eui).collect();
        let now = unix_s(self.now_ms);
        self.center.ask(&Ask::Group { name: "fleet".to_owned(), gateways, now }).map(drop)
    }

    fn send(&mut self) -> Result<UpdateId> {
        let (group, script) = ("fleet".to_owned(), SCRIPT.to_owned());
        match self.center.ask(&Ask::Send { group, script, now: unix_s(self.now_ms) })? {
            Told::Accepted(update_id) => Ok(update_id),
            other => bail!("not what was asked for: {other:?}"),
        }
    }

    /// The gateways that are online are nudged, and the others hear of it in the answer to their next telemetry.
    fn until_ended(&mut self, update_id: UpdateId) -> Result<BTreeMap<String, u32>> {
        let told = self.center.ask(&Ask::Nudge { now: unix_s(self.now_ms) })?;
        self.post(told)?;
        let begin_ms = self.now_ms;
        while self.now_ms < begin_ms + UPDATE_LIMIT_MS {
            self.until(self.now_ms + 30_000)?;
            let ask = Ask::Progress { update_id, now: unix_s(self.now_ms) };
            if let Told::Progress { ended: true, outcomes } = self.center.ask(&ask)? {
                return Ok(outcomes);
            }
        }
        bail!("the update has not ended after {} simulated seconds", UPDATE_LIMIT_MS / 1000)
    }

    /// How the gateways' commands truly ended.
    fn truth(&self) -> BTreeMap<String, u32> {
        let mut truth = BTreeMap::new();
        for outcome in self.gateways.iter().flat_map(|gateway| gateway.ends().into_values()) {
            *truth.entry(outcome.name().to_owned()).or_default() += 1;
        }
        truth
    }
}

fn at(ms: u64) -> At {
    At { us: ms * 1000, began_unix_ms: BEGIN_UNIX_MS }
}

fn unix_s(ms: u64) -> u64 {
    (BEGIN_UNIX_MS + ms) / 1000
}
