//! The agent idle and connected, beside `mosquitto_sub` (C, OpenSSL) on the same broker; from its start to the connection; and from
//! the center's answer to the first task.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use keros_tests::{
    Broker, Center, Gateway, GatewayOptions, KEROS_6, Mosquitto, MosquittoMode, Pki, mosquitto_client,
    project_root, wait_for,
};

use crate::manager::Manager;
use crate::measure::{gateway_program, median, memory_kib};

const EUI: &str = "7076FF0000000001";
const ROUNDS: usize = 5;
/// After connecting, a thread for name resolution lives on for 10 s.
const SETTLE: Duration = Duration::from_secs(12);

/// Prints both tables.
pub(crate) fn run() -> Result<()> {
    println!("| idle and connected | PSS | RSS |\n| --- | ---: | ---: |");
    memory("plain TCP", false)?;
    memory("mutual TLS", true)?;
    println!();
    println!("| how long it takes | median of {ROUNDS} |\n| --- | ---: |");
    let starts = start_to_connected()?;
    println!("| from the agent's start to its connection with mutual TLS, on loopback | {starts:.1} ms |");
    // Not in /tmp, which may be in memory.
    let disk = tempfile::tempdir_in(project_root().join("target"))?;
    let on_disk = answer_to_task(disk.path())?;
    println!(
        "| from the center's answer to the first task: agent, executor, `sh` and `date` | {on_disk:.1} ms |"
    );
    let in_memory = answer_to_task(tempfile::tempdir_in("/dev/shm")?.path())?;
    println!("| the same with all that is stored in memory (tmpfs) | {in_memory:.1} ms |");
    println!("| `sh` and `date` alone | {:.1} ms |", shell_alone()? * 1000.0);
    let durable = small_file(disk.path())?;
    println!(
        "| a small file on that disk: written, synced, renamed, its folder synced | {durable:.1} ms |\n"
    );
    Ok(())
}

/// Milliseconds; systemd is told when it is connected.
fn start_to_connected() -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let pki = Pki::new(&folder.path().join("pki"))?;
    let broker = Mosquitto::start(&folder.path().join("broker"), MosquittoMode::Shipped(&pki))?;
    let trust = folder.path().join("trust");
    std::fs::create_dir(&trust)?;
    let options = GatewayOptions {
        port: broker.port,
        trust,
        ca: Some(pki.path("ca.pem")),
        client: Some(pki.issue(EUI, EUI)?),
        ..GatewayOptions::default()
    };
    let mut gateway = Gateway::prepare(&folder.path().join("gateway"), EUI, KEROS_6, &options)?;
    let manager = Manager::new(folder.path(), Duration::from_secs(120))?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let begin = std::time::Instant::now();
        gateway.start_program(&manager.program)?;
        manager.hear("STATUS=connected")?;
        rounds.push(begin.elapsed().as_secs_f64() * 1000.0);
        gateway.kill()?;
    }
    median(rounds)
}

/// Milliseconds that one durable change of a small file takes.
fn small_file(folder: &Path) -> Result<f64> {
    let (new, named) = (folder.join("small.new"), folder.join("small"));
    let time = || -> Result<f64> {
        let begin = std::time::Instant::now();
        std::fs::write(&new, [0; 1024])?;
        std::fs::File::open(&new)?.sync_all()?;
        std::fs::rename(&new, &named)?;
        std::fs::File::open(folder)?.sync_all()?;
        Ok(begin.elapsed().as_secs_f64() * 1000.0)
    };
    median((0..4 * ROUNDS).map(|_| time()).collect::<Result<Vec<_>>>()?)
}

fn memory(name: &str, tls: bool) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let pki = Pki::new(&folder.path().join("pki"))?;
    let mode = if tls { MosquittoMode::Shipped(&pki) } else { MosquittoMode::Open };
    let broker = Mosquitto::start(&folder.path().join("broker"), mode)?;
    let (cert, key) = pki.issue(EUI, EUI)?;
    let files = (pki.path("ca.pem"), cert, key);
    let trust = folder.path().join("trust");
    std::fs::create_dir(&trust)?;
    let options = GatewayOptions {
        port: broker.port,
        trust,
        ca: tls.then(|| files.0.clone()),
        client: tls.then(|| (files.1.clone(), files.2.clone())),
        ..GatewayOptions::default()
    };
    let mut gateway = Gateway::prepare(&folder.path().join("gateway"), EUI, KEROS_6, &options)?;
    gateway.start_program(&gateway_program("keros-agent")?)?;

    let mut peer = mosquitto_client("mosquitto_sub", broker.port)?;
    if tls {
        peer.arg("--cafile").arg(&files.0).arg("--cert").arg(&files.1).arg("--key").arg(&files.2);
    }
    let mut peer =
        peer.args(["-i", "peer", "-t", &format!("keros/v1/{EUI}/down")]).stdout(Stdio::null()).spawn()?;
    wait_for("the agent is connected", || {
        let (_, text) = gateway.technician(&["status"])?;
        Ok(text.contains("connected").then_some(()))
    })?;
    std::thread::sleep(SETTLE);
    let agent = gateway.process().context("the agent runs")?.id();
    let (agent, other) = (memory_kib(agent)?, memory_kib(peer.id())?);
    peer.kill()?;
    peer.wait()?;
    println!("| keros-agent, {name} | {} KiB | {} KiB |", agent.0, agent.1);
    println!("| mosquitto_sub, {name} | {} KiB | {} KiB |", other.0, other.1);
    Ok(())
}

/// Milliseconds from the moment a second subscriber sees the answer with the command to the first task's own clock.
fn answer_to_task(folder: &Path) -> Result<f64> {
    let broker = Mosquitto::start(&folder.join("broker"), MosquittoMode::Open)?;
    let center = Center::start(&folder.join("center"), Broker::External(broker.port, vec![]))?;
    let options = GatewayOptions {
        port: broker.port,
        trust: center.keys().join("trust"),
        executor: Some(gateway_program("keros-executor")?),
        ..GatewayOptions::default()
    };
    let mut gateway = Gateway::prepare(&folder.join("gateway"), EUI, KEROS_6, &options)?;
    gateway.start_program(&gateway_program("keros-agent")?)?;
    center.wait_for_telemetry(&[EUI])?;
    let seen = folder.join("seen");
    let mut listener = mosquitto_client("mosquitto_sub", broker.port)?
        .args(["-t", &format!("keros/v1/{EUI}/down"), "-F", "%U %p"])
        .stdout(std::fs::File::create(&seen)?)
        .spawn()?;
    let script =
        "- name: p\n  groups: [all]\n  tasks:\n    - !shell { cmd: 'date +%s.%N > \"$KEROS_ROOT/first\"' }\n";
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let update = center.send(&format!("round-{round}"), &[EUI], script)?;
        center.wait_for_end(&update)?;
        let first: f64 = std::fs::read_to_string(gateway.root.join("first"))?.trim().parse()?;
        let answers = std::fs::read_to_string(&seen)?;
        let answer = answers
            .lines()
            .rev()
            .find(|line| line.contains("\"commands\""))
            .context("the answer was seen")?;
        let answered: f64 = answer.split_whitespace().next().context("a time")?.parse()?;
        rounds.push(first - answered);
    }
    listener.kill()?;
    listener.wait()?;
    Ok(median(rounds)? * 1000.0)
}

/// The part of it that is not ours.
fn shell_alone() -> Result<f64> {
    let time = || -> Result<f64> {
        let begin = std::time::Instant::now();
        std::process::Command::new("/bin/sh").args(["-c", "date +%s.%N"]).stdout(Stdio::null()).status()?;
        Ok(begin.elapsed().as_secs_f64())
    };
    median((0..ROUNDS).map(|_| time()).collect::<Result<Vec<_>>>()?)
}
