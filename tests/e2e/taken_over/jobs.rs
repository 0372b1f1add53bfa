//! Jobs that the center ordered: while they run, while they wait for their confirmation, and when they have ended.

use anyhow::{Context as _, Result, ensure};
use keros_protocol::executor::Request;
use keros_protocol::{Command, CommandId, JobOptions};
use keros_tests::wait_for;

use crate::signed::{COMMAND, EUI, STATEMENT, command, forged_statements, line, run, signed, statement};
use crate::site::{SOCKET, Site};

/// A job that goes on until root says so; the hostile side hands it over, as an agent would.
fn begin(site: &Site, command: &Command, unit: &str) -> Result<()> {
    let request = site.request_file(unit, &run(signed(command, COMMAND)))?;
    site.hostile_beside(unit, &["send", SOCKET, &request])
}

fn stands(site: &Site, id: CommandId, as_told: &str) -> Result<()> {
    let told = site.root(&["keros-executor", "job", &id.to_string()])?;
    ensure!(told.contains(as_told), "job {id} should be told as {as_told}: {told}");
    Ok(())
}

/// Cancellations and confirmations of this job by words that the center has not spoken. Each is refused, and told.
fn nobody_else_decides(site: &Site, id: CommandId, nonce: &str) -> Result<()> {
    site.forget_refusals()?;
    let before = site.refusals()?.len();
    let mut requests = Vec::new();
    for (name, statement) in forged_statements(id, nonce) {
        let cancel = Request::Cancel { command_id: id, statement: statement.clone() };
        requests.push((format!("cancel-{name}"), line(&cancel)));
        if let Some(statement) = statement {
            requests.push((format!("confirm-{name}"), line(&Request::Confirm { command_id: id, statement })));
        }
    }
    let answers = site.ask(&requests)?;
    for (name, answer) in &answers {
        let is_refused = answer.contains("\"request_failed\"") || answer.contains("\"accepted\":false");
        ensure!(is_refused, "{name}: {answer}");
    }
    let told = &site.refusals()?[before..];
    ensure!(told.len() == requests.len(), "one line for each of {}: {told:#?}", requests.len());
    ensure!(told.iter().all(|line| line.contains(&id.to_string())), "each names the job: {told:#?}");
    Ok(())
}

pub(crate) fn a_job_is_not_cancelled_by_whom_it_may_not(site: &Site) -> Result<()> {
    let wait = "!shell { cmd: 'touch /var/began; while [ ! -e /var/leave ]; do sleep 0.1; done; echo end >> /var/long' }";
    let genuine = command(10, &[wait]);
    let id = genuine.command_id;
    begin(site, &genuine, "long")?;
    wait_for("the job has begun", || Ok(site.debian.path("/var/began").exists().then_some(())))?;

    nobody_else_decides(site, id, "00112233445566778899aabbccddeeff")?;
    // Its processes are root's: the runner, and what it started.
    let processes =
        site.root(&["sh", "-c", "grep -lE '^(keros-executor|sleep)' /proc/[0-9]*/comm | cut -d/ -f3"])?;
    let processes: Vec<&str> = processes.split_whitespace().collect();
    ensure!(!processes.is_empty(), "the runner is there");
    let told = site.hostile(&[&["signal", "1"], &processes[..]].concat())?;
    ensure!(!told.contains("killed"), "{told}");
    // Whoever handed it over goes away; a second command has to wait.
    site.root(&["systemctl", "kill", "--signal=KILL", "long.service"])?;
    let second = run(signed(&command(11, &["!shell { cmd: 'touch /var/owned-second' }"]), COMMAND));
    let answers = site.ask(&[("second".to_owned(), second)])?;
    ensure!(answers["second"].contains("another job is running"), "{answers:?}");
    // As many sessions as there may be, and then some, all silent: the job goes on, and so does root.
    std::fs::write(site.debian.path("/opt/held"), "")?;
    site.hostile_beside("crowd", &["hold", SOCKET, "1000", "/opt/held"])?;
    stands(site, id, "running")?;
    site.root(&["touch", "/var/leave"])?;
    wait_for("the job has its end", || Ok(site.jobs()?.contains("succeeded").then_some(())))?;
    wait_for("the long job has ended", || Ok(stands(site, id, "succeeded").is_ok().then_some(())))?;
    std::fs::remove_file(site.debian.path("/opt/held"))?;
    ensure!(site.root(&["cat", "/var/long"])? == "end\n", "it ran once");
    let status = line(&Request::Status {});
    wait_for("sessions are served again", || {
        let answers = site.ask(&[("status".to_owned(), status.clone())])?;
        Ok(answers["status"].contains("\"status\"").then_some(()))
    })?;
    // Also the center's own word comes too late now.
    let cancel = Request::Cancel { command_id: id, statement: Some(statement(EUI, &[id], &[], STATEMENT)) };
    let answers = site.ask(&[("late".to_owned(), line(&cancel))])?;
    ensure!(answers["late"].contains("too_late"), "{answers:?}");
    nobody_else_decides(site, id, "00112233445566778899aabbccddeeff")?;
    stands(site, id, "succeeded")?;
    site.nothing_owned()
}

pub(crate) fn a_job_is_not_confirmed_by_whom_it_may_not(site: &Site) -> Result<()> {
    let mut genuine = command(20, &["!copy { content: new, dest: /etc/provisional }"]);
    genuine.options = JobOptions { confirm_window_s: 600, ..JobOptions::default() };
    let id = genuine.command_id;
    begin(site, &genuine, "window")?;
    let journal = format!("/var/lib/keros-executor/jobs/{id}/journal.jsonl");
    let nonce = wait_for("the window has begun", || {
        let told = std::fs::read_to_string(site.debian.path(&journal)).unwrap_or_default();
        let nonce = told.split_once("\"nonce\":\"").and_then(|(_, rest)| rest.split_once('"'));
        Ok(nonce.map(|(nonce, _)| nonce.to_owned()))
    })?;
    // The nonce itself is no secret: the center's signature is what counts.
    nobody_else_decides(site, id, &nonce)?;
    // What the center has signed, but about something else, or before.
    let other = statement(EUI, &[], &["00112233445566778899aabbccddeeff"], STATEMENT);
    let replayed = line(&Request::Confirm { command_id: id, statement: other });
    let answers = site.ask(&[("replayed".to_owned(), replayed)])?;
    ensure!(answers["replayed"].contains("\"accepted\":false"), "{answers:?}");
    stands(site, id, "to be confirmed within")?;
    let told = site.root(&["cat", "/etc/provisional"])?;
    ensure!(told == "new", "nothing was undone: {told}");
    // The same by the center's word: that the others failed was no accident.
    let word = statement(EUI, &[], &[&nonce], STATEMENT);
    let answers =
        site.ask(&[("genuine".to_owned(), line(&Request::Confirm { command_id: id, statement: word }))])?;
    ensure!(answers["genuine"].contains("\"accepted\":true"), "{answers:?}");
    wait_for("the job has its end", || Ok(stands(site, id, "succeeded").is_ok().then_some(())))?;
    nobody_else_decides(site, id, &nonce).context("after its end")?;
    // Nor is it undone by somebody who starts the program by himself.
    for task in ["undo", "cancel"] {
        let (done, told) = site.as_user("keros-agent", &["keros-executor", task, &id.to_string()])?;
        ensure!(!done, "{task}: {told}");
    }
    ensure!(site.root(&["cat", "/etc/provisional"])? == "new", "it stays");
    Ok(())
}
