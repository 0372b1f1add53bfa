//! The package for KerOS 5: its form, and its life on a gateway without systemd, where monit keeps both programs running.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use keros_skip::skipped;
use keros_tests::{
    Broker, BusyBox, Center, KEROS_5, Mosquitto, MosquittoMode, add_libraries, free_port, keros_program,
    packages, run_ok, system_program, wait_for,
};
use serde_json::{Value, json};

use crate::site::EUI;

/// Unpacks the outer archive of an .ipk.
fn open(package: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let arguments = ["-C".as_ref(), to.as_os_str(), "-xzf".as_ref(), package.as_os_str()];
    run_ok(&system_program("tar")?, arguments).map(drop)
}

/// The files of an archive with their modes.
fn list(archive: &Path) -> Result<BTreeMap<String, String>> {
    let list = run_ok(&system_program("tar")?, ["-tvzf".as_ref(), archive.as_os_str()])?;
    let entry = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some((words.get(5)?.trim_start_matches('.').to_owned(), format!("{} {}", words[0], words[1])))
    };
    list.lines().map(|line| entry(line).with_context(|| line.to_owned())).collect()
}

#[test]
fn the_ipk_is_a_tar_for_opkg_with_init_scripts_and_without_systemd() -> Result<()> {
    let folder = tempfile::tempdir()?;
    open(&packages::keros_5_package()?, folder.path())?;
    ensure!(fs::read_to_string(folder.path().join("debian-binary"))? == "2.0\n");
    let read = |name: &str| {
        let archive = folder.path().join("control.tar.gz");
        run_ok(&system_program("tar")?, ["-xzOf", &archive.to_string_lossy(), &format!("./{name}")])
    };
    let control = read("control")?;
    for line in ["Package: keros-agent", "Architecture: klkgw", &format!("Version: {}", packages::VERSION)] {
        ensure!(control.lines().any(|found| found == line), "{line} in\n{control}");
    }
    let kept = "/etc/firewall.d/keros.rules\n/etc/firewall.d/keros.v6rules\n/etc/keros-agent/config.yaml";
    ensure!(read("conffiles")?.trim() == kept);
    for script in ["postinst", "prerm", "postrm"] {
        ensure!(
            list(&folder.path().join("control.tar.gz"))?[&format!("/{script}")].starts_with("-rwxr-xr-x")
        );
    }
    let files = list(&folder.path().join("data.tar.gz"))?;
    for (path, mode) in [
        ("/usr/bin/keros-agent", "-rwxr-xr-x root/root"),
        ("/usr/bin/keros-executor", "-rwxr-xr-x root/root"),
        ("/etc/init.d/keros-agent", "-rwxr-xr-x root/root"),
        ("/etc/init.d/keros-executor", "-rwxr-xr-x root/root"),
        ("/etc/monit.d/keros", "-rw-r--r-- root/root"),
        ("/etc/firewall.d/keros.rules", "-rw-r--r-- root/root"),
        ("/etc/keros-agent/config.yaml", "-rw-r--r-- root/root"),
    ] {
        ensure!(files.get(path).is_some_and(|found| found == mode), "{path} in {files:#?}");
    }
    ensure!(!files.keys().any(|path| path.contains("systemd") || path.contains("tmpfiles")), "{files:#?}");
    Ok(())
}

/// What dpkg takes: the same two archives in a container of `ar`. There is no opkg here.
fn for_dpkg(ipk: &Path, root: &Path) -> Result<PathBuf> {
    let folder = tempfile::tempdir()?;
    open(ipk, folder.path())?;
    let package = root.join("tmp").join(ipk.file_name().context("a name")?);
    let members = ["debian-binary", "control.tar.gz", "data.tar.gz"].map(|name| folder.path().join(name));
    let arguments = ["rc".as_ref(), package.as_os_str()].into_iter();
    run_ok(&system_program("ar")?, arguments.chain(members.iter().map(|path| path.as_os_str())))?;
    Ok(package)
}

const SITE: &str = "\
- name: a job under which the package is upgraded
  groups: [all]
  tasks:
    - !shell { cmd: 'echo before $PPID >> /var/steps; until [ -e /var/go ]; do sleep 0.1; done' }
    - !shell { cmd: 'echo after $PPID >> /var/steps; id -u >> /var/steps' }
";

/// A center with a registry, and such a gateway.
struct Site {
    gateway: BusyBox,
    center: Center,
    packages: [PathBuf; 2],
    _broker: Mosquitto,
    folder: tempfile::TempDir,
}

impl Site {
    fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let broker = Mosquitto::start(&folder.path().join("broker"), MosquittoMode::Open)?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let url = format!("http://{address}");
        let registry = ["--registry", &address, "--registry-url", &url].map(str::to_owned).to_vec();
        let center = Center::start_with(
            &folder.path().join("center"),
            Broker::External(broker.port, vec![]),
            registry,
        )?;
        let ipks = [packages::keros_5_package()?, packages::newer_keros_5_package()?];
        let mut packages = Vec::new();
        let gateway = BusyBox::start(|root| {
            // Programs of a gateway are static; those of the tests are not.
            for program in ["keros-agent", "keros-executor"] {
                add_libraries(root, &keros_program(program)?)?;
            }
            fs::write(root.join("tmp/board_info.json"), format!("{{\"EUI64\": \"{EUI}\"}}"))?;
            fs::write(
                root.join("tmp/sys_startup_status.json"),
                format!("{{\"sw_version\": \"{KEROS_5}\"}}"),
            )?;
            packages = ipks.iter().map(|ipk| for_dpkg(ipk, root)).collect::<Result<_>>()?;
            Ok(())
        })?;
        let packages = packages.try_into().map_err(|_| anyhow::anyhow!("two packages"))?;
        Ok(Self { gateway, center, packages, folder, _broker: broker })
    }

    fn install(&self, package: &Path) -> Result<String> {
        self.gateway.dpkg(&["--install", &package.to_string_lossy()])
    }

    fn configure(&self, port: u16) -> Result<()> {
        for key in fs::read_dir(self.center.keys().join("trust"))? {
            let key = key?;
            fs::copy(key.path(), self.gateway.path("/etc/keros-agent/trust").join(key.file_name()))?;
        }
        let config = format!(
            "broker: {{ host: 127.0.0.1, port: {port}, reconnect_max_s: 1 }}\n\
             telemetry: {{ interval_s: 3600, min_interval_s: 1 }}\nmagic_links: {{ allow_http: true }}\n"
        );
        Ok(fs::write(self.gateway.path("/etc/keros-agent/config.d/center.yaml"), config)?)
    }

    /// The process that a pid file names, when it lives.
    fn process(&self, name: &str) -> Result<Option<String>> {
        let output = self.gateway.run(&format!("/etc/init.d/{name} status && cat /var/run/{name}.pid"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(output.status.success().then(|| text.lines().last().unwrap_or_default().to_owned()))
    }

    fn wait_for_process(&self, name: &str, other_than: &str) -> Result<String> {
        wait_for(&format!("{name} runs"), || Ok(self.process(name)?.filter(|id| id != other_than)))
            .with_context(|| self.gateway.log())
    }

    fn send(&self, job: &Value) -> Result<String> {
        let options = json!({ "confirm_window_s": 0 });
        let update =
            self.center.post("/updates", &json!({ "group": "site", "job": job, "options": options }))?;
        Ok(update["update_id"].as_str().context("an update has an id")?.to_owned())
    }

    fn outcome(&self, update: &str) -> Result<Value> {
        let update = self.center.wait_for_end(update).with_context(|| self.gateway.log())?;
        Ok(update["gateways"][0]["outcome"].clone())
    }

    fn agent_version(&self) -> Result<String> {
        let view = self.center.get(&format!("/gateways/{EUI}"))?;
        Ok(view["agent_version"].as_str().unwrap_or_default().to_owned())
    }

    /// A job that waits in its first task until `/var/go` is there.
    fn send_long_job(&self) -> Result<String> {
        let workshop = self.folder.path().join("job");
        fs::create_dir_all(&workshop)?;
        fs::write(workshop.join("site.yml"), SITE)?;
        let path = workshop.to_string_lossy().into_owned();
        let made =
            self.center.command_line(&["magic-link", "create", &path, "--gateway", "7076FF*", "--json"])?;
        let made: Value = serde_json::from_str(&made)?;
        let update = self.send(&json!({ "kind": "magic_link", "digest": made["digest"] }))?;
        wait_for("the job is in its first task", || {
            Ok(self.gateway.path("/var/steps").exists().then_some(()))
        })
        .with_context(|| self.gateway.log())?;
        Ok(update)
    }
}

#[test]
fn on_busybox_monit_keeps_both_running_and_an_upgrade_stops_no_job() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        skipped("only root can make such a gateway");
        return Ok(());
    }
    let site = Site::start()?;
    let told = site.install(&site.packages[0])?;
    ensure!(told.contains("keros-agent enroll"), "it says what to do: {told}");
    let listener = site.wait_for_process("keros-executor", "")?;
    let agent = site.wait_for_process("keros-agent", "")?;
    let user = site.gateway.run_ok(&format!("stat -c %U /proc/{agent} /proc/{listener}"))?;
    ensure!(user == "keros-agent\nroot\n", "{user}");
    site.configure(site.center.mqtt_port())?;
    site.center.wait_for_telemetry(&[EUI]).with_context(|| site.gateway.log())?;
    ensure!(site.agent_version()? == packages::VERSION);

    // monit brings back what was killed.
    site.gateway.run_ok(&format!("kill -9 {agent} {listener}"))?;
    site.wait_for_process("keros-executor", &listener)?;
    site.wait_for_process("keros-agent", &agent)?;

    site.center.post("/groups", &json!({ "name": "site", "gateways": [EUI] }))?;
    let script = "- name: x\n  groups: [all]\n  tasks:\n    - !shell { cmd: 'true' }\n";
    let outcome = site.outcome(&site.send(&json!({ "kind": "jetporch", "script": script }))?)?;
    ensure!(outcome["status"] == "refused" && outcome["reason"] == "not_keros_6", "{outcome:#}");

    // An upgrade under a job.
    let update = site.send_long_job()?;
    let config = site.gateway.path("/etc/keros-agent/config.yaml");
    fs::write(&config, fs::read_to_string(&config)? + "# ours\n")?;
    site.install(&site.packages[1])?;
    wait_for("the new agent's telemetry", || Ok((site.agent_version()? == packages::NEWER).then_some(())))
        .with_context(|| site.gateway.log())?;
    fs::write(site.gateway.path("/var/go"), "")?;
    let outcome = site.outcome(&update)?;
    ensure!(outcome["status"] == "succeeded", "{outcome:#}\n{}", site.gateway.log());
    let steps = fs::read_to_string(site.gateway.path("/var/steps"))?;
    let [before, after, user] = steps.lines().collect::<Vec<_>>()[..] else { anyhow::bail!("{steps}") };
    ensure!(before.strip_prefix("before ") == after.strip_prefix("after ") && user == "0", "{steps}");
    ensure!(fs::read_to_string(&config)?.ends_with("# ours\n"), "a local change is kept");

    // Removed, monit looks for neither.
    site.gateway.dpkg(&["--remove", "keros-agent"])?;
    ensure!(!site.gateway.path("/etc/monit.d/keros").exists());
    let left = site.gateway.run_ok("ps -o args | grep '^/usr/bin/keros' || true")?;
    ensure!(left.is_empty(), "{left}");
    ensure!(fs::metadata(site.gateway.path("/var/lib/keros-executor/started"))?.len() > 0);
    Ok(())
}
