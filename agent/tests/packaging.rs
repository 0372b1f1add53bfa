//! What is shipped beside the program: the units, `cross.toml`. The packages have tests of their own (`tests/e2e/packages`).

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path)
}

/// Puts units and programs where the package has them.
fn lay_out(root: &Path) {
    let folders = ["usr/bin", "usr/lib/systemd/system"].map(|folder| root.join(folder));
    for folder in &folders {
        fs::create_dir_all(folder).unwrap();
    }
    for program in ["keros-agent", "keros-executor"] {
        fs::copy(env!("CARGO_BIN_EXE_keros-agent"), folders[0].join(program)).unwrap();
    }
    for unit in fs::read_dir(source("systemd")).unwrap() {
        let unit = unit.unwrap();
        fs::copy(unit.path(), folders[1].join(unit.file_name())).unwrap();
    }
}

#[test]
fn systemd_understands_the_units() {
    let root = tempfile::tempdir().unwrap();
    lay_out(root.path());
    // What every service needs of the system itself.
    let targets = ["sysinit", "basic", "shutdown", "sockets", "timers", "slices"];
    for target in targets.map(|name| format!("{name}.target")) {
        let path = root.path().join("usr/lib/systemd/system").join(&target);
        fs::write(path, format!("[Unit]\nDescription={target}\n")).unwrap();
    }
    let units = [
        "keros-agent.service",
        "keros-executor.socket",
        "keros-executor@1.service",
        "keros-executor-settle.service",
        "keros-executor-settle.timer",
        "keros-agent-renew.service",
        "keros-agent-renew.timer",
        "keros-executor.slice",
    ];
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]).arg(format!("--root={}", root.path().display()));
    let Ok(output) = verify.args(units).output() else {
        return keros_skip::skipped("only systemd-analyze can judge units");
    };
    let told = String::from_utf8_lossy(&output.stderr);
    let about_ours: Vec<&str> = told.lines().filter(|line| line.contains("keros-")).collect();
    assert!(output.status.success() && about_ours.is_empty(), "{told}");
}

/// What decides who reaches the sockets is their modes: nothing of the unit may keep a technician out, or let others in.
#[test]
fn the_folder_of_the_sockets_is_open_and_all_else_of_the_agent_is_closed() {
    let unit = fs::read_to_string(source("systemd/keros-agent.service")).unwrap();
    let is_set = |line: &str| unit.lines().any(|found| found == line);
    for line in [
        "User=keros-agent",
        "RuntimeDirectory=keros-agent",
        "RuntimeDirectoryMode=0755",
        "StateDirectoryMode=0700",
        "UMask=0077",
        "NoNewPrivileges=yes",
    ] {
        assert!(is_set(line), "{line}");
    }
    assert!(!unit.lines().any(|line| line.starts_with("PrivateUsers=")), "it would hide who asks");
}

#[test]
fn cross_names_an_image_for_each_target() {
    let text = fs::read_to_string(source("cross.toml")).unwrap();
    let config: toml::Table = text.parse().unwrap();
    let targets = config["target"].as_table().unwrap();
    for target in [
        "armv7-unknown-linux-musleabihf",
        "armv7-unknown-linux-gnueabihf",
        "aarch64-unknown-linux-musl",
        "aarch64-unknown-linux-gnu",
    ] {
        let image = targets[target]["image"].as_str().unwrap();
        assert!(image.contains(&format!("/{target}:")), "{image}");
    }
    assert_eq!(targets.len(), 4);
}
