//! The package by hand: upgraded over a running job, taken back, removed, installed again, purged, installed again.

use std::fs;

use anyhow::{Result, ensure};
use keros_tests::{packages, wait_for};
use serde_json::Value;

use crate::can_boot;
use crate::site::{EUI, Site};

/// A job that waits in its first task until there is `/var/go-NAME`.
fn waiting(name: &str) -> String {
    format!(
        "- name: wait\n  groups: [all]\n  tasks:\n    \
         - !shell {{ cmd: 'echo $PPID > /var/begun-{name}; until [ -e /var/go-{name} ]; do sleep 0.1; done' }}\n    \
         - !shell {{ cmd: 'echo $PPID > /var/ended-{name}' }}\n"
    )
}

impl Site {
    /// Sends a job that waits, and gives its update as soon as it runs.
    fn begin(&self, name: &str) -> Result<String> {
        let update = self.center.send(name, &[EUI], &waiting(name))?;
        let begun = self.debian.path(&format!("/var/begun-{name}"));
        wait_for("the job runs", || Ok(fs::read_to_string(&begun).ok().filter(|text| text.ends_with('\n'))))
            .map_err(|error| error.context(self.journal()))?;
        Ok(update)
    }

    /// Lets it go on; gives its outcome. One process has run all of it.
    fn finish(&self, name: &str, update: &str) -> Result<Value> {
        fs::write(self.debian.path(&format!("/var/go-{name}")), "")?;
        let outcome = self.end_of(update)?;
        let read = |what: &str| fs::read_to_string(self.debian.path(&format!("/var/{what}-{name}")));
        ensure!(read("begun")? == read("ended")?, "one process ran all of it");
        Ok(outcome)
    }

    fn is_active(&self, unit: &str) -> Result<bool> {
        Ok(self.property(unit, "ActiveState")? == "active")
    }

    /// Agent, socket and timer run, are enabled, and nothing has failed; dpkg finds its files as they were.
    fn ensure_sound(&self, version: &str) -> Result<()> {
        for unit in ["keros-agent.service", "keros-executor.socket", "keros-executor-settle.timer"] {
            ensure!(self.is_active(unit)?, "{unit} after {version}: {}", self.journal());
        }
        for unit in ["keros-agent.service", "keros-executor.socket"] {
            ensure!(self.property(unit, "UnitFileState")? == "enabled", "{unit} after {version}");
        }
        let failed = self.debian.run_ok(&["systemctl", "--failed", "--plain", "--no-legend"])?;
        ensure!(failed.trim().is_empty(), "failed after {version}: {failed:?}");
        let installed =
            self.debian.run_ok(&["dpkg-query", "-W", "-f", "$${Status} $${Version}", "keros-agent"])?;
        ensure!(installed == format!("install ok installed {version}"), "{installed}");
        let changed = self.debian.run(&["dpkg", "--verify", "keros-agent"])?;
        let changed = String::from_utf8_lossy(&changed.stdout).into_owned();
        // Only what we have changed ourselves.
        ensure!(
            changed.lines().all(|line| line.ends_with(" c /etc/keros-agent/config.yaml")),
            "changed after {version}: {changed:?}"
        );
        wait_for("its agent's telemetry", || Ok((self.agent_version()? == version).then_some(())))
            .map_err(|error| error.context(self.journal()))
    }
}

#[test]
fn upgrade_downgrade_removal_and_purge_leave_no_job_cut_and_no_command_run_twice() -> Result<()> {
    if !can_boot() {
        return Ok(());
    }
    let site = Site::start()?;
    let old = format!("keros-agent={}", packages::VERSION);
    let new = format!("keros-agent={}", packages::NEWER);
    site.apt_get(&["install", &old])?;
    site.configure()?;
    site.ensure_sound(packages::VERSION)?;
    let config = site.debian.path("/etc/keros-agent/config.yaml");
    fs::write(&config, fs::read_to_string(&config)? + "# ours\n")?;

    // Up and down again over one job; the socket is the same all the time.
    let update = site.begin("upgraded")?;
    let socket = site.debian.run_ok(&["stat", "-c", "%i", "/run/keros-executor.sock"])?;
    let agent = site.property("keros-agent", "MainPID")?;
    site.apt_get(&["install", &new])?;
    site.ensure_sound(packages::NEWER)?;
    ensure!(site.property("keros-agent", "MainPID")? != agent, "the new agent runs");
    site.apt_get(&["install", "--allow-downgrades", &old])?;
    site.ensure_sound(packages::VERSION)?;
    ensure!(site.debian.run_ok(&["stat", "-c", "%i", "/run/keros-executor.sock"])? == socket);
    ensure!(site.finish("upgraded", &update)?["status"] == "succeeded");
    ensure!(fs::read_to_string(&config)?.ends_with("# ours\n"), "a local change is kept");

    // An agent that somebody has stopped stays so; one that was cut off in the middle is mended by the same script.
    site.debian.run_ok(&["systemctl", "stop", "keros-agent"])?;
    site.apt_get(&["install", &new])?;
    ensure!(!site.is_active("keros-agent")?, "it was stopped by hand");
    site.debian.run_ok(&["systemctl", "start", "keros-agent"])?;
    for arguments in [["configure", packages::VERSION], ["configure", packages::VERSION]] {
        let script = "/var/lib/dpkg/info/keros-agent.postinst";
        site.debian.run_ok(&[&[script][..], &arguments].concat())?;
    }
    site.ensure_sound(packages::NEWER)?;

    // Removed under a job: it goes on to its end, and its gateway is silent.
    let update = site.begin("removed")?;
    site.apt_get(&["remove", "keros-agent"])?;
    ensure!(!site.debian.path("/run/keros-executor.sock").exists(), "nobody can ask for a job");
    ensure!(!site.is_active("keros-agent")? && !site.is_active("keros-executor-settle.timer")?);
    ensure!(config.exists(), "configuration stays");
    fs::write(site.debian.path("/var/go-removed"), "")?;
    wait_for("the job's end", || Ok(site.debian.path("/var/ended-removed").exists().then_some(())))?;
    site.apt_get(&["install", &old])?;
    site.ensure_sound(packages::VERSION)?;
    ensure!(site.finish("removed", &update)?["status"] == "succeeded", "told after the new installation");

    // Purged under a job whose end the center has not heard of: the command comes again, and does not start again.
    let update = site.begin("purged")?;
    site.apt_get(&["purge", "keros-agent"])?;
    for gone in ["/etc/keros-agent", "/var/lib/keros-agent"] {
        ensure!(!site.debian.path(gone).exists(), "{gone} is purged");
    }
    fs::write(site.debian.path("/var/go-purged"), "")?;
    wait_for("the job's end", || Ok(site.debian.path("/var/ended-purged").exists().then_some(())))?;
    let first = fs::read_to_string(site.debian.path("/var/begun-purged"))?;
    site.apt_get(&["install", &old])?;
    site.configure()?;
    // A job after which its key is not trusted is undone, and the keys went with the purge.
    let outcome = site.finish("purged", &update)?;
    ensure!(outcome["status"] == "rolled_back", "{outcome:#}");
    site.ensure_sound(packages::VERSION)?;

    // The same, with the job's journal gone as well: what is known is that it was started.
    let update = site.begin("forgotten")?;
    fs::write(site.debian.path("/var/go-forgotten"), "")?;
    site.end_of(&update)?;
    site.apt_get(&["purge", "keros-agent"])?;
    ensure!(!site.debian.path("/var/lib/keros-executor/jobs").exists(), "journals and backups are purged");
    let started = fs::read_to_string(site.debian.path("/var/lib/keros-executor/started"))?;
    ensure!(started.lines().count() == 4, "the record of started commands stays: {started}");
    site.apt_get(&["install", &old])?;
    site.configure()?;
    site.ensure_sound(packages::VERSION)?;
    let begun = fs::read_to_string(site.debian.path("/var/begun-purged"))?;
    ensure!(begun == first, "no command ran twice");
    Ok(())
}
