//! The same by root on the gateway, `keros-agent cancel`: what it says is what comes of it, and the center hears that it was root.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use keros_tests::{LIMIT, keros_program, run, system_program, wait_for};
use serde_json::{Value, json};

use super::{EUI, Site};

impl Site {
    /// The command of an update, as the gateway has it.
    fn command_id(&self, update_id: &str) -> Result<String> {
        wait_for("the gateway has the command", || {
            let (_, text) = self.gateway.technician(&["jobs", "--json"])?;
            let jobs: Value = serde_json::from_str(&text)?;
            let all =
                ["open_jobs", "ended_jobs"].into_iter().filter_map(|name| jobs[name].as_array()).flatten();
            let job = all.into_iter().find(|job| job["update_id"] == update_id);
            Ok(job.and_then(|job| job["command_id"].as_str().map(str::to_owned)))
        })
    }

    fn root_cancels(&self, update_id: &str) -> Result<(i32, Value)> {
        let id = self.command_id(update_id)?;
        let (code, text) = self.gateway.technician(&["cancel", &id, "--yes", "--json"])?;
        let said = serde_json::from_str(&text).with_context(|| format!("exit code {code}: {text}"))?;
        Ok((code, said))
    }

    fn until_phase(&self, words: &str) -> Result<()> {
        wait_for(words, || {
            let (_, text) = self.gateway.technician(&["jobs"])?;
            Ok(text.contains(words).then_some(()))
        })
    }
}

#[test]
fn what_waits_behind_another_job_ends_at_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Site::start(folder.path())?;
    let first = site.send("first", 1, &[1], &json!({ "confirm_window_s": 0 }))?;
    site.until_done("first", 1)?;
    let second = site.send("second", 1, &[], &json!({}))?;
    site.until_outcome(&second, "accepted")?;
    let (code, said) = site.root_cancels(&second)?;
    ensure!(code == 0 && said["result"] == "cancelled", "{said}");
    let outcome = site.end(&second)?;
    ensure!(outcome["status"] == "cancelled" && outcome["by_root"] == true, "{outcome:#}");
    ensure!(outcome.get("task").is_none(), "{outcome:#}");
    site.open_gate("first")?;
    ensure!(site.end(&first)?["status"] == "succeeded");
    ensure!(site.done("second").is_empty());
    // The operator, who cancels it too, hears what it was.
    let answer = site.cancel(&second)?;
    ensure!(answer["answer"] == "too_late", "{answer:#}");
    Ok(())
}

#[test]
fn what_is_being_fetched_ends_at_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    // It takes the connection, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let site = Site::start_with(folder.path(), "magic_links: {allow_http: true}\n")?;
    site.center.post("/groups", &json!({ "name": "links", "gateways": [EUI] }))?;
    let source = format!("http://{}/v2/links/x", silent.local_addr()?);
    let job =
        json!({ "kind": "magic_link", "digest": format!("sha256:{}", "7".repeat(64)), "source": source });
    let update = site.center.post("/updates", &json!({ "group": "links", "job": job }))?;
    let update_id = update["update_id"].as_str().context("an update has an id")?;
    let (_connection, _) = silent.accept()?;
    let (code, said) = site.root_cancels(update_id)?;
    ensure!(code == 0 && said["result"] == "cancelled", "{said}");
    let outcome = site.end(update_id)?;
    ensure!(outcome["status"] == "cancelled" && outcome["by_root"] == true, "{outcome:#}");
    Ok(())
}

#[test]
fn what_runs_stops_behind_the_task_under_way() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Site::start(folder.path())?;
    let update_id = site.send("runs", 4, &[2], &json!({ "confirm_window_s": 0 }))?;
    site.until_done("runs", 2)?;
    let (code, said) = site.root_cancels(&update_id)?;
    ensure!(code == 0 && said["result"] == "stopping", "{said}");
    site.open_gate("runs")?;
    let outcome = site.end(&update_id)?;
    ensure!(outcome["status"] == "cancelled" && outcome["by_root"] == true, "{outcome:#}");
    ensure!(outcome["task"]["number"] == 3, "the file is task 1: {outcome:#}");
    ensure!(site.done("runs") == ["1", "2"], "{:?}", site.done("runs"));
    Ok(())
}

#[test]
fn what_waits_for_its_confirmation_is_undone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut site = Site::start(folder.path())?;
    let update_id = site.send("provisional", 1, &[1], &json!({ "confirm_window_s": 3600 }))?;
    site.until_done("provisional", 1)?;
    site.broker.kill()?;
    site.open_gate("provisional")?;
    site.until_phase("confirming")?;
    ensure!(site.gateway.root.join("etc/made").exists());
    let (code, said) = site.root_cancels(&update_id)?;
    ensure!(code == 0 && said["result"] == "rolling_back", "{said}");
    site.until_phase("rolled_back")?;
    ensure!(!site.gateway.root.join("etc/made").exists());
    site.broker.restart()?;
    let outcome = site.end(&update_id)?;
    ensure!(outcome["status"] == "rolled_back", "{outcome:#}");
    ensure!(outcome["reason"] == "cancelled on the gateway", "{outcome:#}");
    Ok(())
}

#[test]
fn what_has_ended_is_too_late_and_what_is_not_there_is_no_job() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Site::start(folder.path())?;
    let update_id = site.send("ended", 1, &[], &json!({ "confirm_window_s": 0 }))?;
    ensure!(site.end(&update_id)?["status"] == "succeeded");
    let (code, said) = site.root_cancels(&update_id)?;
    ensure!(code == 1 && said["result"] == "too_late", "{said}");
    ensure!(said["outcome"]["status"] == "succeeded", "{said}");
    let id = site.command_id(&update_id)?;
    let (code, text) = site.gateway.technician(&["cancel", &id[..18], "--yes"])?;
    ensure!(code == 1 && text == "Too late: it ended as succeeded.\n", "{code}: {text}");
    for none in ["ffff", "00000000-0000-7000-8000-000000000000"] {
        let (code, text) = site.gateway.technician(&["cancel", none, "--yes"])?;
        ensure!(code == 1 && text.contains("no job"), "{code}: {text}");
    }
    Ok(())
}

/// The race from the queue into the executor: whatever root is told, comes.
#[test]
fn what_is_just_being_handed_over_is_stopped_or_never_started() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Site::start(folder.path())?;
    for round in 0..6 {
        let (first, second) = (format!("a{round}"), format!("b{round}"));
        let before = site.send(&first, 1, &[1], &json!({ "confirm_window_s": 0 }))?;
        site.until_done(&first, 1)?;
        let update_id = site.send(&second, 3, &[1, 2], &json!({ "confirm_window_s": 0 }))?;
        site.until_outcome(&update_id, "accepted")?;
        site.open_gate(&first)?;
        let (code, said) = site.root_cancels(&update_id)?;
        ensure!(code == 0, "{said}");
        site.open_gate(&second)?;
        ensure!(site.end(&before)?["status"] == "succeeded");
        let outcome = site.end(&update_id)?;
        ensure!(outcome["status"] == "cancelled" && outcome["by_root"] == true, "{said}: {outcome:#}");
        let never = outcome.get("task").is_none();
        ensure!(never || said["result"] == "stopping", "{said}: {outcome:#}");
        // A job that was started may be stopped before its first step.
        let done = site.done(&second);
        ensure!((!never || done.is_empty()) && done.len() < 3, "{said}: {outcome:#}");
    }
    Ok(())
}

/// Another user is kept out by the socket's mode; one whose program may pass over modes, by its name.
#[test]
fn nobody_but_root_cancels_and_who_tries_is_in_the_log() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        keros_skip::skipped("only root can become somebody else");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    std::os::unix::fs::chown(folder.path(), Some(0), Some(0))?;
    open_to_all(folder.path())?;
    let site = Site::start(folder.path())?;
    let update_id = site.send("kept", 1, &[1], &json!({ "confirm_window_s": 0 }))?;
    site.until_done("kept", 1)?;
    let id = site.command_id(&update_id)?;
    open_to_all(&folder.path().join("gateway"))?;
    let agent = folder.path().join("keros-agent");
    std::fs::copy(keros_program("keros-agent")?, &agent)?;
    open_to_all(&agent)?;
    for (more, words) in [
        (&[][..], "you may not use"),
        (&["--inh-caps=+dac_override", "--ambient-caps=+dac_override"][..], "only root"),
    ] {
        let mut command = Command::new(system_program("timeout")?);
        command.arg(LIMIT.as_secs().to_string()).arg(system_program("setpriv")?);
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).args(more);
        command.arg(&agent).args(["cancel", &id, "--yes", "--config"]).arg(site.gateway.config());
        let output = command.stdin(Stdio::null()).output()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(77) && text.contains(words), "{:?}: {text}", output.status);
    }
    let log = site.gateway.log();
    let line = log.lines().find(|line| line.contains("only root may use the control socket"));
    let line = line.with_context(|| format!("it is not in the log: {log}"))?;
    ensure!(line.contains("65534") && line.contains("/cancel"), "{line}");
    site.open_gate("kept")?;
    ensure!(site.end(&update_id)?["status"] == "succeeded");
    Ok(())
}

fn open_to_all(path: &std::path::Path) -> Result<()> {
    run(&system_program("chmod")?, ["a+rx".as_ref(), path.as_os_str()])?;
    Ok(())
}
