//! Services by systemd: what `systemctl` says of a unit, and has it do.

use keros_protocol::executor::{Change, TaskResult};

use super::{
    ACTIVE, ENABLED, Failure, Prepared, Run, SUFFIX, change, excerpt, imagine, is_file, kept_or_modified,
    tool,
};
use crate::system::{Manager, Upcoming};

impl Prepared {
    pub(super) fn by_systemd(&self, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        let mut file_state = self.ask(ENABLED, run)?;
        if run.dry_run && file_state == "not-found" {
            if !self.has_unit_file(run)? {
                self.refuse_what_may_come(run)?;
            } else {
                "disabled".clone_into(&mut file_state);
            }
        }
        let active_state = self.ask(ACTIVE, run)?;
        let mut changes = Vec::new();
        let run_verb = self.unit_verb(&file_state, &active_state, &mut changes)?;
        let file_verb = self.file_verb(&file_state, &mut changes)?;
        for verb in run_verb.into_iter().chain(file_verb) {
            self.order(verb, run)?;
        }
        Ok(kept_or_modified(changes))
    }

    fn unit_verb(
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
        let Some(verb) = self.run_verb(runs, active_state, changes) else { return Ok(None) };
        if verb != "stop" {
            match file_state {
                "masked" | "masked-runtime" => {
                    return Err(format!("the unit {} is masked: unmask it first", self.service).into());
                }
                "not-found" => return Err(format!("there is no unit {}", self.service).into()),
                _ => {}
            }
        }
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

    /// Whether an earlier task of a dry run would have made the unit.
    fn has_unit_file(&self, run: &mut Run<'_>) -> Result<bool, Failure> {
        let suffix = if self.service.contains('.') { "" } else { SUFFIX };
        for folder in ["/etc/systemd/system", "/lib/systemd/system", "/usr/lib/systemd/system"] {
            if is_file(&format!("{folder}/{}{suffix}", self.service), run)? {
                return Ok(true);
            }
        }
        Ok(false)
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
            ..Failure::default()
        })
    }

    fn order(&self, verb: &str, run: &mut Run<'_>) -> Result<(), Failure> {
        if run.dry_run {
            imagine(verb, &self.service, run);
            return Ok(());
        }
        run.system.before(&Upcoming::Service(Manager::Systemd, &self.service))?;
        match tool::order("systemctl", &[verb, &self.service], run) {
            Ok(_) => Ok(()),
            Err(failure) if matches!(verb, "start" | "restart") => {
                Err(excerpt::add(failure, &self.service, run))
            }
            Err(failure) => Err(failure),
        }
    }
}
