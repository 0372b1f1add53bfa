//! The package for ARM 7 on a booted Debian for ARM 7, both emulated: as near to a gateway as this machine comes.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use keros_tests::wait_for;

use crate::SCRIPT;
use crate::site::{EUI, Site};

#[test]
#[ignore = "./run full builds for ARM first, and runs it last"]
fn on_arm_after_apt_get_install_a_script_succeeds_and_the_journal_tells_its_story() -> Result<()> {
    let site = Site::start_armhf()?;
    let architecture = site.debian.run_ok(&["dpkg", "--print-architecture"])?;
    ensure!(architecture == "armhf\n", "it is {architecture}");
    println!("$ dpkg --print-architecture\n{architecture}");
    println!("$ apt-get install keros-agent\n{}", site.apt_get(&["install", "keros-agent"])?);
    site.configure()?;
    site.center.wait_for_telemetry(&[EUI]).map_err(|error| error.context(site.journal()))?;

    let update = site.center.send("site", &[EUI], SCRIPT)?;
    let outcome = site.end_of(&update)?;
    ensure!(outcome["status"] == "succeeded", "{outcome:#}\n{}", site.journal());
    ensure!(fs::read_to_string(site.debian.path("/var/who"))? == "root\n", "jobs run as root");
    let program = fs::read(site.debian.path("/usr/bin/keros-agent"))?;
    ensure!(program.get(18..20) == Some(&[0x28, 0]), "its ELF header says ARM");

    // What a technician reads: the job as the agent tells it, and its story in the journal.
    let jobs = wait_for("its terminal report is acknowledged", || {
        let told = site.debian.run_ok(&["keros-agent", "jobs", "--json"])?;
        Ok(told.contains("succeeded").then_some(told))
    })?;
    let jobs: serde_json::Value = serde_json::from_str(&jobs)?;
    let id =
        jobs["ended_jobs"][0]["command_id"].as_str().with_context(|| format!("a job has an id: {jobs:#}"))?;
    let job = format!("KEROS_JOB_ID={id}");
    let story = site.debian.run_ok(&["journalctl", "--no-pager", "-o", "short-iso", &job])?;
    for teller in ["keros-agent[", "keros-executor["] {
        ensure!(story.contains(teller), "{story}");
    }
    println!("$ systemctl show -p User keros-agent\n{}", site.property("keros-agent", "User")?);
    println!("$ keros-agent job {id}\n{}", site.debian.run_ok(&["keros-agent", "job", id])?);
    println!("$ journalctl {job}\n{story}");
    Ok(())
}
