//! A text with unified diffs in it, line by line. Pure.

/// A line, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DiffLine {
    /// `add`, `del`, `at` (a place), `task`, or nothing: a class in `app.css`.
    pub(crate) class: &'static str,
    /// As it is.
    pub(crate) text: String,
}

/// How far the lines of a diff stand to the right: what the gateways send says what each task would change in words, and files below that.
const INDENT: &str = "    ";

/// The lines of such a text.
pub(crate) fn lines(text: &str) -> Vec<DiffLine> {
    text.lines().map(|line| DiffLine { class: class(line), text: line.to_owned() }).collect()
}

fn class(line: &str) -> &'static str {
    match line.strip_prefix(INDENT).map(str::as_bytes) {
        Some([b'+', ..]) => "add",
        Some([b'-', ..]) => "del",
        Some([b'@', ..]) => "at",
        _ if line.starts_with("task ") => "task",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_come_and_go_are_told_from_the_others() {
        let text = "task 1 of 1 (-x): would be modified\n  mode: \"-\" -> \"+\"\n    @@ -1 +1 @@\n    -a\n    +b\n     c";
        let classes: Vec<_> = lines(text).iter().map(|line| line.class).collect();
        assert_eq!(classes, ["task", "", "at", "del", "add", ""]);
    }
}
