//! The rule of a dynamic group: `model = wiis, fevo and keros >= 6.3 and label != test`.
//!
//! Conditions are joined by `and`. `model` and `label` know `=` and `!=` with one value or several with commas between; `keros` knows `<`, `<=`,
//! `>` and `>=` too, and a version that is not written in full means all that begin with it: `keros = 6.3` is met by 6.3.1.
//! A gateway whose model or version is not known meets no condition about it, not even `!=`: a rule never takes in what it cannot judge.

use std::str::FromStr;

use super::label::is_label_character;
use super::search::{numbers_key, version_key};

/// Bytes of a rule, its conditions, and the values of one.
pub(crate) const MAX_RULE_BYTES: usize = 512;
const MAX_CONDITIONS: usize = 16;
const MAX_VALUES: usize = 32;

/// A rule that has been understood; without conditions it is met by every gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Rule {
    /// All of them have to be met.
    pub(crate) conditions: Vec<Condition>,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// The hardware's code name is one of these, or none of them.
    Model { is: bool, models: Vec<String> },
    /// It has one of these labels, or none of them.
    Label { has: bool, labels: Vec<String> },
    /// The KerOS version is in one of these ranges, or in none of them.
    Keros { within: bool, ranges: Vec<Range> },
}

/// Versions from `low` on and below `high`, as [`version_key`] makes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    /// The first.
    pub(crate) low: Option<String>,
    /// The first after them.
    pub(crate) high: Option<String>,
}

/// What a rule asks about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// Hardware code name.
    pub(crate) model: Option<&'a str>,
    /// KerOS version.
    pub(crate) keros: Option<&'a keros_protocol::KerosVersion>,
    /// Labels.
    pub(crate) labels: &'a [String],
}

/// Why a text is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RuleError {
    /// Too long.
    #[error(
        "a rule has at most {MAX_RULE_BYTES} bytes, {MAX_CONDITIONS} conditions and {MAX_VALUES} values in each"
    )]
    TooLong,
    /// Something else was expected.
    #[error("at character {at}: expected {expected}, found {found}")]
    Expected {
        /// Counted from 1.
        at: usize,
        /// What could stand there.
        expected: &'static str,
        /// What does.
        found: String,
    },
}

impl Rule {
    /// Whether a gateway meets it.
    pub(crate) fn is_met_by(&self, facts: Facts<'_>) -> bool {
        self.conditions.iter().all(|condition| condition.is_met_by(facts))
    }
}

impl Condition {
    fn is_met_by(&self, facts: Facts<'_>) -> bool {
        match self {
            Self::Model { is, models } => {
                facts.model.is_some_and(|model| models.iter().any(|wanted| wanted == model) == *is)
            }
            Self::Label { has, labels } => labels.iter().any(|label| facts.labels.contains(label)) == *has,
            Self::Keros { within, ranges } => facts.keros.is_some_and(|version| {
                let key = version_key(version);
                ranges.iter().any(|range| range.holds(&key)) == *within
            }),
        }
    }
}

impl Range {
    fn holds(&self, key: &str) -> bool {
        self.low.as_deref().is_none_or(|low| low <= key) && self.high.as_deref().is_none_or(|high| key < high)
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        if text.len() > MAX_RULE_BYTES {
            return Err(RuleError::TooLong);
        }
        let mut reader = Reader { rest: tokens(text)?, at: 0, length: text.chars().count() };
        let mut conditions = vec![reader.condition()?];
        while let Some(token) = reader.next() {
            if !token.text.eq_ignore_ascii_case("and") {
                return Err(reader.expected("`and` or the end", Some(&token)));
            }
            if conditions.len() == MAX_CONDITIONS {
                return Err(RuleError::TooLong);
            }
            conditions.push(reader.condition()?);
        }
        Ok(Self { conditions })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    at: usize,
    text: String,
}

/// Words, signs of comparison and commas, each with its place.
fn tokens(text: &str) -> Result<Vec<Token>, RuleError> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut joins = None;
    for (at, c) in text.chars().enumerate() {
        let kind = match c {
            ' ' | '\t' | '\r' | '\n' => None,
            ',' => Some(','),
            '=' | '!' | '<' | '>' => Some('='),
            c if is_label_character(c) => Some('a'),
            c => {
                let expected = "a word, a sign of comparison or a comma";
                return Err(RuleError::Expected { at: at + 1, expected, found: format!("{c:?}") });
            }
        };
        match (kind, tokens.last_mut()) {
            (Some(kind), Some(last)) if joins == Some(kind) && kind != ',' => last.text.push(c),
            (Some(_), _) => tokens.push(Token { at: at + 1, text: c.to_string() }),
            (None, _) => {}
        }
        joins = kind;
    }
    Ok(tokens)
}

struct Reader {
    rest: Vec<Token>,
    at: usize,
    length: usize,
}

impl Reader {
    fn next(&mut self) -> Option<Token> {
        let token = self.rest.get(self.at).cloned();
        self.at += usize::from(token.is_some());
        token
    }

    fn expected(&self, expected: &'static str, found: Option<&Token>) -> RuleError {
        let at = found.map_or(self.length + 1, |token| token.at);
        let found = found.map_or_else(|| "the end".to_owned(), |token| format!("{:?}", token.text));
        RuleError::Expected { at, expected, found }
    }

    fn condition(&mut self) -> Result<Condition, RuleError> {
        let field = self.next();
        let name = field.as_ref().map(|token| token.text.to_ascii_lowercase());
        match name.as_deref() {
            Some("model") => Ok(Condition::Model { is: self.equality()?, models: self.values(Ok)? }),
            Some("label") => Ok(Condition::Label { has: self.equality()?, labels: self.values(Ok)? }),
            Some("keros") => self.keros(),
            _ => Err(self.expected("`model`, `keros` or `label`", field.as_ref())),
        }
    }

    fn equality(&mut self) -> Result<bool, RuleError> {
        let sign = self.next();
        match sign.as_ref().map(|token| token.text.as_str()) {
            Some("=") => Ok(true),
            Some("!=") => Ok(false),
            _ => Err(self.expected("`=` or `!=`", sign.as_ref())),
        }
    }

    fn keros(&mut self) -> Result<Condition, RuleError> {
        let sign = self.next();
        let make: fn(String, String) -> Range = match sign.as_ref().map(|token| token.text.as_str()) {
            Some("=" | "!=") => |low, high| Range { low: Some(low), high: Some(high) },
            Some("<") => |low, _| Range { low: None, high: Some(low) },
            Some("<=") => |_, high| Range { low: None, high: Some(high) },
            Some(">") => |_, high| Range { low: Some(high), high: None },
            Some(">=") => |low, _| Range { low: Some(low), high: None },
            _ => return Err(self.expected("one of = != < <= > >=", sign.as_ref())),
        };
        let is_equality = sign.as_ref().is_some_and(|token| matches!(token.text.as_str(), "=" | "!="));
        let within = sign.is_none_or(|token| token.text != "!=");
        let ranges = self.values(|text| version_bounds(&text).map(|(low, high)| make(low, high)))?;
        if !is_equality && ranges.len() > 1 {
            return Err(self.expected("one version", self.rest.get(self.at - 1)));
        }
        Ok(Condition::Keros { within, ranges })
    }

    fn values<T>(&mut self, read: impl Fn(String) -> Result<T, &'static str>) -> Result<Vec<T>, RuleError> {
        let mut values = Vec::new();
        loop {
            let token = self.next();
            let word = token.clone().filter(|token| token.text.starts_with(is_label_character));
            let Some(word) = word else { return Err(self.expected("a value", token.as_ref())) };
            if values.len() == MAX_VALUES {
                return Err(RuleError::TooLong);
            }
            values.push(read(word.text).map_err(|expected| self.expected(expected, token.as_ref()))?);
            if self.rest.get(self.at).is_none_or(|token| token.text != ",") {
                return Ok(values);
            }
            self.at += 1;
        }
    }
}

/// The first version that a text means, and the first after those: `6.3` means 6.3.0 to before 6.4.0.
fn version_bounds(text: &str) -> Result<(String, String), &'static str> {
    let expected = "a version of one to three numbers, as 6.3";
    let parts: Vec<u32> = text.split('.').map(str::parse).collect::<Result<_, _>>().map_err(|_| expected)?;
    if parts.len() > 3 || !text.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return Err(expected);
    }
    let mut low = [0; 3];
    low.iter_mut().zip(&parts).for_each(|(slot, part)| *slot = *part);
    let mut high = low;
    if let Some(last) = high.get_mut(parts.len() - 1) {
        *last = last.checked_add(1).ok_or(expected)?;
    }
    Ok((numbers_key(low), numbers_key(high)))
}
