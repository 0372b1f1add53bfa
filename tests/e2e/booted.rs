//! A script with roles, handlers, loops, templates, a service and a package, on a booted Debian with systemd.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use keros_skip::skipped;
use keros_tests::{Booted, keros_program, project_root, run_ok, system_program};
use serde_json::Value;

/// What a script gave: the status of each task by its number and name, and the outcome.
struct Seen {
    statuses: Vec<(String, String)>,
    outcome: Value,
}

fn play(debian: &Booted, options: &[&str]) -> Result<Seen> {
    let command = ["/opt/keros-executor", "playbook", "/opt/booted/site.yml", "--json"];
    let output = debian.run(&[&command, options].concat())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let events: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let ended = events.iter().filter(|event| event["event"] == "task_ended");
    let name = |event: &Value| format!("{} {}", event["number"], event["name"].as_str().unwrap_or_default());
    let status = |event: &Value| event["result"]["status"].as_str().unwrap_or_default().to_owned();
    let statuses = ended.map(|event| (name(event), status(event))).collect();
    let outcome = events.last().with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    Ok(Seen { statuses, outcome: outcome.clone() })
}

impl Seen {
    fn counts(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for (_, status) in &self.statuses {
            *counts.entry(status.as_str()).or_default() += 1;
        }
        counts
    }
}

/// A package with a service, and the archive that apt installs it from.
fn make_archive(root: &Path) -> Result<()> {
    let tree = tempfile::tempdir()?;
    let unit = "[Unit]\nDescription=Demo forwarder\n[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n";
    let control = "Package: demo-forwarder\nVersion: 1.2-1\nArchitecture: all\nMaintainer: Demo <demo@example.net>\nDescription: demo\n";
    for (path, text) in [("DEBIAN/control", control), ("lib/systemd/system/demo-forwarder.service", unit)] {
        let path = tree.path().join(path);
        fs::create_dir_all(path.parent().context("a folder")?)?;
        fs::write(path, text)?;
    }
    fs::set_permissions(tree.path(), fs::Permissions::from_mode(0o755))?;
    let repo = root.join("repo");
    fs::create_dir(&repo)?;
    let package = repo.join("demo-forwarder.deb");
    let arguments =
        ["--root-owner-group".as_ref(), "-b".as_ref(), tree.path().as_os_str(), package.as_os_str()];
    run_ok(&system_program("dpkg-deb")?, arguments)?;
    let digest = run_ok(&system_program("sha256sum")?, [package.as_os_str()])?;
    let digest = digest.split_whitespace().next().unwrap_or_default();
    let size = package.metadata()?.len();
    fs::write(
        repo.join("Packages"),
        format!("{control}Filename: ./demo-forwarder.deb\nSize: {size}\nSHA256: {digest}\n"),
    )?;
    fs::write(root.join("etc/apt/sources.list"), "deb [trusted=yes] file:/repo ./\n")?;
    Ok(())
}

fn prepare(root: &Path) -> Result<()> {
    make_archive(root)?;
    let opt = root.join("opt");
    fs::copy(keros_program("keros-executor")?, opt.join("keros-executor"))?;
    let from = project_root().join("tests/booted");
    run_ok(&system_program("cp")?, ["-r".as_ref(), from.as_os_str(), opt.as_os_str()])?;
    fs::write(root.join("etc/factory-setup"), "")?;
    fs::create_dir_all(root.join("var/cache/factory/a/b"))?;
    fs::write(root.join("var/cache/factory/a/b/c"), "")?;
    Ok(())
}

#[test]
fn thirty_tasks_change_a_booted_debian_once_and_find_all_as_it_should_be_the_second_time() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        skipped("only root can boot a container");
        return Ok(());
    }
    let debian = Booted::start(prepare)?;
    debian.run_ok(&["apt-get", "update", "-qq"])?;

    let dry = play(&debian, &["--dry-run"])?;
    assert_eq!(dry.outcome["status"], "succeeded", "{}", dry.outcome);
    assert!(!debian.path("/etc/forwarder.toml").exists(), "a dry run changes nothing");

    let first = play(&debian, &[])?;
    assert_eq!(first.outcome["status"], "succeeded", "{}", first.outcome);
    assert_eq!(first.statuses.len(), 30);
    let untold: Vec<_> =
        dry.statuses.iter().zip(&first.statuses).filter(|(dry, first)| dry != first).collect();
    assert!(
        untold.iter().all(|(dry, _)| dry.1 == "skipped"),
        "a dry run says nothing that is not so: {untold:?}"
    );
    let names: Vec<_> = untold.iter().map(|(dry, _)| dry.0.as_str()).collect();
    assert_eq!(
        names,
        ["19 it runs", "29 restart"],
        "only the service that the package brings cannot be told"
    );
    assert_eq!(debian.run_ok(&["systemctl", "is-active", "demo-forwarder"])?.trim(), "active");
    assert_eq!(debian.run_ok(&["systemctl", "is-enabled", "demo-forwarder"])?.trim(), "enabled");
    let state = debian.run_ok(&["stat", "-c", "%U %G %a", "/var/lib/forwarder", "/etc/forwarder.toml"])?;
    assert_eq!(state, "klk-forwarder keros 750\nroot keros 640\n");
    assert!(!debian.path("/etc/factory-setup").exists() && !debian.path("/var/cache/factory").exists());

    let second = play(&debian, &[])?;
    let unlike: Vec<_> =
        second.statuses.iter().filter(|(_, status)| status != "matched" && status != "skipped").collect();
    assert!(unlike.is_empty(), "{unlike:?}");
    // Two handlers that nobody called, and the task for another region.
    assert_eq!(second.counts(), BTreeMap::from([("matched", 27), ("skipped", 3)]));
    Ok(())
}
