//! Text from elsewhere on a person's terminal: a name, a message or a program's output must not move the cursor, change
//! colours, or turn the direction of writing.

use std::fmt::Write as _;

/// A text for one line: every control character and every character that steers the direction of writing is shown as its
/// escape, e.g. `\n` or `\u{1b}`.
#[must_use]
pub fn printable(text: &str) -> String {
    escape(text, |_| false)
}

/// A text of several lines, each as [`printable`] makes it; tabs stay.
pub fn printable_lines(text: &str) -> impl Iterator<Item = String> {
    text.lines().map(|line| escape(line, |c| c == '\t'))
}

fn escape(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if stays(c) || !(c.is_control() || steers(c)) {
            shown.push(c);
        } else {
            let _ = write!(shown, "{}", c.escape_default());
        }
    }
    shown
}

/// Marks of direction, and separators that some terminals take for line ends.
const fn steers(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_a_terminal() {
        assert_eq!(printable("a\x1b[2Jb\r\tc"), "a\\u{1b}[2Jb\\r\\tc");
        assert_eq!(printable("\u{7f}\u{9b}\u{202e}\u{2066}"), "\\u{7f}\\u{9b}\\u{202e}\\u{2066}");
        assert_eq!(printable("größer – 日本 \\ \"x\""), "größer – 日本 \\ \"x\"");
    }

    #[test]
    fn lines_keep_their_tabs() {
        let lines: Vec<String> = printable_lines("a\tb\r\nc\x07\n\nd").collect();
        assert_eq!(lines, ["a\tb", "c\\u{7}", "", "d"]);
    }
}
