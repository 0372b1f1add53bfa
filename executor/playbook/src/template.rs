//! Templates and conditions: compiled when the script is checked, rendered when their task runs.
//!
//! handlebars 4.5 in strict mode without escaping, with two bounds of ours (nesting and size), `else if` rewritten to
//! what this version understands, and the string helpers.

use std::collections::{BTreeSet, HashMap};

use handlebars::template::{ExpressionSpec, HelperTemplate, Parameter, TemplateElement, TemplateMapping};
use handlebars::{Context, Output, RenderContext, Renderable as _, Template};

use keros_protocol::limits::shorten;

use crate::else_if;
use crate::findings::Findings;
use crate::helpers::{Registries, TICK};
use crate::mentions;
use crate::variables::Variables;
use crate::yaml::Position;

/// A template's text, bytes. The engine's time grows with the square of the number of tags, so both are bounded:
/// the recorded figure is 1.5 s for 4,000 tags on a fast machine.
pub(crate) const MAX_TEMPLATE_BYTES: usize = 256 * 1024;
/// `{{` in one template.
pub(crate) const MAX_TEMPLATE_TAGS: usize = 4_000;
/// Blocks inside each other, and parentheses inside each other: the engine parses by recursion.
pub(crate) const MAX_TEMPLATE_DEPTH: usize = 32;
/// Result of one rendering, bytes.
pub(crate) const MAX_RENDERED_BYTES: usize = 1024 * 1024;

/// Of an expression, in messages, bytes.
const MAX_SHOWN_BYTES: usize = 200;

/// A text field of a task.
#[derive(Debug)]
pub(crate) struct Text {
    /// The field's name.
    pub(crate) key: &'static str,
    /// The text as it was written.
    pub(crate) source: String,
    /// Where it stands.
    pub(crate) at: Position,
    /// Absent when nothing in it is to be replaced.
    template: Option<Template>,
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
        Some(Self { key, source: source.to_owned(), at, template })
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
        let Some(template) = &self.template else { return Ok(self.source.clone()) };
        variables.refuse_unknown(mentions::in_template(&self.source))?;
        render(template, registries, variables.context())
    }

    /// The text as a shell command: every value that is filled in must be harmless to a shell.
    ///
    /// # Errors
    /// As [`Text::render`]; and a value that a shell would take for more than words.
    pub(crate) fn render_command(
        &self,
        registries: &Registries,
        variables: &Variables,
    ) -> Result<String, String> {
        let Some(template) = &self.template else { return Ok(self.source.clone()) };
        variables.refuse_unknown(mentions::in_template(&self.source))?;
        let (rendered, refused) = registries.render_filtered(template, variables.context());
        refused.map_or(rendered, Err)
    }
}

/// A file that is a template.
#[derive(Debug)]
pub(crate) struct TemplateFile {
    pub(crate) template: Template,
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

/// A template or condition that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TemplateFault {
    pub(crate) message: String,
    pub(crate) too_large: bool,
}

impl TemplateFault {
    fn syntax(message: String) -> Self {
        Self { message, too_large: false }
    }

    fn size(message: String) -> Self {
        Self { message, too_large: true }
    }

    pub(crate) fn report(&self, at: Position, prefix: &str, findings: &mut Findings) {
        let message = format!("{prefix}{}", self.message);
        if self.too_large { findings.too_large(at, &message) } else { findings.invalid(at, &message) }
    }
}

fn compile_if_needed(source: &str) -> Result<Option<Template>, TemplateFault> {
    if source.contains("{{") { compile(source).map(Some) } else { Ok(None) }
}

/// Compiles a template.
///
/// # Errors
/// Bad syntax, or a bound exceeded.
pub(crate) fn compile(source: &str) -> Result<Template, TemplateFault> {
    check_bounds(source)?;
    let rewritten = else_if::rewrite(source);
    let mut template = Template::compile(&rewritten).map_err(|error| {
        let place = error.line_no.map_or_else(String::new, |line| format!(" in line {line} of the template"));
        TemplateFault::syntax(format!("Template error: {}{place}", error.reason()))
    })?;
    adapt(&mut template, Inside::Nothing)?;
    Ok(template)
}

/// What a part of a template stands in, as far as partials are concerned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Nothing,
    /// A definition of a partial: it may call the block that it was given, and no other partial.
    Definition,
    /// A block that is given to a partial: it may call none.
    Given,
}

/// Makes `{{{x}}}` and `{{&x}}` what `{{x}}` is (nothing is escaped here, and the filter for commands sees all values),
/// counts what every block does, and refuses partials that could call themselves without end.
fn adapt(template: &mut Template, inside: Inside) -> Result<(), TemplateFault> {
    for element in &mut template.elements {
        match element {
            TemplateElement::HtmlExpression(expression) => {
                *element = TemplateElement::Expression(expression.clone());
            }
            TemplateElement::HelperBlock(block) => {
                for part in block.template.iter_mut().chain(&mut block.inverse) {
                    adapt(part, inside)?;
                    count_entry(part);
                }
            }
            TemplateElement::DecoratorBlock(block) => {
                block.template.as_mut().map_or(Ok(()), |part| adapt(part, Inside::Definition))?;
            }
            TemplateElement::PartialExpression(call) => {
                let calls_its_block = call.name.as_name() == Some("@partial-block");
                check_partial(
                    inside == Inside::Nothing || (inside == Inside::Definition && calls_its_block),
                )?;
            }
            TemplateElement::PartialBlock(call) => {
                check_partial(inside == Inside::Nothing)?;
                call.template.as_mut().map_or(Ok(()), |part| adapt(part, Inside::Given))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_partial(is_allowed: bool) -> Result<(), TemplateFault> {
    let message = "Template error: a partial inside another could call itself without end";
    if is_allowed { Ok(()) } else { Err(TemplateFault::syntax(message.to_owned())) }
}

/// Puts a call of the counting helper at the beginning of a block: loops inside loops must end.
fn count_entry(part: &mut Template) {
    let name = Parameter::Name(TICK.to_owned());
    let (params, hash) = (Vec::new(), HashMap::new());
    let call =
        ExpressionSpec { name, params, hash, block_param: None, omit_pre_ws: false, omit_pro_ws: false };
    part.elements.insert(0, TemplateElement::Expression(Box::new(HelperTemplate::new(call, false))));
    let place = part.mapping.first().cloned().unwrap_or(TemplateMapping(1, 1));
    part.mapping.insert(0, place);
}

/// Refuses what would make the recursive parser overflow or take too long. It may count brackets inside quotes too.
fn check_bounds(source: &str) -> Result<(), TemplateFault> {
    if source.len() > MAX_TEMPLATE_BYTES {
        return Err(TemplateFault::size(format!("a template of more than {MAX_TEMPLATE_BYTES} bytes")));
    }
    let (mut blocks, mut deepest, mut tags) = (0_usize, 0, 0);
    let mut rest = source;
    while let Some(start) = rest.find("{{") {
        tags += 1;
        let after = &rest[start + 2..];
        let inner = &after[..after.find("}}").unwrap_or(after.len())];
        match inner.trim_start_matches(['{', '~']).chars().next() {
            Some('#') => blocks += 1,
            Some('/') => blocks = blocks.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(blocks).max(bracket_depth(inner));
        rest = after;
    }
    if tags > MAX_TEMPLATE_TAGS {
        return Err(TemplateFault::size(format!("a template with more than {MAX_TEMPLATE_TAGS} tags")));
    }
    if deepest > MAX_TEMPLATE_DEPTH {
        let message =
            format!("a template with blocks or parentheses nested deeper than {MAX_TEMPLATE_DEPTH}");
        return Err(TemplateFault::size(message));
    }
    Ok(())
}

fn bracket_depth(inner: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in inner.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Renders a compiled template.
///
/// # Errors
/// In words.
pub(crate) fn render(
    template: &Template,
    registries: &Registries,
    context: &Context,
) -> Result<String, String> {
    render_with(template, registries.plain(), context)
}

pub(crate) fn render_with(
    template: &Template,
    registry: &handlebars::Handlebars<'_>,
    context: &Context,
) -> Result<String, String> {
    let mut output = Bounded::default();
    let mut state = RenderContext::new(None);
    match template.render(registry, context, &mut state, &mut output) {
        _ if output.full => {
            Err(format!("Template error: the result is longer than {MAX_RENDERED_BYTES} bytes"))
        }
        Ok(()) => Ok(output.text),
        Err(error) => Err(format!("Template error: {}", error.desc)),
    }
}

/// Takes what a template writes, to a bound.
#[derive(Default)]
struct Bounded {
    text: String,
    full: bool,
}

impl Output for Bounded {
    fn write(&mut self, segment: &str) -> std::io::Result<()> {
        if self.text.len() + segment.len() > MAX_RENDERED_BYTES {
            self.full = true;
            return Err(std::io::Error::other("too long"));
        }
        self.text.push_str(segment);
        Ok(())
    }
}

/// An expression that is true or false.
#[derive(Debug)]
pub(crate) struct Condition {
    source: String,
    template: Template,
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
        Ok(Self { source: expression.to_owned(), template })
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rendered(template: &str) -> Result<String, String> {
        let context = Context::from(json!({
            "s": " Ab ", "n": 5, "f": 1.5, "whole": 5.0, "big": 18_446_744_073_709_551_615_u64, "z": null,
            "l": ["x", "y"], "m": {"k": "v"}, "no": false, "q": "<a&'\">",
        }));
        render(&compile(template).map_err(|fault| fault.message)?, &Registries::new(), &context)
    }

    #[test]
    fn values_print_as_the_recorded_engine_prints_them() {
        let all = "{{n}} {{f}} {{whole}} {{big}} {{z}} {{l}} {{m}} {{no}} {{q}} {{{q}}} {{&q}}";
        let expected = "5 1.5 5.0 18446744073709551615  [x, y, ] [object] false <a&'\"> <a&'\"> <a&'\">";
        assert_eq!(rendered(all).as_deref(), Ok(expected));
    }

    #[test]
    fn the_string_helpers_work_and_isdefined_asks_without_an_error() {
        let all = "{{to_lower_case s}}|{{to_upper_case s}}|{{trim s}}|{{trim_start s}}|{{trim_end s}}";
        assert_eq!(rendered(all).as_deref(), Ok(" ab | AB |Ab|Ab | Ab"));
        let tests =
            "{{contains s 'A'}}{{starts_with s ' A'}}{{ends_with s 'x'}}{{isdefined s}}{{isdefined m.x}}";
        assert_eq!(rendered(tests).as_deref(), Ok("truetruefalsetruefalse"));
        assert_eq!(rendered("{{#if (isdefined nope)}}1{{else}}2{{/if}}").as_deref(), Ok("2"));
    }

    #[test]
    fn an_undefined_name_is_an_error_where_it_is_printed_and_false_where_it_is_asked() {
        let error = "Template error: Variable \"nope\" not found in strict mode.";
        assert_eq!(rendered("{{nope}}").unwrap_err(), error);
        assert!(rendered("{{#each nope}}{{/each}}").is_err());
        assert!(rendered("{{eq nope 1}}").unwrap_err().contains("`eq` helper: Couldn't read parameter"));
        assert_eq!(rendered("{{#if nope}}1{{/if}}{{#unless nope}}2{{/unless}}").as_deref(), Ok("2"));
    }

    #[test]
    fn templates_put_together_by_chance_never_panic() {
        let pieces = [
            "{{",
            "}}",
            "{{{",
            "}}}",
            "{{{{",
            "}}}}",
            "{{#if ",
            "{{else if ",
            "{{else}}",
            "{{/if}}",
            "{{#each l}}",
            "{{/each}}",
            "{{> p}}",
            "{{#*inline \"p\"}}",
            "{{/inline}}",
            "{{!--",
            "--}}",
            "~",
            "#",
            "/",
            "n",
            "l.[0]",
            "l.x",
            "m.k",
            "(eq n 5)",
            "(",
            ")",
            "'",
            "\"",
            "\\",
            "../",
            "@root",
            "@index",
            " ",
            "\n",
            "é",
            "lookup l 1",
            "as |a b|",
            "[",
            "]",
            "1e9",
        ];
        let mut state = 1_u64;
        let mut next = |bound: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % bound
        };
        let mut rendered_well = 0;
        for _ in 0..5_000 {
            let length = 1 + next(10);
            let template: String = (0..length).map(|_| pieces[next(pieces.len())]).collect();
            rendered_well += u32::from(rendered(&template).is_ok());
            let _ = Condition::compile(&template);
        }
        assert!(rendered_well > 100, "{rendered_well}");
    }

    #[test]
    fn loops_inside_loops_end() {
        let twenty = format!("{}{}", "{{#each @root.l}}".repeat(20), "{{/each}}".repeat(20));
        assert!(rendered(&twenty).unwrap_err().contains("more than"));
        let well = "{{#each l}}{{this}}{{#if @last}}!{{/if}}{{/each}}";
        assert_eq!(rendered(well).as_deref(), Ok("xy!"));
    }

    #[test]
    fn partials_work_and_cannot_call_themselves() {
        let one = "{{#*inline \"p\"}}<{{n}}>{{/inline}}{{> p}}{{> p}}";
        assert_eq!(rendered(one).as_deref(), Ok("<5><5>"));
        let given = "{{#*inline \"p\"}}<{{> @partial-block}}>{{/inline}}{{#> p}}{{n}}{{/p}}";
        assert_eq!(rendered(given).as_deref(), Ok("<5>"));
        for text in [
            "{{#*inline \"p\"}}{{> p}}{{/inline}}{{> p}}",
            "{{#*inline \"p\"}}{{#if n}}{{> p}}{{/if}}{{/inline}}{{> p}}",
            "{{#*inline \"p\"}}{{> @partial-block}}{{/inline}}{{#> p}}{{> p}}{{/p}}",
            "{{#*inline \"p\"}}{{#> p}}{{/p}}{{/inline}}{{> p}}",
        ] {
            assert!(rendered(text).unwrap_err().contains("without end"), "{text}");
        }
    }

    #[test]
    fn a_result_has_a_bound() {
        let long = format!("{{{{#each l}}}}{}{{{{/each}}}}", "y".repeat(200_000));
        assert_eq!(rendered(&long).unwrap().len(), 400_000);
        let nested = format!(
            "{{{{#each l}}}}{{{{#each ../l}}}}{{{{#each ../../l}}}}{}{{{{/each}}}}{{{{/each}}}}{{{{/each}}}}",
            "y".repeat(200_000)
        );
        assert!(rendered(&nested).unwrap_err().contains("longer than"));
    }

    #[test]
    fn conditions_follow_the_rules_of_if() {
        let registries = Registries::new();
        let variables = json!({"n": 5, "s": "x", "l": [0, 1], "e": "", "o": {}});
        let variables = Variables::new(variables.as_object().unwrap().clone());
        let holds = |text: &str| Condition::compile(text).unwrap().holds(&registries, &variables);
        for text in
            ["n", "s", "l.[1]", "(eq n 5)", "(and (gt n 4) (not e))", "(or e (lte n 5))", "true", " n "]
        {
            assert_eq!(holds(text), Ok(true), "{text}");
        }
        for text in ["e", "o", "l.[0]", "0", "false", "nope", "eq n 5", "(eq n \"5\")", "(eq s \"y\")"] {
            assert_eq!(holds(text), Ok(false), "{text}");
        }
        assert!(holds("(eq nope 1)").unwrap_err().contains("one or more parameters may be undefined"));
    }
}
