//! `sd_service`: a service is started or stopped, enabled or disabled, restarted.
//!
//! By systemd; where there is none, by monit when it is told of the program, else by the init script of System V. Which one it is, the
//! tools and files of the tree decide: a tree that is not booted has no other mark.

mod excerpt;
mod levels;
mod monit;
mod systemd;
mod sysv;

pub(crate) use monit::state as monit_state;

use std::path::Path;

use keros_protocol::executor::{Change, TaskResult, TaskStatus};

use super::{Action, CheckContext, Failure, Module, Run, Scope, change, done, tool};
use crate::fields::Fields;
use crate::system::FileKind;
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
        if run.system.has_tool("systemctl") {
            return self.by_systemd(run);
        }
        if self.service.ends_with(SUFFIX) {
            self.service.truncate(self.service.len() - SUFFIX.len());
        }
        if run.system.has_tool("monit") && monit::knows(&self.service, run.system)? {
            return self.by_monit(run);
        }
        if run.system.has_tool(&self.script()) || (run.dry_run && is_file(&self.script(), run)?) {
            return self.by_init_script(run);
        }
        self.refuse_what_may_come(run)?;
        let name = &self.service;
        Err(format!(
            "there is no service {name}: no systemctl is here, and neither monit nor /etc/init.d has it"
        )
        .into())
    }
}

/// What only systemd's names end with.
const SUFFIX: &str = ".service";

/// Whether there is a file; a dry run knows of those that earlier tasks would have made, which no tool sees.
fn is_file(path: &str, run: &mut Run<'_>) -> Result<bool, Failure> {
    Ok(run.system.metadata(Path::new(path))?.is_some_and(|is| is.kind == FileKind::File))
}

impl Prepared {
    /// In a dry run a service that is not there may be one that an earlier task would have brought with it.
    fn refuse_what_may_come(&self, run: &Run<'_>) -> Result<(), Failure> {
        if !run.dry_run || !run.imagined.may_bring_more() {
            return Ok(());
        }
        let why = format!("there is no service {} yet, and an earlier task may bring it", self.service);
        Err(run.variables.unknown.doubt(&why).into())
    }

    /// The verb that starts, stops or restarts, when one is needed, and what it changes.
    fn run_verb(&self, runs: bool, state: &str, changes: &mut Vec<Change>) -> Option<&'static str> {
        let verb = match (self.started, runs) {
            (_, true) if self.restart => "restart",
            (_, false) if self.restart => "start",
            (Some(true), false) => "start",
            (Some(false), true) => "stop",
            _ => return None,
        };
        let after = if verb == "stop" { "inactive" } else { "active" };
        let property = if verb == "restart" { "restarted" } else { "started" };
        changes.push(change(property, Some(state.to_owned()), Some(after.to_owned())));
        Some(verb)
    }
}

fn kept_or_modified(changes: Vec<Change>) -> TaskResult {
    let status = if changes.is_empty() { TaskStatus::Matched } else { TaskStatus::Modified };
    done(status, changes)
}

/// systemd's two questions, which are also the kinds of state that a dry run imagines.
const ENABLED: &str = "is-enabled";
const ACTIVE: &str = "is-active";

/// What a dry run remembers of a verb.
fn imagine(verb: &str, service: &str, run: &mut Run<'_>) {
    let (question, answer) = match verb {
        "enable" => (ENABLED, "enabled"),
        "disable" => (ENABLED, "disabled"),
        "stop" => (ACTIVE, "inactive"),
        _ => (ACTIVE, "active"),
    };
    run.imagined.set(question, service, answer);
}
