//! The executor against the real jetp 0.1.1: the same playbook by turns, median of five.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::measure::{gateway_program, jetp, median, once};

const RUNS: usize = 5;

/// A playbook, and whether its traces are removed before each run.
struct Case {
    name: &'static str,
    playbook: fn(&Path) -> String,
    fresh: bool,
}

const CASES: [Case; 3] = [
    Case { name: "1 echo task", playbook: |_| tasks(1, |_| "!echo { msg: hello }".to_owned()), fresh: false },
    Case { name: "100 file tasks, created", playbook: files, fresh: true },
    Case { name: "100 file tasks, matched", playbook: files, fresh: false },
];

fn tasks(count: usize, task: impl Fn(usize) -> String) -> String {
    let lines: String = (0..count).map(|n| format!("    - {}\n", task(n))).collect();
    format!("- name: bench\n  groups: [all]\n  tasks:\n{lines}")
}

fn files(folder: &Path) -> String {
    let attributes = "attributes: { owner: root, group: root, mode: '0o640' }";
    tasks(100, |n| format!("!file {{ path: '{}/f{n}', {attributes} }}", folder.display()))
}

/// Prints the table.
pub(crate) fn run() -> Result<()> {
    let ours = gateway_program("keros-executor")?;
    let peer = jetp();
    println!("| executor, median of {RUNS} | time | peak | jetp 0.1.1 time | peak | times faster |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for case in &CASES {
        let folder = tempfile::tempdir()?;
        let work = folder.path().join("work");
        let file = folder.path().join("playbook.yml");
        std::fs::write(&file, (case.playbook)(&work))?;
        let file = file.to_string_lossy();
        let (mut our_runs, mut peer_runs) = (Vec::new(), Vec::new());
        for _ in 0..=RUNS {
            our_runs.push(measured(case, folder.path(), &ours, &["playbook", &file])?);
            if let Some(jetp) = &peer {
                peer_runs.push(measured(case, folder.path(), jetp, &["local", "-p", &file])?);
            }
        }
        // The first run of each only warms the caches.
        let (time, peak) = figures(&our_runs[1..])?;
        print!("| {} | {} | {peak} KiB ", case.name, ms(time));
        if peer_runs.is_empty() {
            println!("| skipped: JETP_BIN is not set | | |");
        } else {
            let (peer_time, peer_peak) = figures(&peer_runs[1..])?;
            let ratio = peer_time.as_secs_f64() / time.as_secs_f64();
            println!("| {} | {peer_peak} KiB | {ratio:.1} |", ms(peer_time));
        }
    }
    println!();
    Ok(())
}

fn measured(case: &Case, folder: &Path, program: &Path, arguments: &[&str]) -> Result<(Duration, u64)> {
    let work = folder.join("work");
    if case.fresh && work.exists() {
        std::fs::remove_dir_all(&work)?;
    }
    std::fs::create_dir_all(&work)?;
    let run = once(program, arguments, &folder.join("peak"))?;
    Ok((run.time, run.peak_kib))
}

fn figures(runs: &[(Duration, u64)]) -> Result<(Duration, u64)> {
    Ok((median(runs.iter().map(|run| run.0).collect())?, median(runs.iter().map(|run| run.1).collect())?))
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
