//! What one file says, option by option. Values are kept as YAML; whether they make sense is judged in `valid`, after
//! merging.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_yaml::Value;

use super::finding::{Finding, Severity};
use super::{locate, options};

/// One file, kept to find lines in.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    text: String,
}

/// One option as a file gives it. A null value sets the default again.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) value: Value,
    pub(super) source: Rc<Source>,
}

/// All options that a file gives.
#[derive(Debug, Default)]
pub(super) struct Fragment {
    pub(super) entries: BTreeMap<&'static str, Entry>,
    /// It is no YAML.
    pub(super) unreadable: bool,
}

impl Source {
    /// A finding about the key with this full name.
    pub(super) fn finding(&self, severity: Severity, name: &str, message: String) -> Finding {
        let path: Vec<&str> = name.split('.').collect();
        let line = locate::line_of(&self.text, &path);
        Finding { severity, file: Some(self.path.clone()), line, message }
    }
}

/// Reads one file's text. What cannot be used is left out and told in `findings`.
pub(super) fn parse(path: &Path, text: String, findings: &mut Vec<Finding>) -> Fragment {
    let mut fragment = Fragment::default();
    let source = Rc::new(Source { path: path.to_owned(), text });
    let wrong =
        |line, message| Finding { severity: Severity::Wrong, file: Some(path.to_owned()), line, message };
    match serde_yaml::from_str(&source.text) {
        Ok(Value::Mapping(map)) => {
            Walk { source: &source, fragment: &mut fragment, findings }.section("", map)
        }
        // An empty file, or only comments.
        Ok(Value::Null) => {}
        Ok(_) => {
            findings.push(wrong(Some(1), "this is no list of options (`option: value` lines)".to_owned()))
        }
        Err(error) => {
            fragment.unreadable = true;
            let line = error.location().map(|location| location.line());
            findings.push(wrong(line, format!("this is not valid YAML: {error}")));
        }
    }
    fragment
}

struct Walk<'a> {
    source: &'a Rc<Source>,
    fragment: &'a mut Fragment,
    findings: &'a mut Vec<Finding>,
}

impl Walk<'_> {
    fn section(&mut self, section: &str, map: serde_yaml::Mapping) {
        for (key, value) in map {
            let Value::String(key) = key else {
                let message = format!("a key must be text; found {}", describe(&key));
                self.findings.push(self.source.finding(Severity::Wrong, section, message));
                continue;
            };
            let name = if section.is_empty() { key.clone() } else { format!("{section}.{key}") };
            match options::kind(&name) {
                options::Kind::Option(option) => self.insert(option, value),
                options::Kind::Section => self.below(&name, value),
                options::Kind::Unknown => {
                    let message = match options::suggestion(section, &key) {
                        Some(meant) => format!("unknown option `{name}`: did you mean `{meant}`?"),
                        None => format!("unknown option `{name}`"),
                    };
                    self.findings.push(self.source.finding(Severity::Unknown, &name, message));
                }
            }
        }
    }

    fn below(&mut self, section: &str, value: Value) {
        match value {
            Value::Mapping(map) => self.section(section, map),
            Value::Null => options::below(section).for_each(|option| self.insert(option, Value::Null)),
            other => {
                let message = format!(
                    "`{section}` is a section: its options stand below it, indented; found {}",
                    describe(&other)
                );
                self.findings.push(self.source.finding(Severity::Wrong, section, message));
            }
        }
    }

    fn insert(&mut self, option: &'static str, value: Value) {
        self.fragment.entries.insert(option, Entry { value, source: Rc::clone(self.source) });
    }
}

/// A value in words.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => format!("the word {value}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the text {:?}", keros_protocol::limits::shorten(text, 100)),
        Value::Sequence(_) => "a list".to_owned(),
        Value::Mapping(_) => "a mapping".to_owned(),
        Value::Tagged(tagged) => format!("a value with the tag {}", tagged.tag),
    }
}
