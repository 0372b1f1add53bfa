//! On a booted Debian, with the shipped units: the service that renews the certificate can do so within its sandbox, and the agent
//! connects with what it wrote.

use std::fs;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, Result, ensure};
use keros_tests::{Booted, FAR, Installed, Link, free_port, wait_for};

use crate::is_root;
use crate::site::{EUI, Site};

const BROKER: u16 = 8883;
const REGISTRY: u16 = 8443;
const UNIT: &str = "keros-agent-renew.service";
const LOGIN: &str = "/etc/keros-agent/tls/e1/gateway.pem";
/// As if the certificate were due.
const NOW: &str = "[Service]\nExecStart=\nExecStart=/usr/bin/keros-agent renew --now\n";

/// Starts the unit, and gives what it has said since the boot.
fn renew(debian: &Booted) -> Result<String> {
    let done = debian.run_ok(&["systemctl", "start", UNIT]);
    let said = debian.run_ok(&["journalctl", "-b", "--no-pager", "-o", "cat", "-u", UNIT])?;
    done.with_context(|| said.clone())?;
    Ok(said)
}

/// Passes connections on, byte by byte as they are, until the program ends.
fn bridge(listener: TcpListener, to: u16) {
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else { continue };
            if let (Ok(near_too), Ok(far_too)) = (near.try_clone(), far.try_clone()) {
                pump(near_too, far_too);
                pump(far, near);
            }
        }
    });
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}

#[test]
fn the_shipped_unit_renews_the_certificate() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let registry = free_port()?;
    let (url, broker) = (format!("https://{FAR}:{REGISTRY}"), format!("{FAR}:{BROKER}"));
    let site = Site::with_certificates_at(registry, &["--registry-url", &url, "--broker-at", &broker])?;
    let link = Link::make()?;
    bridge(link.listen(BROKER)?, site.center.mqtt_port());
    bridge(link.listen(REGISTRY)?, registry);
    let (trust, host) = (site.center.keys().join("trust"), FAR.to_string());
    let installed = Installed::keros_6(EUI, &host, BROKER, &trust);
    let line = site.line(EUI)?;
    let debian = Booted::start_in(link.near(), |root| {
        installed.into(root)?;
        Ok(fs::write(root.join("opt/line"), line)?)
    })?;
    // It has a broker in its configuration already.
    debian.run_ok(&["sh", "-c", "keros-agent enroll - --force < /opt/line"])?;
    site.center.wait_for_telemetry(&[EUI])?;

    let said = renew(&debian)?;
    ensure!(said.contains("good for 36"), "it is not due: {said}");
    let first = fs::read_to_string(debian.path(LOGIN))?;
    let drop_in = debian.path(&format!("/etc/systemd/system/{UNIT}.d"));
    fs::create_dir_all(&drop_in)?;
    fs::write(drop_in.join("now.conf"), NOW)?;
    debian.run_ok(&["systemctl", "daemon-reload"])?;
    let said = renew(&debian)?;
    ensure!(said.contains("was renewed, with a new key"), "{said}");

    ensure!(fs::read_to_string(debian.path(LOGIN))? != first, "it is a new one");
    let (new, group) = (fs::metadata(debian.path(LOGIN))?, debian.run_ok(&["id", "-g", "keros-agent"])?);
    ensure!(new.mode() & 0o7777 == 0o640 && new.uid() == 0, "{:o} of {}", new.mode(), new.uid());
    ensure!(group.trim() == new.gid().to_string(), "the agent may read it: {group} {}", new.gid());
    debian.run_ok(&["systemctl", "restart", "keros-agent"])?;
    wait_for("the agent is connected with it", || {
        let told = debian.run_ok(&["keros-agent", "status"])?;
        ensure!(told.contains("mutual"), "{told}");
        Ok(Some(()))
    })
}
