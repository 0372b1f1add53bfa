//! What is shipped beside the program: the tree that `packaging/install.sh` makes, the units, `cross.toml`.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path)
}

/// Installs this build into `destination`.
fn install(destination: &Path) -> Output {
    let binaries = Path::new(env!("CARGO_BIN_EXE_keros-agent")).parent().unwrap();
    Command::new("sh").arg(source("packaging/install.sh")).arg(destination).arg(binaries).output().unwrap()
}

/// All files below a folder, with their modes.
fn tree(folder: &Path) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            if path.is_dir() {
                found.insert(format!("{name}/"), mode);
                folders.push(path);
            } else {
                found.insert(name, mode);
            }
        }
    }
    found
}

#[test]
fn the_tree_is_laid_out_like_the_gateway() {
    let root = tempfile::tempdir().unwrap();
    let output = install(root.path());
    assert!(output.status.success(), "{output:?}");
    let tree = tree(root.path());
    for (path, mode) in [
        ("usr/bin/keros-agent", 0o755),
        ("usr/lib/systemd/system/keros-agent.service", 0o644),
        ("usr/lib/systemd/system/keros-executor@.service", 0o644),
        ("usr/lib/systemd/system/keros-executor-settle.service", 0o644),
        ("usr/lib/systemd/system/keros-executor-settle.timer", 0o644),
        ("usr/lib/systemd/catalog/keros.catalog", 0o644),
        ("usr/lib/systemd/system/keros-executor.slice", 0o644),
        ("usr/lib/sysusers.d/keros-agent.conf", 0o644),
        ("usr/lib/tmpfiles.d/keros-agent.conf", 0o644),
        ("etc/keros-agent/config.yaml", 0o644),
        ("etc/keros-agent/config.d/", 0o755),
        ("etc/keros-agent/trust/", 0o755),
        ("etc/keros-agent/tls/", 0o750),
    ] {
        assert_eq!(tree.get(path), Some(&mode), "{path} in {tree:#?}");
    }
    assert!(tree.keys().all(|path| !path.ends_with(".new")), "nothing is left half done: {tree:#?}");
}

/// A gateway whose agent is broken, or was never enabled, finishes what its jobs are owed all the same.
#[test]
fn what_jobs_are_owed_is_finished_without_anybody_enabling_it() {
    let root = tempfile::tempdir().unwrap();
    assert!(install(root.path()).status.success());
    assert!(install(root.path()).status.success(), "and once more over it");
    let units = root.path().join("usr/lib/systemd/system");
    for (target, unit) in [("multi-user", "service"), ("timers", "timer")] {
        let unit = format!("keros-executor-settle.{unit}");
        let link = units.join(format!("{target}.target.wants")).join(&unit);
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("..").join(&unit));
        assert!(fs::read_to_string(&link).is_ok(), "it leads somewhere");
    }
}

#[test]
fn a_configuration_that_is_there_is_kept_and_programs_are_replaced() {
    let root = tempfile::tempdir().unwrap();
    assert!(install(root.path()).status.success());
    let config = root.path().join("etc/keros-agent/config.yaml");
    let program = root.path().join("usr/bin/keros-agent");
    fs::write(&config, "broker: {host: mine}\n").unwrap();
    fs::write(&program, "old").unwrap();
    assert!(install(root.path()).status.success());
    assert_eq!(fs::read_to_string(&config).unwrap(), "broker: {host: mine}\n");
    assert_ne!(fs::read(&program).unwrap(), b"old");
}

#[test]
fn systemd_understands_the_units() {
    let root = tempfile::tempdir().unwrap();
    assert!(install(root.path()).status.success());
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
fn a_wrong_call_says_what_is_missing() {
    let script = source("packaging/install.sh");
    let output = Command::new("sh").arg(&script).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let empty = tempfile::tempdir().unwrap();
    let output = Command::new("sh").arg(&script).arg(empty.path()).arg(empty.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("build first"));
    assert!(tree(empty.path()).is_empty(), "nothing is installed in part");
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
