//! The seam to what runs a job: the JetPorch language on a gateway, a few made-up events in tests.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keros_playbook::{
    BackupLog, BackupSpec, Cancel, Diagnostic, DiagnosticKind, Durability, HostSystem, Observer, RunEnd,
    RunOptions, Script, ScriptSource, estimate_backup,
};
use keros_protocol::eligibility::Refusal;
use keros_protocol::{Command, Job, Outcome, RefusalReason, Summary, TaskRef};

use crate::bundle::{Bundle, ByTitle};
use crate::differences::Differences;
use crate::settings::Settings;
use crate::watch::{BehindTasks, Question, Watch};

/// Findings that a refusal names; the rest are counted.
const MAX_FINDINGS: usize = 10;
/// Undoing ends by itself: packages and services take their time, and no more than this.
const UNDO_LIMIT: Duration = Duration::from_secs(30 * 60);

/// Runs a job, or the rest of one, and tells each step.
pub(crate) type Work = Box<dyn FnOnce(&mut dyn Observer, Controls) -> TasksEnd>;

/// What reaches a job while it runs, and what it leaves.
pub(crate) struct Controls {
    /// Whether the job is to end after the task under way. It may be asked from another thread, again and again.
    pub(crate) is_cancelled: Box<dyn FnMut() -> bool + Send>,
    /// How long that task may go on then.
    pub(crate) grace: Duration,
    /// Where to put aside what is replaced.
    pub(crate) backup: PathBuf,
    /// Where the job goes on; absent: at its beginning.
    pub(crate) resume: Option<String>,
}

/// How the tasks of a job, or of a part of it, came to their end.
pub(crate) enum TasksEnd {
    /// The job is over.
    Ended(Outcome),
    /// This task asks for a reboot; the job goes on after it, with this text.
    Reboot(TaskRef, String),
}

/// A job that was checked whole and can be run.
pub(crate) struct Plan {
    /// Tasks and handlers.
    pub(crate) tasks: u32,
    /// What it may have to put aside, as far as that can be told before; absent: it changes nothing.
    pub(crate) backup_bytes: Option<u64>,
    /// What runs it.
    pub(crate) work: Work,
}

/// What can run jobs.
pub(crate) trait Engine {
    /// Checks the whole job before anything is run. A Magic Link comes with its bundle.
    ///
    /// # Errors
    /// Why it cannot be run, by name and with the first findings.
    fn plan(&self, command: &Command, bundle: Option<&Bundle>) -> Result<Plan, Refusal>;

    /// Whether the job that put this aside has changed anything. What cannot be read counts as a change.
    fn has_changed(&self, backup: &Path) -> bool;

    /// Undoes that job as far as that is possible, tells each step, and gives what remains. It may be cut off at any instant,
    /// and begun again.
    fn undo(&self, backup: &Path, tell: &mut dyn FnMut(&str, Option<&str>)) -> Vec<String>;
}

/// The JetPorch language on this machine, or on a tree.
pub(crate) struct PlaybookEngine<'a> {
    /// Where it works.
    pub(crate) settings: &'a Settings,
}

impl Engine for PlaybookEngine<'_> {
    fn plan(&self, command: &Command, bundle: Option<&Bundle>) -> Result<Plan, Refusal> {
        let source = source_of(&command.job, bundle)?;
        let names = ByTitle::of(bundle);
        let script = Script::parse(&source).map_err(|findings| names.refusal(refusal_of(&findings)))?;
        let tasks = script.task_count();
        let mut options = RunOptions {
            dry_run: command.options.dry_run,
            limits: command.limits.clamped(),
            ..RunOptions::default()
        };
        let backup_bytes = match options.dry_run {
            true => None,
            false => Some(estimate_backup(&script, &mut self.system(), &options).bytes),
        };
        let max_bytes = self.settings.bounds.backup_bytes();
        let mut system = self.system();
        system.durability = Durability::Grouped;
        let work = Box::new(move |observer: &mut dyn Observer, controls: Controls| {
            options.backup = Some(BackupSpec { folder: controls.backup.clone(), max_bytes });
            let mut differences = Differences::new(observer);
            let end = work(&script, &mut system, options, &mut names.around(&mut differences), controls);
            match end {
                Ok(TasksEnd::Ended(outcome)) => TasksEnd::Ended(differences.tell(names.outcome(outcome))),
                Ok(reboot) => reboot,
                Err(message) => TasksEnd::Ended(not_run(message)),
            }
        });
        Ok(Plan { tasks, backup_bytes, work })
    }

    fn has_changed(&self, backup: &Path) -> bool {
        BackupLog::read(backup).map_or(true, |log| log.changed_anything())
    }

    fn undo(&self, backup: &Path, tell: &mut dyn FnMut(&str, Option<&str>)) -> Vec<String> {
        match BackupLog::read(backup) {
            Ok(log) => log.undo(&mut self.system(), Instant::now() + UNDO_LIMIT, tell),
            Err(error) => vec![format!("all of it: what was put aside cannot be read: {error}")],
        }
    }
}

impl PlaybookEngine<'_> {
    fn system(&self) -> HostSystem {
        HostSystem::new(self.settings.root.clone(), self.settings.shell_place())
    }
}

/// What is run, and the files beside it.
fn source_of(job: &Job, bundle: Option<&Bundle>) -> Result<ScriptSource, Refusal> {
    match (job, bundle) {
        (Job::JetPorch { script, vars }, _) => Ok(ScriptSource {
            text: script.clone(),
            file: "script".to_owned(),
            extra_vars: vars.clone(),
            ..ScriptSource::default()
        }),
        (Job::MagicLink { .. }, Some(bundle)) => {
            Ok(ScriptSource::of_bundle(&bundle.files, &bundle.playbook, bundle.playbook_text()?))
        }
        _ => {
            let detail = format!("this version cannot run a job of kind {:?}", job.kind());
            Err(Refusal::new(RefusalReason::Unsupported, detail))
        }
    }
}

/// # Errors
/// Why nothing could be run.
fn work(
    script: &Script,
    system: &mut HostSystem,
    mut options: RunOptions,
    observer: &mut dyn Observer,
    controls: Controls,
) -> Result<TasksEnd, String> {
    let no_cancel = |error| format!("nothing was run, because it could not have been cancelled: {error}");
    let (stop, cancel) = (Cancel::new().map_err(no_cancel)?, Cancel::new().map_err(no_cancel)?);
    let resume = controls.resume.map(|text| serde_json::from_str(&text)).transpose();
    options.resume = resume.map_err(|error| format!("where the job goes on cannot be read: {error}"))?;
    options.stop = Some(stop.clone());
    options.cancel = Some(cancel.clone());
    system.cancel = Some(cancel.clone());
    let question = Question::new(controls.is_cancelled);
    let mut observer = BehindTasks { observer, question: question.clone(), stop: stop.clone() };
    let _watch = Watch::begin(question, controls.grace, stop, cancel);
    match keros_playbook::run(script, system, &options, &mut observer) {
        RunEnd::Ended(outcome) => Ok(TasksEnd::Ended(outcome)),
        RunEnd::Reboot { task, resume } => {
            let text = serde_json::to_string(&resume);
            let text = text.map_err(|error| format!("where the job goes on cannot be written: {error}"))?;
            Ok(TasksEnd::Reboot(task, text))
        }
    }
}

fn not_run(message: String) -> Outcome {
    Outcome::Failed { task: None, exit_code: None, message, output: None, summary: Summary::default() }
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
