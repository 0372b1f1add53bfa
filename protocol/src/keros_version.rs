//! The gateway's KerOS version.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A KerOS version as the gateway states it, e.g. `6.3.1`, `5.10.1-0-gc7e2b007`, `4.1.6_20190829151113`.
///
/// The text is kept as found; the three leading numbers are what versions are compared by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KerosVersion {
    text: String,
    numbers: (u32, u32, u32),
}

/// The text does not begin with a number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a KerOS version begins with a number and has at most 64 characters, found {0:?}")]
pub struct KerosVersionError(String);

impl KerosVersion {
    /// The first number: 6 for KerOS 6.
    #[must_use]
    pub const fn major(&self) -> u32 {
        self.numbers.0
    }

    /// Major, minor and patch; a number that is not stated is 0.
    #[must_use]
    pub const fn numbers(&self) -> (u32, u32, u32) {
        self.numbers
    }

    /// The version as the gateway states it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for KerosVersion {
    type Err = KerosVersionError;

    fn from_str(text: &str) -> Result<Self, KerosVersionError> {
        let text = text.trim();
        let error = || KerosVersionError(crate::limits::shorten(text, 64));
        if text.len() > 64 || text.chars().any(char::is_control) {
            return Err(error());
        }
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let mut numbers = [0_u32; 3];
        for (slot, part) in numbers.iter_mut().zip(text[..end].split('.').filter(|p| !p.is_empty())) {
            *slot = part.parse().map_err(|_| error())?;
        }
        if !text.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(error());
        }
        Ok(Self { text: text.to_owned(), numbers: (numbers[0], numbers[1], numbers[2]) })
    }
}

impl fmt::Display for KerosVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for KerosVersion {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for KerosVersion {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_seen_in_the_field_are_read() {
        for (text, numbers) in [
            ("6.3.1\n", (6, 3, 1)),
            ("6.4", (6, 4, 0)),
            ("5.10.1-0-gc7e2b007", (5, 10, 1)),
            ("4.1.6_20190829151113", (4, 1, 6)),
        ] {
            let version: KerosVersion = text.parse().unwrap();
            assert_eq!(version.numbers(), numbers);
            assert_eq!(version.as_str(), text.trim());
        }
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in ["", "demetra", ".6", "99999999999.0", &"6".repeat(65), "6.3\x1b[2J"] {
            assert!(text.parse::<KerosVersion>().is_err(), "{text:?}");
        }
    }
}
