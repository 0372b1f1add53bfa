//! The executor against the real jetp 0.1.1: the same playbook by turns.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use keros_tests::project_root;
use tempfile::TempDir;

use crate::cases::{CASES, Case, ECHOES, TEMPLATES_MATCHED};
use crate::measure::{Run, gateway_program, instructions, jetp, median, once};

const RUNS: usize = 5;
/// Where jetp takes longer than [`LONG`].
const FEWER_RUNS: usize = 3;
const LONG: Duration = Duration::from_secs(10);

/// Prints the tables.
pub(crate) fn run() -> Result<()> {
    let ours = gateway_program("keros-executor")?;
    let peer = jetp();
    println!("| executor, median of {RUNS} | time | peak | jetp 0.1.1 time | peak | times faster |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    // Kept to the end: for minutes, ext4 searches long for an inode that was not in use a moment ago.
    let mut benches = Vec::new();
    for case in &CASES {
        let bench = Bench::new(case)?;
        compare(&bench, &ours, peer.as_deref())?;
        benches.push(bench);
    }
    println!("\n*: median of {FEWER_RUNS}, because jetp takes more than {} s\n", LONG.as_secs());
    count_instructions(&ours)
}

/// A row of the table.
fn compare(bench: &Bench<'_>, ours: &Path, peer: Option<&Path>) -> Result<()> {
    // The first run of each only warms the caches.
    bench.measure(ours, &bench.our_arguments())?;
    let warm = peer.map(|jetp| bench.measure(jetp, &bench.peer_arguments())).transpose()?;
    let is_long = warm.is_some_and(|run| run.time > LONG);
    let (mut our_runs, mut peer_runs) = (Vec::new(), Vec::new());
    for _ in 0..if is_long { FEWER_RUNS } else { RUNS } {
        our_runs.push(bench.measure(ours, &bench.our_arguments())?);
        if let Some(jetp) = peer {
            peer_runs.push(bench.measure(jetp, &bench.peer_arguments())?);
        }
    }
    let (time, peak) = figures(&our_runs)?;
    print!("| {}{} | {} | {peak} KiB ", bench.case.name, if is_long { " *" } else { "" }, ms(time));
    if peer_runs.is_empty() {
        println!("| skipped: JETP_BIN is not set | | |");
    } else {
        let (peer_time, peer_peak) = figures(&peer_runs)?;
        let ratio = peer_time.as_secs_f64() / time.as_secs_f64();
        println!("| {} | {peer_peak} KiB | {ratio:.1} |", ms(peer_time));
    }
    Ok(())
}

/// Instructions do not depend on what else the machine does. Only ours are counted: jetp leaves most of its work to programs
/// that it starts, which are not counted with it.
fn count_instructions(ours: &Path) -> Result<()> {
    println!("| executor, instructions (callgrind) | |\n| --- | ---: |");
    for case in [&ECHOES, &TEMPLATES_MATCHED] {
        let bench = Bench::new(case)?;
        bench.measure(ours, &bench.our_arguments())?;
        println!("| {} | {} |", case.name, instructions(ours, &bench.our_arguments())?);
    }
    println!();
    Ok(())
}

/// The folder of one case.
pub(crate) struct Bench<'c> {
    case: &'c Case,
    folder: TempDir,
    file: PathBuf,
}

impl<'c> Bench<'c> {
    pub(crate) fn new(case: &'c Case) -> Result<Self> {
        // Not in /tmp, which may be in memory: what is made must reach a disk.
        let folder = tempfile::tempdir_in(project_root().join("target"))?;
        let work = folder.path().join("work");
        std::fs::create_dir(&work)?;
        std::fs::create_dir(folder.path().join("templates"))?;
        std::fs::write(folder.path().join("templates/t"), (case.template)())?;
        let file = folder.path().join("playbook.yml");
        std::fs::write(&file, (case.playbook)(&work))?;
        Ok(Self { case, folder, file })
    }

    fn our_arguments(&self) -> [String; 2] {
        ["playbook".to_owned(), self.file.display().to_string()]
    }

    pub(crate) fn peer_arguments(&self) -> [String; 3] {
        ["local".to_owned(), "-p".to_owned(), self.file.display().to_string()]
    }

    pub(crate) fn measure(&self, program: &Path, arguments: &[String]) -> Result<Run> {
        let work = self.folder.path().join("work");
        if self.case.fresh {
            // Moved and not removed, for the reason above.
            let aside = tempfile::Builder::new().prefix("before").tempdir_in(self.folder.path())?.keep();
            std::fs::rename(&work, aside.join("work"))?;
            std::fs::create_dir(&work)?;
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let run = once(program, &arguments, &self.folder.path().join("peak"))?;
        let made = std::fs::read_dir(&work)?.count();
        ensure!(made > 0 || !self.case.fresh, "{} made nothing", program.display());
        Ok(run)
    }
}

pub(crate) fn figures(runs: &[Run]) -> Result<(Duration, u64)> {
    Ok((
        median(runs.iter().map(|run| run.time).collect())?,
        median(runs.iter().map(|run| run.peak_kib).collect())?,
    ))
}

pub(crate) fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
