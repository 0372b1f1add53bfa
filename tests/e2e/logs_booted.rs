//! The journal of a booted Debian tells the whole story of a job, over agent and executor: of one that succeeds, one that fails, one
//! that is refused.

use std::fs;
use std::process::Output;

use anyhow::{Context as _, Result, ensure};
use keros_skip::skipped;
use keros_tests::{Booted, Broker, Center, FAR, Installed, Link, Mosquitto, MosquittoMode, Proxy, wait_for};
use serde_json::{Value, json};

const EUI: &str = "7076FF0000000001";
const PORT: u16 = 1883;

const SUCCEEDS: &str = "- name: p\n  groups: [all]\n  tasks:\n    \
    - !copy { name: write, content: new, dest: /etc/changed }\n    \
    - !shell { name: print, cmd: 'echo hush' }\n";
const FAILS: &str = "- name: p\n  groups: [all]\n  tasks:\n    \
    - !shell { name: break, cmd: 'echo hush; exit 7' }\n";
/// Its program says why it does not start, with a secret in it, and something that would steer a terminal.
const NO_START: &str = r#"
- name: p
  groups: [all]
  secrets: [password]
  defaults: { password: hunter-of-22 }
  tasks:
    - !copy
      name: program
      dest: /opt/broken
      attributes: { mode: 0755 }
      content: |
        #!/bin/sh
        printf 'no antenna, said hunter-of-22 \033[2J\n' >&2
        exit 3
    - !copy
      name: unit
      dest: /etc/systemd/system/broken.service
      content: |
        [Service]
        Type=notify
        ExecStart=/opt/broken
    - !sd_service { name: start, service: broken, started: true }
"#;

/// One line of the journal.
#[derive(Debug)]
struct Line {
    unit: String,
    message: String,
    subject: Option<String>,
    update: Option<String>,
}

/// All lines about a job, with what the catalog calls them.
fn story(debian: &Booted, id: &str) -> Result<Vec<Line>> {
    let told = debian.run_ok(&["journalctl", &format!("KEROS_JOB_ID={id}"), "-o", "json", "--no-pager"])?;
    told.lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line)?;
            ensure!(line["KEROS_COMMAND_ID"] == id, "a job is a command: {line:#}");
            let text = |name: &str| line[name].as_str().map(str::to_owned);
            let unit = text("_SYSTEMD_UNIT").context("the journal knows the unit")?;
            let subject = text("MESSAGE_ID").map(|id| subject(debian, &id)).transpose()?;
            let message = text("MESSAGE").with_context(|| format!("a text, not bytes: {line:#}"))?;
            Ok(Line { unit, message, subject, update: text("KEROS_UPDATE_ID") })
        })
        .collect()
}

/// What the catalog calls an event.
fn subject(debian: &Booted, message_id: &str) -> Result<String> {
    let entry = debian.run_ok(&["journalctl", "--dump-catalog", message_id])?;
    let subject = entry.lines().find_map(|line| line.strip_prefix("Subject: "));
    Ok(subject.with_context(|| format!("{message_id} has no subject:\n{entry}"))?.to_owned())
}

/// The named events of each program, in their order.
fn named<'s>(story: &'s [Line], program: &str) -> Vec<&'s str> {
    let of_program = story.iter().filter(|line| line.unit.starts_with(program));
    of_program.filter_map(|line| line.subject.as_deref()).collect()
}

/// Sends a script, and gives the story of its job when the agent has told the end.
fn job(
    debian: &Booted,
    center: &Center,
    script: &str,
    options: &Value,
    last: &str,
) -> Result<(String, Vec<Line>)> {
    let group = format!("of {} bytes", script.len());
    let update = center.send_with(&group, &[EUI], script, options)?;
    let view = center.wait_for_end(&update)?;
    let id = view["gateways"][0]["command_id"].as_str().context("the command's id")?.to_owned();
    let lines = wait_for("the journal has the end", || {
        let story = story(debian, &id)?;
        let has_end = story.iter().any(|line| line.subject.as_deref() == Some(last));
        ensure!(has_end, "{story:#?}");
        Ok(Some(story))
    })?;
    for line in lines.iter().filter(|line| line.subject.is_some()) {
        ensure!(line.update.as_deref() == Some(update.as_str()), "it names its update: {line:#?}");
    }
    ensure!(lines.iter().all(|line| !line.message.contains("hush")), "no output in the log: {lines:#?}");
    Ok((id, lines))
}

/// Runs a program as a user with these groups, which has no other right.
fn run_as(debian: &Booted, groups: &str, arguments: &[&str]) -> Result<Output> {
    let as_user = ["setpriv", "--reuid=4321", "--regid=4321", "--bounding-set=-all", groups];
    debian.run(&[&as_user[..], &["/usr/bin/keros-agent", "logs"], arguments].concat())
}

/// Root, and members of the group, read the lines of both programs; nobody else does, and is told what to do.
fn technicians_read_them(debian: &Booted, id: &str) -> Result<()> {
    let of_root = debian.run_ok(&["keros-agent", "logs", "--job", &id[..30]])?;
    let of_group = run_as(debian, "--groups=keros", &["--job", &id[..30]])?;
    ensure!(of_group.status.success(), "{}", String::from_utf8_lossy(&of_group.stderr));
    ensure!(of_root == String::from_utf8_lossy(&of_group.stdout), "{of_root}\n{of_group:?}");
    let place = |text: &str| of_root.find(text).with_context(|| format!("{text}:\n{of_root}"));
    let order =
        [place("keros-agent     command")?, place("keros-executor  job started")?, place("job ended")?];
    ensure!(order.is_sorted(), "in the order of time:\n{of_root}");
    ensure!(!of_root.contains("[job "), "all of them are about the one job:\n{of_root}");

    let all = run_as(debian, "--groups=keros", &["--json", "--lines", "1000"])?;
    for line in String::from_utf8_lossy(&all.stdout).lines() {
        let entry: Value = serde_json::from_str(line)?;
        let program = entry["program"].as_str().unwrap_or_default();
        let is_ours = ["keros-agent", "keros-executor"].contains(&program);
        ensure!(is_ours || entry["unit"] == "keros-agent.service", "a line of somebody else: {entry:#}");
    }
    let few = run_as(debian, "--groups=keros", &["--lines", "3", "--priority", "notice", "--since", "1h"])?;
    ensure!(few.stdout.iter().filter(|byte| **byte == b'\n').count() == 3, "{few:?}");

    let other = run_as(debian, "--clear-groups", &[])?;
    let told = String::from_utf8_lossy(&other.stderr);
    ensure!(other.status.code() == Some(77) && told.contains("usermod -aG keros"), "{other:?}");
    let unknown = run_as(debian, "--groups=keros", &["--job", "ffff"])?;
    let told = String::from_utf8_lossy(&unknown.stderr);
    ensure!(unknown.status.code() == Some(1) && told.contains("no line is about a job"), "{unknown:?}");
    Ok(())
}

#[test]
fn the_journal_tells_the_story_of_each_job() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        skipped("only root can boot a container");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let broker = Mosquitto::start(&folder.path().join("broker"), MosquittoMode::Open)?;
    let center = Center::start(&folder.path().join("center"), Broker::External(broker.port, vec![]))?;
    let link = Link::make()?;
    let _proxy = Proxy::start(link.listen(PORT)?, broker.port)?;
    let (trust, host) = (center.keys().join("trust"), FAR.to_string());
    let installed = Installed::keros_6(EUI, &host, PORT, &trust);
    let debian = Booted::start_in(link.near(), |root| installed.into(root))?;
    debian.run_ok(&["journalctl", "--update-catalog"])?;
    center.wait_for_telemetry(&[EUI])?;

    let reported = "The end of a job is reported";
    let (id, story) = job(&debian, &center, SUCCEEDS, &json!({ "confirm_window_s": 60 }), reported)?;
    let agent = ["A command has come from the center", "A command may run", reported];
    ensure!(named(&story, "keros-agent") == agent, "{story:#?}");
    let executor = [
        "A job has started",
        "A job waits for its confirmation",
        "A job is confirmed",
        "A job has succeeded",
    ];
    ensure!(named(&story, "keros-executor@") == executor, "{story:#?}");
    let explained = debian.run_ok(&["journalctl", "-x", "--no-pager", &format!("KEROS_JOB_ID={id}")])?;
    ensure!(explained.contains(&format!("keros-executor job {id}")), "what to do, with the id:\n{explained}");

    let (_, story) = job(&debian, &center, FAILS, &json!({ "confirm_window_s": 0 }), reported)?;
    let executor = ["A job has started", "A task of a job has failed", "A job has failed"];
    ensure!(named(&story, "keros-executor@") == executor, "{story:#?}");
    let failed = story.iter().find(|line| line.subject.as_deref() == Some("A job has failed"));
    ensure!(failed.is_some_and(|line| line.message.contains("exit code 7")), "{story:#?}");

    technicians_read_them(&debian, &id)?;

    let update = center.send_with("broken", &[EUI], NO_START, &json!({ "confirm_window_s": 0 }))?;
    let view = center.wait_for_end(&update)?;
    let outcome = &view["gateways"][0]["outcome"];
    let output = outcome["output"]["head"].as_str().with_context(|| format!("its output: {view:#}"))?;
    ensure!(output.contains("no antenna"), "the unit's own line is in the center's report: {outcome:#}");
    ensure!(!output.contains("hunter-of-22") && output.contains("said ***"), "secrets stay hidden: {output}");
    ensure!(!output.contains('\x1b'), "nothing steers a terminal: {output:?}");

    // The agent read the version when it started; the executor reads it for each command.
    fs::write(debian.path("/etc/version"), "5.10.1\n")?;
    let script = SUCCEEDS.replace("new", "never");
    let (_, story) = job(&debian, &center, &script, &json!({}), reported)?;
    ensure!(named(&story, "keros-executor@") == ["The executor has refused a request"], "{story:#?}");
    let refusals = story.iter().filter(|line| line.message.contains("not_keros_6"));
    ensure!(refusals.count() == 2, "both programs say why: {story:#?}");
    println!("told by the journal: a job that succeeds, one that fails, one that is refused");
    Ok(())
}
