//! A fleet of virtual gateways on real connections: the agent's machine, the brokers and the center are the real ones, and the fleet's
//! own record of what was started and how it ended is held against the center's word.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use keros_skip::skipped;
use keros_tests::{keros_program, system_program};
use serde_json::Value;

fn fleet(arguments: &[&str]) -> Result<Value> {
    let output = Command::new(keros_program("keros-fleet")?)
        .arg("run")
        .args(["--interval", "4", "--seconds", "5", "--connects", "100", "--json"])
        .args(arguments)
        .output()?;
    let summary = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{summary}\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_str(&summary)?)
}

fn check(summary: &Value, gateways: u64) -> Result<()> {
    let promises = &summary["promises"];
    for name in ["started_twice", "missing", "different", "disbelieved"] {
        assert_eq!(promises[name], 0, "{promises:#}");
    }
    assert_eq!(promises["compared"], gateways, "the end of each command was compared: {promises:#}");
    let outcomes = summary["updates"][0]["outcomes"].as_object().context("outcomes")?;
    let ended: u64 = outcomes.values().filter_map(Value::as_u64).sum();
    assert_eq!(ended, gateways, "{outcomes:?}");
    assert!(outcomes.len() > 1, "the dice let some succeed and some fail: {outcomes:?}");
    Ok(())
}

#[test]
fn two_hundred_gateways_keep_their_promises_while_the_center_is_killed_three_times() -> Result<()> {
    if system_program("mosquitto").is_err() {
        skipped("mosquitto is not installed");
        return Ok(());
    }
    let summary = fleet(&["--gateways", "200", "--broker", "mosquitto", "--restarts", "3"])?;
    check(&summary, 200)
}

#[test]
fn gateways_that_lose_connections_power_and_state_keep_their_promises_at_the_embedded_broker() -> Result<()> {
    let summary =
        fleet(&["--gateways", "100", "--broker", "embedded", "--restarts", "1", "--mishap-every", "20"])?;
    check(&summary, 100)?;
    ensure!(summary["mishaps"].as_u64() > Some(0), "nothing went wrong: {summary:#}");
    Ok(())
}
