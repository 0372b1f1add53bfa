//! `shell`: a command line, run by `/bin/sh`.

use keros_protocol::executor::{TaskResult, TaskStatus};
use serde_json::{Map, Value, json};

use super::{Action, CheckContext, Failure, Module, Run, Scope};
use crate::fields::Fields;
use crate::system::{Program, ProgramCommand, ProgramEnd};
use crate::template::{Condition, Text};

#[derive(Debug)]
pub(super) struct Shell {
    command: Text,
    is_unsafe: Option<Text>,
    save: Option<Text>,
    failed_when: Option<When>,
    changed_when: Option<When>,
}

impl Shell {
    pub(super) fn parse(fields: &mut Fields<'_, '_>, _: &CheckContext<'_>) -> Option<Box<dyn Module>> {
        let command = fields.required_text("cmd");
        let (save, is_unsafe) = (fields.text("save"), fields.flag("unsafe"));
        let (failed_when, changed_when) =
            (When::parse(fields, "failed_when"), When::parse(fields, "changed_when"));
        Some(Box::new(Self { command: command?, is_unsafe, save, failed_when, changed_when }))
    }
}

/// A condition about a result, where `rc` and `out` are known; its text may itself be a template.
#[derive(Debug)]
struct When {
    text: Text,
    /// Compiled already when the text is no template.
    condition: Option<Condition>,
}

impl When {
    fn parse(fields: &mut Fields<'_, '_>, key: &'static str) -> Option<Self> {
        let text = fields.text(key)?;
        let condition = match text.is_literal() {
            true => Some(Condition::of_field(&text.source, text.at, fields.findings)?),
            false => None,
        };
        Some(Self { text, condition })
    }

    fn holds(&self, run: &Run<'_>) -> Result<bool, String> {
        let context = run.variables.context();
        if let Some(condition) = &self.condition {
            return condition.holds(run.registries, context);
        }
        let source = self.text.render(run.registries, context)?;
        let condition = Condition::compile(&source).map_err(|fault| fault.message)?;
        condition.holds(run.registries, context)
    }
}

impl Module for Shell {
    fn prepare(&self, scope: &mut Scope<'_>) -> Result<Box<dyn Action + '_>, String> {
        let is_unsafe = scope.flag(self.is_unsafe.as_ref())?.unwrap_or(false);
        let command = scope.command(&self.command, is_unsafe)?;
        let save = scope.optional_word(self.save.as_ref())?;
        Ok(Box::new(Prepared { module: self, command, save }))
    }
}

struct Prepared<'m> {
    module: &'m Shell,
    command: String,
    save: Option<String>,
}

impl Action for Prepared<'_> {
    fn apply(&mut self, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        if run.dry_run {
            return Ok(TaskResult::of(TaskStatus::Executed));
        }
        let end = run.system.run(&Program {
            command: ProgramCommand::Shell(&self.command),
            input: &[],
            folder: run.folder,
            deadline: run.deadline,
            output_bytes: run.output_bytes,
        })?;
        if end.timed_out {
            return Err(Failure::timed_out(end));
        }
        self.judge(end, run)
    }
}

impl Prepared<'_> {
    fn judge(&self, end: ProgramEnd, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        let out = end.output.to_string().trim().to_owned();
        let mut values = Map::new();
        values.insert("rc".to_owned(), json!(end.exit_code));
        values.insert("out".to_owned(), Value::String(out));
        if let Some(name) = &self.save {
            run.variables.store(name, Value::Object(values.clone()))?;
        }
        let before = run.variables.overlay(values);
        let failed = self.module.failed_when.as_ref().map_or(Ok(end.exit_code != 0), |when| when.holds(run));
        let changed = self.module.changed_when.as_ref().map_or(Ok(true), |when| when.holds(run));
        run.variables.lay_back(before);
        let (exit_code, output) = (Some(end.exit_code), Some(end.output));
        if failed? {
            let message = match (&self.module.failed_when, end.exit_code) {
                (Some(when), _) => format!("failed_when holds: {}", when.text.source.trim()),
                (None, code) => format!("the command failed with exit code {code}"),
            };
            return Err(Failure { message, exit_code, output, timed_out: false });
        }
        let status = if changed? { TaskStatus::Executed } else { TaskStatus::Passive };
        Ok(TaskResult { exit_code, output, ..TaskResult::of(status) })
    }
}
