//! Which KerOS versions a Magic Link fits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::KerosVersion;

/// A range of KerOS versions: comparisons that must all hold, with `,` between them; `||` between alternatives. Examples:
/// `>=6.2, <7`; `5 || >=6.2, <7`. A number alone means that version and all below it: `5` is `>=5, <6`, `6.3` is `>=6.3, <6.4`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KerosRange {
    text: String,
    alternatives: Vec<Vec<Comparison>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Comparison {
    operator: Operator,
    numbers: (u32, u32, u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// The text is no range of versions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a range of KerOS versions is like \">=6.2, <7\" or \"5 || 6.3\" (numbers with at most two dots, at most 256 bytes), found {0:?}"
)]
pub struct KerosRangeError(String);

/// More is no range that a person wrote.
const MAX_BYTES: usize = 256;

impl KerosRange {
    /// Whether this version is in it.
    #[must_use]
    pub fn contains(&self, version: &KerosVersion) -> bool {
        let found = version.numbers();
        self.alternatives.iter().any(|all| all.iter().all(|one| one.holds(found)))
    }
}

impl Comparison {
    fn holds(self, found: (u32, u32, u32)) -> bool {
        match self.operator {
            Operator::Less => found < self.numbers,
            Operator::LessOrEqual => found <= self.numbers,
            Operator::Greater => found > self.numbers,
            Operator::GreaterOrEqual => found >= self.numbers,
        }
    }
}

/// One term: a comparison, or a version alone, which is two.
fn term(text: &str) -> Option<Vec<Comparison>> {
    let text = text.trim();
    let operators = [
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ];
    for (sign, operator) in operators {
        if let Some(version) = text.strip_prefix(sign) {
            let (numbers, _) = numbers(version.trim_start())?;
            return Some(vec![Comparison { operator, numbers }]);
        }
    }
    let (from, stated) = numbers(text.strip_prefix('=').map_or(text, str::trim_start))?;
    let below = match stated {
        1 => (from.0.checked_add(1)?, 0, 0),
        2 => (from.0, from.1.checked_add(1)?, 0),
        _ => (from.0, from.1, from.2.checked_add(1)?),
    };
    Some(vec![
        Comparison { operator: Operator::GreaterOrEqual, numbers: from },
        Comparison { operator: Operator::Less, numbers: below },
    ])
}

/// Up to three numbers, and how many are stated.
fn numbers(text: &str) -> Option<((u32, u32, u32), usize)> {
    let mut numbers = [0; 3];
    let mut stated = 0;
    for part in text.split('.') {
        let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        *numbers.get_mut(stated)? = part.parse().ok().filter(|_| is_number)?;
        stated += 1;
    }
    Some(((numbers[0], numbers[1], numbers[2]), stated))
}

impl FromStr for KerosRange {
    type Err = KerosRangeError;

    fn from_str(text: &str) -> Result<Self, KerosRangeError> {
        let alternative = |text: &str| -> Option<Vec<Comparison>> {
            let terms: Option<Vec<_>> = text.split(',').map(term).collect();
            terms.map(|terms| terms.concat())
        };
        let alternatives: Option<Vec<_>> = text.split("||").map(alternative).collect();
        match alternatives.filter(|_| text.len() <= MAX_BYTES) {
            Some(alternatives) => Ok(Self { text: text.to_owned(), alternatives }),
            None => Err(KerosRangeError(crate::limits::shorten(text, MAX_BYTES))),
        }
    }
}

impl fmt::Display for KerosRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for KerosRange {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for KerosRange {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_a_range_or_not() {
        for (range, inside, outside) in [
            (">=6.2, <7", &["6.2", "6.2.0", "6.10.1"][..], &["6.1.9", "7.0.0", "5.10.1-0-gc7e2b007"][..]),
            ("5", &["5", "5.10.1-0-gc7e2b007"], &["4.1.6_20190829151113", "6.0"]),
            ("6.3", &["6.3.1"], &["6.4", "6.2.9"]),
            ("=6.3.1", &["6.3.1"], &["6.3.2"]),
            ("4 || 5 || >=6.3,<6.4", &["4.1.6", "5.1", "6.3.1"], &["6.2", "3"]),
            (">6.3", &["6.3.1"], &["6.3"]),
            ("<=6.3", &["6.3"], &["6.3.1"]),
            ("<5, >6", &[], &["5.5", "4", "7"]),
        ] {
            let parsed: KerosRange = range.parse().unwrap();
            let holds = |version: &&str| parsed.contains(&version.parse().unwrap());
            assert!(inside.iter().all(holds) && !outside.iter().any(holds), "{range}");
            assert_eq!(parsed.to_string(), range);
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        let long = vec!["5"; 129].join("||");
        for text in [
            "",
            " ",
            "6.x",
            "~6",
            "^6.2",
            ">=",
            "6.2.3.4",
            "6,",
            "||6",
            "6 7",
            ">=-1",
            "99999999999",
            "6..2",
            "=>6",
            &long,
        ] {
            assert!(text.parse::<KerosRange>().is_err(), "{text:?}");
        }
    }
}
