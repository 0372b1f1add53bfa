//! What may stand in the fields of an account: nothing that would end a field or a line of the files.

use super::super::Scope;
use crate::template::Text;

/// As the tools of Linux have it, characters.
const MAX_NAME_CHARACTERS: usize = 32;
const MAX_TEXT_BYTES: usize = 1_000;

/// The rule of a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule {
    /// A user's or group's name.
    Name,
    /// A group by its name or number.
    Group,
    /// A comment: one line without a colon.
    Line,
    /// An absolute path.
    Path,
}

impl Rule {
    /// Renders a text and holds it to the rule.
    pub(super) fn of(self, text: &Text, scope: &Scope<'_>) -> Result<String, String> {
        let value = if matches!(self, Self::Line) { scope.text(text) } else { scope.word(text) }?;
        self.check(text.key, &value)?;
        Ok(value)
    }

    pub(super) fn optional(self, text: Option<&Text>, scope: &Scope<'_>) -> Result<Option<String>, String> {
        text.map(|text| self.of(text, scope)).transpose()
    }

    pub(super) fn check(self, key: &str, value: &str) -> Result<(), String> {
        let (is_right, what) = match self {
            Self::Name => {
                (is_name(value), "a name: letters, digits, . _ - only, no digit or dash first, 32 at most")
            }
            Self::Group => {
                let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
                (is_name(value) || is_number, "a group's name or number")
            }
            Self::Line => (is_line(value), "one line without a colon"),
            Self::Path => {
                let is_path = value.starts_with('/') && !value.contains(char::is_whitespace);
                (is_line(value) && is_path, "an absolute path without blanks and colons")
            }
        };
        if is_right { Ok(()) } else { Err(format!("field ({key}): {value:?} is not {what}")) }
    }
}

/// The greatest number means "none" to the system's calls.
pub(super) fn check_number(key: &str, number: Option<u32>) -> Result<Option<u32>, String> {
    if number == Some(u32::MAX) {
        Err(format!("field ({key}): {} is no number of an account", u32::MAX))
    } else {
        Ok(number)
    }
}

/// A dollar at the end is for the accounts of machines.
fn is_name(value: &str) -> bool {
    let body = value.strip_suffix('$').unwrap_or(value);
    body.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && body.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        && value.len() <= MAX_NAME_CHARACTERS
}

fn is_line(value: &str) -> bool {
    !value.contains(|c: char| c == ':' || c.is_control()) && value.len() <= MAX_TEXT_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_linux() {
        for name in ["root", "_apt", "www-data", "systemd-timesync", "Lora.1", "host$", "a"] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            "0",
            "1000",
            "-r",
            "a:b",
            "a b",
            "a\nb",
            "a/b",
            "é",
            "$",
            ".x",
            "a$b",
            "+",
            "a,b",
            &"x".repeat(33),
        ] {
            assert!(!is_name(name), "{name:?}");
        }
    }
}
