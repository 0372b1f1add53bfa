//! Services by the init scripts of System V.

use keros_protocol::executor::TaskResult;

use super::levels::Levels;
use super::{ACTIVE, Failure, Prepared, Run, change, imagine, kept_or_modified, tool};
use crate::system::{Manager, Upcoming};

/// What a script says that has no `status`: nobody knows whether its program runs.
const UNKNOWN: &str = "unknown";

impl Prepared {
    pub(super) fn script(&self) -> String {
        format!("/etc/init.d/{}", self.service)
    }

    pub(super) fn by_init_script(&self, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        let mut changes = Vec::new();
        let run_verb = if self.started.is_some() || self.restart {
            let state = self.script_state(run)?;
            // To start what runs and to stop what does not does no harm; not to do it may.
            let runs = if state == UNKNOWN { self.started == Some(false) } else { state == "active" };
            self.run_verb(runs || (self.restart && state == UNKNOWN), &state, &mut changes)
        } else {
            None
        };
        let levels = Levels::read(&self.service, run.system)?;
        let enable = self.enabled.filter(|wanted| *wanted != levels.is_enabled());
        if let Some(wanted) = enable {
            let word = |is: bool| Some(if is { "enabled" } else { "disabled" }.to_owned());
            changes.push(change("enabled", word(!wanted), word(wanted)));
        }
        match run_verb {
            Some(verb) if run.dry_run => imagine(verb, &self.service, run),
            Some(verb) => {
                run.system.before(&Upcoming::Service(Manager::Script, &self.service))?;
                tool::order(&self.script(), &[verb], run)?;
            }
            None => {}
        }
        match enable {
            Some(true) => levels.enable(&self.service, &self.script(), run)?,
            Some(false) => levels.disable(&self.service, run.system)?,
            None => {}
        }
        Ok(kept_or_modified(changes))
    }

    /// By the exit codes that the Linux Standard Base gives to `status`.
    fn script_state(&self, run: &mut Run<'_>) -> Result<String, Failure> {
        if let Some(state) = run.imagined.get(ACTIVE, &self.service) {
            return Ok(state.to_owned());
        }
        if run.dry_run && !run.system.has_tool(&self.script()) {
            // An earlier task would have made it.
            return Ok("inactive".to_owned());
        }
        let end = tool::ask(&self.script(), &["status"], run)?;
        let does_not_know = end.output.to_string().to_lowercase().contains("usage");
        let state = match end.exit_code {
            _ if does_not_know => UNKNOWN,
            0 => "active",
            1..=3 => "inactive",
            _ => UNKNOWN,
        };
        Ok(state.to_owned())
    }
}
