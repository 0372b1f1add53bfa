//! A gateway of the demo: a scratch tree that looks like KerOS, and a real agent that takes it for the machine.

use std::fs::File;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::Context as _;
use keros_protocol::Eui;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use super::Programs;
use crate::files;

/// Which KerOS a gateway pretends to have: each has its identity in other files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keros {
    /// KerOS 6: runs JetPorch scripts.
    Six,
    /// KerOS 5: refuses them.
    Five,
}

/// One gateway as it is to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) eui: Eui,
    pub(super) codename: &'static str,
    pub(super) keros: Keros,
}

/// The three gateways. Their EUIs end like nobody's.
pub(super) const PLANS: [Plan; 3] = [
    Plan { eui: Eui::from_u64(0x7076_FF00_DE00_0001), codename: "wiis", keros: Keros::Six },
    Plan { eui: Eui::from_u64(0x7076_FF00_DE00_0002), codename: "wifc", keros: Keros::Six },
    Plan { eui: Eui::from_u64(0x7076_FF00_DE00_0003), codename: "wiis", keros: Keros::Five },
];

impl Keros {
    const fn version(self) -> &'static str {
        match self {
            Self::Six => "6.3.1",
            Self::Five => "5.10.1-0-gc7e2b007",
        }
    }
}

/// Where a gateway's things are.
#[derive(Debug, Clone)]
pub(super) struct Folders {
    folder: PathBuf,
    trust: PathBuf,
}

impl Folders {
    /// Below the demo's folder.
    pub(super) fn of(demo: &Path, trust: &Path, eui: Eui) -> Self {
        Self { folder: demo.join("gateways").join(eui.to_string()), trust: trust.to_owned() }
    }

    /// The tree that is the machine for agent and executor.
    pub(super) fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// The technician's socket.
    pub(super) fn status_socket(&self) -> PathBuf {
        self.folder.join("run/status.sock")
    }

    fn config(&self) -> PathBuf {
        self.folder.join("config.yaml")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("agent.log")
    }
}

/// The agents' logs in a demo's folder.
pub(super) fn logs(demo: &Path) -> Vec<PathBuf> {
    PLANS.iter().map(|plan| Folders::of(demo, demo, plan.eui).log()).collect()
}

/// Makes the tree, the password file and the agent's configuration.
///
/// # Errors
/// When a file cannot be made.
pub(super) fn prepare(
    plan: &Plan,
    folders: &Folders,
    password: &str,
    mqtt_port: u16,
    programs: &Programs,
) -> anyhow::Result<()> {
    files::create_private_folder(&folders.folder)?;
    make_root(plan, &folders.root()).context("cannot make a gateway's tree")?;
    files::create_new(&folders.folder.join("password"), password.as_bytes(), 0o600)?;
    let config = serde_yaml::to_string(&configuration(folders, mqtt_port, programs))?;
    files::create_new(&folders.config(), config.as_bytes(), 0o600)?;
    Ok(())
}

/// What the agent and the executor look at, where KerOS has it.
fn make_root(plan: &Plan, root: &Path) -> std::io::Result<()> {
    for folder in ["etc", "run", "tmp", "var/lib/dpkg"] {
        std::fs::DirBuilder::new().recursive(true).mode(0o755).create(root.join(folder))?;
    }
    // Telemetry is read from the real kernel.
    symlink("/proc", root.join("proc"))?;
    symlink("/sys", root.join("sys"))?;
    let write = |path: &str, text: String| std::fs::write(root.join(path), text);
    write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n".to_owned())?;
    write("etc/group", "root:x:0:\n".to_owned())?;
    let version = plan.keros.version();
    write("var/lib/dpkg/status", packages(&[("keros", version), ("lorad", "6.0.2"), ("lorafwd", "6.0.1")]))?;
    match plan.keros {
        Keros::Six => {
            let (eui, codename) = (plan.eui, plan.codename);
            write("run/boardinfo.env", format!("export EUI64=\"{eui}\"\nexport CODENAME=\"{codename}\"\n"))?;
            write("etc/version", format!("{version}\n"))
        }
        Keros::Five => {
            write("tmp/board_info.json", format!("{{\"EUI64\": \"{}\"}}\n", plan.eui))?;
            write("tmp/sys_startup_status.json", format!("{{\"sw_version\": \"{version}\"}}\n"))
        }
    }
}

/// A package database as dpkg has it (deb-status(5)).
fn packages(installed: &[(&str, &str)]) -> String {
    installed
        .iter()
        .map(|(name, version)| {
            format!(
                "Package: {name}\nStatus: install ok installed\nArchitecture: armhf\nVersion: {version}\n\
                 Description: made up for the demo\n\n"
            )
        })
        .collect()
}

fn configuration(folders: &Folders, mqtt_port: u16, programs: &Programs) -> serde_json::Value {
    let root = folders.root();
    let at = |name: &str| folders.folder.join(name);
    let executor = [
        programs.executor.as_os_str(),
        "session".as_ref(),
        "--root".as_ref(),
        root.as_os_str(),
        "--host-shell".as_ref(),
        "--state-folder".as_ref(),
        at("executor").as_os_str(),
        "--trust-folder".as_ref(),
        folders.trust.as_os_str(),
    ]
    .map(|word| word.to_string_lossy().into_owned());
    serde_json::json!({
        "broker": { "host": "127.0.0.1", "port": mqtt_port, "password_file": at("password") },
        // As in life; the center nudges them. No pause between two telemetries, so that nobody has to wait here.
        "telemetry": { "interval_s": 3600, "min_interval_s": 0 },
        // The center's registry is on the loopback interface, without TLS.
        "magic_links": { "allow_http": true },
        "platform_root": root,
        "state_folder": at("state"),
        "runtime_folder": at("run"),
        "trust_folder": folders.trust,
        "executor": { "command": executor },
    })
}

/// An agent at work.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) eui: Eui,
    child: Child,
}

impl Agent {
    /// Starts it in a process group of its own, so that Ctrl-C reaches only the demo, which then ends it in order.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(plan: &Plan, folders: &Folders, programs: &Programs) -> anyhow::Result<Self> {
        let log = File::create(folders.log()).context("cannot make an agent's log")?;
        let mut command = Command::new(&programs.agent);
        command.arg("run").arg("--config").arg(folders.config());
        command.env_clear();
        for variable in ["PATH", "TMPDIR", "KEROS_LOG"] {
            command.envs(std::env::var_os(variable).map(|value| (variable, value)));
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0).kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("cannot start {}", programs.agent.display()))?;
        Ok(Self { eui: plan.eui, child })
    }

    /// Fails when it has ended by itself.
    ///
    /// # Errors
    /// How it ended.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            Some(status) => anyhow::bail!("the agent of {} ended by itself: {}", self.eui, how(status)),
            None => Ok(()),
        }
    }

    /// Asks it to end: it says goodbye to the broker.
    pub(super) fn terminate(&self) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = pid {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }

    /// Waits for its end.
    pub(super) async fn ended(&mut self) {
        let _ = self.child.wait().await;
    }
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "it is not known how".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keros_platform::{Identity, IdentityOverride, IdentitySource};

    #[test]
    fn each_tree_looks_like_the_gateway_that_it_is_meant_to_be() {
        let folder = tempfile::tempdir().unwrap();
        for (plan, source, major, codename) in [
            (PLANS[0], IdentitySource::BoardInfoEnv, 6, Some("wiis")),
            (PLANS[1], IdentitySource::BoardInfoEnv, 6, Some("wifc")),
            (PLANS[2], IdentitySource::BoardInfoJson, 5, None),
        ] {
            let root = folder.path().join(plan.eui.to_string());
            make_root(&plan, &root).unwrap();
            let identity = Identity::read(&root, &IdentityOverride::default(), None).unwrap();
            assert_eq!((identity.eui, identity.source), (plan.eui, source));
            assert_eq!(identity.keros_version.unwrap().major(), major);
            assert_eq!(identity.codename.as_deref(), codename);
            assert!(root.join("proc/uptime").exists());
        }
    }

    #[test]
    fn the_configuration_names_only_places_in_the_demos_folder() {
        let demo = Path::new("/demo");
        let folders = Folders::of(demo, Path::new("/demo/keys/trust"), PLANS[0].eui);
        let programs = Programs { agent: "/bin/a".into(), executor: "/bin/e".into() };
        let config = configuration(&folders, 1883, &programs);
        for name in ["platform_root", "state_folder", "runtime_folder", "trust_folder"] {
            assert!(config[name].as_str().unwrap().starts_with("/demo/"), "{name}");
        }
        assert_eq!(config["executor"]["command"][0], "/bin/e");
        assert_eq!(config["executor"]["command"][1], "session");
    }
}
