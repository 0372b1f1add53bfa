//! What a day costs the gateway's processor and its flash: each piece of a day is measured on real parts, and counted as often as the
//! default settings have it in a day.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use keros_tests::wait_for;

use super::flash::{Flash, Written};
use super::site::{EUI, Site};
use crate::manager::Manager;
use crate::measure::gateway_program;

/// Statements that are at least a minute apart are worth a write; the hourly ones are.
const INTERVAL_S: u32 = 65;
const TELEMETRIES: usize = 3;
const PINGS: usize = 8;
const STATUSES: usize = 10;
const JOBS: usize = 5;
const WAKES: usize = 20;
/// After a start.
const SETTLED: usize = 8;
/// A third of it is the loop's longest sleep.
const WATCHDOG: Duration = Duration::from_secs(3);
/// Of `/proc/*/stat`, sysconf(3).
const TICKS_A_SECOND: f64 = 100.0;

/// A piece of a day, and how often a day has it.
struct Piece {
    name: &'static str,
    a_day: f64,
    seconds: f64,
    written: Written,
}

/// Prints the table.
pub(crate) fn run() -> Result<()> {
    let mut site = Site::prepare(|options| options.telemetry_interval_s = Some(INTERVAL_S))?;
    let places = [site.gateway.agent_state(), site.gateway.executor_state()];
    let flash = Flash::mount(site.folder(), &places)?;
    let pieces = pieces(&mut site, &flash)?;
    println!(
        "| a day of the agent by its pieces | a day | processor, each | a day | writes, each | a day | bytes a day |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    let (mut seconds, mut writes, mut bytes) = (0.0, 0.0, 0.0);
    for Piece { name, a_day, seconds: each, written } in pieces {
        let all = written * a_day;
        println!(
            "| {name} | {a_day} | {:.2} ms | {:.3} s | {:.1} | {:.0} | {:.0} |",
            each * 1000.0,
            each * a_day,
            written.writes,
            all.writes,
            all.bytes
        );
        (seconds, writes, bytes) = (seconds + each * a_day, writes + all.writes, bytes + all.bytes);
    }
    println!("| all | | | {seconds:.3} s | | {writes:.0} | {bytes:.0} |\n");
    // The agent ends before its disk goes.
    site.gateway.kill()
}

fn pieces(site: &mut Site, flash: &Flash) -> Result<Vec<Piece>> {
    let meter = |site: &mut Site| Meter::read(site, flash);
    let begin = flash.written()?;
    site.start(&gateway_program("keros-agent")?)?;
    let started = meter(site)?;
    // Everything up to here: the process and its state are new.
    let start = Spent { seconds: started.seconds, written: started.written - begin, pings: 0.0 };

    wait_telemetry(site, 1)?;
    let first = meter(site)?;
    wait_pings(site, PINGS)?;
    let quiet = meter(site)?;
    ensure!(quiet.telemetries == first.telemetries, "telemetry came between the pings");
    let ping = (quiet.since(&first)) * (1.0 / (quiet.pings - first.pings));
    wait_telemetry(site, TELEMETRIES)?;
    let last = meter(site)?;
    let count = last.telemetries - first.telemetries;
    let telemetry = last.since(&first).without_pings(&ping) * (1.0 / count);

    let before = meter(site)?;
    for _ in 0..STATUSES {
        site.status()?;
    }
    let after = meter(site)?;
    let status = after.since(&before).without_pings(&ping) * (1.0 / STATUSES as f64);
    let jobs = jobs(site, flash, &ping)?;
    let wake = wake(site, flash, &ping)?;

    // Counting flushes the device, which counts as a write without bytes.
    let written = |spent: Spent| if spent.written.bytes < 1.0 { spent.written * 0.0 } else { spent.written };
    let piece =
        |name, a_day, spent: Spent| Piece { name, a_day, seconds: spent.seconds, written: written(spent) };
    Ok(vec![
        piece("telemetry, its answer, the state stored", 24.0, telemetry),
        piece("ping", 288.0, ping),
        piece("sign of life for systemd's watchdog (120 s)", 2160.0, wake),
        piece("`keros-agent status`, the agent's part", 4.0, status),
        piece("job of one task: the agent's part, and all writes", 1.0, jobs.0),
        Piece {
            name: "job of one task: the executor's part",
            a_day: 1.0,
            seconds: jobs.1,
            written: ping.written * 0.0,
        },
        piece("start until the first answer, with a new state", 1.0, start),
    ])
}

/// The agent's part, and the executor's seconds, for one job.
fn jobs(site: &mut Site, flash: &Flash, ping: &Spent) -> Result<(Spent, f64)> {
    site.job("warm")?;
    let (before, children) = (Meter::read(site, flash)?, children_seconds(site)?);
    for number in 0..JOBS {
        site.job(&format!("job-{number}"))?;
    }
    let spent = Meter::read(site, flash)?.since(&before).without_pings(ping);
    let executor = (children_seconds(site)? - children) / JOBS as f64;
    Ok((spent * (1.0 / JOBS as f64), executor))
}

/// Once around the loop, with a service manager that listens.
fn wake(site: &mut Site, flash: &Flash, ping: &Spent) -> Result<Spent> {
    site.gateway.kill()?;
    let manager = Manager::new(site.folder(), WATCHDOG)?;
    site.gateway.start_program(&manager.program)?;
    manager.hear("connected")?;
    // The first telemetry's answer is stored by then.
    (0..SETTLED).try_for_each(|_| manager.hear("WATCHDOG=1"))?;
    let before = Meter::read(site, flash)?;
    for _ in 0..WAKES {
        manager.hear("WATCHDOG=1")?;
    }
    let after = Meter::read(site, flash)?;
    Ok(after.since(&before).without_pings(ping) * (1.0 / WAKES as f64))
}

/// What it came to at one moment.
struct Meter {
    seconds: f64,
    written: Written,
    pings: f64,
    telemetries: f64,
}

/// What came between two moments.
#[derive(Clone, Copy)]
struct Spent {
    seconds: f64,
    written: Written,
    pings: f64,
}

impl Meter {
    fn read(site: &mut Site, flash: &Flash) -> Result<Self> {
        let written = flash.written()?;
        let pid = site.gateway.process().context("the agent runs")?.id();
        let (pings, telemetries) = (site.packets("PINGREQ") as f64, telemetries(site) as f64);
        Ok(Self { seconds: seconds(pid)?, written, pings, telemetries })
    }

    fn since(&self, before: &Self) -> Spent {
        Spent {
            seconds: self.seconds - before.seconds,
            written: self.written - before.written,
            pings: self.pings - before.pings,
        }
    }
}

impl Spent {
    fn without_pings(self, ping: &Self) -> Self {
        Self {
            seconds: self.seconds - ping.seconds * self.pings,
            written: self.written - ping.written * self.pings,
            pings: 0.0,
        }
    }
}

impl std::ops::Mul<f64> for Spent {
    type Output = Self;
    fn mul(self, times: f64) -> Self {
        Self { seconds: self.seconds * times, written: self.written * times, pings: self.pings * times }
    }
}

fn telemetries(site: &Site) -> usize {
    site.broker.log().matches(&format!("/{EUI}/telemetry'")).count()
}

/// Until that many more have come, and the state has been stored after the last one.
fn wait_telemetry(site: &Site, more: usize) -> Result<()> {
    for _ in 0..more {
        let before = telemetries(site);
        let mut result = Ok(());
        // Two times the limit of a wait.
        for _ in 0..2 {
            result = wait_for("telemetry", || Ok((telemetries(site) > before).then_some(())));
            if result.is_ok() {
                break;
            }
        }
        result?;
    }
    std::thread::sleep(Duration::from_secs(4));
    Ok(())
}

fn wait_pings(site: &Site, more: usize) -> Result<()> {
    let before = site.packets("PINGREQ");
    wait_for("pings", || Ok((site.packets("PINGREQ") >= before + more).then_some(())))
}

/// Seconds of processor time of all its threads; the kernel counts nanoseconds.
fn seconds(pid: u32) -> Result<f64> {
    let mut sum = 0.0;
    for task in Path::new(&format!("/proc/{pid}/task")).read_dir()? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        sum += text.split_whitespace().next().context("a number")?.parse::<f64>()? / 1e9;
    }
    Ok(sum)
}

/// Seconds of all programs that it has started and that have ended, with those that they started.
fn children_seconds(site: &mut Site) -> Result<f64> {
    let pid = site.gateway.process().context("the agent runs")?.id();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit_once(')').context("a stat line")?.1.split_whitespace().collect();
    // The 16th and 17th of proc(5); the first two stand before the name's end.
    let ticks: f64 = fields.get(13).context("cutime")?.parse::<f64>()?
        + fields.get(14).context("cstime")?.parse::<f64>()?;
    Ok(ticks / TICKS_A_SECOND)
}
