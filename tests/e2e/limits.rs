//! Jobs that take all that they can get of a machine with 256 MiB: each fails by itself, and radio and agent live on. Control groups that
//! really limit are not to be had in a container everywhere, so this is a virtual machine.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use keros_skip::skipped;
use keros_tests::{
    Broker, Center, HOST_SEEN_FROM_VM, Installed, Mosquitto, MosquittoMode, Vm, booted_enable, system_program,
};
use serde_json::{Value, json};

const EUI: &str = "7076FF0000000001";

/// Stands for the forwarder: it must not stop beating.
const RADIO: &str = "[Service]\nExecStart=/bin/sh -c 'while :; do echo beat >> /run/radio; sleep 1; done'\n";

/// What a job does, and what the kernel says when a limit has stopped it.
const JOBS: [(&str, &str, &str); 3] = [
    // Nothing of what they take can be given back.
    ("one program", "tail /dev/zero", "exceed data ulimit"),
    (
        "several programs",
        "tail /dev/zero & tail /dev/zero & wait $!",
        "oom_memcg=/keros.slice/keros-executor.slice",
    ),
    ("forks", "while :; do sleep 98765 & done", "fork rejected by pids controller in /keros.slice/"),
];

fn add_radio(root: &Path) -> Result<()> {
    fs::write(root.join("etc/systemd/system/radio.service"), RADIO)?;
    booted_enable(root, "multi-user.target", "radio.service")
}

/// Sends a job of one task, and gives its outcome.
fn run(vm: &mut Vm, center: &Center, name: &str, command: &str) -> Result<Value> {
    let script = format!("- name: p\n  groups: [all]\n  tasks:\n    - !shell {{ cmd: '{command}' }}\n");
    let update = center.send_with(name, &[EUI], &script, &json!({ "confirm_window_s": 0 }))?;
    let view = vm.wait_for("the center knows the end", |_| {
        let view = center.get(&format!("/updates/{update}"))?;
        ensure!(view["ended"] == json!(true), "{view:#}");
        Ok(Some(view))
    })?;
    Ok(view["gateways"][0]["outcome"].clone())
}

/// The processes of agent and radio.
fn lives(vm: &Vm) -> Result<String> {
    vm.shell("systemctl show -p MainPID --value keros-agent radio")
}

fn beats(vm: &Vm) -> Result<usize> {
    Ok(vm.shell("cat /run/radio")?.lines().count())
}

#[test]
fn a_job_that_takes_all_it_can_fails_and_radio_and_agent_live_on() -> Result<()> {
    if !nix::unistd::geteuid().is_root() || system_program("qemu-system-x86_64").is_err() {
        skipped("a virtual machine needs root and qemu");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let broker = Mosquitto::start(&folder.path().join("broker"), MosquittoMode::Open)?;
    let center = Center::start(&folder.path().join("center"), Broker::External(broker.port, vec![]))?;
    let trust = center.keys().join("trust");
    let installed = Installed::keros_6(EUI, HOST_SEEN_FROM_VM, broker.port, &trust);
    let mut vm = Vm::prepare(|root| {
        installed.into(root)?;
        add_radio(root)
    })?;
    vm.power_on()?;
    vm.wait_for("the gateway is there", |vm| {
        let active = vm.shell("systemctl is-active keros-agent radio keros-executor.socket")?;
        Ok((active == "active\nactive\nactive\n").then_some(()))
    })?;
    center.wait_for_telemetry(&[EUI])?;
    limited(&mut vm, &center)
        .with_context(|| vm.shell("journalctl -b -n 60 --no-pager -o short-monotonic").unwrap_or_default())
}

fn limited(vm: &mut Vm, center: &Center) -> Result<()> {
    let before = lives(vm)?;
    for (name, command, kernel) in JOBS {
        let outcome = run(vm, center, name, command)?;
        println!("{name} at {:.0} s: {}", vm.up_for().as_secs_f64(), outcome);
        ensure!(outcome["status"] == "failed", "{name}: {outcome:#}");
        let told = vm.shell("journalctl -b -k -o cat --no-pager")?;
        ensure!(told.contains(kernel), "{name}: the kernel does not say that the limit did it: {kernel}");
        ensure!(lives(vm)? == before, "agent and radio live on");
        let beaten = beats(vm)?;
        vm.wait_for("the radio beats", |vm| Ok((beats(vm)? > beaten).then_some(())))?;
        vm.wait_for("nothing of the job is left", |vm| {
            let left = vm.shell("grep -l '9876[5]' /proc/[0-9]*/cmdline | wc -l")?;
            ensure!(left.trim() == "0", "{left}");
            Ok(Some(()))
        })?;
    }
    let outcome = run(vm, center, "next", "true")?;
    ensure!(outcome["status"] == "succeeded", "the next job runs: {outcome:#}");
    println!("all in {:.0} s since power-on", vm.up_for().as_secs_f64());
    Ok(())
}
