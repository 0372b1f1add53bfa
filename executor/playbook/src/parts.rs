//! Cuts a long template into parts that are compiled and rendered one after another, with the same result.
//!
//! The template engine counts lines from the beginning for each tag, so its time grows with the square of a template's
//! length; in parts of some dozens of tags it grows with the length. A cut is made after a line break between two tags,
//! outside of all blocks, and only where nothing crosses it: no `~` trims blanks there, and what a tag alone on its line
//! takes away ends at that line's break. Whoever defines partials, calls them, writes raw blocks or escaped braces gets no cut: those mean more than their place says.
//!
//! The cuts are found without a full parse. That is safe: where a part compiles by itself, a whole template is
//! compiled to the same; where one does not, the caller compiles the whole.

/// Tags after which the next place to cut is used.
const PART_TAGS: usize = 32;
/// Or bytes.
const PART_BYTES: usize = 16 * 1024;

/// Consecutive lines of a template.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part<'s> {
    pub(crate) text: &'s str,
    /// Lines before it.
    pub(crate) lines_before: usize,
}

/// The parts of a template: one, where it is short or cannot be cut.
pub(crate) fn split(source: &str) -> Vec<Part<'_>> {
    split_each(source, PART_TAGS)
}

/// As [`split`], with at least so many tags in a part.
pub(crate) fn split_each(source: &str, part_tags: usize) -> Vec<Part<'_>> {
    let cuts = cuts(source, part_tags).unwrap_or_default();
    let (mut parts, mut begin, mut lines_before) = (Vec::with_capacity(cuts.len() + 1), 0, 0);
    for end in cuts.into_iter().chain([source.len()]) {
        let text = &source[begin..end];
        parts.push(Part { text, lines_before });
        lines_before += text.matches('\n').count();
        begin = end;
    }
    parts
}

/// One tag, as far as cuts depend on it.
struct Tag<'s> {
    start: usize,
    end: usize,
    /// What follows the braces and blanks before it.
    inner: &'s str,
    trims_before: bool,
    trims_after: bool,
}

/// Where to cut; `None`: nowhere.
fn cuts(source: &str, least_tags: usize) -> Option<Vec<usize>> {
    let (mut cuts, mut part_begin, mut part_tags) = (Vec::new(), 0, 0);
    let (mut depth, mut trims_after, mut text_begin) = (0_usize, false, 0);
    loop {
        let tag = match next_tag(source, text_begin) {
            Next::Tag(tag) => tag,
            Next::End => return Some(cuts),
            Next::Special => return None,
        };
        let is_long = part_tags >= least_tags || (part_tags > 0 && tag.start - part_begin >= PART_BYTES);
        if is_long
            && depth == 0
            && !trims_after
            && !tag.trims_before
            && let Some(line_break) = source[text_begin..tag.start].rfind('\n')
        {
            part_begin = text_begin + line_break + 1;
            cuts.push(part_begin);
            part_tags = 0;
        }
        part_tags += 1;
        match tag.inner.as_bytes().first() {
            Some(b'#') => depth += 1,
            Some(b'/') => depth = depth.saturating_sub(1),
            _ => {}
        }
        // After a comment the engine still trims for the tag before it.
        if !tag.inner.starts_with('!') {
            trims_after = tag.trims_after;
        }
        text_begin = tag.end;
    }
}

/// What stands where the next tag is looked for.
enum Next<'s> {
    Tag(Tag<'s>),
    /// No tag, or one without its end.
    End,
    /// Something that forbids all cuts.
    Special,
}

fn next_tag(source: &str, from: usize) -> Next<'_> {
    let Some(start) = source[from..].find("{{").map(|offset| from + offset) else { return Next::End };
    let after = &source[start + 2..];
    if source[..start].ends_with('\\') || after.starts_with("{{") {
        return Next::Special;
    }
    let opened = after.trim_start_matches(['{', ' ', '\t', '\r', '\n']);
    let inner = opened.trim_start_matches(['~', '{', ' ', '\t', '\r', '\n']);
    if inner.starts_with(['>', '*']) || inner.strip_prefix('#').is_some_and(is_decorator) {
        return Next::Special;
    }
    let comment = inner.strip_prefix('!').map(str::trim_start).and_then(|text| text.strip_prefix("--"));
    let end = match comment {
        // Without this end it may be a short comment, or none: not worth an argument.
        Some(comment) => match comment.find("--}}") {
            Some(end) => source.len() - comment.len() + end + 4,
            None => return Next::Special,
        },
        None => match after.find("}}") {
            Some(end) => start + 2 + end + 2,
            None => return Next::End,
        },
    };
    let body = source[start + 2..end - 2].trim_end_matches(['}', ' ', '\t', '\r', '\n']);
    let (trims_before, trims_after) = (opened.starts_with('~'), body.ends_with('~'));
    Next::Tag(Tag { start, end, inner, trims_before, trims_after })
}

fn is_decorator(after_sign: &str) -> bool {
    after_sign.trim_start().starts_with(['>', '*'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<&str> {
        split_each(source, 1).iter().map(|part| part.text).collect()
    }

    #[test]
    fn a_cut_is_between_lines_and_outside_of_blocks() {
        assert_eq!(texts("{{a}}\n{{b}} {{c}}\n\nx {{d}}\n"), ["{{a}}\n", "{{b}} {{c}}\n\n", "x {{d}}\n"]);
        assert_eq!(texts("{{#if a}}\n{{b}}\n{{/if}}\n{{c}}"), ["{{#if a}}\n{{b}}\n{{/if}}\n", "{{c}}"]);
        assert_eq!(texts("{{! a\n}}{{!-- }}\n{{ --}}\n{{c}}"), ["{{! a\n}}{{!-- }}\n{{ --}}\n", "{{c}}"]);
        let lines: Vec<_> =
            split_each("{{a}}\n\n{{b}}\n{{c}}", 1).iter().map(|part| part.lines_before).collect();
        assert_eq!(lines, [0, 2, 3]);
    }

    #[test]
    fn nothing_is_cut_where_something_crosses_the_lines() {
        for text in [
            "{{a~}}\n{{b}}",
            "{{a}}\n{{~b}}",
            "{{{a ~}}}\n{{b}}",
            "{{a}}\n{{{~ b}}}",
            "{{a~}}{{! c }}x\n{{b}}",
            "{{a}}\n{{b}}{{> p}}",
            "{{a}}\n{{#> p}}{{/p}}",
            "{{a}}\n{{#*inline \"p\"}}{{/inline}}",
            "{{a}}\n{{b}}{{{{raw}}}}{{{{/raw}}}}",
            "{{a}}\n{{b}}\\{{c}}",
            "{{a}}\n{{b}}{{!-- c }}",
        ] {
            assert_eq!(texts(text), [text]);
        }
    }

    #[test]
    fn short_templates_stay_whole_and_long_ones_do_not() {
        assert_eq!(split(&"{{a}}\n".repeat(32)).len(), 1);
        assert_eq!(split(&"{{a}}\n".repeat(320)).len(), 10);
        let long_lines = format!("{{{{a}}}}{}\n", "x".repeat(PART_BYTES));
        assert_eq!(split(&long_lines.repeat(3)).len(), 3);
    }
}
