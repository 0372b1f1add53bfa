//! The gateways that need no booted system.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Mutex;

use anyhow::Result;
use keros_skip::skipped;
use keros_tests::{
    Broker, Center, FAR, Gateway, GatewayOptions, KEROS_5, KEROS_6, Link, Mosquitto, MosquittoMode, Pki,
    SmallDisk, keros_program, run_ok, system_program, wait_for,
};

use crate::sick::{EUI, Seen, failed};

static TURN: Mutex<()> = Mutex::new(());

/// A center with its own broker, and a gateway of it that is not started.
struct Site {
    folder: tempfile::TempDir,
    center: Center,
}

impl Site {
    fn start() -> Result<Self> {
        // Two that look for a free port at the same moment may find the same one.
        let _turn = TURN.lock();
        let folder = tempfile::tempdir()?;
        let center = Center::start(&folder.path().join("center"), Broker::Embedded)?;
        Ok(Self { folder, center })
    }

    fn options(&self) -> Result<GatewayOptions> {
        Ok(GatewayOptions {
            port: self.center.mqtt_port(),
            trust: self.center.keys().join("trust"),
            password: self.center.gateway_password(EUI)?,
            ..GatewayOptions::default()
        })
    }

    fn gateway(&self, keros: &str, options: &GatewayOptions) -> Result<Gateway> {
        Gateway::start(&self.folder.path().join("gateway"), EUI, keros, options)
    }

    fn seen(&self, gateway: &Gateway) -> Result<Seen> {
        Seen::of(gateway, self.folder.path())
    }
}

/// Waits until the agent's log has these words: it has tried.
fn tried(gateway: &Gateway, words: &str) -> Result<()> {
    wait_for(words, || Ok(gateway.log().contains(words).then_some(())))
}

#[test]
fn a_wrong_password() -> Result<()> {
    let site = Site::start()?;
    let options = GatewayOptions { password: Some("wrong".to_owned()), ..site.options()? };
    let gateway = site.gateway(KEROS_6, &options)?;
    tried(&gateway, "no connection to the broker")?;
    site.seen(&gateway)?.is_golden("wrong_password", &[])
}

#[test]
fn an_eui_that_the_center_does_not_know() -> Result<()> {
    let site = Site::start()?;
    let options = GatewayOptions {
        password: Some("of another gateway".to_owned()),
        trust: site.center.keys().join("trust"),
        port: site.center.mqtt_port(),
        ..GatewayOptions::default()
    };
    let gateway = site.gateway(KEROS_6, &options)?;
    tried(&gateway, "no connection to the broker")?;
    // The broker says the same as of a wrong password: whoever asks must not learn which gateways there are.
    site.seen(&gateway)?.is_golden("unknown_eui", &[])
}

#[test]
fn a_gateway_that_does_not_know_its_eui() -> Result<()> {
    let site = Site::start()?;
    let gateway = Gateway::prepare(&site.folder.path().join("gateway"), EUI, KEROS_6, &site.options()?)?;
    std::fs::remove_file(gateway.root.join("run/boardinfo.env"))?;
    let seen = site.seen(&gateway)?;
    assert_eq!(failed(&seen.findings), ["identity", "service"]);
    seen.only(&["identity"]).is_golden("no_eui", &[])
}

#[test]
fn an_old_keros() -> Result<()> {
    let site = Site::start()?;
    let gateway = site.gateway(KEROS_5, &site.options()?)?;
    site.center.wait_for_telemetry(&[EUI])?;
    let seen = site.seen(&gateway)?;
    assert_eq!(seen.code, 0, "it works: {:#?}", seen.findings);
    seen.is_golden("old_keros", &["keros"])
}

#[test]
fn a_missing_executor() -> Result<()> {
    let site = Site::start()?;
    let gateway = Gateway::prepare(&site.folder.path().join("gateway"), EUI, KEROS_6, &site.options()?)?;
    // As on a gateway, where it has a socket.
    let drop_in = site.folder.path().join("gateway/config.d");
    std::fs::create_dir(&drop_in)?;
    let socket = site.folder.path().join("run/keros-executor.sock");
    std::fs::write(
        drop_in.join("90-executor.yaml"),
        format!("executor:\n  command:\n  socket: {}\n", socket.display()),
    )?;
    let mut gateway = gateway;
    gateway.restart()?;
    site.center.wait_for_telemetry(&[EUI])?;
    site.seen(&gateway)?.is_golden("missing_executor", &[])
}

#[test]
fn a_full_disk() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        skipped("only root can mount a small disk");
        return Ok(());
    }
    let site = Site::start()?;
    let disk = SmallDisk::mount(&site.folder.path().join("gateway/state"))?;
    let mut gateway = site.gateway(KEROS_6, &site.options()?)?;
    site.center.wait_for_telemetry(&[EUI])?;
    disk.fill(0)?;
    site.seen(&gateway)?.is_golden("full_disk", &[])?;
    // Nobody may have a file open for writing.
    gateway.kill()?;
    disk.set_read_only(true)?;
    let seen = site.seen(&gateway);
    disk.set_read_only(false)?;
    seen?.only(&["disk"]).is_golden("read_only_disk", &[])
}

#[test]
fn a_wrong_time() -> Result<()> {
    let site = Site::start()?;
    let mut gateway = site.gateway(KEROS_6, &site.options()?)?;
    site.center.wait_for_telemetry(&[EUI])?;
    gateway.kill()?;
    // The gateway starts anew, with the clock of one that has no battery. Only these programs see it.
    let Some(in_1970) = keros_tests::in_1970(site.folder.path(), &keros_program("keros-agent")?)? else {
        return Ok(());
    };
    gateway.start_program(&in_1970)?;
    let arguments = ["doctor", "--json", "--config"];
    let look =
        || -> Result<Output> { Ok(Command::new(&in_1970).args(arguments).arg(gateway.config()).output()?) };
    wait_for("the agent is connected", || {
        let (_, status) = gateway.technician(&["status"])?;
        Ok(status.contains("connected to").then_some(()))
    })?;
    Seen::from(&look()?, site.folder.path())?.is_golden("wrong_time", &[])
}

/// A gateway at the near end of a cable; its broker would be at the far end.
fn behind_a_cable(
    host: &str,
    resolver: Option<&str>,
    spoil: impl Fn(&Link) -> Result<()>,
) -> Result<Option<Seen>> {
    if !nix::unistd::geteuid().is_root() {
        skipped("only root can make network namespaces");
        return Ok(None);
    }
    let folder = tempfile::tempdir()?;
    let link = Link::make()?;
    let names = Names::make(link.near(), resolver)?;
    let _listener = link.listen(8883)?;
    spoil(&link)?;
    let options = GatewayOptions {
        host: Some(host.to_owned()),
        port: 8883,
        namespace: Some(link.near().to_owned()),
        trust: trusted(folder.path())?,
        ..GatewayOptions::default()
    };
    let gateway = Gateway::start(&folder.path().join("gateway"), EUI, KEROS_6, &options)?;
    tried(&gateway, "started")?;
    let mut command = Command::new(system_program("ip")?);
    command.args(["netns", "exec", link.near()]).arg(keros_program("keros-agent")?);
    let output = command.args(["doctor", "--json", "--config"]).arg(gateway.config()).output()?;
    drop(names);
    Ok(Some(Seen::from(&output, folder.path())?))
}

/// Public keys of a center that is not there.
fn trusted(folder: &Path) -> Result<std::path::PathBuf> {
    let keys = folder.join("keys");
    let folder = keys.display().to_string();
    run_ok(&keros_program("keros-center")?, ["keys", "generate", "--folder", &folder])?;
    Ok(keys.join("trust"))
}

/// Name servers of one namespace, as `ip netns exec` gives them to its programs (ip-netns(8)).
struct Names(std::path::PathBuf);

impl Names {
    fn make(namespace: &str, resolver: Option<&str>) -> Result<Self> {
        let folder = Path::new("/etc/netns").join(namespace);
        std::fs::create_dir_all(&folder)?;
        let names = Self(folder);
        let text =
            resolver.map_or_else(String::new, |address| format!("nameserver {address}\noptions timeout:1\n"));
        std::fs::write(names.0.join("resolv.conf"), text)?;
        Ok(names)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn no_name_server() -> Result<()> {
    let resolver = FAR.to_string();
    let seen = behind_a_cable("center.example.org", Some(&resolver), |_| Ok(()))?;
    seen.map_or(Ok(()), |seen| seen.is_golden("no_dns", &[]))
}

#[test]
fn no_route() -> Result<()> {
    let seen = behind_a_cable(&FAR.to_string(), None, |link| {
        run_ok(&system_program("ip")?, ["-n", link.near(), "route", "del", "default"]).map(drop)
    })?;
    seen.map_or(Ok(()), |seen| seen.is_golden("no_route", &[]))
}

#[test]
fn a_pulled_cable() -> Result<()> {
    let seen = behind_a_cable(&FAR.to_string(), None, |link| link.plug(false))?;
    seen.map_or(Ok(()), |seen| seen.is_golden("pulled_cable", &[]))
}

#[test]
fn a_firewall_in_the_way() -> Result<()> {
    let seen = behind_a_cable(&FAR.to_string(), None, |link| link.filter("tcp dport 8883 drop;"))?;
    seen.map_or(Ok(()), |seen| seen.is_golden("firewall", &[]))
}

/// A mosquitto with the shipped configuration, and a gateway with these certificates.
fn at_mosquitto(
    ca: impl Fn(&Pki, &Pki) -> Result<std::path::PathBuf>,
    client: impl Fn(&Pki, &Pki) -> Result<Option<(std::path::PathBuf, std::path::PathBuf)>>,
) -> Result<Seen> {
    let folder = tempfile::tempdir()?;
    let pki = Pki::new(&folder.path().join("pki"))?;
    let other = Pki::new(&folder.path().join("other"))?;
    let broker = Mosquitto::start(&folder.path().join("broker"), MosquittoMode::Shipped(&pki))?;
    let options = GatewayOptions {
        port: broker.port,
        trust: trusted(folder.path())?,
        ca: Some(ca(&pki, &other)?),
        client: client(&pki, &other)?,
        ..GatewayOptions::default()
    };
    for key in options.client.iter().map(|(_, key)| key) {
        std::fs::set_permissions(key, std::os::unix::fs::PermissionsExt::from_mode(0o640))?;
    }
    let gateway = Gateway::start(&folder.path().join("gateway"), EUI, KEROS_6, &options)?;
    tried(&gateway, "no connection to the broker")?;
    Seen::of(&gateway, folder.path())
}

#[test]
fn tls_with_a_certificate_that_the_broker_does_not_believe() -> Result<()> {
    let seen =
        at_mosquitto(|pki, _| Ok(pki.path("ca.pem")), |_, other| other.issue("gateway", EUI).map(Some))?;
    seen.is_golden("client_certificate_refused", &[])
}

#[test]
fn tls_without_the_certificate_that_the_broker_wants() -> Result<()> {
    let seen = at_mosquitto(|pki, _| Ok(pki.path("ca.pem")), |_, _| Ok(None))?;
    seen.is_golden("client_certificate_wanted", &[])
}

#[test]
fn tls_with_a_broker_of_an_unknown_authority() -> Result<()> {
    let seen =
        at_mosquitto(|_, other| Ok(other.path("ca.pem")), |pki, _| pki.issue("gateway", EUI).map(Some))?;
    seen.is_golden("unknown_authority", &[])
}

#[test]
fn tls_at_a_port_that_does_not_speak_it() -> Result<()> {
    let site = Site::start()?;
    let pki = Pki::new(&site.folder.path().join("pki"))?;
    let options = GatewayOptions { ca: Some(pki.path("ca.pem")), ..site.options()? };
    let gateway = site.gateway(KEROS_6, &options)?;
    tried(&gateway, "no connection to the broker")?;
    site.seen(&gateway)?.is_golden("no_tls_there", &[])
}

#[test]
fn no_tls_at_a_port_that_speaks_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let pki = Pki::new(&folder.path().join("pki"))?;
    let broker = Mosquitto::start(&folder.path().join("broker"), MosquittoMode::Shipped(&pki))?;
    let trust = trusted(folder.path())?;
    let options = GatewayOptions { port: broker.port, trust, ..GatewayOptions::default() };
    let gateway = Gateway::start(&folder.path().join("gateway"), EUI, KEROS_6, &options)?;
    tried(&gateway, "no connection to the broker")?;
    Seen::of(&gateway, folder.path())?.is_golden("tls_forgotten", &[])
}
