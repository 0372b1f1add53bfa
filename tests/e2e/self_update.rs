//! A job that upgrades the agent itself, by a package that restarts it: the job goes on, and the new agent reports its end.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use keros_skip::skipped;
use keros_tests::{
    Booted, Broker, Center, FAR, Installed, KEROS_6, Link, Mosquitto, MosquittoMode, Proxy, Reports, run_ok,
    system_program, wait_for,
};
use serde_json::json;

const EUI: &str = "7076FF0000000001";
const PORT: u16 = 1883;
const NEW: &str = "9.9.9";

const SCRIPT: &str = "- name: upgrade the agent\n  groups: [all]\n  tasks:\n    \
    - !shell { name: before, cmd: 'echo before >> /var/steps' }\n    \
    - !deb { name: upgrade, src: /opt/keros-agent.deb }\n    \
    - !sd_service { name: restart, service: keros-agent, restart: true }\n    \
    - !shell { name: after, cmd: 'sleep 3; echo after >> /var/steps' }\n";

#[test]
fn a_job_that_upgrades_and_restarts_the_agent_succeeds_and_the_new_agent_reports_it() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        skipped("only root can boot a container");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let broker = Mosquitto::start(&folder.path().join("broker"), MosquittoMode::Open)?;
    let center = Center::start(&folder.path().join("center"), Broker::External(broker.port, vec![]))?;
    let reports = Reports::listen(folder.path(), &broker)?;
    let link = Link::make()?;
    let _proxy = Proxy::start(link.listen(PORT)?, broker.port)?;
    let (trust, host) = (center.keys().join("trust"), FAR.to_string());
    let installed = Installed {
        eui: EUI,
        keros: KEROS_6,
        host: &host,
        port: PORT,
        trust: &trust,
        executor_arguments: "",
        more: "",
    };
    let debian = Booted::start_in(link.near(), |root| {
        installed.into(root)?;
        package(&root.join("usr/bin/keros-agent"), &root.join("opt/keros-agent.deb"))
    })?;
    center.wait_for_telemetry(&[EUI])?;
    let before = version(&center)?;
    ensure!(before != NEW, "the old agent is {before}");

    let update = center.send_with("site", &[EUI], SCRIPT, &json!({ "confirm_window_s": 60 }))?;
    let update = center.wait_for_end(&update).with_context(|| journal(&debian))?;
    let outcome = &update["gateways"][0]["outcome"];
    ensure!(outcome["status"] == "succeeded", "{outcome:#}\n{}", journal(&debian));
    wait_for("the new agent's telemetry", || Ok((version(&center)? == NEW).then_some(())))?;
    ensure!(fs::read_to_string(debian.path("/var/steps"))? == "before\nafter\n", "each task ran once");
    let main = debian.run_ok(&["systemctl", "show", "-p", "MainPID", "--value", "keros-agent"])?;
    let told =
        debian.run_ok(&["journalctl", "-b", "--no-pager", "-o", "cat", &format!("_PID={}", main.trim())])?;
    ensure!(told.contains("succeeded"), "the new agent has heard of the end:\n{told}");
    let terminals = reports.terminals()?;
    ensure!(terminals.len() == 1 && terminals.values().all(|told| told.len() == 1), "{terminals:#?}");
    println!("upgrade of the agent by its own job, {before} to {NEW}: succeeded, told by the new agent");
    Ok(())
}

fn version(center: &Center) -> Result<String> {
    let view = center.get(&format!("/gateways/{EUI}"))?;
    Ok(view["agent_version"].as_str().unwrap_or_default().to_owned())
}

/// A package with the same agent under another version: every place in the program that names its version is changed.
fn package(agent: &Path, package: &Path) -> Result<()> {
    let tree = tempfile::tempdir()?;
    let bin = tree.path().join("usr/bin");
    fs::create_dir_all(&bin)?;
    fs::create_dir_all(tree.path().join("DEBIAN"))?;
    let mut program = fs::read(agent)?;
    let old = env!("CARGO_PKG_VERSION").as_bytes();
    ensure!(old.len() == NEW.len(), "the new version takes the place of the old one");
    let places: Vec<_> =
        (0..program.len() - old.len()).filter(|at| program[*at..].starts_with(old)).collect();
    for at in places {
        program[at..at + old.len()].copy_from_slice(NEW.as_bytes());
    }
    fs::write(bin.join("keros-agent"), program)?;
    fs::set_permissions(bin.join("keros-agent"), fs::metadata(agent)?.permissions())?;
    let control = format!(
        "Package: keros-agent\nVersion: {NEW}\nArchitecture: amd64\nMaintainer: Demo <demo@example.net>\nDescription: demo\n"
    );
    fs::write(tree.path().join("DEBIAN/control"), control)?;
    let arguments =
        ["--root-owner-group".as_ref(), "-Znone".as_ref(), "-b".as_ref(), tree.path().as_os_str()];
    run_ok(&system_program("dpkg-deb")?, arguments.into_iter().chain([package.as_os_str()])).map(drop)
}

fn journal(debian: &Booted) -> String {
    let told = debian.run(&["journalctl", "-b", "-n", "60", "--no-pager", "-o", "cat"]);
    told.map_or_else(|error| error.to_string(), |output| String::from_utf8_lossy(&output.stdout).into_owned())
}
