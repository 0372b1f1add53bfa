//! Measuring one program from outside.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use keros_tests::{project_root, system_program};

/// The machine's processor and memory, for the reader of the tables.
pub(crate) fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("\t: unknown processor");
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    format!("{cores} cores of {}", model.trim_start_matches(['\t', ':', ' ']))
}

/// A program built for gateways.
pub(crate) fn gateway_program(name: &str) -> Result<PathBuf> {
    let path = project_root().join("target/gateway").join(name);
    ensure!(path.exists(), "{} is missing: `./run bench` builds it", path.display());
    Ok(path)
}

/// The real jetp, when the environment says where it is.
pub(crate) fn jetp() -> Option<PathBuf> {
    std::env::var_os("JETP_BIN").map(PathBuf::from).filter(|path| path.exists())
}

/// Sizes of what is installed on a gateway.
pub(crate) fn sizes() -> Result<()> {
    println!("| binary (x86-64, profile gateway) | bytes |\n| --- | ---: |");
    for name in ["keros-agent", "keros-executor"] {
        println!("| {name} | {} |", std::fs::metadata(gateway_program(name)?)?.len());
    }
    if let Some(jetp) = jetp() {
        println!("| jetp 0.1.1, as cargo installs it | {} |", std::fs::metadata(jetp)?.len());
    }
    println!();
    Ok(())
}

/// Proportional and resident set size of a process, KiB.
pub(crate) fn memory_kib(pid: u32) -> Result<(u64, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let field = |name: &str| -> Result<u64> {
        let line = text.lines().find(|line| line.starts_with(name)).with_context(|| format!("no {name}"))?;
        Ok(line.split_whitespace().nth(1).context("a number")?.parse()?)
    };
    Ok((field("Pss:")?, field("Rss:")?))
}

/// One run of a program: how long it took and its greatest resident set, KiB.
pub(crate) struct Run {
    pub(crate) time: Duration,
    pub(crate) peak_kib: u64,
}

/// Runs a program under Debian's `time`, which says its peak.
pub(crate) fn once(program: &Path, arguments: &[&str], peak_file: &Path) -> Result<Run> {
    once_with(Stdio::null(), program, arguments, peak_file)
}

/// The same with this on its standard input.
pub(crate) fn once_with(input: Stdio, program: &Path, arguments: &[&str], peak_file: &Path) -> Result<Run> {
    let mut command = Command::new(system_program("time")?);
    command.args(["-f", "%M", "-o"]).arg(peak_file).arg(program).args(arguments);
    command.env("USER", "root").stdin(input).stdout(Stdio::null()).stderr(Stdio::null());
    let begin = Instant::now();
    let status = command.status()?;
    let time = begin.elapsed();
    ensure!(status.success(), "{} ended with {status}", program.display());
    let text = std::fs::read_to_string(peak_file)?;
    Ok(Run { time, peak_kib: text.trim().parse().with_context(|| format!("peak memory in {text:?}"))? })
}

/// Instructions that a program executes, not counting programs that it starts.
pub(crate) fn instructions(program: &Path, arguments: &[String]) -> Result<u64> {
    let mut command = Command::new(system_program("valgrind")?);
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program).args(arguments);
    let output = command.stdin(Stdio::null()).stdout(Stdio::null()).output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "valgrind ended with {}: {told}", output.status);
    let count = told.lines().find_map(|line| line.split_once("Collected :")).context("no count")?.1;
    Ok(count.trim().parse()?)
}

/// The middle one of several figures.
pub(crate) fn median<T: PartialOrd + Copy>(mut figures: Vec<T>) -> Result<T> {
    figures.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    figures.get(figures.len() / 2).copied().context("no figures")
}
