//! What a file must hold, in 32 bytes.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// The SHA-256 of a content; written `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Digest(pub(super) [u8; 32]);

impl Digest {
    /// Of all that was hashed so far.
    pub(super) fn of(hash: &Sha256) -> Self {
        Self(hash.clone().finalize().into())
    }

    /// Reads a digest.
    ///
    /// # Errors
    /// When it is none, or of another kind.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("field (digest) must be sha256: and 64 hexadecimal digits, was {text}");
        let digits = text.strip_prefix("sha256:").map(str::as_bytes).filter(|digits| digits.len() == 64);
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.ok_or_else(wrong)?.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| !pair.starts_with('+'));
            *byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or_else(wrong)?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
