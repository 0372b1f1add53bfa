//! What makes a template too large for the engine.

use super::TemplateFault;

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

/// Refuses what would make the recursive parser overflow or take too long. It may count brackets inside quotes too.
pub(super) fn check(source: &str) -> Result<(), TemplateFault> {
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
