//! The package on a booted Debian with systemd: installed by apt-get from an archive, upgraded over a running job, by hand and by a job,
//! taken back, removed, purged and installed again.

mod armhf;
mod contents;
mod keros_5;
mod life;
mod site;

use std::fs;

use anyhow::{Result, ensure};
use keros_skip::skipped;
use keros_tests::{packages, wait_for};
use serde_json::json;
use site::{EUI, Site};

/// Whether this machine can boot a Debian at all.
pub(crate) fn can_boot() -> bool {
    let can = nix::unistd::geteuid().is_root();
    if !can {
        skipped("only root can boot a container");
    }
    can
}

const SCRIPT: &str = "- name: first script\n  groups: [all]\n  tasks:\n    \
    - !shell { name: trace, cmd: 'id -un > /var/who' }\n    \
    - !copy { name: file, content: hello, dest: /etc/motd }\n";

#[test]
fn after_apt_get_install_and_its_configuration_a_gateway_runs_a_script() -> Result<()> {
    if !can_boot() {
        return Ok(());
    }
    let site = Site::start()?;
    let told = site.apt_get(&["install", "keros-agent=0.1.0"])?;
    ensure!(told.contains("keros-agent enroll"), "it says what to do: {told}");

    // Without a center it waits, and says so once.
    ensure!(site.property("keros-agent", "ActiveState")? == "active", "{}", site.journal());
    ensure!(site.property("keros-agent", "NRestarts")? == "0");
    site.configure()?;
    site.center.wait_for_telemetry(&[EUI]).map_err(|error| error.context(site.journal()))?;
    ensure!(site.property("keros-agent", "NRestarts")? == "0", "the same process found it");

    let update = site.center.send("site", &[EUI], SCRIPT)?;
    let outcome = site.end_of(&update)?;
    ensure!(outcome["status"] == "succeeded", "{outcome:#}\n{}", site.journal());
    let who = fs::read_to_string(site.debian.path("/var/who"))?;
    ensure!(who == "root\n", "the executor runs jobs as root, not as {who}");
    let main = site.property("keros-agent", "MainPID")?;
    let user = site.debian.run_ok(&["stat", "-c", "%U", &format!("/proc/{main}")])?;
    ensure!(user == "keros-agent\n", "the agent is unprivileged, and not {user}");
    wait_for("its terminal report is acknowledged", || {
        let told = site.debian.run_ok(&["keros-agent", "jobs"])?;
        Ok(told.contains("succeeded").then_some(()))
    })
}

/// Who runs the job, before and after the packages were changed under it.
const UPGRADE: &str = "- name: upgrade agent and executor\n  groups: [all]\n  tasks:\n    \
    - !shell { name: before, cmd: 'echo before $PPID >> /var/steps' }\n    \
    - !shell { name: upgrade, cmd: 'apt-get -y -q install keros-agent=9.9.9' }\n    \
    - !shell { name: after, cmd: 'sleep 1; echo after $PPID >> /var/steps; readlink /proc/$PPID/exe >> /var/steps' }\n";

#[test]
fn a_newer_package_installed_by_a_job_upgrades_agent_and_executor_under_it_and_the_new_agent_reports_its_end()
-> Result<()> {
    if !can_boot() {
        return Ok(());
    }
    let site = Site::start()?;
    site.apt_get(&["install", "keros-agent=0.1.0"])?;
    site.configure()?;
    site.center.wait_for_telemetry(&[EUI])?;
    ensure!(site.agent_version()? == packages::VERSION);

    let update = site.center.send_with("site", &[EUI], UPGRADE, &json!({ "confirm_window_s": 60 }))?;
    let outcome = site.end_of(&update)?;
    ensure!(outcome["status"] == "succeeded", "{outcome:#}\n{}", site.journal());
    let steps = fs::read_to_string(site.debian.path("/var/steps"))?;
    let [before, after, runner] = steps.lines().collect::<Vec<_>>()[..] else { anyhow::bail!("{steps}") };
    ensure!(
        before.strip_prefix("before ") == after.strip_prefix("after "),
        "one process ran all of it: {steps}"
    );
    ensure!(runner.ends_with("keros-executor (deleted)"), "the old program, to its end: {steps}");

    wait_for("the new agent's telemetry", || Ok((site.agent_version()? == packages::NEWER).then_some(())))?;
    let told = site.debian.run_ok(&["keros-executor", "--version"])?;
    ensure!(told.contains(packages::NEWER), "{told}");
    let main = format!("_PID={}", site.property("keros-agent", "MainPID")?);
    let told = site.debian.run_ok(&["journalctl", "-b", "--no-pager", "-o", "cat", &main])?;
    ensure!(told.contains("succeeded"), "the new agent has heard of the end:\n{told}");
    let terminals = site.reports.terminals()?;
    ensure!(terminals.len() == 1 && terminals.values().all(|told| told.len() == 1), "{terminals:#?}");
    ensure!(site.debian.run_ok(&["dpkg", "--verify"])?.is_empty());
    Ok(())
}
