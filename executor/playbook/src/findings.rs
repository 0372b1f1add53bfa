//! Collects what is wrong with a script, so that a person sees all of it at once.

use std::path::Path;

use keros_protocol::limits::{MAX_TEXT_BYTES, shorten};

use crate::yaml::Position;
use crate::{Diagnostic, DiagnosticKind};

/// Findings kept of one script; what follows is only counted.
const MAX_FINDINGS: usize = 100;

/// The findings so far, all about one file at a time.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// The file that is being read, as the user named it.
    file: String,
    /// The file that a finding is about is another than the script.
    is_other_file: bool,
    list: Vec<Diagnostic>,
}

impl Findings {
    pub(crate) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), ..Self::default() }
    }

    pub(crate) fn invalid(&mut self, at: Position, message: &str) {
        self.add(DiagnosticKind::Invalid, at, message, None);
    }

    pub(crate) fn too_large(&mut self, at: Position, message: &str) {
        self.add(DiagnosticKind::TooLarge, at, message, None);
    }

    pub(crate) fn unsupported(&mut self, at: Position, message: &str) {
        self.add(DiagnosticKind::Unsupported, at, message, None);
    }

    /// With what was probably meant.
    pub(crate) fn invalid_because(&mut self, at: Position, message: &str, suggestion: Option<String>) {
        self.add(DiagnosticKind::Invalid, at, message, suggestion);
    }

    /// Something that is none of the known names, with the one that was probably meant.
    pub(crate) fn unknown(&mut self, at: Position, message: &str, name: &str, known: &[&str]) {
        let suggestion = nearest(name, known).map(|near| format!("did you mean `{near}`?"));
        self.add(DiagnosticKind::Invalid, at, message, suggestion);
    }

    /// Reads another file, whose name its findings have.
    pub(crate) fn within<T>(&mut self, file: &Path, read: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.file, file.display().to_string());
        let was_other = std::mem::replace(&mut self.is_other_file, true);
        let result = read(self);
        (self.file, self.is_other_file) = (before, was_other);
        result
    }

    /// The file that is being read, where that is not the script.
    pub(crate) fn other_file(&self) -> Option<String> {
        self.is_other_file.then(|| self.file.clone())
    }

    pub(crate) fn count(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All findings: those about the script first, then file by file, in the order of each text.
    pub(crate) fn into_list(mut self) -> Vec<Diagnostic> {
        let main = self.file;
        let place =
            |finding: &Diagnostic| (finding.file != main, finding.file.clone(), finding.line, finding.column);
        self.list.sort_by_key(place);
        self.list
    }

    fn add(&mut self, kind: DiagnosticKind, at: Position, message: &str, suggestion: Option<String>) {
        if self.list.len() < MAX_FINDINGS {
            let (file, message) = (self.file.clone(), shorten(message, MAX_TEXT_BYTES));
            self.list.push(Diagnostic { kind, file, line: at.line, column: at.column, message, suggestion });
        }
    }
}

/// The known name that differs least from this one, when it differs little.
fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    if name.len() > 40 {
        return None;
    }
    let allowed = (name.len() / 3).clamp(1, 3);
    let distances = known.iter().map(|candidate| (edit_distance(name, candidate), *candidate));
    distances.min().filter(|(distance, _)| *distance <= allowed).map(|(_, candidate)| candidate)
}

/// Insertions, removals and replacements of one character that turn one text into the other.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_hand_gets_a_suggestion_and_another_word_none() {
        assert_eq!(nearest("shel", &["file", "shell"]), Some("shell"));
        assert_eq!(nearest("tempalte", &["file", "template"]), Some("template"));
        assert_eq!(nearest("reboot", &["file", "template"]), None);
    }
}
