//! A script that takes the network down: it removes the default route and blocks the broker's port. The gateway undoes it within
//! the window, comes back by itself, and the center shows `rolled_back` with the reason.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use keros_skip::skipped;
use keros_tests::{
    Booted, Broker, Center, FAR, HOST_SEEN_FROM_VM, Installed, KEROS_6, Link, Mosquitto, MosquittoMode,
    NEAR_ROUTER, Proxy, Reports, Vm, booted_enable, wait_for,
};
use serde_json::{Value, json};

const EUI: &str = "7076FF0000000001";
const PORT: u16 = 1883;
const WINDOW_S: u64 = 15;

/// What the gateway's own service does for its network.
fn good_uplink() -> String {
    format!("#!/bin/sh\nip route replace default via {NEAR_ROUTER}\nnft flush ruleset\n")
}

/// What the script makes of it.
const BAD_UPLINK: &str = "#!/bin/sh\\nip route delete default\\nnft add table inet cut\\n\
    nft add chain inet cut out \\\"{ type filter hook output priority 0; }\\\"\\n\
    nft add rule inet cut out tcp dport 1883 drop\\n";

const UPLINK_UNIT: &str = "[Unit]\nDescription=Uplink\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
    ExecStart=/etc/uplink.sh\n[Install]\nWantedBy=multi-user.target\n";

struct Far {
    center: Center,
    reports: Reports,
    broker: Mosquitto,
}

impl Far {
    fn start(folder: &Path) -> Result<Self> {
        let broker = Mosquitto::start(&folder.join("broker"), MosquittoMode::Open)?;
        let center = Center::start(&folder.join("center"), Broker::External(broker.port, vec![]))?;
        let reports = Reports::listen(folder, &broker)?;
        Ok(Self { center, reports, broker })
    }

    fn send(&self, script: &str) -> Result<String> {
        self.center.send_with("site", &[EUI], script, &json!({ "confirm_window_s": WINDOW_S }))
    }

    fn outcome(&self, update: &str) -> Result<Value> {
        Ok(self.center.get(&format!("/updates/{update}"))?["gateways"][0]["outcome"].clone())
    }

    /// The one terminal report.
    fn ensure_told_once(&self) -> Result<()> {
        let terminals = self.reports.terminals()?;
        ensure!(terminals.len() == 1 && terminals.values().all(|told| told.len() == 1), "{terminals:#?}");
        Ok(())
    }
}

#[test]
fn files_and_services_that_cut_the_network_off_are_put_back() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        skipped("only root can boot a container");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let far = Far::start(folder.path())?;
    let link = Link::make()?;
    let _proxy = Proxy::start(link.listen(PORT)?, far.broker.port)?;
    let trust = far.center.keys().join("trust");
    let host = FAR.to_string();
    let installed = Installed::keros_6(EUI, &host, PORT, &trust);
    let debian = Booted::start_in(link.near(), |root| {
        installed.into(root)?;
        fs::write(root.join("etc/uplink.sh"), good_uplink())?;
        make_executable(&root.join("etc/uplink.sh"))?;
        fs::write(root.join("etc/systemd/system/uplink.service"), UPLINK_UNIT)?;
        booted_enable(root, "multi-user.target", "uplink.service")
    })?;
    far.center.wait_for_telemetry(&[EUI]).with_context(|| journal(&debian))?;
    let script = format!(
        "- name: a new uplink\n  groups: [all]\n  tasks:\n    \
         - !copy {{ name: uplink, dest: /etc/uplink.sh, content: \"{BAD_UPLINK}\", attributes: {{ mode: '0755' }} }}\n    \
         - !sd_service {{ name: apply, service: uplink, restart: true }}\n"
    );
    let update = far.send(&script)?;
    wait_for("the network is down", || {
        let routes = debian.run_ok(&["ip", "route"])?;
        Ok((!routes.contains("default")).then_some(()))
    })
    .with_context(|| journal(&debian))?;
    let begin = std::time::Instant::now();
    let outcome = wait_for("the center is told", || {
        let outcome = far.outcome(&update)?;
        Ok((outcome["status"] == "rolled_back").then_some(outcome))
    })
    .with_context(|| format!("{:#}\n{}", far.outcome(&update).unwrap_or_default(), journal(&debian)))?;
    ensure!(outcome["complete"] == true, "{outcome:#}");
    ensure!(outcome["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{outcome:#}");
    ensure!(fs::read_to_string(debian.path("/etc/uplink.sh"))? == good_uplink(), "the file is back");
    ensure!(!debian.run_ok(&["nft", "list", "ruleset"])?.contains("1883"), "the port is open again");
    far.ensure_told_once()?;
    println!(
        "network cut off by files and a service: rolled back, told {:.1} s after the cut with a window of {WINDOW_S} s: {}",
        begin.elapsed().as_secs_f64(),
        outcome["reason"]
    );
    Ok(())
}

#[test]
fn what_only_a_reboot_undoes_is_undone_by_one_reboot() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        skipped("only root can make the machine's disk");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let far = Far::start(folder.path())?;
    let trust = far.center.keys().join("trust");
    let port = far.broker.port;
    let installed = Installed {
        eui: EUI,
        keros: KEROS_6,
        host: HOST_SEEN_FROM_VM,
        port,
        trust: &trust,
        executor_arguments: "--reboot-grace-s 5",
        more: "",
    };
    let mut vm = Vm::prepare(|root| installed.into(root))?;
    vm.power_on()?;
    let there = |vm: &Vm| -> Result<Option<String>> {
        let boot =
            vm.shell("systemctl is-active --quiet keros-agent && cat /proc/sys/kernel/random/boot_id")?;
        Ok((!boot.is_empty()).then_some(boot))
    };
    let first_boot = vm.wait_for("the machine has booted", there)?;
    vm.wait_for("telemetry", |_| {
        Ok(far.center.get(&format!("/gateways/{EUI}"))?["last_telemetry_unix_s"].as_u64())
    })?;
    let cut = format!(
        "nft add table inet cut && nft add chain inet cut out \"{{ type filter hook output priority 0; }}\" \
         && nft add rule inet cut out tcp dport {port} drop && ip route delete default && echo cut >> /var/cuts \
         && echo the network is down > /dev/ttyS0"
    );
    let script =
        format!("- name: oops\n  groups: [all]\n  tasks:\n    - !shell {{ name: cut, cmd: '{cut}' }}\n");
    let update = far.send(&script)?;
    vm.wait_for("the network is down", |vm| Ok(vm.console().contains("the network is down").then_some(())))?;
    let begin = std::time::Instant::now();
    let outcome = vm.wait_for("the center is told", |_| {
        let outcome = far.outcome(&update)?;
        Ok((outcome["status"] == "rolled_back").then_some(outcome))
    })?;
    let took = begin.elapsed();
    ensure!(outcome["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{outcome:#}");
    ensure!(outcome.to_string().contains("cut"), "the task that cannot be undone is named: {outcome:#}");
    let second_boot = vm.wait_for("the machine is there", there)?;
    ensure!(first_boot != second_boot, "it has rebooted");
    ensure!(vm.shell("cat /var/cuts")? == "cut\n", "the task ran once");
    ensure!(!vm.shell("nft list ruleset")?.contains("drop"), "the reboot has undone the rule");
    far.ensure_told_once()?;
    ensure!(took < Duration::from_secs(240), "{took:?}");
    println!(
        "network cut off by a shell task: one reboot, rolled back, told {:.1} s after the cut with a window of {WINDOW_S} s: {}",
        took.as_secs_f64(),
        outcome["reason"]
    );
    Ok(())
}

fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

fn journal(debian: &Booted) -> String {
    let told = debian.run(&["journalctl", "-b", "-n", "60", "--no-pager", "-o", "cat"]);
    told.map_or_else(|error| error.to_string(), |output| String::from_utf8_lossy(&output.stdout).into_owned())
}
