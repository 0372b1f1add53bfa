//! `sd_service`: a systemd unit is started or stopped, enabled or disabled, restarted.

use keros_protocol::executor::{Change, TaskResult, TaskStatus};

use super::{Action, CheckContext, Failure, Module, Run, Scope, change, done, tool};
use crate::fields::Fields;
use crate::template::Text;

#[derive(Debug)]
pub(super) struct Service {
    service: Text,
    enabled: Option<Text>,
    started: Option<Text>,
    restart: Option<Text>,
}

impl Service {
    pub(super) fn parse(fields: &mut Fields<'_, '_>, _: &CheckContext<'_>) -> Option<Box<dyn Module>> {
        let service = fields.required_text("service");
        let (enabled, started, restart) =
            (fields.flag("enabled"), fields.flag("started"), fields.flag("restart"));
        let is = |text: &Option<Text>, word| text.as_ref().is_some_and(|text| text.source.trim() == word);
        if is(&started, "false") && is(&restart, "true") {
            let at = fields.at();
            fields.findings.invalid(at, STOP_AND_RESTART);
        }
        Some(Box::new(Self { service: service?, enabled, started, restart }))
    }
}

const STOP_AND_RESTART: &str = "`started: false` and `restart: true` contradict each other";

impl Module for Service {
    fn prepare(&self, scope: &mut Scope<'_>) -> Result<Box<dyn Action + '_>, String> {
        let service = scope.word(&self.service)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
        if service.starts_with('-') || !service.chars().all(allowed) {
            return Err(format!("field (service): {service:?} is no name of a unit"));
        }
        let enabled = scope.flag(self.enabled.as_ref())?;
        let started = scope.flag(self.started.as_ref())?;
        let restart = scope.flag(self.restart.as_ref())?.unwrap_or(false);
        if restart && started == Some(false) {
            return Err(STOP_AND_RESTART.to_owned());
        }
        Ok(Box::new(Prepared { service, enabled, started, restart }))
    }
}

struct Prepared {
    service: String,
    enabled: Option<bool>,
    started: Option<bool>,
    restart: bool,
}

impl Action for Prepared {
    fn apply(&mut self, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        let file_state = self.ask(ENABLED, run)?;
        let active_state = self.ask(ACTIVE, run)?;
        let mut changes = Vec::new();
        let run_verb = self.run_verb(&file_state, &active_state, &mut changes)?;
        let file_verb = self.file_verb(&file_state, &mut changes)?;
        if changes.is_empty() {
            return Ok(TaskResult::of(TaskStatus::Matched));
        }
        for verb in run_verb.into_iter().chain(file_verb) {
            self.order(verb, run)?;
        }
        Ok(done(TaskStatus::Modified, changes))
    }
}

impl Prepared {
    /// The verb that starts, stops or restarts, when one is needed.
    fn run_verb(
        &self,
        file_state: &str,
        active_state: &str,
        changes: &mut Vec<Change>,
    ) -> Result<Option<&'static str>, Failure> {
        let runs = match active_state {
            "active" | "activating" | "reloading" | "refreshing" => true,
            "inactive" | "failed" | "deactivating" | "maintenance" | "unknown" => false,
            other => {
                return Err(format!("systemctl is-active {}: unknown answer {other:?}", self.service).into());
            }
        };
        let verb = match (self.started, runs) {
            (_, true) if self.restart => "restart",
            (_, false) if self.restart => "start",
            (Some(true), false) => "start",
            (Some(false), true) => "stop",
            _ => return Ok(None),
        };
        if verb != "stop" {
            match file_state {
                "masked" | "masked-runtime" => {
                    return Err(format!("the unit {} is masked: unmask it first", self.service).into());
                }
                "not-found" => return Err(format!("there is no unit {}", self.service).into()),
                _ => {}
            }
        }
        let after = if verb == "stop" { "inactive" } else { "active" };
        let property = if verb == "restart" { "restarted" } else { "started" };
        changes.push(change(property, Some(active_state.to_owned()), Some(after.to_owned())));
        Ok(Some(verb))
    }

    /// The verb that enables or disables, when one is needed.
    fn file_verb(&self, state: &str, changes: &mut Vec<Change>) -> Result<Option<&'static str>, Failure> {
        let Some(wanted) = self.enabled else { return Ok(None) };
        let is = match state {
            "enabled" | "enabled-runtime" | "alias" | "linked" | "linked-runtime" => true,
            "disabled" | "deactivating" => false,
            "masked" | "masked-runtime" if wanted => {
                return Err(format!("the unit {} is masked: unmask it first", self.service).into());
            }
            "static" | "indirect" | "generated" | "transient" if wanted => {
                let why =
                    format!("the unit {} is {state}: it has nothing by which to enable it", self.service);
                return Err(why.into());
            }
            "masked" | "masked-runtime" | "static" | "indirect" | "generated" | "transient" => false,
            "not-found" => return Err(format!("there is no unit {}", self.service).into()),
            other => {
                return Err(format!("systemctl is-enabled {}: unknown answer {other:?}", self.service).into());
            }
        };
        if is == wanted {
            return Ok(None);
        }
        let after = if wanted { "enabled" } else { "disabled" };
        changes.push(change("enabled", Some(state.to_owned()), Some(after.to_owned())));
        Ok(Some(if wanted { "enable" } else { "disable" }))
    }

    /// One word of answer; systemctl's exit code says the same less clearly.
    fn ask(&self, question: &'static str, run: &mut Run<'_>) -> Result<String, Failure> {
        if let Some(answer) = run.imagined.get(question, &self.service) {
            return Ok(answer.to_owned());
        }
        let end = tool::ask("systemctl", &[question, &self.service], run)?;
        let printed = end.output.to_string();
        let answer = printed.lines().map(str::trim).rfind(|line| !line.is_empty() && !line.contains(' '));
        if answer.is_none() && (printed.contains("No such file") || printed.contains("does not exist")) {
            return Ok("not-found".to_owned());
        }
        answer.map(str::to_owned).ok_or_else(|| Failure {
            message: format!("systemctl {question} {} gave no answer", self.service),
            exit_code: Some(end.exit_code),
            output: Some(end.output.clone()),
            timed_out: false,
        })
    }

    fn order(&self, verb: &str, run: &mut Run<'_>) -> Result<(), Failure> {
        if run.dry_run {
            let (question, answer) = match verb {
                "enable" => (ENABLED, "enabled"),
                "disable" => (ENABLED, "disabled"),
                "stop" => (ACTIVE, "inactive"),
                _ => (ACTIVE, "active"),
            };
            run.imagined.set(question, &self.service, answer);
            return Ok(());
        }
        tool::order("systemctl", &[verb, &self.service], run).map(|_| ())
    }
}

/// The two questions, which are also the kinds of state that a dry run imagines.
const ENABLED: &str = "is-enabled";
const ACTIVE: &str = "is-active";
