//! On a booted Debian a script upgrades a package, installs and removes others, changes files and services. Undone, the machine is what
//! it was: packages by version, files bit for bit, services by state.

#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

#[path = "../../executor/playbook/tests/picture/mod.rs"]
mod picture;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use keros_playbook::{
    BackupLog, BackupSpec, HostSystem, Observer, RunOptions, Script, ScriptSource, ShellPlace,
};
use keros_protocol::Outcome;
use keros_protocol::executor::Event;
use keros_skip::skipped;
use keros_tests::{Booted, run_ok, system_program};

const SCRIPT: &str = r#"
- name: everything
  groups: [all]
  tasks:
    - !copy { content: "changed by the script\n", dest: /etc/demo/changed.conf }
    - !apt { package: demo-forwarder, update: true, and: { notify: restart } }
    - !copy { content: "changed once more\n", dest: /etc/demo/changed.conf }
    - !copy { content: "of the job\n", dest: /usr/share/demo/only-in-2 }
    - !apt { package: demo-extra }
    - !apt { package: demo-old, remove: true }
    - !directory { path: /etc/systemd/system/demo-forwarder.service.d }
    - !copy { content: "[Service]\nEnvironment=A=1\n", dest: /etc/systemd/system/demo-forwarder.service.d/a.conf }
    - !copy { content: "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n", dest: /etc/systemd/system/fresh.service }
    - !sd_service { service: fresh, enabled: true, started: true }
    - !sd_service { service: demo-idle, started: true, enabled: true }
    - !user { user: fwd }
    - !shell { cmd: 'systemctl daemon-reload', changed_when: 'false' }
  handlers:
    - !sd_service { service: demo-forwarder, restart: true, with: { subscribe: restart } }
"#;

/// What is at these folders of a package: paths and texts.
type Files<'f> = &'f [(&'f str, &'f str)];

/// Puts a package into the archive, and gives its entry in the list of packages.
fn package(repo: &Path, control: &str, files: Files<'_>) -> Result<String> {
    let tree = tempfile::tempdir()?;
    let mut configuration = String::new();
    for (path, text) in files {
        let place = tree.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(place.parent().context("a folder")?)?;
        fs::write(place, text)?;
        if path.starts_with("/etc") {
            configuration += &format!("{path}\n");
        }
    }
    let folder = tree.path().join("DEBIAN");
    fs::create_dir_all(&folder)?;
    let control = format!(
        "{control}Architecture: all\nMaintainer: Demo <demo@example.net>\nDescription: demo\n more\n"
    );
    fs::write(folder.join("control"), &control)?;
    fs::write(folder.join("conffiles"), configuration)?;
    let postinst = "#!/bin/sh\nset -e\nif [ -d /run/systemd/system ]; then systemctl daemon-reload; fi\n";
    fs::write(folder.join("postinst"), postinst)?;
    fs::set_permissions(folder.join("postinst"), fs::Permissions::from_mode(0o755))?;
    fs::set_permissions(tree.path(), fs::Permissions::from_mode(0o755))?;
    let name = control.lines().take(2).filter_map(|line| line.split_once(": ")).map(|(_, value)| value);
    let file = format!("{}.deb", name.collect::<Vec<_>>().join("_"));
    let path = repo.join(&file);
    let arguments = ["--root-owner-group".as_ref(), "-b".as_ref(), tree.path().as_os_str(), path.as_os_str()];
    run_ok(&system_program("dpkg-deb")?, arguments)?;
    let digest = run_ok(&system_program("sha256sum")?, [path.as_os_str()])?;
    let digest = digest.split_whitespace().next().unwrap_or_default();
    let size = path.metadata()?.len();
    Ok(format!("{control}Filename: ./{file}\nSize: {size}\nSHA256: {digest}\n\n"))
}

const UNIT: &str = "[Unit]\nDescription=Demo\n[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n";

/// The archive with the old versions; the new ones come later.
fn old(repo: &Path) -> Result<()> {
    let forwarder: Files<'_> = &[
        ("/lib/systemd/system/demo-forwarder.service", UNIT),
        ("/lib/systemd/system/demo-idle.service", UNIT),
        ("/etc/demo/as-shipped.conf", "1\n"),
        ("/etc/demo/changed.conf", "1\n"),
        ("/usr/share/demo/file", "1\n"),
        ("/usr/share/demo/only-in-1", "1\n"),
    ];
    let list = [
        package(repo, "Package: demo-forwarder\nVersion: 1:1.0-1\n", forwarder)?,
        package(
            repo,
            "Package: demo-old\nVersion: 1\n",
            &[("/etc/demo-old.conf", "o\n"), ("/usr/share/old", "o")],
        )?,
    ];
    Ok(fs::write(repo.join("Packages"), list.concat())?)
}

fn new(repo: &Path) -> Result<()> {
    let forwarder: Files<'_> = &[
        ("/lib/systemd/system/demo-forwarder.service", UNIT),
        ("/lib/systemd/system/demo-idle.service", UNIT),
        ("/etc/demo/as-shipped.conf", "2\n"),
        ("/etc/demo/changed.conf", "2\n"),
        ("/etc/demo/new-in-2.conf", "2\n"),
        ("/usr/share/demo/file", "2\n"),
        ("/usr/share/demo/only-in-2", "2\n"),
    ];
    let list = [
        package(repo, "Package: demo-forwarder\nVersion: 1:2.0-1\nDepends: demo-library\n", forwarder)?,
        package(repo, "Package: demo-library\nVersion: 1\n", &[("/usr/lib/demo-library", "l")])?,
        package(
            repo,
            "Package: demo-extra\nVersion: 1\n",
            &[("/etc/demo-extra.conf", "e"), ("/usr/share/extra", "e")],
        )?,
    ];
    Ok(fs::write(repo.join("Packages"), list.concat())?)
}

fn prepare(root: &Path) -> Result<()> {
    let repo = root.join("repo");
    fs::create_dir(&repo)?;
    old(&repo)?;
    fs::write(root.join("etc/apt/sources.list"), "deb [trusted=yes] file:/repo ./\n")?;
    fs::copy(std::env::current_exe()?, root.join("opt/undo-test"))?;
    Ok(())
}

/// All that an undoing must bring back.
fn seen(debian: &Booted) -> Result<BTreeMap<PathBuf, String>> {
    let mut seen = BTreeMap::new();
    for folder in ["etc", "usr", "home"] {
        seen.extend(picture::picture(&debian.path(folder)));
    }
    // Written anew by every installation, with the same content or a time in it.
    let caches = ["etc/ld.so.cache", "etc/systemd/system", "etc/systemd/system/multi-user.target.wants"];
    seen.retain(|path, _| !caches.iter().any(|cache| *path == debian.path(cache)));
    let packages = ["dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Abbrev}\\n"];
    for command in [&packages[..], &["apt-mark", "showauto"], &["apt-mark", "showhold"]] {
        seen.insert(command.join(" ").into(), debian.run_ok(command)?);
    }
    for unit in ["demo-forwarder", "demo-idle", "fresh"] {
        for question in ["is-active", "is-enabled"] {
            let answer = debian.run(&["systemctl", question, unit])?;
            let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
            seen.insert(format!("{question} {unit}").into(), answer);
        }
    }
    let environment = debian.run_ok(&["systemctl", "show", "-p", "Environment", "demo-forwarder"])?;
    seen.insert("environment".into(), environment);
    Ok(seen)
}

fn inside_the_container(debian: &Booted, step: &str) -> Result<String> {
    let program = ["/opt/undo-test", "--exact", "inside", "--ignored", "--nocapture"];
    let step = format!("KEROS_UNDO_STEP={step}");
    debian.run_ok(&[&["/usr/bin/env", &step], &program[..]].concat())
}

fn process_of(debian: &Booted) -> Result<String> {
    debian.run_ok(&["systemctl", "show", "-p", "MainPID", "demo-forwarder"])
}

#[test]
fn a_job_that_upgraded_installed_removed_and_configured_is_undone_bit_for_bit() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        skipped("only root can boot a container");
        return Ok(());
    }
    let debian = Booted::start(prepare)?;
    debian.run_ok(&["apt-get", "update", "-qq"])?;
    debian.run_ok(&["apt-get", "install", "-y", "-qq", "demo-forwarder", "demo-old"])?;
    debian.run_ok(&["systemctl", "enable", "--now", "demo-forwarder"])?;
    debian.run_ok(&["apt-mark", "hold", "demo-old"])?;
    debian.run_ok(&["apt-mark", "auto", "demo-old"])?;
    debian.run_ok(&["apt-mark", "unhold", "demo-old"])?;
    fs::write(debian.path("/etc/demo/changed.conf"), "changed by the owner\n")?;
    new(&debian.path("/repo"))?;
    debian.run_ok(&["apt-get", "update", "-qq"])?;
    let (before, process) = (seen(&debian)?, process_of(&debian)?);

    let told = inside_the_container(&debian, "run")?;
    ensure!(told.contains("OUTCOME succeeded"), "{told}");
    let changed = picture::differences(&before, &seen(&debian)?);
    for path in ["usr/share/demo/file", "etc/demo/new-in-2.conf", "usr/share/old", "usr/share/extra"] {
        ensure!(changed.iter().any(|(at, ..)| *at == debian.path(path)), "{path} is not changed: {told}");
    }

    // Twice: what is undone is undone.
    for _ in 0..2 {
        let told = inside_the_container(&debian, "undo")?;
        ensure!(told.contains("REMAINS []"), "{told}");
        let differ = picture::differences(&before, &seen(&debian)?);
        ensure!(differ.is_empty(), "{differ:#?}\n{told}");
    }
    ensure!(process_of(&debian)? != process, "the service whose package and files are back was restarted");
    Ok(())
}

struct Told;

impl Observer for Told {
    fn event(&mut self, event: &Event) -> std::io::Result<()> {
        if let Event::TaskEnded { task, result, .. } = event {
            println!("{} {} {result:?}", task.number, result.status.as_str());
        }
        Ok(())
    }
}

#[test]
#[ignore = "the other test runs this inside of its container"]
fn inside() {
    let folder = PathBuf::from("/var/lib/undo-test");
    let mut system = HostSystem::new("/".into(), ShellPlace::Root);
    if std::env::var("KEROS_UNDO_STEP").unwrap() == "run" {
        let source =
            ScriptSource { text: SCRIPT.to_owned(), file: "s".to_owned(), ..ScriptSource::default() };
        let script = Script::parse(&source).unwrap();
        let options =
            RunOptions { backup: Some(BackupSpec { folder, max_bytes: 64 << 20 }), ..RunOptions::default() };
        let outcome = keros_playbook::run(&script, &mut system, &options, &mut Told).without_reboot();
        let word = if matches!(outcome, Outcome::Succeeded { .. }) { "succeeded" } else { "not" };
        println!("OUTCOME {word} {outcome}");
        return;
    }
    let log = BackupLog::read(&folder).unwrap();
    let until = Instant::now() + Duration::from_secs(300);
    let remains = log.undo(&mut system, until, &mut |what, error| println!("{what} {error:?}"));
    println!("REMAINS {remains:?}");
}
