//! Templates and conditions: compiled when the script is checked, rendered when their task runs.
//!
//! handlebars 4.5 in strict mode without escaping, with two bounds of ours (nesting and size), `else if` rewritten to
//! what this version understands, and the string helpers.

mod adapt;
mod bounds;
mod compile;
mod condition;
mod fault;
mod render;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub(crate) use self::bounds::MAX_TEMPLATE_BYTES;
use self::compile::compile_if_needed;
pub(crate) use self::compile::{Compiled, compile};
pub(crate) use self::condition::Condition;
pub(crate) use self::fault::TemplateFault;
pub(crate) use self::render::{MAX_RENDERED_BYTES, render, render_with};
use crate::findings::Findings;
use crate::helpers::Registries;
use crate::mentions;
use crate::variables::Variables;
use crate::yaml::Position;

/// A text field of a task. Most tasks leave most fields out, so it is a pointer: a task of a long script is small.
#[derive(Debug)]
pub(crate) struct Text(Box<Field>);

/// What is known of a text field.
#[derive(Debug)]
pub(crate) struct Field {
    /// The field's name.
    pub(crate) key: &'static str,
    /// The text as it was written.
    pub(crate) source: Box<str>,
    /// Where it stands.
    pub(crate) at: Position,
    /// Absent when nothing in it is to be replaced.
    template: Option<Compiled>,
}

impl std::ops::Deref for Text {
    type Target = Field;

    fn deref(&self) -> &Field {
        &self.0
    }
}

impl Text {
    /// Compiles a field's text; a syntax error is reported.
    pub(crate) fn compile(
        source: &str,
        key: &'static str,
        at: Position,
        findings: &mut Findings,
    ) -> Option<Self> {
        let template = match compile_if_needed(source) {
            Ok(template) => template,
            Err(error) => {
                error.report(at, &format!("field ({key}): "), findings);
                return None;
            }
        };
        Some(Self(Box::new(Field { key, source: source.into(), at, template })))
    }

    /// It is the same whatever the variables are.
    pub(crate) fn is_literal(&self) -> bool {
        self.template.is_none()
    }

    /// The text with the variables filled in.
    ///
    /// # Errors
    /// In words: an undefined variable, a helper's complaint, a result that is too long.
    pub(crate) fn render(&self, registries: &Registries, variables: &Variables) -> Result<String, String> {
        let Some(template) = &self.template else { return Ok(self.source.to_string()) };
        variables.refuse_unknown(mentions::in_template(&self.source))?;
        render(template, registries, variables.context())
    }

    /// The text as a shell command: every value that is filled in must be harmless to a shell. Inside is the command, or why
    /// a value of it is refused, which is a failure of the act and not of the text.
    ///
    /// # Errors
    /// As [`Text::render`].
    pub(crate) fn render_command(
        &self,
        registries: &Registries,
        variables: &Variables,
    ) -> Result<Result<String, String>, String> {
        let Some(template) = &self.template else { return Ok(Ok(self.source.to_string())) };
        variables.refuse_unknown(mentions::in_template(&self.source))?;
        let (rendered, refused) = registries.render_filtered(template, variables.context());
        rendered.map(|command| refused.map_or(Ok(command), Err))
    }
}

/// A file that is a template.
#[derive(Debug)]
pub(crate) struct TemplateFile {
    pub(crate) template: Compiled,
    /// The variables that it mentions.
    pub(crate) names: BTreeSet<String>,
}

impl TemplateFile {
    /// Compiles a file's text.
    ///
    /// # Errors
    /// Bad syntax, or a bound exceeded.
    pub(crate) fn compile(source: &str) -> Result<Self, TemplateFault> {
        let names = mentions::in_template(source).map(str::to_owned).collect();
        Ok(Self { template: compile(source)?, names })
    }
}
