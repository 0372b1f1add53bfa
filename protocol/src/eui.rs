//! The gateway's identifier. It must not know where the identifier comes from.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A gateway's EUI-64: always shown as 16 upper-case hex digits.
///
/// People write it in either case, with `:`, `-`, `.` or blanks between the digits; [`FromStr`] accepts all of
/// these. On the wire only the canonical form is accepted, so that an EUI in a topic has one spelling.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Eui(u64);

/// Why a text is not an EUI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EuiError {
    /// A character that is neither a hex digit nor a separator.
    #[error("an EUI has only hex digits, found {0:?}")]
    Character(char),
    /// Not 16 digits.
    #[error("an EUI has 16 hex digits, found {0}")]
    Length(usize),
    /// On the wire: 16 hex digits, but not all in upper case.
    #[error("an EUI is written with 16 upper-case hex digits here")]
    NotCanonical,
}

impl Eui {
    /// The EUI with this numeric value, most significant digit first.
    #[must_use]
    pub const fn from_u64(value: u64) -> Self {
        Self(value)
    }

    /// The numeric value, most significant digit first.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Parses the one spelling that is used on the wire and in topics.
    ///
    /// # Errors
    /// [`EuiError`] when the text is not 16 upper-case hex digits.
    pub fn from_canonical(text: &str) -> Result<Self, EuiError> {
        let eui = Self::from_str(text)?;
        if text.len() == 16 && !text.bytes().any(|b| b.is_ascii_lowercase()) {
            Ok(eui)
        } else {
            Err(EuiError::NotCanonical)
        }
    }
}

impl FromStr for Eui {
    type Err = EuiError;

    fn from_str(text: &str) -> Result<Self, EuiError> {
        let mut value: u64 = 0;
        let mut digits: usize = 0;
        for c in text.trim().chars() {
            if matches!(c, ':' | '-' | '.' | ' ') {
                continue;
            }
            let digit = c.to_digit(16).ok_or(EuiError::Character(c))?;
            value = (value << 4) | u64::from(digit);
            digits += 1;
        }
        if digits == 16 { Ok(Self(value)) } else { Err(EuiError::Length(digits)) }
    }
}

impl fmt::Display for Eui {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", self.0)
    }
}

impl fmt::Debug for Eui {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Eui({self})")
    }
}

impl Serialize for Eui {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Eui {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_canonical(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_may_write_separators_and_lower_case() {
        for text in
            ["7076ff0056070123", "70:76:FF:00:56:07:01:23", "70-76-ff-00-56-07-01-23", " 7076FF00.56070123 "]
        {
            assert_eq!(text.parse::<Eui>().unwrap().to_string(), "7076FF0056070123");
        }
    }

    #[test]
    fn the_wire_has_one_spelling() {
        assert!(Eui::from_canonical("7076FF0056070123").is_ok());
        assert_eq!(Eui::from_canonical("7076ff0056070123"), Err(EuiError::NotCanonical));
        assert_eq!(Eui::from_canonical("70:76:FF:00:56:07:01:23"), Err(EuiError::NotCanonical));
    }

    #[test]
    fn what_is_no_eui_is_refused_by_name() {
        assert_eq!("7076FF".parse::<Eui>(), Err(EuiError::Length(6)));
        assert_eq!("7076FF0056070123F".parse::<Eui>(), Err(EuiError::Length(17)));
        assert_eq!("7076FF005607012G".parse::<Eui>(), Err(EuiError::Character('G')));
        assert_eq!("é".parse::<Eui>(), Err(EuiError::Character('é')));
    }
}
