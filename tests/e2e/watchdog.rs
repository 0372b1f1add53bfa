//! An agent that hangs is ended and started again by the service manager, because its main loop says nothing any more. The job that it
//! watched goes on meanwhile; the next agent answers the technician, follows the job, and tells the center of its end.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use keros_skip::skipped;
use keros_tests::{
    Booted, Broker, Center, FAR, Installed, Link, Mosquitto, MosquittoMode, Process, Proxy, system_program,
    wait_for,
};
use serde_json::json;

const EUI: &str = "7076FF0000000001";
const PORT: u16 = 1883;

/// Shorter times than those that ship; that there is a watchdog at all, and what it does, is the shipped unit's.
const WATCHDOG: Duration = Duration::from_secs(6);
const DROP_IN: &str = "[Service]\nWatchdogSec=6\nTimeoutAbortSec=3\nRestartSec=1\n";

/// It goes on until somebody says so, and leaves a trace of each time that it ran.
const SCRIPT: &str = "- name: p\n  groups: [all]\n  tasks:\n    \
    - !shell { cmd: 'echo begun >> /var/traces; while [ ! -e /var/go-on ]; do sleep 0.1; done' }\n";

fn shown(debian: &Booted, property: &str) -> Result<String> {
    let shown = debian.run_ok(&["systemctl", "show", "keros-agent", "--value", "-p", property])?;
    Ok(shown.trim().to_owned())
}

/// The process of the next agent, when it answers that the job runs.
fn next(debian: &Booted, before: &str, job: &str) -> Result<String> {
    let next = wait_for("the next agent", || {
        let now = shown(debian, "MainPID")?;
        Ok((now != before && now != "0").then_some(now))
    })?;
    wait_for("it answers", || {
        let told = debian.run_ok(&["keros-agent", "status"])?;
        ensure!(debian.run_ok(&["keros-agent", "job", job])?.contains("running"), "{told}");
        Ok(Some(()))
    })?;
    ensure!(shown(debian, "MainPID")? == next, "it is still the same");
    Ok(next)
}

/// Its first thread, which has the loop, is held for two minutes in its next call that waits. The others could go on.
fn hold_the_loop(debian: &Booted, agent: &str, log: &Path) -> Result<Process> {
    let waits = "epoll_wait,epoll_pwait,epoll_pwait2";
    let mut strace = Command::new(system_program("strace")?);
    strace.args(["-e", &format!("trace={waits}"), "-e", &format!("inject={waits}:delay_enter=120s")]);
    Process::start(strace.args(["-p", &outside(debian, agent)?]), log)
}

/// What a process of the container is called outside of it. Other containers may have one of the same name.
fn outside(debian: &Booted, inside: &str) -> Result<String> {
    let place = |path: &Path| path.metadata().map(|found| (found.dev(), found.ino())).ok();
    let init = place(&debian.path("/usr/bin/keros-agent"));
    for entry in fs::read_dir("/proc")? {
        let process = entry?.path();
        let status = fs::read_to_string(process.join("status")).unwrap_or_default();
        let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
        let ids: Vec<&str> = ids.split_whitespace().collect();
        if ids.len() > 1 && ids.last() == Some(&inside) && place(&process.join("exe")) == init {
            return Ok(ids[0].to_owned());
        }
    }
    bail!("there is no agent with the process id {inside} in the container")
}

#[test]
fn an_agent_that_hangs_is_started_again_and_its_job_goes_on() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        skipped("only root can boot a container");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let broker = Mosquitto::start(&folder.path().join("broker"), MosquittoMode::Open)?;
    let center = Center::start(&folder.path().join("center"), Broker::External(broker.port, vec![]))?;
    let link = Link::make()?;
    let _proxy = Proxy::start(link.listen(PORT)?, broker.port)?;
    let (trust, host) = (center.keys().join("trust"), FAR.to_string());
    let installed = Installed::keros_6(EUI, &host, PORT, &trust);
    let debian = Booted::start_in(link.near(), |root| {
        installed.into(root)?;
        let folder = root.join("etc/systemd/system/keros-agent.service.d");
        fs::create_dir_all(&folder)?;
        Ok(fs::write(folder.join("watchdog.conf"), DROP_IN)?)
    })?;
    let done = hangs(&debian, &center, &folder.path().join("strace.log"));
    done.with_context(|| {
        debian.run_ok(&["journalctl", "-b", "--no-pager", "-u", "keros-agent"]).unwrap_or_default()
    })
}

fn hangs(debian: &Booted, center: &Center, log: &Path) -> Result<()> {
    center.wait_for_telemetry(&[EUI])?;
    let update = center.send_with("hangs", &[EUI], SCRIPT, &json!({ "confirm_window_s": 0 }))?;
    wait_for("the job has begun", || Ok(debian.path("/var/traces").exists().then_some(())))?;
    let first = shown(debian, "MainPID")?;
    let job = debian.run_ok(&["keros-executor", "jobs"])?;
    let job = job.split_whitespace().next().context("the job's id")?.to_owned();

    // Fed by its loop, it lives for longer than the watchdog waits.
    let began = Instant::now();
    wait_for("the watchdog's time is over twice", || Ok((began.elapsed() > 2 * WATCHDOG).then_some(())))?;
    ensure!(shown(debian, "MainPID")? == first, "it was ended although it was well");

    // The whole process stands still; then only its main loop does.
    debian.run_ok(&["sh", "-c", &format!("kill -STOP {first}")])?;
    let second = next(debian, &first, &job)?;
    let strace = hold_the_loop(debian, &second, log)?;
    wait_for("the watchdog ends the second agent", || {
        let told = debian.run_ok(&["journalctl", "-b", "--no-pager", "-o", "cat", "-u", "keros-agent"])?;
        Ok((told.matches("Watchdog timeout").count() == 2).then_some(()))
    })?;
    // What is traced does not die before its tracer lets go of it, not even by SIGKILL.
    drop(strace);
    let third = next(debian, &second, &job)?;

    fs::write(debian.path("/var/go-on"), "")?;
    let view = center.wait_for_end(&update)?;
    ensure!(view["gateways"][0]["outcome"]["status"] == "succeeded", "{view:#}");
    ensure!(fs::read_to_string(debian.path("/var/traces"))? == "begun\n", "it ran once");
    wait_for("the third agent has told the end", || {
        let of_third = ["journalctl", "-b", "--no-pager", "-o", "cat", &format!("_PID={third}")];
        let told = debian.run_ok(&of_third)?;
        ensure!(told.contains(&format!("command {job}: succeeded")), "{told}");
        Ok(Some(()))
    })?;
    println!("agents {first}, {second}, {third}: two hung, the third told the end of the job");
    Ok(())
}
