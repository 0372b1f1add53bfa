//! What a job is owed is finished by the shipped units on a booted Debian: without an agent, without a network, after a boot that
//! came in the middle of a window, and in the running system when a runner is lost.

#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use keros_protocol::executor::{Event, Request};
use keros_protocol::{
    Command as Order, CommandId, Envelope, Eui, Job, JobLimits, JobOptions, SigningKey, UpdateId,
};
use keros_skip::skipped;
use keros_tests::{Booted, keros_program, packages, system_program, wait_for};

const EUI: &str = "7076FF0056070123";

/// A signed request for a job that changes a file.
fn request(number: u128, window_s: u32) -> Result<Vec<u8>> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let script =
        "- name: x\n  groups: [all]\n  tasks:\n    - !copy { content: new, dest: /etc/network.conf }\n";
    let order = Order {
        command_id: CommandId(uuid::Uuid::from_u128(((u128::from(now) * 1000) << 80) | number)),
        update_id: UpdateId(uuid::Uuid::from_u128(2)),
        eui: EUI.parse::<Eui>()?,
        issued_at_unix_s: now,
        expires_at_unix_s: now + 3600,
        job: Job::JetPorch { script: script.to_owned(), vars: serde_json::Map::new() },
        limits: JobLimits::default(),
        options: JobOptions { confirm_window_s: window_s, ..JobOptions::default() },
    };
    let envelope = Envelope::sign(Envelope::COMMAND, &serde_json::to_vec(&order)?, &key()?);
    let mut line = serde_json::to_vec(&Request::Run { envelope, statement: None, bundle: None })?;
    line.push(b'\n');
    Ok(line)
}

fn key() -> Result<SigningKey> {
    Ok(SigningKey::from_pem(&SigningKey::pem_from_seed(&[1; 32]))?)
}

/// Our programs and units; and a job whose process is lost in its window, before the system boots.
fn prepare(root: &Path) -> Result<()> {
    packages::unpack_agent(root)?;
    fs::write(root.join("etc/keros-agent/trust/command-a.pem"), key()?.public().to_pem())?;
    fs::write(root.join("etc/version"), "6.3.1\n")?;
    let identity = format!("f /run/boardinfo.env 0644 root root - export EUI64={EUI}\\n\n");
    fs::write(root.join("etc/tmpfiles.d/board.conf"), identity)?;
    fs::write(root.join("etc/machine-id"), format!("{:032x}\n", 0x5eed))?;
    fs::write(root.join("etc/network.conf"), "old")?;
    fs::write(root.join("opt/request"), request(2, 600)?)?;
    lose_a_runner(root)?;
    assert_eq!(fs::read_to_string(root.join("etc/network.conf"))?, "new");
    Ok(())
}

fn lose_a_runner(root: &Path) -> Result<()> {
    let mut program = Command::new(keros_program("keros-executor")?);
    program.arg("session").arg("--root").arg(root).env("EUI64", EUI);
    program.arg("--state-folder").arg(root.join("var/lib/keros-executor"));
    program.arg("--trust-folder").arg(root.join("etc/keros-agent/trust"));
    let mut session = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    session.stdin.take().context("its input")?.write_all(&request(1, 1)?)?;
    let mut seen = String::new();
    for line in BufReader::new(session.stdout.take().context("its output")?).lines() {
        let line = line?;
        if matches!(serde_json::from_str(&line)?, Event::Confirming { .. }) {
            session.kill()?;
            session.wait()?;
            return Ok(());
        }
        seen += &line;
    }
    bail!("no window began: {seen}")
}

#[test]
fn the_shipped_units_undo_what_nobody_confirmed() -> Result<()> {
    if system_program("systemd-nspawn").is_err() || !nix::unistd::geteuid().is_root() {
        skipped("booting a Debian needs root and systemd-nspawn");
        return Ok(());
    }
    let debian = Booted::start(prepare)?;
    let conf = debian.path("/etc/network.conf");
    let is_old = || Ok((fs::read_to_string(&conf)? == "old").then_some(()));
    wait_for("the unit at boot has undone the job", is_old)?;
    wait_for("the job has its end", || {
        let told = debian.run_ok(&["keros-executor", "jobs"])?;
        Ok(told.contains("rolled_back: not confirmed").then_some(()))
    })?;
    assert_eq!(debian.run_ok(&["systemctl", "is-active", "keros-executor-settle.timer"])?, "active\n");

    // A runner of the running system is lost; what the timer starts carries its job on.
    let session = "keros-executor session < /opt/request > /opt/events";
    let unit = ["systemd-run", "--quiet", "--collect", "--unit=lost", "sh", "-c", session];
    debian.run_ok(&unit)?;
    let events = debian.path("/opt/events");
    wait_for("the window has begun", || {
        Ok(fs::read_to_string(&events).unwrap_or_default().contains("\"confirming\"").then_some(()))
    })?;
    debian.run_ok(&["systemctl", "kill", "--signal=KILL", "lost.service"])?;
    wait_for("the runner is lost", || {
        Ok(debian.run_ok(&["keros-executor", "jobs"])?.contains("its process is gone").then_some(()))
    })?;
    debian.run_ok(&["systemctl", "start", "keros-executor-settle.service"])?;
    wait_for("the unit carries the job on", || {
        let told = debian.run_ok(&["keros-executor", "jobs"])?;
        Ok((told.contains("to be confirmed within") && !told.contains("gone")).then_some(()))
    })?;
    let id = debian.run_ok(&["keros-executor", "jobs"])?;
    let id = id.split_whitespace().next().context("an id")?.to_owned();
    assert!(debian.run_ok(&["keros-executor", "cancel", &id])?.contains("is being undone"));
    wait_for("the job is undone", is_old)?;
    wait_for("the unit has done its work", || {
        let state = debian.run(&["systemctl", "is-active", "keros-executor-settle.service"])?;
        Ok((String::from_utf8_lossy(&state.stdout).trim() == "inactive").then_some(()))
    })?;
    assert!(debian.run_ok(&["keros-executor", "jobs"])?.contains("rolled_back: cancelled on the gateway"));
    Ok(())
}
