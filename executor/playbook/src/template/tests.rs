use serde_json::json;

use super::compile::{compile_part, compile_whole};
use super::*;
use crate::parts;
use handlebars::Context;

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
    let source =
        "{{#each l}}{{#each ../l}}{{#if (contains (to_upper_case @root.v) 'x')}}{{/if}}{{/each}}{{/each}}";
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
    let tests = "{{contains s 'A'}}{{starts_with s ' A'}}{{ends_with s 'x'}}{{isdefined s}}{{isdefined m.x}}";
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
    for text in ["n", "s", "l.[1]", "(eq n 5)", "(and (gt n 4) (not e))", "(or e (lte n 5))", "true", " n "] {
        assert_eq!(holds(text), Ok(true), "{text}");
    }
    for text in ["e", "o", "l.[0]", "0", "false", "nope", "eq n 5", "(eq n \"5\")", "(eq s \"y\")"] {
        assert_eq!(holds(text), Ok(false), "{text}");
    }
    assert!(holds("(eq nope 1)").unwrap_err().contains("one or more parameters may be undefined"));
}
