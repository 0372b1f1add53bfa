//! A center, Debian's mosquitto with mutual TLS, and a gateway with the agent and executor that are built for gateways.

use std::path::Path;

use anyhow::{Context as _, Result};
use keros_tests::{
    Broker, Center, Gateway, GatewayOptions, KEROS_6, Mosquitto, MosquittoMode, Pki, wait_for,
};
use serde_json::Value;

use crate::measure::gateway_program;

pub(super) const EUI: &str = "7076FF0000000001";
/// The shortest keep-alive that the agent takes, so that few minutes have many.
pub(super) const KEEP_ALIVE_S: u32 = 5;
/// As many as a small Debian has.
const PACKAGES: usize = 300;

pub(super) struct Site {
    // It comes first, so that it ends first.
    pub(super) gateway: Gateway,
    pub(super) center: Center,
    pub(super) broker: Mosquitto,
    folder: tempfile::TempDir,
}

impl Site {
    /// All but the agent, which is not started; its options may be changed.
    pub(super) fn prepare(change: impl FnOnce(&mut GatewayOptions)) -> Result<Self> {
        // Not in /tmp, which may be in memory.
        let folder = tempfile::tempdir_in(keros_tests::project_root().join("target"))?;
        let pki = Pki::new(&folder.path().join("pki"))?;
        let broker = Mosquitto::start(&folder.path().join("broker"), MosquittoMode::Shipped(&pki))?;
        let (cert, key) = pki.issue("center", "keros-center")?;
        let arguments = [("ca", pki.path("ca.pem")), ("cert", cert), ("key", key)]
            .into_iter()
            .flat_map(|(flag, path)| [format!("--external-broker-{flag}"), path.display().to_string()])
            .collect();
        let center = Center::start(&folder.path().join("center"), Broker::External(broker.port, arguments))?;
        let mut options = GatewayOptions {
            port: broker.port,
            keep_alive_s: Some(KEEP_ALIVE_S),
            trust: center.keys().join("trust"),
            ca: Some(pki.path("ca.pem")),
            client: Some(pki.issue(EUI, EUI)?),
            executor: Some(gateway_program("keros-executor")?),
            ..GatewayOptions::default()
        };
        change(&mut options);
        let gateway = Gateway::prepare(&folder.path().join("gateway"), EUI, KEROS_6, &options)?;
        let site = Self { gateway, center, broker, folder };
        site.install("1.0")?;
        Ok(site)
    }

    /// Its folder, on a disk.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The list of packages, each in this version.
    pub(super) fn install(&self, version: &str) -> Result<()> {
        let stanza = |number: usize| {
            format!(
                "Package: lib-package-{number}\nStatus: install ok installed\nVersion: {version}.{number}-1+deb12u2\n\n"
            )
        };
        let list: String = (0..PACKAGES).map(stanza).collect();
        Ok(std::fs::write(self.gateway.root.join("var/lib/dpkg/status"), list)?)
    }

    /// How many packages that list has.
    pub(super) const fn packages() -> usize {
        PACKAGES
    }

    /// Starts the agent, until the center has its first telemetry. The agent itself is not asked: that would cost it something.
    pub(super) fn start(&mut self, agent: &Path) -> Result<()> {
        self.gateway.start_program(agent)?;
        self.center.wait_for_telemetry(&[EUI]).with_context(|| self.gateway.log())
    }

    /// Asks for telemetry, until it was answered.
    pub(super) fn telemetry(&self) -> Result<()> {
        // Times are told in whole seconds, and one telemetry a second is sent at most.
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let before = self.answered()?.context("an answer before")?;
        let (code, text) = self.gateway.technician(&["telemetry", "--now"])?;
        anyhow::ensure!(code == 0, "{text}");
        wait_for("an answer to telemetry", || Ok(self.answered()?.filter(|now| *now > before).map(drop)))
    }

    /// When the center answered last.
    fn answered(&self) -> Result<Option<u64>> {
        Ok(self.status()?["telemetry"]["last_answered_unix_s"].as_u64())
    }

    pub(super) fn status(&self) -> Result<Value> {
        let (_, text) = self.gateway.technician(&["status", "--json"])?;
        serde_json::from_str(&text).with_context(|| text.clone())
    }

    /// A script of one task that changes a file, until the center has its end.
    pub(super) fn job(&self, name: &str) -> Result<()> {
        let script = format!(
            "- name: p\n  groups: [all]\n  tasks:\n    - !copy {{ content: '{name}', dest: /etc/made }}\n"
        );
        let update = self.center.send(name, &[EUI], &script)?;
        let update = self.center.wait_for_end(&update)?;
        let outcome = &update["gateways"][0]["outcome"]["status"];
        anyhow::ensure!(outcome == "succeeded", "{update:#}\n{}", self.gateway.log());
        Ok(())
    }

    /// How often the broker has had this packet from the agent.
    pub(super) fn packets(&self, kind: &str) -> usize {
        self.broker.log().matches(&format!("{kind} from {EUI}")).count()
    }
}
