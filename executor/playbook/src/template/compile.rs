//! From a template's text to what is rendered.

use handlebars::Template;

use super::TemplateFault;
use super::adapt::{Inside, adapt};
use super::bounds::{self, MAX_PART_BYTES, MAX_PART_TAGS};
use crate::else_if;
use crate::parts::{self, Part};

/// A compiled template: parts that are rendered one after another.
#[derive(Debug)]
pub(crate) struct Compiled(pub(super) Box<[Template]>);

pub(super) fn compile_if_needed(source: &str) -> Result<Option<Compiled>, TemplateFault> {
    if source.contains("{{") { compile(source).map(Some) } else { Ok(None) }
}

/// Compiles a template.
///
/// # Errors
/// Bad syntax, or a bound exceeded.
pub(crate) fn compile(source: &str) -> Result<Compiled, TemplateFault> {
    bounds::check(source)?;
    let parts = parts::split(source);
    if parts.len() == 1 {
        return compile_whole(source);
    }
    match parts.iter().map(compile_part).collect() {
        Ok(parts) => Ok(Compiled(parts)),
        // The whole may be good all the same, where a cut went through a text in quotes; else it knows the fault best.
        Err(_) if fits_a_part(source) => compile_whole(source),
        Err(fault) => Err(fault),
    }
}

pub(super) fn compile_whole(source: &str) -> Result<Compiled, TemplateFault> {
    let whole = Part { text: source, lines_before: 0 };
    Ok(Compiled(Box::new([compile_part(&whole)?])))
}

pub(super) fn compile_part(part: &Part<'_>) -> Result<Template, TemplateFault> {
    if !fits_a_part(part.text) {
        let message = format!(
            "a template with more than {MAX_PART_TAGS} tags or {MAX_PART_BYTES} bytes in one piece: end a block in between"
        );
        return Err(TemplateFault::size(message));
    }
    let rewritten = else_if::rewrite(part.text);
    let mut template = Template::compile(&rewritten.text).map_err(|error| {
        let line = error.line_no.map(|line| rewritten.written_line(line) + part.lines_before);
        let place = line.map_or_else(String::new, |line| format!(" in line {line} of the template"));
        TemplateFault::syntax(format!("Template error: {}{place}", error.reason()))
    })?;
    adapt(&mut template, Inside::Nothing)?;
    Ok(template)
}

fn fits_a_part(text: &str) -> bool {
    text.len() <= MAX_PART_BYTES && text.matches("{{").count() <= MAX_PART_TAGS
}
