//! Reads YAML into a tree that knows where each value stands in the text.
//!
//! YAML 1.2 core schema: `yes`, `no` and `on` are text, merge keys are ordinary keys. It refuses what no script needs and
//! an attacker might: several documents, duplicate keys, deep nesting, aliases that expand without end.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};
use serde_json::{Map, Number, Value};

use crate::findings::Findings;
use crate::suggestions;

/// Values in one file, aliases expanded. 256 KiB of text hold some 25,000 values in an ordinary script.
pub(crate) const MAX_NODES: usize = 100_000;
/// Text of all values of one file, aliases expanded, bytes: four times the greatest script.
pub(crate) const MAX_EXPANDED_BYTES: usize = 4 * keros_protocol::limits::MAX_SCRIPT_BYTES;
/// Lists and mappings inside each other.
pub(crate) const MAX_DEPTH: usize = 64;

/// A place in a text: line and column, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Position {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// A value and where it stands. There may be tens of thousands, so nothing in it has room to grow.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) at: Position,
    /// `shell` for `!shell`.
    pub(crate) tag: Option<Box<str>>,
    pub(crate) value: Yaml,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub(crate) enum Yaml {
    /// `plain`: written without quotes, so that `5` is a number and `~` is nothing.
    Scalar {
        text: Box<str>,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// The text of a scalar, as it was written.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Yaml::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Nothing was written, or `~` or `null`.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Yaml::Scalar { text, plain: true } if is_null_word(text))
    }

    /// A scalar that is a text also where types count: quoted, or nothing that YAML takes for a number and the like.
    pub(crate) fn is_text(&self) -> bool {
        matches!(&self.value, Yaml::Scalar { .. }) && self.to_json().is_string()
    }

    /// What sort of value it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            _ if self.is_null() => "nothing",
            Yaml::Scalar { .. } => "text",
            Yaml::List(_) => "a list",
            Yaml::Map(_) => "a mapping",
        }
    }

    /// The value as variables see it.
    pub(crate) fn to_json(&self) -> Value {
        match &self.value {
            Yaml::Scalar { text, plain: false } => Value::String(text.to_string()),
            Yaml::Scalar { text, plain: true } => plain_value(text),
            Yaml::List(list) => Value::Array(list.iter().map(Self::to_json).collect()),
            Yaml::Map(pairs) => Value::Object(pairs_to_json(pairs)),
        }
    }

    fn cost(&self) -> (usize, usize) {
        let add = |a: (usize, usize), b: (usize, usize)| (a.0 + b.0, a.1 + b.1);
        match &self.value {
            Yaml::Scalar { text, .. } => (1, text.len()),
            Yaml::List(list) => list.iter().map(Self::cost).fold((1, 0), add),
            Yaml::Map(pairs) => pairs.iter().map(|(k, v)| add(k.cost(), v.cost())).fold((1, 0), add),
        }
    }
}

pub(crate) fn pairs_to_json(pairs: &[(Node, Node)]) -> Map<String, Value> {
    let entry = |(key, value): &(Node, Node)| (key.text().unwrap_or_default().to_owned(), value.to_json());
    pairs.iter().map(entry).collect()
}

fn is_null_word(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// The core schema's reading of a scalar without quotes. A number with needless leading zeros stays text, as does one
/// that no JSON number can hold exactly.
fn plain_value(text: &str) -> Value {
    match text {
        _ if is_null_word(text) => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

fn number(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    for (prefix, radix) in [("0o", 8), ("0x", 16), ("0b", 2)] {
        if let Some(digits) = unsigned.strip_prefix(prefix) {
            return number_in(radix, digits, text.starts_with('-'));
        }
    }
    let bytes = unsigned.as_bytes();
    let starts_like_number = bytes.first().is_some_and(|b| b.is_ascii_digit() || *b == b'.');
    let leading_zero = bytes.len() > 1 && bytes[0] == b'0' && bytes[1].is_ascii_digit();
    if !starts_like_number || leading_zero || !bytes.iter().all(|b| b"0123456789.eE+-".contains(b)) {
        return None;
    }
    if bytes.iter().all(u8::is_ascii_digit) {
        let whole = text.strip_prefix('+').unwrap_or(text);
        return whole
            .parse::<u64>()
            .map(Number::from)
            .or_else(|_| whole.parse::<i64>().map(Number::from))
            .ok();
    }
    text.parse::<f64>().ok().and_then(Number::from_f64)
}

fn number_in(radix: u32, digits: &str, is_negative: bool) -> Option<Number> {
    // The parser below takes a sign of its own.
    if digits.starts_with(['+', '-']) {
        return None;
    }
    if is_negative {
        return i64::from_str_radix(&format!("-{digits}"), radix).ok().map(Number::from);
    }
    u64::from_str_radix(digits, radix).ok().map(Number::from)
}

/// Reports every tag inside variables: it would be lost without a word.
pub(crate) fn refuse_tags(node: &Node, findings: &mut Findings) {
    if let Some(tag) = &node.tag {
        findings.invalid(node.at, &format!("a variable's value cannot have a tag: `!{tag}`"));
    }
    match &node.value {
        Yaml::Scalar { .. } => {}
        Yaml::List(list) => list.iter().for_each(|node| refuse_tags(node, findings)),
        Yaml::Map(pairs) => pairs.iter().for_each(|(_, value)| refuse_tags(value, findings)),
    }
}

/// Reads a text of one document. `None` for an empty one, or after an error, which is then among the findings.
pub(crate) fn load(text: &str, findings: &mut Findings) -> Option<Node> {
    if text.starts_with('\u{feff}') {
        findings
            .invalid(Position { line: 1, column: 1 }, "the file begins with a byte order mark: remove it");
        return None;
    }
    let mut loader = Loader::new(findings);
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => loader.take(event, span)?,
            Err(error) => {
                let at = position(error.marker().line(), error.marker().col());
                if error.info().contains("recursion limit") {
                    loader.too_deep(at);
                } else {
                    let line = text.lines().nth(error.marker().line().saturating_sub(1)).unwrap_or_default();
                    let suggestion = suggestions::for_yaml(error.info(), line).map(str::to_owned);
                    let message = format!("not valid YAML: {}", error.info());
                    loader.findings.invalid_because(at, &message, suggestion);
                }
                return None;
            }
        }
    }
    loader.root
}

fn position(line: usize, column_from_0: usize) -> Position {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Position { line: number(line), column: number(column_from_0.saturating_add(1)) }
}

/// A list or mapping that is not complete yet.
struct Open {
    anchor: usize,
    at: Position,
    tag: Option<Box<str>>,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { pairs: Vec<(Node, Node)>, key: Option<Node>, lines: HashMap<String, u32> },
}

struct Loader<'f> {
    findings: &'f mut Findings,
    root: Option<Node>,
    documents: u32,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    bytes: usize,
}

impl<'f> Loader<'f> {
    fn new(findings: &'f mut Findings) -> Self {
        let (open, anchors) = (Vec::new(), HashMap::new());
        Self { findings, root: None, documents: 0, open, anchors, nodes: 0, bytes: 0 }
    }

    /// Takes one event; `None` after an error that makes the rest meaningless.
    fn take(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        let at = position(span.start.line(), span.start.col());
        match event {
            Event::DocumentStart(_) => self.document(at),
            Event::Alias(anchor) => self.alias(anchor, at),
            Event::Scalar(text, style, anchor, tag) => {
                let forced_text =
                    tag.as_deref().is_some_and(|t| t.is_yaml_core_schema() && t.suffix == "str");
                let plain = style == ScalarStyle::Plain && !forced_text;
                let value = Yaml::Scalar { text: text.into(), plain };
                self.add(anchor, Node { at, tag: name_of(tag.as_deref()), value })
            }
            Event::SequenceStart(anchor, tag) => {
                self.begin(anchor, at, name_of(tag.as_deref()), Content::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                let content = Content::Map { pairs: Vec::new(), key: None, lines: HashMap::new() };
                self.begin(anchor, at, name_of(tag.as_deref()), content)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            _ => Some(()),
        }
    }

    fn document(&mut self, at: Position) -> Option<()> {
        self.documents += 1;
        if self.documents > 1 {
            self.findings.invalid(at, "a second document begins here: only one is allowed in a file");
            return None;
        }
        Some(())
    }

    fn begin(&mut self, anchor: usize, at: Position, tag: Option<Box<str>>, content: Content) -> Option<()> {
        if self.open.len() >= MAX_DEPTH {
            self.too_deep(at);
            return None;
        }
        self.open.push(Open { anchor, at, tag, content });
        Some(())
    }

    fn too_deep(&mut self, at: Position) {
        self.findings.too_large(at, &format!("lists and mappings are nested deeper than {MAX_DEPTH}"));
    }

    fn end(&mut self) -> Option<()> {
        let open = self.open.pop()?;
        let value = match open.content {
            Content::List(mut list) => {
                list.shrink_to_fit();
                Yaml::List(list)
            }
            Content::Map { mut pairs, .. } => {
                pairs.shrink_to_fit();
                Yaml::Map(pairs)
            }
        };
        self.charge(1, 0, open.at)?;
        self.place(open.anchor, Node { at: open.at, tag: open.tag, value })
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Option<()> {
        let Some(node) = self.anchors.get(&anchor) else {
            self.findings.invalid(at, "an alias inside the value that it stands for");
            return None;
        };
        let (nodes, bytes) = node.cost();
        self.charge(nodes, bytes, at)?;
        let copy = self.anchors.get(&anchor).cloned()?;
        self.place(0, Node { at, ..copy })
    }

    fn add(&mut self, anchor: usize, node: Node) -> Option<()> {
        self.charge(1, node.text().map_or(0, str::len), node.at)?;
        self.place(anchor, node)
    }

    fn charge(&mut self, nodes: usize, bytes: usize, at: Position) -> Option<()> {
        self.nodes += nodes;
        self.bytes += bytes;
        if self.nodes > MAX_NODES {
            self.findings.too_large(at, &format!("more than {MAX_NODES} values, aliases expanded"));
            return None;
        }
        if self.bytes > MAX_EXPANDED_BYTES {
            let message = format!("more than {MAX_EXPANDED_BYTES} bytes of text, aliases expanded");
            self.findings.too_large(at, &message);
            return None;
        }
        Some(())
    }

    /// Puts a complete value where it belongs.
    fn place(&mut self, anchor: usize, node: Node) -> Option<()> {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::List(list)) => list.push(node),
            Some(Content::Map { pairs, key, lines }) => match key.take() {
                Some(key) => pairs.push((key, node)),
                None => {
                    check_key(&node, lines, self.findings)?;
                    *key = Some(node);
                }
            },
        }
        Some(())
    }
}

fn check_key(key: &Node, lines: &mut HashMap<String, u32>, findings: &mut Findings) -> Option<()> {
    let Some(text) = key.text() else {
        let hint = "a value that begins with `{{` must be quoted: \"{{ name }}\"".to_owned();
        let suggestion = matches!(key.value, Yaml::Map(_)).then_some(hint);
        findings.invalid_because(key.at, &format!("a key must be text, not {}", key.kind()), suggestion);
        return None;
    };
    if let Some(first) = lines.insert(text.to_owned(), key.at.line) {
        let message = format!("the key `{text}` stands here a second time; first in line {first}");
        findings.invalid(key.at, &message);
    }
    Some(())
}

/// `shell` of `!shell`; nothing for the tags of YAML itself.
fn name_of(tag: Option<&Tag>) -> Option<Box<str>> {
    let tag = tag.filter(|tag| !tag.is_yaml_core_schema())?;
    let name = if tag.handle == "!" { tag.suffix.clone() } else { format!("{}{}", tag.handle, tag.suffix) };
    Some(name.trim_start_matches('!').into())
}
