//! What a program's end means for its task: what is saved of it, whether it failed, whether it changed anything.

use keros_protocol::executor::{TaskResult, TaskStatus};
use serde_json::{Map, Value, json};

use super::{Failure, Run, Scope};
use crate::fields::Fields;
use crate::system::ProgramEnd;
use crate::template::{Condition, Text};

/// `save`, `failed_when` and `changed_when`.
#[derive(Debug)]
pub(super) struct ResultFields {
    save: Option<Text>,
    failed_when: Option<When>,
    changed_when: Option<When>,
}

impl ResultFields {
    pub(super) fn parse(fields: &mut Fields<'_, '_>) -> Self {
        Self {
            save: fields.text("save"),
            failed_when: When::parse(fields, "failed_when"),
            changed_when: When::parse(fields, "changed_when"),
        }
    }

    pub(super) fn prepare(&self, scope: &Scope<'_>) -> Result<Judge<'_>, String> {
        Ok(Judge { fields: self, save: scope.optional_word(self.save.as_ref())? })
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

/// The fields with the name under which the result is saved.
pub(super) struct Judge<'m> {
    fields: &'m ResultFields,
    save: Option<String>,
}

impl Judge<'_> {
    /// Saves `rc` and `out` and judges: an exit code other than 0 is a failure unless `failed_when` says otherwise.
    pub(super) fn save_and_judge(&self, end: ProgramEnd, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        let values = values_of(&end);
        self.save(values.clone(), run)?;
        self.judge(end, values, run)
    }

    /// Saves `rc` and the caller's own values, and judges as [`Judge::save_and_judge`] does.
    pub(super) fn save_others_and_judge(
        &self,
        mut others: Map<String, Value>,
        end: ProgramEnd,
        run: &mut Run<'_>,
    ) -> Result<TaskResult, Failure> {
        others.insert("rc".to_owned(), json!(end.exit_code));
        self.save(others, run)?;
        let values = values_of(&end);
        self.judge(end, values, run)
    }

    fn save(&self, values: Map<String, Value>, run: &mut Run<'_>) -> Result<(), Failure> {
        let Some(name) = &self.save else { return Ok(()) };
        Ok(run.variables.store(name, Value::Object(values))?)
    }

    fn judge(
        &self,
        end: ProgramEnd,
        values: Map<String, Value>,
        run: &mut Run<'_>,
    ) -> Result<TaskResult, Failure> {
        let before = run.variables.overlay(values);
        let failed = self.fields.failed_when.as_ref().map_or(Ok(end.exit_code != 0), |when| when.holds(run));
        let changed = self.fields.changed_when.as_ref().map_or(Ok(true), |when| when.holds(run));
        run.variables.lay_back(before);
        let (exit_code, output) = (Some(end.exit_code), Some(end.output));
        if failed? {
            let message = match (&self.fields.failed_when, end.exit_code) {
                (Some(when), _) => format!("failed_when holds: {}", when.text.source.trim()),
                (None, code) => format!("the command failed with exit code {code}"),
            };
            return Err(Failure { message, exit_code, output, timed_out: false });
        }
        let status = if changed? { TaskStatus::Executed } else { TaskStatus::Passive };
        Ok(TaskResult { exit_code, output, ..TaskResult::of(status) })
    }
}

fn values_of(end: &ProgramEnd) -> Map<String, Value> {
    let out = end.output.to_string().trim().to_owned();
    Map::from_iter([("rc".to_owned(), json!(end.exit_code)), ("out".to_owned(), Value::String(out))])
}
