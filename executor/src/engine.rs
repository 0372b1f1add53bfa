//! The seam to what runs a job: the JetPorch language on a gateway, a few made-up events in tests.

use keros_playbook::{
    Diagnostic, DiagnosticKind, Durability, HostSystem, Observer, RunOptions, Script, ScriptSource,
};
use keros_protocol::eligibility::Refusal;
use keros_protocol::{Command, Job, Outcome, RefusalReason};

use crate::settings::Settings;

/// Findings that a refusal names; the rest are counted.
const MAX_FINDINGS: usize = 10;

/// Runs a job, tells each step, and gives the terminal outcome.
pub(crate) type Work = Box<dyn FnOnce(&mut dyn Observer) -> Outcome>;

/// A job that was checked whole and can be run.
pub(crate) struct Plan {
    /// Tasks and handlers.
    pub(crate) tasks: u32,
    /// What runs it.
    pub(crate) work: Work,
}

/// What can run jobs.
pub(crate) trait Engine {
    /// Checks the whole job before anything is run.
    ///
    /// # Errors
    /// Why it cannot be run, by name and with the first findings.
    fn plan(&self, command: &Command) -> Result<Plan, Refusal>;
}

/// The JetPorch language on this machine, or on a tree.
pub(crate) struct PlaybookEngine<'a> {
    /// Where it works.
    pub(crate) settings: &'a Settings,
}

impl Engine for PlaybookEngine<'_> {
    fn plan(&self, command: &Command) -> Result<Plan, Refusal> {
        let Job::JetPorch { script, vars } = &command.job else {
            let detail = format!("this version cannot run a job of kind {:?}", command.job.kind());
            return Err(Refusal::new(RefusalReason::Unsupported, detail));
        };
        let source = ScriptSource {
            text: script.clone(),
            file: "script".to_owned(),
            folder: None,
            role_folders: Vec::new(),
            module_folders: Vec::new(),
            extra_vars: vars.clone(),
        };
        let script = Script::parse(&source).map_err(|findings| refusal_of(&findings))?;
        let mut system = HostSystem::new(self.settings.root.clone(), self.settings.shell_place());
        system.durability = Durability::Grouped;
        let options = RunOptions {
            dry_run: command.options.dry_run,
            diff: false,
            limits: command.limits.clamped(),
            ..RunOptions::default()
        };
        let tasks = script.task_count();
        let work = Box::new(move |observer: &mut dyn Observer| {
            keros_playbook::run(&script, &mut system, &options, observer).without_reboot()
        });
        Ok(Plan { tasks, work })
    }
}

/// One refusal for all findings: a limit first (the rest was not read then), what is wrong before what is not supported.
pub(crate) fn refusal_of(findings: &[Diagnostic]) -> Refusal {
    let has = |kind| findings.iter().any(|finding| finding.kind == kind);
    let reason = if has(DiagnosticKind::TooLarge) {
        RefusalReason::TooLarge
    } else if has(DiagnosticKind::Unsupported) && !has(DiagnosticKind::Invalid) {
        RefusalReason::Unsupported
    } else {
        RefusalReason::Unparsable
    };
    let mut lines: Vec<String> = findings.iter().take(MAX_FINDINGS).map(Diagnostic::to_string).collect();
    if findings.len() > MAX_FINDINGS {
        lines.push(format!("and {} more", findings.len() - MAX_FINDINGS));
    }
    Refusal::new(reason, lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(kind: DiagnosticKind, line: u32) -> Diagnostic {
        Diagnostic {
            kind,
            file: "script".to_owned(),
            line,
            column: 3,
            message: "no".to_owned(),
            suggestion: None,
        }
    }

    #[test]
    fn findings_become_one_refusal() {
        use DiagnosticKind::{Invalid, TooLarge, Unsupported};
        let reason = |kinds: &[DiagnosticKind]| {
            let findings: Vec<_> = kinds.iter().map(|kind| finding(*kind, 1)).collect();
            refusal_of(&findings).reason
        };
        assert_eq!(reason(&[Invalid]), RefusalReason::Unparsable);
        assert_eq!(reason(&[Unsupported]), RefusalReason::Unsupported);
        assert_eq!(reason(&[Unsupported, Invalid]), RefusalReason::Unparsable);
        assert_eq!(reason(&[Unsupported, Invalid, TooLarge]), RefusalReason::TooLarge);
    }

    #[test]
    fn the_first_findings_are_named_with_line_and_column() {
        let findings: Vec<_> = (1..=12).map(|line| finding(DiagnosticKind::Invalid, line)).collect();
        let detail = refusal_of(&findings).detail;
        assert!(detail.starts_with("script:1:3: no\nscript:2:3: no\n"), "{detail}");
        assert!(detail.ends_with("script:10:3: no\nand 2 more"), "{detail}");
    }
}
