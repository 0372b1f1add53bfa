//! Lines, centers and gateways that are not as they should be: each is told, with what to do, and nothing is changed.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};
use keros_protocol::enroll::EnrolLine;
use keros_tests::{Broker, Center, Gateway, free_port, keros_program, system_program, wait_for};

use crate::site::{EUI, Ended, Site, enroll, feed, folder};
use crate::{is_root, works};

const OTHER: &str = "7076FF0000000002";

/// It ended with this code and said all of this, and the gateway has no center.
fn refused(gateway: &Gateway, ended: &Ended, code: i32, words: &[&str]) -> Result<()> {
    assert_eq!(ended.code, code, "{}", ended.text);
    assert!(words.iter().all(|word| ended.text.contains(word)), "{words:?} in {}", ended.text);
    let folder = folder(gateway)?;
    assert!(!folder.join("config.d/50-enrolled.yaml").exists(), "nothing is in force");
    assert!(!folder.join("tls/e1").exists(), "nothing is left of the attempt");
    let keys = folder.join("trust").read_dir().map_or(0, Iterator::count);
    assert_eq!(keys, 0, "no key is trusted");
    Ok(())
}

fn changed(line: &str, change: impl FnOnce(&mut EnrolLine)) -> Result<String> {
    let mut line: EnrolLine = line.parse()?;
    change(&mut line);
    Ok(line.to_string())
}

#[test]
fn a_line_that_is_not_good_is_refused_and_the_good_one_still_works() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let site = Site::start()?;
    let mut gateway = site.gateway(EUI)?;
    let line = site.line(EUI)?;
    let check = |input: &str, code: i32, words: &[&str]| {
        refused(&gateway, &enroll(&gateway, input, &[])?, code, words)
    };

    check(&line[..100], 65, &["cut off", "copy all of it"])?;
    check(&line.replace("7076FF0000000001", "7076FF0000000003"), 65, &["a character is wrong"])?;
    check("hello", 65, &["no enrolment line", "keros-center enroll"])?;
    check(&line.replace("KEROS1", "KEROS2"), 65, &["another version"])?;
    check(&site.line(OTHER)?, 65, &["the line is for 7076FF0000000002", "this gateway is 7076FF0000000001"])?;
    let wrong_pin = changed(&line, |line| line.pin = [7; 32])?;
    check(&wrong_pin, 65, &["by another authority", "do not go on from this network"])?;
    let rest = site.center.rest().to_string();
    let plain =
        changed(&line, |line| line.entrance = rest.parse().unwrap_or_else(|_| line.entrance.clone()))?;
    check(&plain, 1, &["does not speak TLS", "--registry-tls"])?;
    let port = free_port()?;
    let away = changed(&line, |line| {
        line.entrance = format!("127.0.0.1:{port}").parse().unwrap_or_else(|_| line.entrance.clone());
    })?;
    check(&away, 69, &["cannot reach", "same line again"])?;
    let unknown =
        changed(&line, |line| line.token = keros_protocol::enroll::EnrolToken::from_bytes([1; 16]))?;
    check(&unknown, 65, &["does not know this token", "keros-center enroll EUI"])?;

    // Whoever is not root is told so, and no more.
    let mut command = Command::new(system_program("setpriv")?);
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(keros_program("keros-agent")?);
    let ended = feed(command.args(["enroll", "-"]).env("EUI64", EUI), &line)?;
    assert!(ended.code == 77 && ended.text.contains("sudo"), "{ended:?}");

    assert_eq!(enroll(&gateway, &line, &[])?.code, 0);
    works(&site, &mut gateway)
}

#[test]
fn a_token_is_good_once_for_one_key_and_in_its_time() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let dead = format!("127.0.0.1:{}", free_port()?);
    let site = Site::start_with(&["--broker-at", &dead])?;
    let gateway = site.gateway(EUI)?;
    let line = site.line(EUI)?;
    let ended = enroll(&gateway, &line, &[])?;
    refused(&gateway, &ended, 1, &["was tried and does not work", "same line again"])?;
    // A copy of the line on another machine that says it is the same gateway.
    let thief = site.gateway_in("thief", EUI)?;
    refused(&thief, &enroll(&thief, &line, &[])?, 65, &["another key has asked"])?;

    let expiring = site.center.command_line(&["enroll", OTHER, "--valid", "1s"])?;
    wait_for("the line's time is over", || {
        Ok(site.center.command_line(&["enroll", "list"])?.contains("expired").then_some(()))
    })?;
    let late = site.gateway(OTHER)?;
    refused(&late, &enroll(&late, &expiring, &[])?, 65, &["time of this token is over"])?;

    let line = site.line(EUI)?;
    site.center.command_line(&["enroll", "cancel", EUI])?;
    refused(&gateway, &enroll(&gateway, &line, &[])?, 65, &["taken back"])
}

#[test]
fn what_is_in_force_is_replaced_only_when_that_is_said_and_a_line_is_used_up() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let site = Site::start()?;
    let mut gateway = site.gateway(EUI)?;
    let first = site.line(EUI)?;
    assert_eq!(enroll(&gateway, &first, &[])?.code, 0);
    let thief = site.gateway_in("thief", EUI)?;
    refused(&thief, &enroll(&thief, &first, &[])?, 65, &["used already"])?;

    let second = site.line(EUI)?;
    let drop_in = folder(&gateway)?.join("config.d/50-enrolled.yaml");
    let before = std::fs::read(&drop_in)?;
    let ended = enroll(&gateway, &second, &[])?;
    assert!(ended.code == 1 && ended.text.contains("--force"), "{ended:?}");
    assert_eq!(std::fs::read(&drop_in)?, before);

    // Another center's keys must not order jobs here any more.
    let stranger = folder(&gateway)?.join("trust/command-of-another-center.pem");
    let key = keros_protocol::SigningKey::pem_from_seed(&[9; 32]);
    let key = keros_protocol::SigningKey::from_pem(&key).context("a key")?.public().to_pem();
    std::fs::write(&stranger, key)?;
    let ended = enroll(&gateway, &second, &["--force"])?;
    assert_eq!(ended.code, 0, "{}", ended.text);
    assert!(std::fs::read(&drop_in)? != before && !stranger.exists());
    works(&site, &mut gateway)
}

#[test]
fn nothing_is_written_where_others_can_write_or_a_link_leads() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let site = Site::start()?;
    let gateway = site.gateway(EUI)?;
    let line = site.line(EUI)?;
    let (tls, elsewhere) = (folder(&gateway)?.join("tls"), site.path("elsewhere"));
    std::fs::create_dir(&elsewhere)?;
    std::os::unix::fs::symlink(&elsewhere, &tls)?;
    let ended = enroll(&gateway, &line, &[])?;
    assert!(ended.code == 1 && ended.text.contains("is no folder"), "{ended:?}");
    assert_eq!(elsewhere.read_dir()?.count(), 0);
    std::fs::remove_file(&tls)?;
    std::fs::create_dir(&tls)?;
    std::fs::set_permissions(&tls, std::fs::Permissions::from_mode(0o770))?;
    let ended = enroll(&gateway, &line, &[])?;
    assert!(ended.code == 1 && ended.text.contains("can be written by others"), "{ended:?}");
    std::fs::set_permissions(&tls, std::fs::Permissions::from_mode(0o750))?;
    // A link where a new file is made first is not followed.
    let drop_in = folder(&gateway)?.join("config.d/.50-enrolled.yaml.new");
    std::fs::create_dir_all(drop_in.parent().context("a folder")?)?;
    std::os::unix::fs::symlink(elsewhere.join("planted"), &drop_in)?;
    let ended = enroll(&gateway, &line, &[])?;
    assert!(ended.code == 0 && !elsewhere.join("planted").exists(), "{ended:?}");
    Ok(())
}

#[test]
fn a_center_that_cannot_enrol_says_what_it_lacks() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let center = Center::start(folder.path(), Broker::Embedded)?;
    let error = format!("{:#}", center.command_line(&["enroll", EUI]).err().context("it must refuse")?);
    assert!(error.contains("--registry-tls"), "{error}");
    Ok(())
}

#[test]
fn no_line_is_printed_for_a_center_that_no_gateway_would_believe() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let pki = keros_tests::Pki::new(&folder.path().join("pki"))?;
    let (cert, key) = pki.issue("center", "localhost")?;
    let ca = pki.path("ca.pem").display().to_string();
    for (name, more, word) in [
        ("leaf", vec![], "--ca FILE"),
        ("name", vec!["--ca", &ca, "--enroll-at", "center.example:8443"], "--enroll-at"),
    ] {
        let registry = format!("127.0.0.1:{}", free_port()?);
        let arguments = ["--registry-tls", &registry].into_iter().chain(more).map(str::to_owned).collect();
        let broker = Broker::EmbeddedTls(cert.clone(), key.clone());
        let center = Center::start_with(&folder.path().join(name), broker, arguments)?;
        let error = format!("{:#}", center.command_line(&["enroll", EUI]).err().context("it must refuse")?);
        assert!(error.contains("would not believe") && error.contains(word), "{error}");
    }
    Ok(())
}
