//! All fragments as one, and how a value of each type is taken out of it. The later fragment wins, option by option.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use serde_yaml::Value;

use super::finding::{Finding, Severity};
use super::fragment::{Entry, Fragment, describe};

/// The options that are set, and what was found wrong with them so far.
#[derive(Debug, Default)]
pub(super) struct Merged {
    entries: BTreeMap<&'static str, Entry>,
    pub(super) findings: Vec<Finding>,
    /// A file could not be read, so that nobody knows what it sets.
    pub(super) incomplete: bool,
}

impl Merged {
    /// Takes over what a later fragment says.
    pub(super) fn add(&mut self, fragment: Fragment) {
        self.entries.extend(fragment.entries);
        self.incomplete |= fragment.unreadable;
    }

    /// Whether an option is set.
    pub(super) fn is_set(&self, option: &str) -> bool {
        self.entry(option).is_some()
    }

    /// A text of 1 to `max_chars` characters without control characters.
    pub(super) fn text(&mut self, option: &'static str, max_chars: usize) -> Option<String> {
        let text = match &self.entry(option)?.value {
            Value::String(text) => text.clone(),
            other => {
                let message = format!("`{option}` is a text: put it in quotes; found {}", describe(other));
                return self.wrong(option, message);
            }
        };
        let chars = text.chars().count();
        if chars == 0 || chars > max_chars || text.chars().any(char::is_control) {
            let message =
                format!("`{option}` has 1 to {max_chars} characters, none of them a control character");
            return self.wrong(option, message);
        }
        Some(text)
    }

    /// A text that another type can be made of.
    pub(super) fn parsed<T: FromStr<Err: std::fmt::Display>>(&mut self, option: &'static str) -> Option<T> {
        let text = self.text(option, 256)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => self.wrong(option, format!("`{option}`: {error}")),
        }
    }

    /// A whole number in a range.
    pub(super) fn number(
        &mut self,
        option: &'static str,
        range: RangeInclusive<u64>,
        unit: &str,
    ) -> Option<u64> {
        let value = &self.entry(option)?.value;
        if let Some(number) = value.as_u64().filter(|number| range.contains(number)) {
            return Some(number);
        }
        let unit = if unit.is_empty() { String::new() } else { format!(" ({unit})") };
        let message = format!(
            "`{option}` is a whole number from {} to {}{unit}; found {}",
            range.start(),
            range.end(),
            describe(value)
        );
        self.wrong(option, message)
    }

    /// An absolute path.
    pub(super) fn path(&mut self, option: &'static str) -> Option<PathBuf> {
        let path = PathBuf::from(self.text(option, 4096)?);
        if path.is_absolute() {
            return Some(path);
        }
        self.wrong(option, format!("`{option}` is an absolute path: it begins with \"/\""))
    }

    /// An absolute path of a file that should be there.
    pub(super) fn file(&mut self, option: &'static str) -> Option<PathBuf> {
        let path = self.path(option)?;
        if let Err(error) = std::fs::metadata(&path) {
            let hidden = error.kind() == std::io::ErrorKind::PermissionDenied;
            let advice = if hidden { ". Use sudo: only root and the agent may" } else { "" };
            let message = format!("`{option}`: cannot look at {}: {error}{advice}", path.display());
            self.report(Severity::Missing, option, message);
        }
        Some(path)
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, option: &'static str) -> Option<bool> {
        match &self.entry(option)?.value {
            Value::Bool(value) => Some(*value),
            other => {
                let message = format!("`{option}` is true or false; found {}", describe(other));
                self.wrong(option, message)
            }
        }
    }

    /// A list of so many texts.
    pub(super) fn words(
        &mut self,
        option: &'static str,
        count: RangeInclusive<usize>,
        example: &str,
    ) -> Option<Vec<String>> {
        let value = &self.entry(option)?.value;
        let words: Option<Vec<String>> = value.as_sequence().and_then(|items| {
            items
                .iter()
                .map(|item| item.as_str().filter(|text| !text.contains('\0')).map(str::to_owned))
                .collect()
        });
        match words {
            Some(words) if count.contains(&words.len()) => Some(words),
            _ => {
                let message = format!(
                    "`{option}` is a list of {} to {} texts, e.g. {example}; found {}",
                    count.start(),
                    count.end(),
                    describe(value)
                );
                self.wrong(option, message)
            }
        }
    }

    /// Tells that an option's value is wrong; `None` for the caller to return.
    pub(super) fn wrong<T>(&mut self, option: &str, message: String) -> Option<T> {
        self.report(Severity::Wrong, option, message);
        None
    }

    fn report(&mut self, severity: Severity, option: &str, message: String) {
        let finding = match self.entries.get(option) {
            Some(entry) => entry.source.finding(severity, option, message),
            None => Finding { severity, file: None, line: None, message },
        };
        self.findings.push(finding);
    }

    fn entry(&self, option: &str) -> Option<&Entry> {
        self.entries.get(option).filter(|entry| !entry.value.is_null())
    }
}
