//! Memory of the agent as its unit runs it, idle and connected with mutual TLS; beside it what Debian has of other agents, as
//! their units run them, in the same booted Debian.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use keros_tests::{
    Booted, Installed, Link, Mosquitto, MosquittoMode, Pki, project_root, run_ok, system_program, wait_for,
};

use crate::measure::{gateway_program, median};

const EUI: &str = "7076FF0000000001";
const ROUNDS: usize = 3;
/// After connecting, a thread for name resolution lives on for 10 s.
const SETTLE: std::time::Duration = std::time::Duration::from_secs(15);
/// Other agents, as Debian 12 has them.
const PACKAGES: [&str; 5] = ["mender-client", "swupdate", "rauc", "rauc-service", "monit"];
/// Their units, and what they do meanwhile.
const PEERS: [(&str, &str); 4] = [
    ("mender-client", "mender-client 3.4: its server cannot be reached, it tries again later"),
    ("swupdate", "swupdate 2022.12 with its hawkBit client: its server cannot be reached"),
    ("rauc", "rauc 1.8: waits for calls on D-Bus, has no network part"),
    ("monit", "monit 5.33: looks at the system each two minutes, has no network part"),
];

/// Prints the table.
pub(crate) fn run() -> Result<()> {
    let link = Link::make()?;
    let folder = tempfile::tempdir()?;
    let pki = Pki::new(&folder.path().join("pki"))?;
    let broker = folder.path().join("broker");
    let broker = Mosquitto::start_in(Some(link.near()), &broker, MosquittoMode::Shipped(&pki))?;
    let trust = folder.path().join("trust");
    std::fs::create_dir(&trust)?;
    let installed = Installed::keros_6(EUI, "localhost", broker.port, &trust);
    let debian = Booted::start_with(link.near(), &PACKAGES, |root| {
        installed.into(root)?;
        std::fs::write(root.join("etc/hosts"), "127.0.0.1 localhost\n")?;
        mutual_tls(root, &pki)?;
        std::fs::copy(gateway_program("keros-agent")?, root.join("usr/bin/keros-agent"))?;
        peers(root)
    })?;
    println!("| idle under systemd, median of {ROUNDS} | processes | PSS | RSS |");
    println!("| --- | ---: | ---: | ---: |");
    for (name, program) in builds()? {
        let usual = debian.path("/usr/bin/keros-agent");
        // It is running: another file takes its place.
        std::fs::remove_file(&usual)?;
        std::fs::copy(&program, &usual)?;
        row(&debian, "keros-agent", &format!("keros-agent {name}: connected, mutual TLS"))?;
    }
    for (unit, what) in PEERS {
        row(&debian, unit, what)?;
    }
    println!();
    Ok(())
}

/// The builds for gateways that there are.
fn builds() -> Result<Vec<(&'static str, PathBuf)>> {
    let mut builds = vec![("(glibc)", gateway_program("keros-agent")?)];
    let others = [
        ("(glibc, feature libsystemd)", "target/libsystemd/gateway/keros-agent"),
        ("(glibc, static)", "target/static/x86_64-unknown-linux-gnu/gateway/keros-agent"),
    ];
    for (name, path) in others {
        let path = project_root().join(path);
        if path.exists() {
            builds.push((name, path));
        }
    }
    Ok(builds)
}

fn mutual_tls(root: &Path, pki: &Pki) -> Result<()> {
    let (cert, key) = pki.issue(EUI, EUI)?;
    let tls = root.join("etc/keros-agent/tls");
    let owner = std::fs::read_to_string(root.join("etc/group"))?;
    let group =
        owner.lines().find_map(|line| line.strip_prefix("keros-agent:x:")).context("the agent's group")?;
    let group: u32 = group.trim_end_matches(':').parse()?;
    for (from, name) in [(pki.path("ca.pem"), "ca.pem"), (cert, "gateway.pem"), (key, "gateway.key")] {
        std::fs::copy(from, tls.join(name))?;
        std::os::unix::fs::chown(tls.join(name), Some(0), Some(group))?;
        std::fs::set_permissions(tls.join(name), std::fs::Permissions::from_mode(0o640))?;
    }
    std::os::unix::fs::chown(&tls, Some(0), Some(group))?;
    let at = "/etc/keros-agent/tls";
    let text = format!(
        "broker:\n  tls:\n    ca_file: {at}/ca.pem\n    client_cert_file: {at}/gateway.pem\n    client_key_file: {at}/gateway.key\n"
    );
    Ok(std::fs::write(root.join("etc/keros-agent/config.d/tls.yaml"), text)?)
}

/// The least with which each starts.
fn peers(root: &Path) -> Result<()> {
    let put = |path: &str, text: &str| -> Result<()> {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().context("a folder")?)?;
        Ok(std::fs::write(path, text)?)
    };
    let poll = r#""UpdatePollIntervalSeconds": 3600, "InventoryPollIntervalSeconds": 3600"#;
    put("etc/mender/mender.conf", &format!("{{\"ServerURL\": \"https://127.0.0.1:1\", {poll}}}\n"))?;
    put("etc/mender/artifact_info", "artifact_name=r1\n")?;
    put("data/mender/device_type", "device_type=wiis\n")?;
    put("etc/rauc/keyring.pem", "")?;
    put(
        "etc/rauc/system.conf",
        "[system]\ncompatible=wiis\nbootloader=noop\n[keyring]\npath=/etc/rauc/keyring.pem\n\
         [slot.rootfs.0]\ndevice=/dev/null\nbootname=A\n",
    )?;
    put("etc/hwrevision", "wiis 1\n")?;
    let hawkbit = "SWUPDATE_ARGS=\"-v -k /etc/swupdate/signer.pem\"\n\
                   SWUPDATE_SURICATTA_ARGS=\"-t default -i gateway -u http://127.0.0.1:1 -p 3600\"\n";
    put("etc/swupdate/conf.d/hawkbit", hawkbit)?;
    // Debian's build checks signatures by certificates made with RSA.
    let signer = root.join("etc/swupdate/signer.pem").display().to_string();
    let request = "req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=signer -keyout /dev/null -out";
    let arguments = request.split(' ').chain([signer.as_str()]);
    run_ok(&system_program("openssl")?, arguments).map(drop)
}

/// Starts the unit anew, lets it come to rest, and measures all its processes.
fn row(debian: &Booted, unit: &str, what: &str) -> Result<()> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        debian.run_ok(&["systemctl", "restart", unit])?;
        if unit == "keros-agent" {
            wait_for("the agent is connected", || {
                let status = debian.run_ok(&["keros-agent", "status"])?;
                anyhow::ensure!(status.contains("connected"), "{status}");
                Ok(Some(()))
            })?;
        }
        std::thread::sleep(SETTLE);
        rounds.push(memory_kib(debian, unit)?);
    }
    let processes = rounds.first().context("a round")?.processes;
    let pss = median(rounds.iter().map(|round| round.pss).collect())?;
    let rss = median(rounds.iter().map(|round| round.rss).collect())?;
    println!("| {what} | {processes} | {pss} KiB | {rss} KiB |");
    Ok(())
}

struct Memory {
    processes: usize,
    pss: u64,
    rss: u64,
}

/// Of all processes of a unit together; what several of them map counts as resident in each.
fn memory_kib(debian: &Booted, unit: &str) -> Result<Memory> {
    let script = format!(
        "group=$(systemctl show -P ControlGroup {unit})\n\
         for process in $(cat /sys/fs/cgroup/systemd$group/cgroup.procs /sys/fs/cgroup$group/cgroup.procs 2>/dev/null | sort -u)\n\
         do cat /proc/$process/smaps_rollup; done"
    );
    let text = debian.run_ok(&["sh", "-c", &script])?;
    let field = |name: &str| -> Vec<u64> {
        let values = text.lines().filter_map(|line| line.strip_prefix(name)?.split_whitespace().next());
        values.filter_map(|value| value.parse().ok()).collect()
    };
    let (pss, rss) = (field("Pss:"), field("Rss:"));
    anyhow::ensure!(
        !rss.is_empty(),
        "{unit} does not run:\n{}",
        debian.run_ok(&["systemctl", "status", unit])?
    );
    Ok(Memory { processes: rss.len(), pss: pss.iter().sum(), rss: rss.iter().sum() })
}
