//! Takes the fields of a mapping one by one, and reports what is missing, wrong or unknown.

use serde_json::{Map, Value};

use crate::findings::Findings;
use crate::suggestions;
use crate::template::Text;
use crate::yaml::{Node, Position, Yaml, pairs_to_json, refuse_tags};

/// The fields of one mapping. Every key that is asked for is known; [`Fields::finish`] reports the others.
pub(crate) struct Fields<'n, 'f> {
    pairs: &'n [(Node, Node)],
    at: Position,
    what: String,
    asked: Vec<&'static str>,
    pub(crate) findings: &'f mut Findings,
}

impl<'n, 'f> Fields<'n, 'f> {
    /// The fields of a node; one that is not a mapping is reported, except nothing at all, which has no fields.
    pub(crate) fn of(node: &'n Node, what: &str, findings: &'f mut Findings) -> Self {
        let pairs: &[(Node, Node)] = match &node.value {
            Yaml::Map(pairs) => pairs,
            _ if node.is_null() => &[],
            _ => {
                findings.invalid(node.at, &format!("{what} must be a mapping, not {}", node.kind()));
                &[]
            }
        };
        Self { pairs, at: node.at, what: what.to_owned(), asked: Vec::new(), findings }
    }

    /// Where the mapping begins.
    pub(crate) fn at(&self) -> Position {
        self.at
    }

    /// The value of a key; nothing (`~`) counts as absent.
    pub(crate) fn node(&mut self, key: &'static str) -> Option<&'n Node> {
        self.asked.push(key);
        self.pairs.iter().find(|(k, _)| k.text() == Some(key)).map(|(_, v)| v).filter(|v| !v.is_null())
    }

    /// A text exactly as it was written, without being a template.
    pub(crate) fn plain(&mut self, key: &'static str) -> Option<String> {
        let node = self.node(key)?;
        if node.text().is_none() {
            self.wrong(key, node, "text");
        }
        node.text().map(str::to_owned)
    }

    /// A text that is rendered as a template when its task runs.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<Text> {
        let node = self.node(key)?;
        let Some(text) = node.text() else {
            self.wrong(key, node, "text");
            return None;
        };
        Text::compile(text, key, node.at, self.findings)
    }

    /// Like [`Fields::text`]; its absence is reported.
    pub(crate) fn required_text(&mut self, key: &'static str) -> Option<Text> {
        if let Some(text) = self.text(key) {
            return Some(text);
        }
        // `~` stands for nothing only where nothing may be said.
        let written = self.pairs.iter().find(|(k, _)| k.text() == Some(key)).map(|(_, node)| node);
        match written.and_then(|node| node.text().map(|text| (text, node.at))) {
            Some((text, at)) if matches!(text, "~" | "null" | "Null" | "NULL") => {
                Text::compile(text, key, at, self.findings)
            }
            Some((text, _)) if !text.is_empty() => None,
            None if written.is_some() => None,
            _ => {
                self.missing(key);
                None
            }
        }
    }

    /// A boolean that may be a template; a text without one must be `true` or `false`.
    pub(crate) fn flag(&mut self, key: &'static str) -> Option<Text> {
        let text = self.text(key)?;
        if text.is_literal() && !matches!(text.source.trim(), "true" | "false") {
            let message = format!("field ({key}) value is not a boolean: {}", text.source.trim());
            let suggestion = suggestions::for_boolean(&text.source);
            self.findings.invalid_because(text.at, &message, Some(suggestion.to_owned()));
        }
        Some(text)
    }

    /// A number that may be a template.
    pub(crate) fn number(&mut self, key: &'static str) -> Option<Text> {
        let text = self.text(key)?;
        if text.is_literal() && text.source.trim().parse::<u32>().is_err() {
            let message = format!("field ({key}) value is not a whole number: {}", text.source.trim());
            self.findings.invalid(text.at, &message);
        }
        Some(text)
    }

    /// Reports a text that is no template and breaks its field's rule; the same rule is asked again when the task runs.
    pub(crate) fn checked(&mut self, text: Option<&Text>, rule: impl Fn(&str) -> Result<(), String>) {
        if let Some(text) = text.filter(|text| text.is_literal())
            && let Err(message) = rule(text.source.trim())
        {
            self.findings.invalid(text.at, &message);
        }
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, key: &'static str) -> Option<Vec<&'n Node>> {
        let node = self.node(key)?;
        let Yaml::List(list) = &node.value else {
            self.wrong(key, node, "a list");
            return None;
        };
        for element in list.iter().filter(|element| element.text().is_none()) {
            self.wrong(key, element, "a list of texts");
        }
        Some(list.iter().filter(|element| element.text().is_some()).collect())
    }

    /// A list of anything.
    pub(crate) fn list(&mut self, key: &'static str) -> Option<&'n [Node]> {
        let node = self.node(key)?;
        if let Yaml::List(list) = &node.value {
            return Some(list);
        }
        self.wrong(key, node, "a list");
        None
    }

    /// A mapping, as variables.
    pub(crate) fn variables(&mut self, key: &'static str) -> Map<String, Value> {
        let Some(node) = self.node(key) else { return Map::new() };
        refuse_tags(node, self.findings);
        if let Yaml::Map(pairs) = &node.value {
            return pairs_to_json(pairs);
        }
        self.wrong(key, node, "a mapping");
        Map::new()
    }

    pub(crate) fn missing(&mut self, key: &str) {
        let message = format!("{} needs the key `{key}`", self.what);
        self.findings.invalid(self.at, &message);
    }

    pub(crate) fn wrong(&mut self, key: &str, node: &Node, wanted: &str) {
        let message = format!("`{key}` of {} must be {wanted}, not {}", self.what, node.kind());
        self.findings.invalid(node.at, &message);
    }

    /// Reports every key that nobody asked for.
    pub(crate) fn finish(self) {
        for (key, _) in self.pairs {
            let name = key.text().unwrap_or_default();
            if !self.asked.contains(&name) {
                let message = format!("{} has no key `{name}`", self.what);
                match suggestions::for_key(&self.what, name) {
                    Some(hint) => self.findings.invalid_because(key.at, &message, Some(hint.to_owned())),
                    None => self.findings.unknown(key.at, &message, name, &self.asked),
                }
            }
        }
    }
}
