//! The gateways that a Magic Link declares.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Eui;

/// One gateway by its EUI, or all whose EUI begins so: `7076FF0056070123`, `7076FF*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayPattern {
    /// The digits that are stated, from the most significant bit; zeros below them.
    value: u64,
    /// How many are stated: 2 to 16.
    digits: u32,
}

/// The text declares no gateways.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a gateway is declared by 16 upper-case hex digits, or by 2 to 15 of them and `*`, found {0:?}")]
pub struct PatternError(String);

impl GatewayPattern {
    /// Fewest digits before a `*`. One digit, or none, would be a link for everybody by mistake.
    pub const MIN_DIGITS: u32 = 2;

    /// Exactly this gateway.
    #[must_use]
    pub const fn of(eui: Eui) -> Self {
        Self { value: eui.as_u64(), digits: 16 }
    }

    /// Whether it declares this gateway.
    #[must_use]
    pub const fn declares(&self, eui: Eui) -> bool {
        let shift = (16 - self.digits) * 4;
        eui.as_u64() >> shift == self.value >> shift
    }
}

impl FromStr for GatewayPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let error = || PatternError(crate::limits::shorten(text, 64));
        let (hex, is_prefix) = text.strip_suffix('*').map_or((text, false), |hex| (hex, true));
        let is_hex = hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'));
        let digits = u32::try_from(hex.len()).map_err(|_| error())?;
        let fits = if is_prefix { (Self::MIN_DIGITS..16).contains(&digits) } else { digits == 16 };
        if !is_hex || !fits {
            return Err(error());
        }
        let value = u64::from_str_radix(hex, 16).map_err(|_| error())?;
        Ok(Self { value: value << ((16 - digits) * 4), digits })
    }
}

impl fmt::Display for GatewayPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:016X}", self.value);
        f.write_str(&hex[..self.digits as usize])?;
        if self.digits < 16 { f.write_str("*") } else { Ok(()) }
    }
}

impl Serialize for GatewayPattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GatewayPattern {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EUI: Eui = Eui::from_u64(0x7076_FF00_5607_0123);

    #[test]
    fn a_pattern_declares_what_begins_so() {
        for text in ["7076FF0056070123", "7076FF*", "70*", "7076FF005607012*"] {
            let pattern: GatewayPattern = text.parse().unwrap();
            assert!(pattern.declares(EUI), "{text}");
            assert_eq!(pattern.to_string(), text);
        }
        for text in ["7076FF0056070124", "7276FF*", "71*", "7076FF005607013*"] {
            assert!(!text.parse::<GatewayPattern>().unwrap().declares(EUI), "{text}");
        }
        assert_eq!(GatewayPattern::of(EUI), "7076FF0056070123".parse().unwrap());
    }

    #[test]
    fn what_might_be_everybody_is_no_pattern() {
        for text in ["", "*", "7*", "7076ff*", "7076FF", "7076FF0056070123*", "7076FF**", "70 76*", "+076FF*"]
        {
            assert!(text.parse::<GatewayPattern>().is_err(), "{text:?}");
        }
    }
}
