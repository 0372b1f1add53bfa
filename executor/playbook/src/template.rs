//! Templates and conditions: compiled when the script is checked, rendered when their task runs.
//!
//! handlebars 4.5 in strict mode without escaping, with two bounds of ours (nesting and size), `else if` rewritten to
//! what this version understands, and the string helpers.

use std::collections::{BTreeSet, HashMap};

use handlebars::template::{ExpressionSpec, HelperTemplate, Parameter, TemplateElement};
use handlebars::{Context, Output, RenderContext, Renderable as _, Template};

use keros_protocol::limits::shorten;

use crate::else_if;
use crate::findings::Findings;
use crate::helpers::{Registries, TICK};
use crate::mentions;
use crate::parts::{self, Part};
use crate::variables::Variables;
use crate::yaml::Position;

/// A template's text, bytes.
pub(crate) const MAX_TEMPLATE_BYTES: usize = 1024 * 1024;
/// `{{` in one template.
pub(crate) const MAX_TEMPLATE_TAGS: usize = 20_000;
/// A part of a template that cannot be cut (see `parts`), bytes. The engine's time grows with the square of the number of
/// tags in it, so both are bounded: the recorded figure is 1.5 s for 4,000 tags on a fast machine.
pub(crate) const MAX_PART_BYTES: usize = 256 * 1024;
/// `{{` in one such part.
pub(crate) const MAX_PART_TAGS: usize = 4_000;
/// Blocks inside each other, and parentheses inside each other: the engine parses by recursion.
pub(crate) const MAX_TEMPLATE_DEPTH: usize = 32;
/// Result of one rendering, bytes.
pub(crate) const MAX_RENDERED_BYTES: usize = 1024 * 1024;

/// Of an expression, in messages, bytes.
const MAX_SHOWN_BYTES: usize = 200;

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

/// A compiled template: parts that are rendered one after another.
#[derive(Debug)]
pub(crate) struct Compiled(Box<[Template]>);

fn compile_if_needed(source: &str) -> Result<Option<Compiled>, TemplateFault> {
    if source.contains("{{") { compile(source).map(Some) } else { Ok(None) }
}

/// Compiles a template.
///
/// # Errors
/// Bad syntax, or a bound exceeded.
pub(crate) fn compile(source: &str) -> Result<Compiled, TemplateFault> {
    check_bounds(source)?;
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

fn compile_whole(source: &str) -> Result<Compiled, TemplateFault> {
    let whole = Part { text: source, lines_before: 0 };
    Ok(Compiled(Box::new([compile_part(&whole)?])))
}

fn compile_part(part: &Part<'_>) -> Result<Template, TemplateFault> {
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
    // Errors in rendering are told without their lines, and thousands of templates wait in memory.
    template.mapping = Vec::new();
    template.elements.shrink_to_fit();
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
}

/// Refuses what would make the recursive parser overflow or take too long. It may count brackets inside quotes too.
fn check_bounds(source: &str) -> Result<(), TemplateFault> {
    if source.len() > MAX_TEMPLATE_BYTES {
        return Err(TemplateFault::size(format!("a template of more than {MAX_TEMPLATE_BYTES} bytes")));
    }
    if source.matches("{{").count() > MAX_TEMPLATE_TAGS {
        return Err(TemplateFault::size(format!("a template with more than {MAX_TEMPLATE_TAGS} tags")));
    }
    let (mut blocks, mut deepest, mut position) = (0_usize, 0, 0);
    while let Some(start) = source[position..].find("{{") {
        let begin = position + start + 2;
        let end = source[begin..].find("}}").map_or(source.len(), |length| begin + length);
        let inner = &source[begin..end];
        // A tag that is not closed goes on to the next one's end; each may be a block's.
        for opened in std::iter::once(inner).chain(inner.match_indices("{{").map(|(at, _)| &inner[at + 2..]))
        {
            match opened.bytes().take(4).find(|byte| !b"{~".contains(byte)) {
                Some(b'#') => blocks += 1,
                Some(b'/') => blocks = blocks.saturating_sub(1),
                _ => {}
            }
            deepest = deepest.max(blocks);
        }
        deepest = deepest.max(bracket_depth(inner));
        position = end;
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
    template: &Compiled,
    registries: &Registries,
    context: &Context,
) -> Result<String, String> {
    render_with(template, registries.plain(), context)
}

pub(crate) fn render_with(
    template: &Compiled,
    registry: &handlebars::Handlebars<'_>,
    context: &Context,
) -> Result<String, String> {
    let mut output = Bounded::default();
    let mut state = RenderContext::new(None);
    let mut parts = template.0.iter();
    match parts.try_for_each(|part| part.render(registry, context, &mut state, &mut output)) {
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

    /// Loops within their bound, and a value within its own: together they would take minutes.
    #[test]
    fn a_rendering_ends_in_time_whatever_the_values_are() {
        let source = "{{#each l}}{{#each ../l}}{{#if (contains (to_upper_case @root.v) 'x')}}{{/if}}{{/each}}{{/each}}";
        let context = Context::from(json!({ "v": "a".repeat(4 * 1024 * 1024), "l": vec![0; 400] }));
        let began = std::time::Instant::now();
        let compiled = compile(source).map_err(|fault| fault.message).unwrap();
        let message = render(&compiled, &Registries::new(), &context).unwrap_err();
        assert!(message.contains("it takes longer than 10 s"), "{message}");
        assert!(began.elapsed().as_secs() < 40, "{:?}", began.elapsed());
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

    const PIECES: [&str; 41] = [
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

    /// A generator whose sequence is the same in each run.
    fn dice() -> impl FnMut(usize) -> usize {
        let mut state = 1_u64;
        move |bound| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % bound
        }
    }

    #[test]
    fn templates_put_together_by_chance_never_panic() {
        let mut next = dice();
        let mut rendered_well = 0;
        for _ in 0..5_000 {
            let length = 1 + next(10);
            let template: String = (0..length).map(|_| PIECES[next(PIECES.len())]).collect();
            rendered_well += u32::from(rendered(&template).is_ok());
            let _ = Condition::compile(&template);
        }
        assert!(rendered_well > 100, "{rendered_well}");
    }

    #[test]
    fn thousands_of_tags_take_a_time_that_grows_with_their_number() {
        let lines: String = (0..8_000).map(|n| format!("line {n} = {{{{n}}}}\n")).collect();
        let begin = std::time::Instant::now();
        let result = rendered(&lines).unwrap();
        assert!(result.ends_with("line 7999 = 5\n") && result.lines().count() == 8_000);
        // In one piece it takes minutes in a debug build.
        assert!(begin.elapsed() < std::time::Duration::from_secs(10), "{:?}", begin.elapsed());
        let fault = compile(&format!("{lines}{{{{#if n}}\n")).unwrap_err();
        assert!(fault.message.ends_with("in line 8001 of the template"), "{}", fault.message);
    }

    #[test]
    fn what_cannot_be_cut_keeps_the_bound_of_one_piece() {
        let tags = |count: usize| "{{n}}\n".repeat(count);
        for text in [format!("{{{{#if n}}}}\n{}{{{{/if}}}}\n", tags(4_001)), "{{n}}".repeat(4_001)] {
            let fault = compile(&text).unwrap_err();
            assert!(fault.too_large && fault.message.contains("in one piece"), "{}", fault.message);
        }
        assert!(compile(&tags(20_001)).unwrap_err().too_large);
        let text = "x\n".repeat(600 * 1024);
        assert!(compile(&text).unwrap_err().message.contains("bytes"), "more than 1 MiB");
    }

    /// Pieces that are templates by themselves, and by which parts could influence each other.
    const SOUND_PIECES: [&str; 38] = [
        "{{n}}",
        "{{n}}\n",
        "{{n}}",
        "\n",
        "\n",
        "\n\n",
        " \n",
        "\t",
        "  ",
        "\r\n",
        "\r",
        "x",
        "x\n",
        "é",
        "}",
        "{ ",
        "{{~n}}",
        "{{n~}}",
        "{{{n}}}",
        "{{{~ n ~}}}",
        "{{~{n}~}}",
        "{{&s}}",
        "{{! c }}",
        "{{! c\n }}\n",
        "{{!-- }} --}}",
        "{{! -- {{ --}}\n",
        "{{#if n}}\n",
        "{{#if n}}",
        "{{#if no}}",
        "{{~#if n~}}",
        "{{#each l}}\n",
        "{{else}}\n",
        "{{else if no}}\n",
        "{{else}}",
        "{{/if}}\n",
        "{{/if}}",
        "{{~/if~}}",
        "{{/each}}\n",
    ];

    /// Puts sound pieces together so that every block has its end.
    fn sound_template(next: &mut impl FnMut(usize) -> usize) -> String {
        let mut text = String::new();
        let mut open: Vec<&str> = Vec::new();
        for _ in 0..next(160) {
            let piece = SOUND_PIECES[next(SOUND_PIECES.len())];
            let block = if piece.contains("#if") || piece.contains("/if") { "if" } else { "each" };
            if piece.contains('#') {
                open.push(block);
            } else if piece.contains('/') {
                if open.last() != Some(&block) {
                    continue;
                }
                open.pop();
            } else if piece.contains("else") && next(4) > 0 {
                continue;
            }
            text.push_str(piece);
        }
        while let Some(block) = open.pop() {
            text.push_str(&format!("{{{{/{block}}}}}{}", ["", "\n"][next(2)]));
        }
        text
    }

    fn all_of(compiled: Result<Compiled, TemplateFault>, context: &Context) -> Result<String, String> {
        render(&compiled.map_err(|fault| fault.message)?, &Registries::new(), context)
    }

    #[test]
    fn a_template_in_parts_gives_what_it_gives_in_one_piece() {
        let context = Context::from(json!({"n": 5, "s": " a ", "l": ["x", "y"], "no": false}));
        let (mut next, mut cut, mut well) = (dice(), 0, 0);
        for _ in 0..1_000 {
            let template = sound_template(&mut next);
            let parts = parts::split_each(&template, 1 + next(3));
            cut += parts.len() - 1;
            let in_parts = parts.iter().map(compile_part).collect::<Result<_, _>>().map(Compiled);
            let (whole, in_parts) = (all_of(compile_whole(&template), &context), all_of(in_parts, &context));
            well += u32::from(whole.is_ok());
            assert_eq!(whole, in_parts, "{template:?}\n{parts:?}");
        }
        assert!(well > 300 && cut > 800, "{well} {cut}");
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
