//! A gateway with systemd, whose service is stopped, fails or is hidden.

use std::path::Path;

use anyhow::Result;
use keros_skip::skipped;
use keros_tests::{Booted, FAR, Installed};

use crate::sick::{EUI, Seen};

#[test]
fn a_stopped_service_and_a_wrong_configuration_on_a_booted_debian() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        skipped("only root can boot a container");
        return Ok(());
    }
    let trust = tempfile::tempdir()?;
    let host = FAR.to_string();
    let installed = Installed::keros_6(EUI, &host, 8883, trust.path());
    let debian = Booted::start(|root| {
        installed.into(root)?;
        people(root)
    })?;
    let doctor = || Seen::from(&debian.run(&["keros-agent", "doctor", "--json"])?, trust.path());
    let seen = doctor()?;
    for check in ["service", "socket", "executor", "disk"] {
        assert_eq!(seen.verdict(check), "ok", "{check}: {:#?}", seen.findings);
    }

    reads_without_sudo(&debian, trust.path())?;

    debian.run_ok(&["systemctl", "stop", "keros-agent", "keros-executor.socket"])?;
    doctor()?.only(&["service", "executor"]).is_golden("stopped_service", &[])?;

    let wrong = debian.path("/etc/keros-agent/config.d/zz-wrong.yaml");
    std::fs::write(&wrong, "broker: { port: 0 }\n")?;
    // It ends at once, and is started again after some seconds.
    debian.run(&["systemctl", "start", "--no-block", "keros-agent"])?;
    keros_tests::wait_for("the agent has ended", || {
        let state = debian.run_ok(&["systemctl", "show", "keros-agent", "--property=SubState"])?;
        Ok(state.contains("auto-restart").then_some(()))
    })?;
    let seen = doctor()?.only(&["service", "config"]);
    seen.is_golden("wrong_configuration", &[])
}

/// Two people: one is a technician.
fn people(root: &Path) -> Result<()> {
    let append = |file: &str, text: &str| -> Result<()> {
        let path = root.join(file);
        Ok(std::fs::write(&path, std::fs::read_to_string(&path)? + text)?)
    };
    append("etc/passwd", "technician:x:1500:1500::/:/bin/sh\nstranger:x:1501:1501::/:/bin/sh\n")?;
    append("etc/group", "technician:x:1500:\nstranger:x:1501:\n")?;
    let groups = std::fs::read_to_string(root.join("etc/group"))?;
    let joined = groups.lines().map(|line| match line.strip_prefix("keros:") {
        Some(_) if line.ends_with(':') => format!("{line}technician\n"),
        Some(_) => format!("{line},technician\n"),
        None => format!("{line}\n"),
    });
    Ok(std::fs::write(root.join("etc/group"), joined.collect::<String>())?)
}

fn reads_without_sudo(debian: &Booted, folder: &Path) -> Result<()> {
    let as_user = |user: &str, arguments: &[&str]| {
        let uid = format!("--uid={user}");
        debian.run(&[&[uid.as_str(), "keros-agent"], arguments].concat())
    };
    for command in [&["status"][..], &["jobs"], &["status", "--json"], &["jobs", "--json"]] {
        let output = as_user("technician", command)?;
        assert!(output.status.success() && !output.stdout.is_empty(), "{command:?}: {output:?}");
    }
    let output = as_user("technician", &["job", "01"])?;
    assert_eq!(output.status.code(), Some(1), "there is none: {output:?}");
    let seen = Seen::from(&as_user("technician", &["doctor", "--json"])?, folder)?;
    assert_eq!(
        (seen.verdict("socket"), seen.verdict("executor")),
        ("ok", "not_checked"),
        "{:#?}",
        seen.findings
    );

    for command in [&["status"][..], &["jobs"], &["job", "01"], &["watch"], &["telemetry", "--now"]] {
        let output = as_user("stranger", command)?;
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(69), "{command:?}: {told}");
        assert!(told.contains("sudo") && told.contains("usermod -aG keros"), "{command:?}: {told}");
    }
    let seen = Seen::from(&as_user("stranger", &["doctor", "--json"])?, folder)?;
    assert_eq!(seen.verdict("service"), "ok", "systemd tells everybody: {:#?}", seen.findings);
    seen.only(&["socket"]).is_golden("no_group", &[])
}
