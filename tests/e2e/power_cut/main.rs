//! A real machine whose power is cut in the middle of a job, and which boots again: no task ran twice, the center learns one
//! terminal status and it is true, and every file that the job manages is old or new in full. What its disk had not flushed
//! is lost, page by page, as the seed says.
//!
//! `KEROS_POWER_CUTS` says how many of the moments are tried (one by default), and as many with a Magic Link; `KEROS_SEED` which
//! sectors are lost.

mod job;
mod link;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use keros_skip::skipped;
use keros_tests::{
    Broker, Center, HOST_SEEN_FROM_VM, Installed, KEROS_6, Lost, Mosquitto, MosquittoMode, Reports, Vm,
    count_from_environment,
};
use serde_json::{Value, json};

use crate::job::{CUTS, FOLDER, Job, LINK_CUTS, Moment, Says, TASKS, content, mark};
use crate::link::Sent;

const EUI: &str = "7076FF0000000001";
/// What the agent may lose of a file that it fetches.
const DURABLE_MIB: u64 = 6;

/// The gateway, what it talks to, and what is known of its disk.
struct Site {
    vm: Vm,
    center: Center,
    reports: Reports,
    _broker: Mosquitto,
    /// What each file had before the round.
    files: BTreeMap<u64, String>,
    round: u64,
    folder: PathBuf,
}

/// What a cut came to.
struct Row {
    job: Job,
    moment: Moment,
    lost: Lost,
    /// The last task whose program had been heard of, and flushes of the disk since the job was sent.
    last_seen: u64,
    flushes: u64,
    outcome: Value,
    /// From power-on to the true status at the center, where it did not have it before the cut.
    told_after: Option<Duration>,
}

impl Site {
    fn start(folder: &Path) -> Result<Self> {
        let broker = Mosquitto::start(&folder.join("broker"), MosquittoMode::Open)?;
        let center = Center::start(&folder.join("center"), Broker::External(broker.port, vec![]))?;
        let reports = Reports::listen(folder, &broker)?;
        let (trust, folder) = (center.keys().join("trust"), folder.to_owned());
        let installed = Installed {
            eui: EUI,
            keros: KEROS_6,
            host: HOST_SEEN_FROM_VM,
            port: broker.port,
            trust: &trust,
            executor_arguments: "--resume-after-s 1",
            more: link::SETTINGS,
        };
        let vm = Vm::prepare(|root| {
            installed.into(root)?;
            let rig = root.join(FOLDER.trim_start_matches('/'));
            std::fs::create_dir_all(&rig)?;
            Ok(std::fs::write(rig.join("done"), "")?)
        })?;
        let mut site =
            Self { vm, center, reports, _broker: broker, files: BTreeMap::new(), round: 0, folder };
        site.vm.power_on()?;
        site.wait_until_it_is_there()?;
        site.center.wait_for_telemetry(&[EUI])?;
        Ok(site)
    }

    /// Sends a job, cuts the power at the moment, boots again, and judges what has become of it.
    fn cut_at(&mut self, job: Job, moment: Moment, seed: u64) -> Result<Row> {
        self.round += 1;
        let flushes_before = self.vm.disk().flushes();
        if let Moment::Flush(number) = moment {
            self.vm.disk().fail_after(number);
        }
        let group = format!("round-{}", self.round);
        let link = match job {
            Job::Link => Some(Sent::send(&self.center, &self.folder, &group, EUI, self.round)?),
            _ => None,
        };
        let update = match &link {
            Some(link) => link.update.clone(),
            None => self.center.send_with(&group, &[EUI], &job.script(self.round), &job.options())?,
        };
        self.wait_for_moment(job, moment, &update, link.as_ref())?;
        let lost = self.vm.cut_power(seed)?;
        let flushes = self.vm.disk().flushes() - flushes_before;
        let console = self.vm.console();
        let seen = |number: &u64| console.contains(&mark(self.round, *number));
        let last_seen = (1..=TASKS).rev().find(seen).unwrap_or(0);
        if !self.center.is_running() {
            self.center.restart()?;
        }
        let known = self.outcome(&update)?;
        self.vm.power_on()?;
        let outcome = self.wait_for_end(&update)?;
        let told_after = (known != outcome).then(|| self.vm.up_for());
        self.wait_until_it_is_there()?;
        if let (Some(link), Moment::Fetched(mib)) = (&link, moment) {
            link.went_on_from(mib.saturating_sub(DURABLE_MIB) * 1024 * 1024)?;
            ensure!(outcome["status"] == "succeeded", "nothing of it had begun: {outcome:#}");
        }
        self.judge(job, &outcome, moment)?;
        let again = self.outcome(&update)?;
        ensure!(again == outcome, "a terminal status is final: {outcome:#} became {again:#}");
        for (command, told) in self.reports.terminals()? {
            ensure!(told.len() == 1, "one terminal report for each command, but {command}: {told:#?}");
        }
        Ok(Row { job, moment, lost, last_seen, flushes, outcome, told_after })
    }

    fn wait_for_moment(&mut self, job: Job, moment: Moment, update: &str, link: Option<&Sent>) -> Result<()> {
        let round = self.round;
        if job == Job::Unconfirmed {
            self.wait_for_task(TASKS - 1)?;
            self.center.kill()?;
        }
        match moment {
            Moment::After(task, flushes) => {
                self.wait_for_task(task)?;
                self.vm.disk().fail_after(flushes);
            }
            Moment::InWindow(flushes) => {
                self.vm.wait_for("the job waits for its confirmation", |vm| {
                    let newest =
                        "keros-executor jobs --json | head -n 1 | grep -o '[0-9a-f-]\\{36\\}' | head -n 1";
                    let story = vm.shell(&format!("keros-executor job $({newest}) --json"))?;
                    ensure!(story.contains("confirming"), "{story}");
                    Ok(Some(()))
                })?;
                self.vm.disk().fail_after(flushes);
            }
            Moment::Fetched(mib) => {
                let part = link.context("only a Magic Link is fetched")?.part();
                self.vm.wait_for("the bundle is on its way", |vm| {
                    let size = vm.shell(&format!("stat -c %s {part} 2>/dev/null || echo 0"))?;
                    Ok((size.trim().parse::<u64>()? >= mib * 1024 * 1024).then_some(()))
                })?;
            }
            Moment::Sent | Moment::Status(_) | Moment::Task(_) | Moment::Flush(_) => {}
        }
        let center = &mut self.center;
        self.vm.wait_for(&format!("{moment:?}"), |vm| {
            let reached = match moment {
                Moment::Sent | Moment::Fetched(_) => true,
                Moment::Flush(_) | Moment::After(..) | Moment::InWindow(_) => {
                    vm.disk().has_failed() || (center.is_running() && has_ended(center, update)?)
                }
                Moment::Task(number) => vm.console().contains(&mark(round, number)),
                Moment::Status(status) => {
                    let line = &center.get(&format!("/updates/{update}"))?["gateways"][0];
                    line["outcome"]["status"] == status
                        || (status == "received" && line["delivery"] == status)
                }
            };
            Ok(reached.then_some(()))
        })
    }

    fn wait_for_task(&mut self, number: u64) -> Result<()> {
        let mark = mark(self.round, number);
        self.vm.wait_for(&mark, |vm| Ok(vm.console().contains(&mark).then_some(())))
    }

    fn wait_until_it_is_there(&mut self) -> Result<()> {
        self.vm.wait_for("the machine has booted", |vm| {
            Ok((vm.shell("systemctl is-active keros-agent")?.trim() == "active").then_some(()))
        })
    }

    fn wait_for_end(&mut self, update: &str) -> Result<Value> {
        let center = &self.center;
        self.vm.wait_for("the center knows the end", |_| Ok(has_ended(center, update)?.then_some(())))?;
        self.outcome(update)
    }

    fn outcome(&self, update: &str) -> Result<Value> {
        Ok(self.center.get(&format!("/updates/{update}"))?["gateways"][0]["outcome"].clone())
    }

    /// Compares the status with what is on the disk of the machine.
    fn judge(&mut self, job: Job, outcome: &Value, moment: Moment) -> Result<()> {
        let done = self.vm.shell(&format!("cat {FOLDER}/done"))?;
        for line in done.lines() {
            let times = done.lines().filter(|other| *other == line).count();
            ensure!(times == 1, "{moment:?}: {line:?} was done {times} times");
        }
        let says = Says::of(outcome)?;
        for number in (1..=TASKS).filter(|number| !job.reboots_at(*number)) {
            let was_done = if number % 2 == 1 {
                done.lines().any(|line| line == mark(self.round, number))
            } else {
                self.is_new(number)?
            };
            let expected = says.expected(number);
            ensure!(
                expected.is_none_or(|expected| expected == was_done),
                "{moment:?}: task {number} was done: {was_done}, but the status says {outcome:#}\n{done}"
            );
        }
        Ok(())
    }

    /// Whether a file is the new one; when it is neither the old nor the new one, that is an error.
    fn is_new(&mut self, number: u64) -> Result<bool> {
        let text = self.vm.shell(&format!("cat {FOLDER}/{number}.conf 2>/dev/null"))?;
        let (old, new) = (self.files.entry(number).or_default(), content(self.round, number));
        if text == new {
            *old = new;
            return Ok(true);
        }
        ensure!(text == *old, "file {number} is neither old nor new: {} bytes", text.len());
        Ok(false)
    }
}

fn has_ended(center: &Center, update: &str) -> Result<bool> {
    Ok(center.get(&format!("/updates/{update}"))?["ended"] == json!(true))
}

fn moments(cuts: usize) -> impl Iterator<Item = (Job, Moment)> {
    CUTS.into_iter().cycle().take(cuts).chain(LINK_CUTS.into_iter().cycle().take(cuts))
}

#[test]
fn a_gateway_whose_power_is_cut_tells_the_truth_and_does_nothing_twice() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        skipped("only root can make the machine's disk");
        return Ok(());
    }
    let cuts = count_from_environment("KEROS_POWER_CUTS", 1)?;
    let seed = u64::try_from(count_from_environment("KEROS_SEED", 1)?)?;
    let folder = tempfile::tempdir()?;
    let begin = Instant::now();
    let mut site = Site::start(folder.path())?;
    println!("first boot to agent running: {:.1} s", site.vm.up_for().as_secs_f64());
    let mut rows = Vec::new();
    for (number, (job, moment)) in moments(cuts).enumerate() {
        let row = site.cut_at(job, moment, seed + number as u64).with_context(|| {
            format!("cut {number}, {job:?} {moment:?}, seed {seed}\n{}", tail(&site.vm.console()))
        })?;
        print(number, &row);
        rows.push(row);
    }
    summary(&rows, begin.elapsed());
    Ok(())
}

fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

fn print(number: usize, row: &Row) {
    let Row { job, moment, lost, last_seen, flushes, outcome, told_after } = row;
    let task = outcome["task"]["number"].as_u64().map_or_else(String::new, |task| format!(" at task {task}"));
    let told =
        told_after.map_or("before the cut".to_owned(), |after| format!("{:.1} s", after.as_secs_f64()));
    let status = outcome["status"].as_str().unwrap_or_default();
    println!(
        "cut {:2}: {job:?}, {moment:?}, after {flushes} flushes and task {last_seen}; {} of {} sectors not flushed were lost; {status}{task}; told after {told}",
        number + 1,
        lost.lost,
        lost.unflushed
    );
}

fn summary(rows: &[Row], took: Duration) {
    let mut told: Vec<_> = rows.iter().filter_map(|row| row.told_after).collect();
    told.sort();
    let seconds = |at: usize| told.get(at).map_or(0.0, Duration::as_secs_f64);
    println!(
        "power cuts: {}; statuses lost: 0 of {0}; tasks run twice: 0; files neither old nor new: 0; from power-on to a true \
         status at the center: median {:.1} s, longest {:.1} s; all in {:.0} s",
        rows.len(),
        seconds(told.len() / 2),
        seconds(told.len().saturating_sub(1)),
        took.as_secs_f64()
    );
}
