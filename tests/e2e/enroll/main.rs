//! A gateway joins a center by one pasted line: with a real center, its broker and registry over TLS, and real agents.

mod booted;
mod cut;
mod refused;
mod renewal;
mod site;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use keros_skip::skipped;
use keros_tests::{Gateway, in_1970, keros_program, run_ok, system_program};

use site::{EUI, Site, enroll, feed, folder};

/// Only root may enrol.
fn is_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        skipped("only root can enrol a gateway");
    }
    is_root
}

/// Starts the agent, and has it run a script.
fn works(site: &Site, gateway: &mut Gateway) -> Result<()> {
    gateway.restart()?;
    site.center.wait_for_telemetry(&[gateway.eui.as_str()])?;
    let script = "- name: p\n  groups: [all]\n  tasks:\n    - !file { path: /made }\n";
    let update = site.center.wait_for_end(&site.center.send("g", &[gateway.eui.as_str()], script)?)?;
    assert_eq!(update["gateways"][0]["outcome"]["status"], "succeeded", "{update:#}\n{}", gateway.log());
    Ok(())
}

/// Mode and owner of everything below a folder, as `path mode uid`.
fn modes(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next)? {
            let path = entry?.path();
            let data = path.symlink_metadata()?;
            let name = path.strip_prefix(folder)?.display().to_string();
            found.push(format!("{name} {:o} {}", data.permissions().mode() & 0o7777, data.uid()));
            if data.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[test]
fn a_pasted_line_gives_a_password_and_a_script_succeeds() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let site = Site::start()?;
    let mut gateway = site.gateway(EUI)?;
    let line = site.line(EUI)?;
    let ended = enroll(&gateway, &line, &[])?;
    assert_eq!(ended.code, 0, "{}\n{}", ended.text, site.center.log());
    assert!(ended.text.contains("Enrolled"), "{}", ended.text);
    let tls = folder(&gateway)?.join("tls");
    assert_eq!(
        modes(&tls)?,
        ["e1 750 0", "e1/ca.pem 640 0", "e1/center.json 640 0", "e1/password 640 0", "lock 600 0"]
    );
    let listed = site.center.command_line(&["enroll", "list"])?;
    assert!(listed.contains("confirmed"), "{listed}");
    works(&site, &mut gateway)
}

#[test]
fn with_an_authority_of_the_centers_own_it_gives_a_certificate() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let site = Site::with_certificates(&[])?;
    let mut gateway = site.gateway(EUI)?;
    let ended = enroll(&gateway, &site.line(EUI)?, &[])?;
    assert_eq!(ended.code, 0, "{}\n{}", ended.text, site.center.log());
    let certificate = folder(&gateway)?.join("tls/e1/gateway.pem");
    let arguments = ["x509", "-noout", "-subject", "-ext", "extendedKeyUsage", "-in"];
    let arguments = arguments.iter().map(ToString::to_string).chain([certificate.display().to_string()]);
    let told = run_ok(&system_program("openssl")?, arguments)?;
    assert!(told.contains(EUI) && told.contains("TLS Web Client Authentication"), "{told}");
    works(&site, &mut gateway)
}

#[test]
fn a_gateway_whose_clock_says_1970_joins_and_keeps_the_time_of_the_line() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let site = Site::with_certificates(&[])?;
    let mut gateway = site.gateway(EUI)?;
    let Some(agent) = in_1970(&folder(&gateway)?, &keros_program("keros-agent")?)? else { return Ok(()) };
    let line = site.line(EUI)?;
    let made: keros_protocol::enroll::EnrolLine = line.parse()?;
    let mut command = Command::new(&agent);
    let ended = feed(command.args(["enroll", "-", "--config"]).arg(gateway.config()), &line)?;
    assert_eq!(ended.code, 0, "{}\n{}", ended.text, site.center.log());
    let drop_in = std::fs::read_to_string(folder(&gateway)?.join("config.d/50-enrolled.yaml"))?;
    let floor = format!("\ntime_floor_unix_s: {}\n", made.issued_at_unix_s);
    assert!(drop_in.contains(&floor), "{drop_in}");
    // The center's certificate is younger than this program: by its own floor the agent would not believe it yet.
    gateway.start_program(&agent)?;
    site.center.wait_for_telemetry(&[EUI])
}
