//! What a program's end means for its task: what is saved of it, whether it failed, whether it changed anything.

use keros_protocol::executor::{TaskResult, TaskStatus};
use serde_json::{Map, Value, json};

use super::imagined::PROGRAM;
use super::{Failure, Run, Scope};
use crate::fields::Fields;
use crate::mentions;
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

    /// The name under which the result is saved.
    pub(super) fn saves(&self, scope: &Scope<'_>) -> Vec<String> {
        self.save.iter().filter_map(|name| scope.word(name).ok()).collect()
    }

    pub(super) fn prepare(&self, scope: &Scope<'_>) -> Result<Judge<'_>, String> {
        Ok(Judge {
            save: scope.optional_word(self.save.as_ref())?,
            failed_when: self.failed_when.as_ref().map(|when| when.prepare(scope)).transpose()?,
            changed_when: self.changed_when.as_ref().map(|when| when.prepare(scope)).transpose()?,
        })
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

    /// Renders the text, which knows nothing of the result yet: a fault in it fails the task before it acts.
    fn prepare(&self, scope: &Scope<'_>) -> Result<Prepared<'_>, String> {
        let source = self.text.source.trim();
        let (expression, condition) = match &self.condition {
            Some(condition) => (source.to_owned(), Some(condition)),
            None => (scope.text(&self.text)?, None),
        };
        Ok(Prepared { source, expression, condition })
    }
}

/// A condition about a result, its text rendered.
struct Prepared<'m> {
    /// As the script gives it.
    source: &'m str,
    expression: String,
    /// Compiled already when the text is no template.
    condition: Option<&'m Condition>,
}

impl Prepared<'_> {
    fn holds(&self, run: &Run<'_>) -> Result<bool, String> {
        if let Some(condition) = self.condition {
            return condition.holds(run.registries, run.variables);
        }
        let condition = Condition::compile(&self.expression).map_err(|fault| fault.message)?;
        condition.holds(run.registries, run.variables)
    }

    /// That it holds, for a failure.
    fn message(&self) -> String {
        format!("failed_when holds: {}", self.source)
    }
}

/// The fields, rendered.
pub(super) struct Judge<'m> {
    save: Option<String>,
    failed_when: Option<Prepared<'m>>,
    changed_when: Option<Prepared<'m>>,
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

    /// What a dry run says of a program that it does not run: conditions that do not ask for its result are judged as they
    /// are in a run, and what would be saved is not known.
    pub(super) fn foretell(&self, run: &mut Run<'_>) -> Result<TaskResult, Failure> {
        let failed = self.foretold(self.failed_when.as_ref(), run)?;
        let changed = self.foretold(self.changed_when.as_ref(), run)?;
        if let Some(name) = &self.save {
            run.variables.forget(name);
        }
        run.imagined.set(PROGRAM, "", "run");
        if let (Some(when), Some(true)) = (&self.failed_when, failed) {
            return Err(when.message().into());
        }
        let status = if changed == Some(false) { TaskStatus::Passive } else { TaskStatus::Executed };
        Ok(TaskResult::of(status))
    }

    /// Whether a condition holds; `None`: there is none, or it asks for the result.
    fn foretold(&self, when: Option<&Prepared<'_>>, run: &Run<'_>) -> Result<Option<bool>, String> {
        let Some(when) = when else { return Ok(None) };
        let is_result = |name: &str| matches!(name, "rc" | "out") || self.save.as_deref() == Some(name);
        let asks = |text: &str| mentions::in_expression(text).any(is_result);
        if asks(&when.expression) {
            return Ok(None);
        }
        when.holds(run).map(Some)
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
        let failed = self.failed_when.as_ref().map_or(Ok(end.exit_code != 0), |when| when.holds(run));
        let changed = self.changed_when.as_ref().map_or(Ok(true), |when| when.holds(run));
        run.variables.lay_back(before);
        let (exit_code, output) = (Some(end.exit_code), Some(end.output));
        if failed? {
            let message = match (&self.failed_when, end.exit_code) {
                (Some(when), _) => when.message(),
                (None, code) => format!("the command failed with exit code {code}"),
            };
            return Err(Failure { message, exit_code, output, ..Failure::default() });
        }
        let status = if changed? { TaskStatus::Executed } else { TaskStatus::Passive };
        Ok(TaskResult { exit_code, output, ..TaskResult::of(status) })
    }
}

fn values_of(end: &ProgramEnd) -> Map<String, Value> {
    let out = end.output.to_string().trim().to_owned();
    Map::from_iter([("rc".to_owned(), json!(end.exit_code)), ("out".to_owned(), Value::String(out))])
}
