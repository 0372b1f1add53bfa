//! Commands that nobody signed for this gateway, commands that ran before, and what is no request at all.

use anyhow::{Result, ensure};

use crate::signed::{COMMAND, command, forged_commands, run, signed};
use crate::site::{SOCKET, Site};

pub(crate) fn what_is_not_signed_for_this_gateway_is_refused_and_told(site: &Site) -> Result<()> {
    site.forget_refusals()?;
    let forged = forged_commands();
    let requests: Vec<_> = forged.iter().map(|(name, _, bytes)| (name.clone(), bytes.clone())).collect();
    let before = site.refusals()?.len();
    let answers = site.ask(&requests)?;
    for (name, why, _) in &forged {
        let answer = &answers[name];
        ensure!(answer.contains("\"refused\"") && answer.contains(why), "{name}: {answer}");
    }
    site.nothing_owned()?;
    ensure!(site.jobs()?.contains("no job was started"), "no job was begun: {}", site.jobs()?);
    let told = &site.refusals()?[before..];
    ensure!(told.len() == forged.len(), "one line for each of {}: {told:#?}", forged.len());
    for (name, why, _) in &forged {
        ensure!(told.iter().any(|line| line.contains(why)), "{name} is told as {why}: {told:#?}");
    }
    Ok(())
}

pub(crate) fn what_ran_does_not_run_again(site: &Site) -> Result<()> {
    let genuine = command(1, &["!shell { cmd: 'echo ran >> /var/ran' }"]);
    let request = run(signed(&genuine, COMMAND));
    let mut altered = genuine.clone();
    altered.expires_at_unix_s += 1_000_000;
    let mut longer = signed(&altered, COMMAND);
    longer.signatures.clear();
    let requests: Vec<_> = ["first", "second", "third"].map(|name| (name.to_owned(), request.clone())).into();
    let answers = site.ask(&requests)?;
    for (name, answer) in &answers {
        ensure!(answer.contains("\"succeeded\""), "{name}: {answer}");
    }
    // The same id under another envelope: what became of it is told, nothing is run.
    let answers = site.ask(&[("unsigned-replay".to_owned(), run(longer))])?;
    ensure!(answers["unsigned-replay"].contains("\"succeeded\""), "{answers:?}");
    ensure!(site.root(&["cat", "/var/ran"])? == "ran\n", "it ran once");
    Ok(())
}

pub(crate) fn what_is_no_request_is_refused(site: &Site) -> Result<()> {
    site.forget_refusals()?;
    let genuine = run(signed(&command(2, &["!shell { cmd: 'touch /var/owned-cut' }"]), COMMAND));
    let huge = [br#"{"request":"run","envelope":{"payload_type":""#.to_vec(), vec![b'a'; 10 << 20]].concat();
    let requests = [
        ("nothing", Vec::new()),
        ("cut-off", genuine[..genuine.len() / 2].to_vec()),
        ("huge", huge),
        ("deep", [b"{\"request\":".to_vec(), vec![b'['; 500_000]].concat()),
        ("no-text", vec![0xff; 4096]),
        ("zeroes", vec![0; 4096]),
        ("undo", b"{\"request\":\"undo\",\"command_id\":\"x\"}\n".to_vec()),
        ("escapes", b"{\"request\":\"\\u001b[2J\\u001b]0;owned\\u0007\"}\n".to_vec()),
    ];
    let requests = requests.map(|(name, bytes)| (name.to_owned(), bytes));
    let before = site.refusals()?.len();
    let answers = site.ask(&requests)?;
    for (name, answer) in &answers {
        ensure!(answer.contains("\"request_failed\""), "{name}: {answer}");
    }
    let told = &site.refusals()?[before..];
    ensure!(told.len() == requests.len(), "one line for each: {told:#?}");
    ensure!(told.iter().all(|line| line.len() < 700 && !line.contains('\u{1b}')), "{told:#?}");
    let sent: u64 = site.hostile(&["endless", SOCKET])?.trim().parse()?;
    ensure!(sent < 4 << 20, "a line without an end was read for {sent} bytes");
    site.nothing_owned()
}
