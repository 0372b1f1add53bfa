//! The agent idle and connected, beside `mosquitto_sub` (C, OpenSSL) on the same broker; and from the center's answer to the first task.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use keros_tests::{
    Broker, Center, Gateway, GatewayOptions, KEROS_6, Mosquitto, MosquittoMode, Pki, mosquitto_client,
    wait_for,
};

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
    answer_to_task()
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

/// From the moment a second subscriber sees the answer with the command to the first task's own clock.
fn answer_to_task() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let broker = Mosquitto::start(&folder.path().join("broker"), MosquittoMode::Open)?;
    let center = Center::start(&folder.path().join("center"), Broker::External(broker.port, vec![]))?;
    let options = GatewayOptions {
        port: broker.port,
        trust: center.keys().join("trust"),
        executor: Some(gateway_program("keros-executor")?),
        ..GatewayOptions::default()
    };
    let mut gateway = Gateway::prepare(&folder.path().join("gateway"), EUI, KEROS_6, &options)?;
    gateway.start_program(&gateway_program("keros-agent")?)?;
    center.wait_for_telemetry(&[EUI])?;
    let seen = folder.path().join("seen");
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
    println!("| from the center's answer to the first task | median of {ROUNDS} |\n| --- | ---: |");
    println!("| agent, executor, `sh` and `date` | {:.1} ms |", median(rounds)? * 1000.0);
    println!("| `sh` and `date` alone | {:.1} ms |\n", shell_alone()? * 1000.0);
    Ok(())
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
