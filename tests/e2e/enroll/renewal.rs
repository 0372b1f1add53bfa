//! Certificates: renewed, refused, expired and revoked; and the same with mosquitto.

use anyhow::{Context as _, Result};
use keros_tests::{
    Broker, Center, Gateway, Mosquitto, MosquittoMode, Pki, free_port, keros_program, run_ok, wait_for,
};

use crate::site::{EUI, Site, enroll, folder};
use crate::{is_root, works};

fn login(gateway: &Gateway) -> Result<String> {
    Ok(std::fs::read_to_string(folder(gateway)?.join("tls/e1/gateway.pem"))?)
}

#[test]
fn a_certificate_is_renewed_for_a_new_key_and_a_refused_trial_keeps_the_old() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let site = Site::with_certificates(&[])?;
    let mut gateway = site.gateway(EUI)?;
    assert_eq!(enroll(&gateway, &site.line(EUI)?, &[])?.code, 0);
    let first = login(&gateway)?;
    let (code, text) = gateway.technician(&["renew"])?;
    assert!(code == 0 && text.contains("good for 36"), "{text}");
    assert_eq!(login(&gateway)?, first, "it is not due");

    // The broker cannot be reached any more: nothing is replaced.
    let drop_in = folder(&gateway)?.join("config.d/50-enrolled.yaml");
    let good = std::fs::read_to_string(&drop_in)?;
    let port = format!("port: {}", site.center.mqtt_port());
    std::fs::write(&drop_in, good.replace(&port, &format!("port: {}", free_port()?)))?;
    let (code, text) = gateway.technician(&["renew", "--now"])?;
    assert!(code == 1 && text.contains("does not work"), "{text}");
    assert_eq!(login(&gateway)?, first);
    assert!(!folder(&gateway)?.join("tls/e1/next.pem").exists());
    std::fs::write(&drop_in, &good)?;

    // Beside an agent that is connected; it goes on, and takes the new one with its next connection.
    works(&site, &mut gateway)?;
    let (code, text) = gateway.technician(&["renew", "--now"])?;
    assert!(code == 0 && text.contains("was renewed"), "{text}");
    let second = login(&gateway)?;
    let key = |text: &str| text.split("PRIVATE KEY").nth(1).map(str::to_owned);
    assert!(second != first && key(&second) != key(&first), "certificate and key are new");
    gateway.kill()?;
    gateway.restart()?;
    wait_for("the agent is connected with it", || {
        let (code, text) = gateway.technician(&["status"])?;
        Ok((code == 0 && text.contains("mutual")).then_some(()))
    })
}

#[test]
fn a_gateway_that_was_locked_out_is_ended_and_neither_old_nor_new_certificates_help() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut site = Site::with_certificates(&[])?;
    let mut gateway = site.gateway(EUI)?;
    assert_eq!(enroll(&gateway, &site.line(EUI)?, &[])?.code, 0);
    works(&site, &mut gateway)?;
    let told = site.center.command_line(&["enroll", "revoke", EUI])?;
    assert!(told.contains("1 certificates") && told.contains("its connection was ended"), "{told}");
    let is_out = |gateway: &Gateway| {
        wait_for("the agent is kept out", || {
            let (_, text) = gateway.technician(&["status"])?;
            Ok(text.contains("does not let this gateway in").then_some(()))
        })
    };
    is_out(&gateway)?;
    let (code, text) = gateway.technician(&["renew", "--now"])?;
    assert!(code == 65 && text.contains("revoked") && text.contains("keros-center enroll EUI"), "{text}");
    // Also after the center was started anew.
    site.center.kill()?;
    let restarted = site.center.restart();
    restarted.with_context(|| site.center.log())?;
    gateway.kill()?;
    gateway.restart()?;
    is_out(&gateway)?;
    // A new line lets it in again.
    gateway.kill()?;
    let ended = enroll(&gateway, &site.line(EUI)?, &["--force"])?;
    assert_eq!(ended.code, 0, "{}", ended.text);
    gateway.restart()?;
    wait_for("the agent is connected", || {
        Ok(gateway.technician(&["status"])?.1.contains("mutual").then_some(()))
    })
}

#[test]
fn an_expired_certificate_is_renewed_within_its_grace() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let site = Site::with_certificates(&["--certificate-life", "20s"])?;
    let gateway = site.gateway(EUI)?;
    assert_eq!(enroll(&gateway, &site.line(EUI)?, &[])?.code, 0);
    let first = login(&gateway)?;
    let certificate = folder(&gateway)?.join("tls/e1/gateway.pem").display().to_string();
    wait_for("it has expired", || {
        let openssl = keros_tests::system_program("openssl")?;
        let checked = keros_tests::run(&openssl, ["x509", "-noout", "-checkend", "0", "-in", &certificate])?;
        Ok((!checked.status.success()).then_some(()))
    })?;
    let (code, text) = gateway.technician(&["renew"])?;
    assert_eq!(code, 0, "{text}");
    assert_ne!(login(&gateway)?, first);
    Ok(())
}

#[test]
fn mosquitto_lets_in_whom_the_centers_authority_vouches_for() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let pki = Pki::new(&folder.path().join("pki"))?;
    let data = folder.path().join("center/data");
    let arguments = ["ca", "create", "--data-folder", &data.to_string_lossy()].map(str::to_owned);
    run_ok(&keros_program("keros-center")?, arguments)?;
    // Whom mosquitto believes: the site's authority, for the center, and the gateways' own.
    let own = std::fs::read_to_string(data.join("ca/gateways-ca.pem"))?;
    let ca = std::fs::read_to_string(pki.path("ca.pem"))?;
    std::fs::write(pki.path("ca.pem"), format!("{ca}{own}"))?;
    let broker = Mosquitto::start(&folder.path().join("broker"), MosquittoMode::Shipped(&pki))?;
    std::fs::write(pki.path("ca.pem"), &ca)?;
    let (cert, key) = pki.issue("center", "keros-center")?;
    let path = |path: std::path::PathBuf| path.display().to_string();
    let ca = path(pki.path("ca.pem"));
    let mut external = Vec::new();
    for (flag, value) in [("ca", ca.clone()), ("cert", path(cert.clone())), ("key", path(key.clone()))] {
        external.extend([format!("--external-broker-{flag}"), value]);
    }
    let more = [
        "--registry-tls",
        &format!("127.0.0.1:{}", free_port()?),
        "--ca",
        &ca,
        "--cert",
        &path(cert),
        "--cert-key",
        &path(key),
    ]
    .map(str::to_owned);
    let center = Center::start_with(
        &folder.path().join("center"),
        Broker::External(broker.port, external),
        more.to_vec(),
    )?;
    let site = Site::of(center, folder);
    let mut gateway = site.gateway(EUI)?;
    let ended = enroll(&gateway, &site.line(EUI)?, &[])?;
    assert_eq!(ended.code, 0, "{}\n{}", ended.text, broker.log());
    works(&site, &mut gateway)?;
    let first = login(&gateway)?;
    let (code, text) = gateway.technician(&["renew", "--now"])?;
    assert_eq!(code, 0, "{text}");
    assert_ne!(login(&gateway)?, first);
    // The trial has ended the agent's connection, since mosquitto calls both by the certificate's name: it comes back with the new one.
    wait_for("the agent is connected again", || {
        Ok(gateway.technician(&["status"])?.1.contains("mutual").then_some(()))
    })
    .context("after the renewal")
}
