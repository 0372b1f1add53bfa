//! Services by monit, which starts what it monitors: enabled means monitored.

use std::path::Path;
use std::time::{Duration, Instant};

use keros_protocol::executor::TaskResult;

use super::super::tool::Call;
use super::{ACTIVE, ENABLED, Failure, Prepared, Run, change, kept_or_modified, tool};
use crate::system::{FileKind, Manager, System, Upcoming};

/// Where monit is told of programs.
const FILES: [&str; 2] = ["/etc/monitrc", "/etc/monit/monitrc"];
const FOLDERS: [&str; 3] = ["/etc/monit.d", "/etc/monit/conf.d", "/etc/monit/conf-enabled"];
/// One of those files, bytes.
const MAX_BYTES: u64 = 256 * 1024;
/// monit does what it is told later, in its own turn. How long that may take, and how often it is asked.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(300);

/// Whether a file of monit's names the program: `check process NAME …`.
pub(super) fn knows(name: &str, system: &mut dyn System) -> Result<bool, Failure> {
    let mut files: Vec<_> = FILES.iter().map(|file| Path::new(file).to_owned()).collect();
    for folder in FOLDERS.map(Path::new) {
        if system.metadata(folder)?.is_some_and(|is| is.kind == FileKind::Directory) {
            files.extend(system.list_tree(folder)?);
        }
    }
    for file in files {
        if system.metadata(&file)?.is_none_or(|is| is.kind != FileKind::File) {
            continue;
        }
        let bytes = system.read(&file, MAX_BYTES)?;
        if String::from_utf8_lossy(&bytes).lines().any(|line| checked_process(line) == Some(name)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn checked_process(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let mut is_next = |wanted: &str| words.next().is_some_and(|word| word.eq_ignore_ascii_case(wanted));
    (is_next("check") && is_next("process")).then_some(())?;
    words.next().map(|name| name.trim_matches('"'))
}

/// What monit says of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    runs: bool,
    monitored: bool,
    /// It was told to do something, and has not yet.
    pending: bool,
    /// In monit's words.
    words: String,
}

impl State {
    /// From the lines `status WORDS` and `monitoring status WORDS`.
    fn parse(answer: &str) -> Option<Self> {
        let value = |key: &str| {
            let rest = answer.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(' '))?;
            Some(rest.trim().to_owned())
        };
        let words = value("status")?;
        let lower = words.to_lowercase();
        let (state, action) = lower.split_once(" - ").unwrap_or((&lower, ""));
        let stopped = ["not monitored", "does not exist", "execution failed", "not running", "stopped"];
        Some(Self {
            runs: !stopped.iter().any(|word| state.starts_with(word)),
            monitored: value("monitoring status")
                .is_none_or(|words| !words.to_lowercase().starts_with("not")),
            pending: action.contains("pending"),
            words,
        })
    }
}

/// Whether a program runs, and whether it is monitored, by what `monit status` says of it.
pub(crate) fn state(answer: &str) -> Option<(bool, bool)> {
    State::parse(answer).map(|state| (state.runs, state.monitored))
}

impl Prepared {
    pub(super) fn by_monit(&self, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        if self.started == Some(false) && self.enabled == Some(true) {
            let name = &self.service;
            let why = format!(
                "{name}: monit starts what it monitors, so `started: false` and `enabled: true` contradict"
            );
            return Err(why.into());
        }
        let is = self.monit_state(run)?;
        let mut changes = Vec::new();
        let run_verb = self.run_verb(is.runs, if is.runs { "active" } else { "inactive" }, &mut changes);
        // To start a program is to monitor it, and to stop it is not to.
        let monitored = run_verb.map_or(is.monitored, |verb| verb != "stop");
        let verb = self.enabled.filter(|wanted| *wanted != monitored);
        if self.enabled.is_some_and(|wanted| wanted != is.monitored) {
            let word = |is: bool| Some(if is { "enabled" } else { "disabled" }.to_owned());
            changes.push(change("enabled", word(is.monitored), word(!is.monitored)));
        }
        let verb = verb.map(|wanted| if wanted { "monitor" } else { "unmonitor" });
        for verb in run_verb.into_iter().chain(verb) {
            self.have_monit(verb, run)?;
        }
        Ok(kept_or_modified(changes))
    }

    /// What monit says, when it has nothing left to do.
    fn monit_state(&self, run: &mut Run<'_>) -> Result<State, Failure> {
        if let (Some(active), Some(enabled)) =
            (run.imagined.get(ACTIVE, &self.service), run.imagined.get(ENABLED, &self.service))
        {
            let (runs, monitored) = (active == "active", enabled == "enabled");
            return Ok(State { runs, monitored, pending: false, words: String::new() });
        }
        let call = Call { name: "monit", arguments: &["status", &self.service], ..Call::default() };
        let until = run.deadline.min(Instant::now() + PATIENCE);
        loop {
            let end = call.ask(run)?;
            let state = State::parse(&end.output.to_string()).filter(|_| end.exit_code == 0);
            let Some(state) = state else {
                if run.dry_run {
                    // An earlier task would have told monit of it.
                    return Ok(State { runs: false, monitored: false, pending: false, words: String::new() });
                }
                let mut failure = call.failed(end);
                failure.message += ": does its daemon run, and was it reloaded after its files changed?";
                return Err(failure);
            };
            if !state.pending || Instant::now() >= until {
                return Ok(state);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Gives an order, and waits until monit has carried it out.
    fn have_monit(&self, verb: &'static str, run: &mut Run<'_>) -> Result<(), Failure> {
        if run.dry_run {
            let is = self.monit_state(run)?;
            let (runs, monitored) = match verb {
                "stop" => (false, false),
                "monitor" | "unmonitor" => (is.runs, verb == "monitor"),
                _ => (true, true),
            };
            run.imagined.set(ACTIVE, &self.service, if runs { "active" } else { "inactive" });
            run.imagined.set(ENABLED, &self.service, if monitored { "enabled" } else { "disabled" });
            return Ok(());
        }
        run.system.before(&Upcoming::Service(Manager::Monit, &self.service))?;
        tool::order("monit", &[verb, &self.service], run)?;
        let is = self.monit_state(run)?;
        let has_done = match verb {
            "stop" => !is.runs,
            "monitor" | "unmonitor" => is.monitored == (verb == "monitor"),
            _ => is.runs,
        };
        if has_done && !is.pending {
            return Ok(());
        }
        Err(format!("monit was told to {verb} {}, but says of it: {}", self.service, is.words).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_monit_are_understood() {
        let state = |status: &str, monitoring: &str| {
            let answer =
                format!("Process 'x'\n  status      {status}\n  monitoring status   {monitoring}\n  pid 1\n");
            let state = State::parse(&answer).unwrap();
            (state.runs, state.monitored, state.pending)
        };
        assert_eq!(state("OK", "Monitored"), (true, true, false));
        assert_eq!(state("Running", "Monitored"), (true, true, false));
        assert_eq!(state("Resource limit matched", "Monitored"), (true, true, false));
        assert_eq!(state("OK - restart pending", "Monitored"), (true, true, true));
        assert_eq!(state("Not monitored", "Not monitored"), (false, false, false));
        assert_eq!(state("Not monitored - start pending", "Not monitored"), (false, false, true));
        assert_eq!(state("Does not exist", "Monitored"), (false, true, false));
        assert_eq!(State::parse("There is no service named \"x\"\n"), None);
    }

    #[test]
    fn only_processes_that_monit_checks_are_its_services() {
        assert_eq!(checked_process("  CHECK process fwd with pidfile /run/x"), Some("fwd"));
        assert_eq!(checked_process("check process \"my fwd\""), Some("my"), "no service is called so");
        for line in
            ["# check process fwd", "check file fwd with path /x", "check process", "recheck process fwd", ""]
        {
            assert_eq!(checked_process(line), None, "{line}");
        }
    }
}
