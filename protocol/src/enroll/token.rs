//! The secret of an enrolment.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::base32;

/// 128 random bits that enrol one gateway, once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EnrolToken([u8; 16]);

impl EnrolToken {
    /// The token of these bytes, which must be random.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(super) const fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// What the center keeps of it: SHA-256 in hex. Nobody finds 128 random bits from that, so there is no salt.
    #[must_use]
    pub fn digest(self) -> String {
        let whole = Sha256::new().chain_update(b"keros-enroll-token-v1\0").chain_update(self.0).finalize();
        whole.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// In words: it must not get into a log by accident.
impl fmt::Debug for EnrolToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnrolToken(secret)")
    }
}

impl fmt::Display for EnrolToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base32::encode(&self.0))
    }
}

impl FromStr for EnrolToken {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        base32::decode(text).map(Self).ok_or("a token has 26 letters and digits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_and_not_shown_by_debug() {
        let token = EnrolToken::from_bytes([0xa5; 16]);
        assert_eq!(token.to_string().parse(), Ok(token));
        assert!(!format!("{token:?}").contains(&token.to_string()));
        assert_ne!(token.digest(), EnrolToken::from_bytes([0xa4; 16]).digest());
        assert!("".parse::<EnrolToken>().is_err());
    }
}
