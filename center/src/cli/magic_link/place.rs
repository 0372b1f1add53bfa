//! A Magic Link by its hash, or where an image layout with it lies.

use std::path::PathBuf;
use std::str::FromStr;

use keros_protocol::magic_link::Digest;

/// Fewest digits of a hash that is cut short.
const MIN_DIGITS: usize = 8;

/// The hash of a Magic Link, or its beginning: lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hash(String);

impl Hash {
    /// The digits.
    pub(crate) fn digits(&self) -> &str {
        &self.0
    }

    /// The whole hash, when all of it was written.
    pub(crate) fn digest(&self) -> Option<Digest> {
        Digest::from_hex(&self.0).ok()
    }
}

impl FromStr for Hash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim().strip_prefix("sha256:").unwrap_or(text.trim());
        let is_hash = (MIN_DIGITS..=64).contains(&digits.len())
            && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if is_hash {
            return Ok(Self(digits.to_owned()));
        }
        Err(format!(
            "a hash is `sha256:` and 64 lower-case hex digits, or its first {MIN_DIGITS} digits or more"
        ))
    }
}

/// Where a Magic Link is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// At the center.
    Center(Hash),
    /// In a folder or tar of this machine.
    Here(PathBuf),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(hash) => Ok(Self::Center(hash)),
            // A hash with a typing error is no path.
            Err(error) if text.starts_with("sha256:") => Err(error),
            Err(_) => Ok(Self::Here(text.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_hash_is_one() {
        let place = |text: &str| text.parse::<Place>().unwrap();
        let digest = Digest::of(b"x");
        assert_eq!(place(&digest.to_string()), Place::Center(Hash(digest.hex())));
        assert_eq!(place("0a1b2c3d"), Place::Center(Hash("0a1b2c3d".to_owned())));
        for text in ["0a1b2c3", "./0a1b2c3d", "0A1B2C3D", "links.tar"] {
            assert_eq!(place(text), Place::Here(text.into()), "{text}");
        }
        for text in ["sha256:", "sha256:xyz"] {
            assert!(text.parse::<Place>().unwrap_err().contains("64 lower-case"), "{text}");
        }
        assert!("north".parse::<Hash>().unwrap_err().contains("64 lower-case"));
    }
}
