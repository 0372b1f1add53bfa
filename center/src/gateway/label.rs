//! Labels: words that operators put on gateways, and that rules of groups ask for.

/// Labels of one gateway, and characters of one.
pub(crate) const MAX_LABELS: usize = 16;
pub(crate) const MAX_LABEL_CHARS: usize = 64;

/// Whether a text can be a label: no blank and no comma, so that lists of them can be written, and none of the signs of a rule.
pub(crate) fn is_label(text: &str) -> bool {
    (1..=MAX_LABEL_CHARS).contains(&text.len()) && text.chars().all(is_label_character)
}

/// Of labels, models and versions: what stands in a rule without quotes.
pub(super) fn is_label_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._:/-+@".contains(c)
}

/// Why labels are refused.
pub(crate) fn refusal(labels: &[String]) -> Option<String> {
    if labels.len() > MAX_LABELS {
        return Some(format!("a gateway has at most {MAX_LABELS} labels, found {}", labels.len()));
    }
    let bad = labels.iter().find(|label| !is_label(label))?;
    let shown = keros_protocol::limits::shorten(bad, 100);
    Some(format!(
        "{shown:?} is no label: 1 to {MAX_LABEL_CHARS} of the letters a-z A-Z, digits, . _ : / - + @"
    ))
}
