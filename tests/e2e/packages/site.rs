//! A center with its broker, and a booted Debian beside it that is a gateway in all but our package.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use keros_tests::{Booted, Broker, Center, FAR, Link, Mosquitto, MosquittoMode, Proxy, Reports, packages};
use serde_json::Value;

pub(crate) const EUI: &str = "7076FF0000000001";
const PORT: u16 = 1883;

/// All of it; it ends when this is dropped.
pub(crate) struct Site {
    pub(crate) debian: Booted,
    pub(crate) center: Center,
    pub(crate) reports: Reports,
    _proxy: Proxy,
    _link: Link,
    _broker: Mosquitto,
    _folder: tempfile::TempDir,
}

impl Site {
    /// Boots a Debian whose apt has this package of this build, and a newer one.
    pub(crate) fn start() -> Result<Self> {
        let offered = [packages::agent_package()?, packages::newer_agent_package()?];
        Self::start_with(&offered, |namespace, prepare| Booted::start_in(namespace, prepare))
    }

    /// A Debian for ARM 7, emulated, and what `./run arm` and `packaging/build armhf` have made.
    pub(crate) fn start_armhf() -> Result<Self> {
        let offered = [packages::armhf_package()?];
        Self::start_with(&offered, |namespace, prepare| Booted::start_armhf_in(namespace, prepare))
    }

    fn start_with(
        offered: &[PathBuf],
        boot: impl FnOnce(&str, &dyn Fn(&Path) -> Result<()>) -> Result<Booted>,
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let broker = Mosquitto::start(&folder.path().join("broker"), MosquittoMode::Open)?;
        let center = Center::start(&folder.path().join("center"), Broker::External(broker.port, vec![]))?;
        let reports = Reports::listen(folder.path(), &broker)?;
        let link = Link::make()?;
        let proxy = Proxy::start(link.listen(PORT)?, broker.port)?;
        let debian = boot(link.near(), &|root| {
            become_gateway(root)?;
            packages::archive(root, offered)
        })?;
        debian.run_ok(&["apt-get", "update", "-qq"])?;
        Ok(Self { debian, center, reports, _proxy: proxy, _link: link, _broker: broker, _folder: folder })
    }

    /// apt-get as a technician types it; gives what it printed.
    pub(crate) fn apt_get(&self, arguments: &[&str]) -> Result<String> {
        let apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-qq"];
        // What scripts say comes on both.
        let output = self.debian.run(&[&apt, arguments].concat())?;
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told).into_owned();
        anyhow::ensure!(output.status.success(), "apt-get {arguments:?}: {}\n{told}", output.status);
        Ok(told)
    }

    /// Names the center and its keys, as a person does it.
    pub(crate) fn configure(&self) -> Result<()> {
        for key in fs::read_dir(self.center.keys().join("trust"))? {
            let key = key?;
            fs::copy(key.path(), self.debian.path("/etc/keros-agent/trust").join(key.file_name()))?;
        }
        let config = format!(
            "broker: {{ host: {FAR}, port: {PORT}, reconnect_max_s: 1 }}\n\
             telemetry: {{ interval_s: 3600, min_interval_s: 1 }}\n"
        );
        fs::write(self.debian.path("/etc/keros-agent/config.d/center.yaml"), config)?;
        Ok(())
    }

    /// What a unit's property is.
    pub(crate) fn property(&self, unit: &str, property: &str) -> Result<String> {
        let show = ["systemctl", "show", "-p", property, "--value", unit];
        Ok(self.debian.run_ok(&show)?.trim().to_owned())
    }

    /// The outcome that the center has of the one gateway of an update.
    pub(crate) fn end_of(&self, update: &str) -> Result<Value> {
        let update = self.center.wait_for_end(update).with_context(|| self.journal())?;
        Ok(update["gateways"][0]["outcome"].clone())
    }

    /// The version that the agent has told the center.
    pub(crate) fn agent_version(&self) -> Result<String> {
        let view = self.center.get(&format!("/gateways/{EUI}"))?;
        Ok(view["agent_version"].as_str().unwrap_or_default().to_owned())
    }

    /// The last lines of the journal.
    pub(crate) fn journal(&self) -> String {
        let told = self.debian.run(&["journalctl", "-b", "-n", "60", "--no-pager", "-o", "short"]);
        told.map_or_else(
            |error| error.to_string(),
            |output| String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    }
}

/// What KerOS puts where our programs look for it.
fn become_gateway(root: &Path) -> Result<()> {
    fs::write(root.join("etc/version"), "6.3.1\n")?;
    let board =
        format!("f /run/boardinfo.env 0644 root root - export EUI64={EUI}\\nexport CODENAME=wiis\\n\n");
    fs::write(root.join("etc/tmpfiles.d/board.conf"), board)?;
    // Not its first boot: nothing is preset, and the identity of the machine stays.
    Ok(fs::write(root.join("etc/machine-id"), format!("{:032x}\n", 0x5eed))?)
}
