//! The power is cut in the middle of an enrolment or a renewal: the old configuration works, or the new one, and the same line goes on.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use anyhow::{Context as _, Result};
use keros_skip::skipped;
use keros_tests::{Gateway, Injection, Threads, keros_program, system_program};

use crate::site::{EUI, Site, enroll, folder};
use crate::{is_root, works};

/// Runs a command that is killed at its n-th sync; whether it was.
fn killed_at(
    number: u64,
    site: &Site,
    gateway: &Gateway,
    arguments: &[&str],
    input: Option<&str>,
) -> Result<bool> {
    let log = site.path(&format!("strace-{number}"));
    let mut command =
        Injection::kill_at_sync(number).command(&keros_program("keros-agent")?, &log, Threads::All)?;
    command.args(arguments).arg("--config").arg(gateway.config()).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn()?;
    if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
        use std::io::Write as _;
        let _ = stdin.write_all(text.as_bytes());
    }
    Ok(child.wait()?.signal() == Some(9))
}

/// Whatever is in force names only files that are there and whole.
fn is_sound(gateway: &Gateway) -> Result<()> {
    if folder(gateway)?.join("config.d/50-enrolled.yaml").exists() {
        let (code, text) = gateway.technician(&["config", "--check"])?;
        assert_eq!(code, 0, "{text}");
    }
    Ok(())
}

#[test]
fn killed_at_every_sync_an_enrolment_goes_on_with_the_same_line() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    if system_program("strace").is_err() {
        skipped("strace is not installed");
        return Ok(());
    }
    let site = Site::with_certificates(&[])?;
    let mut gateway = site.gateway(EUI)?;
    // First one that works, so that there is something to be lost.
    assert_eq!(enroll(&gateway, &site.line(EUI)?, &[])?.code, 0);
    let mut kills = 0;
    let line = site.line(EUI)?;
    for number in 1..100 {
        let input = format!("{line}\n");
        if !killed_at(number, &site, &gateway, &["enroll", "-", "--force"], Some(&input))? {
            break;
        }
        kills += 1;
        is_sound(&gateway)?;
    }
    assert!(kills >= 5, "{kills} kills");
    let ended = enroll(&gateway, &line, &["--force"])?;
    assert_eq!(ended.code, 0, "{}", ended.text);
    works(&site, &mut gateway)
}

#[test]
fn killed_at_every_sync_a_renewal_leaves_a_certificate_and_its_key() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    if system_program("strace").is_err() {
        skipped("strace is not installed");
        return Ok(());
    }
    let site = Site::with_certificates(&[])?;
    let mut gateway = site.gateway(EUI)?;
    assert_eq!(enroll(&gateway, &site.line(EUI)?, &[])?.code, 0);
    let mut kills = 0;
    for number in 1..100 {
        if !killed_at(number, &site, &gateway, &["renew", "--now"], None)? {
            break;
        }
        kills += 1;
        let file = folder(&gateway)?.join("tls/e1/gateway.pem").display().to_string();
        let openssl = |arguments: &[&str]| {
            let arguments = arguments.iter().copied().chain(["-pubout", "-in", &file]).map(str::to_owned);
            keros_tests::run_ok(&system_program("openssl")?, arguments)
        };
        let of_key = openssl(&["pkey"])?;
        let of_certificate =
            keros_tests::run_ok(&system_program("openssl")?, ["x509", "-noout", "-pubkey", "-in", &file])?;
        assert_eq!(of_key, of_certificate, "certificate and key belong together after kill {number}");
    }
    assert!(kills >= 3, "{kills} kills");
    works(&site, &mut gateway).context("after the last renewal")
}

#[test]
fn a_renewal_that_was_cut_off_behind_its_rename_does_not_keep_the_next_from_a_new_certificate() -> Result<()>
{
    if !is_root() {
        return Ok(());
    }
    let site = Site::with_certificates(&[])?;
    let mut gateway = site.gateway(EUI)?;
    assert_eq!(enroll(&gateway, &site.line(EUI)?, &[])?.code, 0);
    let tls = folder(&gateway)?.join("tls/e1");
    let first = std::fs::read_to_string(tls.join("gateway.pem"))?;
    let at = first.find("-----BEGIN PRIVATE KEY").context("a key behind the certificate")?;
    // As the cut leaves it: the new certificate and key are in force, and the key is still noted as the next one.
    std::fs::write(tls.join("next.key"), first.get(at..).unwrap_or_default())?;
    let (code, text) = gateway.technician(&["renew", "--now"])?;
    assert_eq!(code, 0, "{text}");
    let second = std::fs::read_to_string(tls.join("gateway.pem"))?;
    assert_ne!(first, second, "otherwise it would be the old certificate each time, until it has expired");
    assert!(!tls.join("next.key").exists());
    works(&site, &mut gateway)
}
