//! Rewrites `{{else if x}}` to `{{else}}{{#if x}}` with the closing tags that it needs.
//!
//! The template engine of the recorded behaviour takes such a chain silently for its last branch. A tag that stands alone
//! on its line is written as lines of its own, so that the engine removes those lines as it would have.

/// One tag of a template.
struct Tag<'a> {
    /// Where `{{` and the end of `}}` are.
    start: usize,
    end: usize,
    /// Between the braces, without `~` and blanks.
    inner: &'a str,
    trim_before: bool,
    trim_after: bool,
}

/// A template without `else if`.
pub(crate) struct Rewritten {
    pub(crate) text: String,
    /// Lines that end with a line break that was added.
    added: Vec<usize>,
}

impl Rewritten {
    /// Which line of the template as it was written became this one.
    pub(crate) fn written_line(&self, line: usize) -> usize {
        line - self.added.iter().filter(|added| **added < line).count()
    }
}

/// The same template without `else if` (or `else unless` and so on) chains.
pub(crate) fn rewrite(source: &str) -> Rewritten {
    let mut added = Vec::new();
    if !source.contains("else") && !source.contains('^') {
        return Rewritten { text: source.to_owned(), added };
    }
    let mut result = String::with_capacity(source.len() + 64);
    let (mut copied, mut line) = (0, 1);
    // The blocks under way: for each, the names of the blocks that were put into it.
    let mut blocks: Vec<Vec<&str>> = Vec::new();
    let mut position = 0;
    while let Some(tag) = next_tag(source, position) {
        position = tag.end;
        let replacement = match tag.inner.chars().next() {
            Some('#') => {
                blocks.push(Vec::new());
                None
            }
            Some('/') => {
                blocks.pop().filter(|added| !added.is_empty()).map(|added| close(&tag, source, &added))
            }
            _ => chained(tag.inner).and_then(|(name, rest)| {
                blocks.last_mut()?.push(name);
                Some(open(&tag, source, rest))
            }),
        };
        if let Some(text) = replacement {
            let breaks = |text: &str| text.matches('\n').count();
            line += breaks(&source[copied..tag.start]);
            let new = breaks(&text).saturating_sub(breaks(&source[tag.start..tag.end]));
            added.extend(line..line + new);
            line += breaks(&text);
            result.push_str(&source[copied..tag.start]);
            result.push_str(&text);
            copied = tag.end;
        }
    }
    result.push_str(&source[copied..]);
    Rewritten { text: result, added }
}

/// `if` and `if x` of `else if x`.
fn chained(inner: &str) -> Option<(&str, &str)> {
    let rest = inner.strip_prefix("else").or_else(|| inner.strip_prefix('^'))?;
    let trimmed = rest.trim_start();
    let is_chain = trimmed.len() < rest.len() && !trimmed.is_empty();
    is_chain.then(|| (trimmed.split_whitespace().next().unwrap_or_default(), trimmed))
}

fn open(tag: &Tag<'_>, source: &str, rest: &str) -> String {
    let (before, after) = (tilde(tag.trim_before), tilde(tag.trim_after));
    format!("{{{{{before}else}}}}{}{{{{#{rest}{after}}}}}", separator(tag, source))
}

fn close(tag: &Tag<'_>, source: &str, added: &[&str]) -> String {
    let (before, after) = (tilde(tag.trim_before), tilde(tag.trim_after));
    let separator = separator(tag, source);
    let mut names: Vec<String> = added.iter().rev().map(|name| format!("/{name}")).collect();
    names.push(tag.inner.to_owned());
    let last = names.len() - 1;
    let tags = names.iter().enumerate().map(|(i, name)| {
        let before = if i == 0 { before } else { "" };
        let after = if i == last { after } else { "" };
        format!("{{{{{before}{name}{after}}}}}")
    });
    tags.collect::<Vec<_>>().join(separator)
}

const fn tilde(trim: bool) -> &'static str {
    if trim { "~" } else { "" }
}

/// A line break when the tag stands alone on its line, so that each part does too.
fn separator(tag: &Tag<'_>, source: &str) -> &'static str {
    let blank = |text: &str| text.chars().all(|c| matches!(c, ' ' | '\t' | '\r'));
    let line_before = source[..tag.start].rsplit('\n').next().unwrap_or_default();
    let line_after = source[tag.end..].split('\n').next().unwrap_or_default();
    if blank(line_before) && blank(line_after) { "\n" } else { "" }
}

/// The next tag that can open, continue or close a block; comments, raw blocks and escaped braces are passed over.
fn next_tag(source: &str, mut position: usize) -> Option<Tag<'_>> {
    loop {
        let start = position + source[position..].find("{{")?;
        let after = &source[start..];
        if source[..start].ends_with('\\') && !source[..start].ends_with("\\\\") {
            position = start + 2;
        } else if after.starts_with("{{{{") {
            position = end_of_raw(source, start)?;
        } else if after.starts_with("{{!--") {
            position = start + after.find("--}}")? + 4;
        } else {
            let end = start + after.find("}}")? + 2;
            let inside = &source[start + 2..end - 2];
            let trim_before = inside.starts_with('~');
            let trim_after = inside.ends_with('~');
            let inner = inside.trim_start_matches('~').trim_end_matches('~').trim();
            return Some(Tag { start, end, inner, trim_before, trim_after });
        }
    }
}

fn end_of_raw(source: &str, start: usize) -> Option<usize> {
    let close = start + 4 + source[start + 4..].find("{{{{/")?;
    Some(close + source[close..].find("}}}}")? + 4)
}

#[cfg(test)]
mod tests {
    use handlebars::Context;
    use serde_json::json;

    use super::*;
    use crate::helpers::Registries;
    use crate::template::{compile, render};

    fn rendered(template: &str, n: u32) -> String {
        let context = Context::from(json!({"n": n, "no": false, "l": [1, 2, 3]}));
        render(&compile(template).unwrap(), &Registries::new(), &context).unwrap()
    }

    fn each(template: &str) -> [String; 4] {
        [1, 2, 3, 4].map(|n| rendered(template, n))
    }

    #[test]
    fn a_chain_within_a_line_takes_its_branch() {
        let template = "<{{#if (eq n 1)}}a{{else if (eq n 2)}}b{{else if (eq n 3)}}c{{else}}d{{/if}}>";
        assert_eq!(each(template), ["<a>", "<b>", "<c>", "<d>"]);
        let without_else = "<{{#if (eq n 1)}}a{{^ if (eq n 2)}}b{{/if}}>";
        assert_eq!(each(without_else), ["<a>", "<b>", "<>", "<>"]);
    }

    #[test]
    fn tags_alone_on_their_lines_leave_no_lines_behind() {
        let template = "begin\n  {{#if (eq n 1)}}\n  a\n  {{else if (eq n 2)}}\n  b\n  {{else if (eq n 3)}}\n  c\n  {{else}}\n  d\n  {{/if}}\nend\n";
        let expected = ["a", "b", "c", "d"].map(|branch| format!("begin\n  {branch}\nend\n"));
        assert_eq!(each(template), expected);
        let windows = template.replace('\n', "\r\n");
        let plain = windows
            .replace("{{else if (eq n 2)}}", "{{else}}")
            .replace("  {{else if (eq n 3)}}\r\n  c\r\n  {{else}}\r\n  d\r\n", "");
        assert_eq!(rendered(&windows, 1), rendered(&plain, 1));
        assert_eq!(rendered(&windows, 2), rendered(&plain, 2));
    }

    #[test]
    fn other_blocks_and_blocks_inside_each_other_chain_too() {
        let template =
            "{{#each l}}{{#if (eq this 1)}}one{{else unless (eq this 2)}}other{{else}}two{{/if}},{{/each}}";
        assert_eq!(rendered(template, 0), "one,two,other,");
        let inner = "{{#if no}}x{{else if (eq n 2)}}{{#if no}}y{{else if (eq n 2)}}z{{/if}}{{/if}}!";
        assert_eq!(each(inner), ["!", "z!", "!", "!"]);
    }

    #[test]
    fn signs_that_trim_blanks_keep_their_meaning() {
        let template = "[ {{~#if (eq n 1)~}} a {{~else if (eq n 2)~}} b {{~else~}} c {{~/if~}} ]";
        assert_eq!(each(template), ["[a]", "[b]", "[c]", "[c]"]);
    }

    #[test]
    fn lines_are_counted_as_they_were_written() {
        let rewritten = rewrite("1\n{{#if a}}\n3\n{{else if b}}\n5\n{{else if c}}\n7\n{{/if}}\n9");
        let numbered = rewritten
            .text
            .lines()
            .zip(1..)
            .filter_map(|(text, line)| Some((text.parse::<usize>().ok()?, line)));
        let written: Vec<_> = numbered.map(|(number, line)| (number, rewritten.written_line(line))).collect();
        assert_eq!(written, [(1, 1), (3, 3), (5, 5), (7, 7), (9, 9)]);
        assert_eq!(rewritten.text.lines().count(), 13);
    }

    #[test]
    fn comments_raw_blocks_and_escaped_braces_stay_as_they_are() {
        for text in [
            "{{!-- {{else if x}} --}}",
            "{{{{raw}}}}{{else if x}}{{{{/raw}}}}",
            "\\{{else if x}}",
            "{{elsewhere}} {{else}} else if",
            "{{else if",
        ] {
            assert_eq!(rewrite(text).text, text);
        }
    }
}
