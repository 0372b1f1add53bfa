//! A center with an administrator, real agents on scratch trees, and the process that drives the browser.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use keros_tests::{
    Broker, Center, Gateway, GatewayOptions, KEROS_5, KEROS_6, free_port, keros_program, project_root, run_ok,
};
use serde_json::json;

/// The gateways of a stage that are there from the beginning: EUI and KerOS version.
pub(crate) type Gateways = &'static [(&'static str, &'static str)];

/// None: the story starts its own, if any.
pub(crate) const NONE: Gateways = &[];

/// Two that take a script, one that refuses it.
pub(crate) const GATEWAYS: Gateways =
    &[("7076FF0056000001", KEROS_6), ("7076FF0056000002", KEROS_6), ("7076FF0056000003", KEROS_5)];

/// The administrator of each stage.
const USER: &str = "ada";
const PASSWORD: &str = "a long night on the mast";

/// What a gateway measures whose vitals a story knows: of 1000 ticks 800 were idle, and of 240 MiB three quarters are free.
const MEASURED: [(&str, &str); 7] = [
    ("proc/stat", "cpu  100 0 100 800 0 0 0 0 0 0\n"),
    ("proc/meminfo", "MemTotal: 245760 kB\nMemFree: 1 kB\nMemAvailable: 184320 kB\n"),
    ("proc/uptime", "93784.52 180012.11\n"),
    ("proc/sys/kernel/random/boot_id", "0d3b1f8e-5f4b-4f0e-9d56-5a1d3d7f6a11\n"),
    (
        "proc/net/route",
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
         eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n",
    ),
    ("sys/class/net/eth0/type", "1\n"),
    ("sys/class/thermal/thermal_zone0/temp", "48312\n"),
];

/// A story that takes so long hangs: a browser that waits for nothing, say.
const STORY_LIMIT: Duration = Duration::from_secs(300);

/// Plays one story to its end.
///
/// # Errors
/// When it does not end well; the message has what it printed.
pub(crate) fn play(sentence: &str, gateways: Gateways) -> Result<()> {
    if !is_possible()? {
        return Ok(());
    }
    let mut stage = Stage::set(gateways)?;
    let mut story = Command::new("timeout")
        .args(["--kill-after=5", &STORY_LIMIT.as_secs().to_string(), "node"])
        .arg(folder().join("story.mjs"))
        .arg(sentence)
        .env("KEROS_STAGE", stage.described().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .context("starting node")?;
    let mut answers = story.stdin.take().context("a story has an input")?;
    let mut printed = String::new();
    for line in BufReader::new(story.stdout.take().context("a story has an output")?).lines() {
        let line = line?;
        match line.strip_prefix("keros:") {
            Some(wish) => stage.grant(wish, &mut answers)?,
            None => printed.extend([line.as_str(), "\n"]),
        }
    }
    let status = story.wait()?;
    ensure!(
        status.success(),
        "{sentence} ended with {status}:\n{printed}\n--- the center\n{}",
        stage.center.log()
    );
    Ok(())
}

/// Whether there are a browser and a program to drive it.
///
/// # Errors
/// When the packages of `tests/browser` cannot be installed.
pub(crate) fn is_possible() -> Result<bool> {
    for program in ["chromium", "node", "npm"] {
        let path = std::env::var_os("PATH").unwrap_or_default();
        if !std::env::split_paths(&path).any(|folder| folder.join(program).exists()) {
            keros_skip::skipped(&format!("{program} is not installed"));
            return Ok(false);
        }
    }
    static INSTALLED: OnceLock<Result<(), String>> = OnceLock::new();
    INSTALLED
        .get_or_init(|| install().map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(anyhow::Error::msg)?;
    Ok(true)
}

/// The names of all stories.
///
/// # Errors
/// When node does not list them.
pub(crate) fn all_stories() -> Result<BTreeSet<String>> {
    let story = folder().join("story.mjs");
    let list = run_ok("node".as_ref(), [story.as_os_str(), "--list".as_ref()])?;
    Ok(list.lines().map(str::to_owned).collect())
}

fn folder() -> PathBuf {
    project_root().join("tests/browser")
}

/// What package-lock.json names, unless that is there.
fn install() -> Result<()> {
    let kept = folder().join("node_modules/.package-lock.json");
    let changed = |path: PathBuf| path.metadata().and_then(|metadata| metadata.modified());
    if let (Ok(kept), Ok(named)) = (changed(kept), changed(folder().join("package-lock.json")))
        && kept >= named
    {
        return Ok(());
    }
    let prefix = folder().display().to_string();
    run_ok("npm".as_ref(), ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", &prefix])
        .map(drop)
}

/// Who may do everything.
fn make_administrator(folder: &Path) -> Result<()> {
    let file = folder.join("password");
    std::fs::write(&file, PASSWORD)?;
    let data = folder.join("center/data");
    let program = keros_program("keros-center")?;
    let words = ["admin", "create", USER, "--password-file"].map(OsStr::new);
    let rest = [file.as_os_str(), OsStr::new("--data-folder"), data.as_os_str()];
    run_ok(&program, words.into_iter().chain(rest)).map(drop)
}

/// The center, and the gateways that it knows.
struct Stage {
    // They come first, so that they end first.
    gateways: BTreeMap<String, Gateway>,
    center: Center,
    folder: tempfile::TempDir,
}

impl Stage {
    fn set(gateways: Gateways) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        // A story may be the receiver of webhooks.
        let registry = format!("127.0.0.1:{}", free_port()?);
        let more = ["--registry", &registry, "--webhooks-anywhere"].map(str::to_owned).to_vec();
        let center = Center::start_with(&folder.path().join("center"), Broker::Embedded, more)?;
        make_administrator(folder.path())?;
        let mut stage = Self { gateways: BTreeMap::new(), center, folder };
        for (eui, keros) in gateways {
            stage.start(eui, keros)?;
        }
        let euis: Vec<&str> = gateways.iter().map(|(eui, _)| *eui).collect();
        stage.center.wait_for_telemetry(&euis)?;
        Ok(stage)
    }

    /// What the story is told.
    fn described(&self) -> serde_json::Value {
        json!({
            "center": format!("http://{}", self.center.rest()),
            "token": self.center.token(),
            "user": USER,
            "password": PASSWORD,
            "folder": self.folder.path(),
            "gateways": self.gateways.keys().collect::<Vec<_>>(),
        })
    }

    /// Does what a story wishes, and says `ok` when it is done, `skipped` when it cannot be done on this machine.
    fn grant(&mut self, wish: &str, answers: &mut ChildStdin) -> Result<()> {
        let words: Vec<&str> = wish.split(' ').collect();
        let done = match words[..] {
            ["start", eui, keros] => self.start(eui, keros).map(|()| true),
            ["start-measured", eui, keros] => self.start_measured(eui, keros).map(|()| true),
            ["stop", eui] => self.gateway(eui).and_then(Gateway::kill).map(|()| true),
            ["go-on", eui] => self.gateway(eui).and_then(Gateway::restart).map(|()| true),
            ["command-line", ref arguments @ ..] => self.center.command_line(arguments).map(|_| true),
            ["ahead", seconds] => {
                seconds.parse().map_err(Into::into).and_then(|ahead_s| self.center.restart_ahead(ahead_s))
            }
            _ => bail!("nobody knows what this wish means: {wish}"),
        };
        let answer = match done {
            Ok(true) => "ok".to_owned(),
            Ok(false) => "skipped".to_owned(),
            Err(error) => format!("{error:#}").replace('\n', " "),
        };
        Ok(writeln!(answers, "{answer}")?)
    }

    fn gateway(&mut self, eui: &str) -> Result<&mut Gateway> {
        self.gateways.get_mut(eui).context("no such gateway")
    }

    fn start(&mut self, eui: &str, keros: &str) -> Result<()> {
        let mut gateway = self.prepared(eui, keros)?;
        gateway.restart()?;
        self.gateways.insert(eui.to_owned(), gateway);
        Ok(())
    }

    /// One whose processor, memory and network are not this machine's, so that its vitals are known.
    fn start_measured(&mut self, eui: &str, keros: &str) -> Result<()> {
        let mut gateway = self.prepared(eui, keros)?;
        for folder in ["proc", "sys"] {
            std::fs::remove_file(gateway.root.join(folder))?;
        }
        for (file, content) in MEASURED {
            let path = gateway.root.join(file);
            std::fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
            std::fs::write(path, content)?;
        }
        gateway.restart()?;
        self.gateways.insert(eui.to_owned(), gateway);
        Ok(())
    }

    fn prepared(&self, eui: &str, keros: &str) -> Result<Gateway> {
        let options = GatewayOptions {
            port: self.center.mqtt_port(),
            trust: self.center.keys().join("trust"),
            password: self.center.gateway_password(eui)?,
            // The center's registry is on the loopback interface, without TLS.
            more: "magic_links: { allow_http: true }\n".to_owned(),
            ..GatewayOptions::default()
        };
        Gateway::prepare(&self.folder.path().join(eui), eui, keros, &options)
    }
}
