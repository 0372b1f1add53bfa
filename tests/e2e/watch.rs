//! `keros-agent watch` in a real terminal (tmux), and without one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use keros_tests::{
    Gateway, GatewayOptions, KEROS_6, Mosquitto, MosquittoMode, Process, keros_program, run_ok,
    system_program, wait_for,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const EUI: &str = "7076FF0056070123";

/// A gateway that is connected to a broker.
fn gateway(folder: &Path) -> Result<(Mosquitto, Gateway)> {
    let broker = Mosquitto::start(&folder.join("broker"), MosquittoMode::Open)?;
    let trust = folder.join("trust");
    fs::create_dir(&trust)?;
    let options = GatewayOptions { port: broker.port, trust, ..GatewayOptions::default() };
    let gateway = Gateway::start(&folder.join("gateway"), EUI, KEROS_6, &options)?;
    Ok((broker, gateway))
}

/// A terminal of its own server; it ends with the test.
struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    /// With a shell's command in it.
    fn start(folder: &Path, command: &str) -> Result<Self> {
        let terminal = Self { socket: folder.join("tmux") };
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", command])?;
        Ok(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> Result<String> {
        let socket = ["-S", &self.socket.to_string_lossy()].map(str::to_owned);
        run_ok(&system_program("tmux")?, socket.iter().map(String::as_str).chain(arguments.iter().copied()))
    }

    /// Waits until the screen is as it should be.
    fn shows(&self, what: &str, is_so: impl Fn(&str) -> bool) -> Result<String> {
        wait_for(what, || {
            let screen = self.tmux(&["capture-pane", "-p"])?;
            ensure!(is_so(&screen), "the screen is:\n{screen}");
            Ok(Some(screen))
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]);
    }
}

/// Watches in a terminal; how it ended and whether the terminal is as before is in files.
fn watch(folder: &Path, gateway: &Gateway) -> Result<Terminal> {
    let (agent, config, at) = (keros_program("keros-agent")?, gateway.config(), folder.display());
    let watch = format!("echo $$ >{at}/pid; exec {} watch --config {}", agent.display(), config.display());
    Terminal::start(
        folder,
        &format!(
            "stty -g >{at}/before; sh -c '{watch}'; echo $? >{at}/code; stty -g >{at}/after; echo back; sleep 600"
        ),
    )
}

#[test]
fn the_screen_follows_its_size_and_the_agent_and_leaves_the_terminal_as_it_was() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (_broker, mut gateway) = gateway(folder.path())?;
    let terminal = watch(folder.path(), &gateway)?;
    let screen = terminal.shows("a connected gateway", |screen| screen.contains("connected to 127.0.0.1"))?;
    assert!(screen.contains(EUI) && screen.lines().count() <= 24, "{screen}");
    assert_eq!(screen.lines().nth(23), Some("q: end"), "{screen}");

    terminal.tmux(&["resize-window", "-x", "50", "-y", "12"])?;
    terminal.shows("a smaller screen", |screen| {
        screen.lines().nth(11) == Some("q: end") && screen.lines().all(|line| line.chars().count() <= 50)
    })?;
    terminal.tmux(&["resize-window", "-x", "120", "-y", "30"])?;
    terminal.shows("a greater screen", |screen| {
        screen.lines().nth(29) == Some("q: end")
            && screen.lines().next().is_some_and(|line| line.len() == 120)
    })?;

    gateway.kill()?;
    terminal.shows("an agent that is away", |screen| screen.contains("not reachable since"))?;
    gateway.restart()?;
    terminal.shows("the agent that is back", |screen| {
        screen.contains("connected to 127.0.0.1") && !screen.contains("not reachable")
    })?;
    terminal.tmux(&["send-keys", "q"])?;
    is_put_back(folder.path(), &terminal)
}

#[test]
fn a_signal_and_ctrl_c_put_the_terminal_back_too() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (_broker, gateway) = gateway(folder.path())?;
    for (name, signal) in [("c", None), ("term", Some(Signal::SIGTERM)), ("hup", Some(Signal::SIGHUP))] {
        let own = folder.path().join(name);
        fs::create_dir(&own)?;
        let terminal = watch(&own, &gateway)?;
        terminal.shows("a connected gateway", |screen| screen.contains("connected to 127.0.0.1"))?;
        match signal {
            None => drop(terminal.tmux(&["send-keys", "C-c"])?),
            Some(signal) => {
                let pid: i32 = fs::read_to_string(own.join("pid"))?.trim().parse()?;
                kill(Pid::from_raw(pid), signal)?;
            }
        }
        is_put_back(&own, &terminal)?;
        // tmux itself keeps lines of a screen that was made smaller.
        terminal.shows("nothing of the other screen", |screen| !screen.contains("Connection"))?;
    }
    Ok(())
}

fn is_put_back(folder: &Path, terminal: &Terminal) -> Result<()> {
    let read = |name: &str| fs::read_to_string(folder.join(name));
    terminal.shows("the shell's own screen", |screen| screen.contains("back"))?;
    assert_eq!(read("code")?.trim(), "0");
    assert_eq!(read("before")?, read("after")?, "the terminal's settings");
    assert_eq!(terminal.tmux(&["display-message", "-p", "#{cursor_flag} #{alternate_on}"])?.trim(), "1 0");
    Ok(())
}

#[test]
fn without_a_terminal_there_is_a_line_for_each_change() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (_broker, mut gateway) = gateway(folder.path())?;
    let start = |name: &str, option: Option<&str>| {
        let mut command = Command::new(keros_program("keros-agent")?);
        command.arg("watch").args(option).arg("--config").arg(gateway.config());
        Process::start(&mut command, &folder.path().join(name))
    };
    let (plain, json) = (start("plain", None)?, start("json", Some("--json"))?);
    // They may have begun before the agent listened.
    let pairs = [
        (&plain, "connected to 127.0.0.1", "agent not reachable since", "runs, started"),
        (&json, "\"state\":\"connected\"", "\"reachable\":false", "\"reachable\":true"),
    ];
    let count = |process: &Process, words: &str| process.log().matches(words).count();
    let more = |process: &Process, words: &str, than: usize| {
        wait_for(words, || Ok((count(process, words) > than).then_some(())))
    };
    for (process, connected, ..) in pairs {
        more(process, connected, 0)?;
    }
    let before = pairs.map(|(process, _, away, back)| (count(process, away), count(process, back)));
    gateway.kill()?;
    for ((process, _, away, _), (times, _)) in pairs.into_iter().zip(before) {
        more(process, away, times)?;
    }
    gateway.restart()?;
    for ((process, _, _, back), (_, times)) in pairs.into_iter().zip(before) {
        more(process, back, times)?;
    }
    for line in plain.log().lines() {
        assert!(line.starts_with("20") && line.get(19..25) == Some(" UTC  "), "{line:?}");
        assert!(!line.contains('\u{1b}'), "{line:?}");
    }
    for line in json.log().lines() {
        let change: serde_json::Value = serde_json::from_str(line)?;
        assert!(change["time_unix_s"].is_u64() && change["change"].is_string(), "{line}");
    }
    Ok(())
}
