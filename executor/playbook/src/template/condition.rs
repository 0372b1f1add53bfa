//! Expressions that are true or false: `condition`, `changed_when`, `failed_when`.

use keros_protocol::limits::shorten;

use super::{Compiled, TemplateFault, compile, render};
use crate::findings::Findings;
use crate::helpers::Registries;
use crate::mentions;
use crate::variables::Variables;
use crate::yaml::Position;

/// Of an expression, in messages, bytes.
const MAX_SHOWN_BYTES: usize = 200;

/// An expression that is true or false.
#[derive(Debug)]
pub(crate) struct Condition {
    source: Box<str>,
    template: Compiled,
}

impl Condition {
    /// Compiles an expression, as it would stand after `{{#if `.
    ///
    /// # Errors
    /// Bad syntax, or a bound exceeded.
    pub(crate) fn compile(source: &str) -> Result<Self, TemplateFault> {
        let expression = source.trim();
        let shown = shorten(expression, MAX_SHOWN_BYTES);
        let refuse =
            |why: &str| TemplateFault::syntax(format!("failed to parse conditional: {shown}: {why}"));
        if expression.is_empty() {
            return Err(refuse("it is empty"));
        }
        if expression.contains("{{") || expression.contains("}}") {
            return Err(refuse("names stand in it without braces"));
        }
        let template = compile(&format!("{{{{#if {expression} }}}}1{{{{/if}}}}"));
        let template =
            template.map_err(|fault| TemplateFault { message: refuse(&fault.message).message, ..fault })?;
        Ok(Self { source: expression.into(), template })
    }

    /// Compiles an expression that is a field of the script; an error is reported.
    pub(crate) fn of_field(source: &str, at: Position, findings: &mut Findings) -> Option<Self> {
        Self::compile(source).map_err(|fault| fault.report(at, "", findings)).ok()
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// In words, when a helper's parameter is undefined.
    pub(crate) fn holds(&self, registries: &Registries, variables: &Variables) -> Result<bool, String> {
        variables.refuse_unknown(mentions::in_expression(&self.source))?;
        let result = render(&self.template, registries, variables.context());
        result.map(|text| text == "1").map_err(|error| {
            let why = if error.contains("Couldn't read parameter") {
                "one or more parameters may be undefined"
            } else {
                error.as_str()
            };
            format!("failed to parse conditional: {}: {why}", shorten(&self.source, MAX_SHOWN_BYTES))
        })
    }
}
