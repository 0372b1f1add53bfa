//! The token with which one gateway fetches one Magic Link: `1.<digest>.<EUI>.<end>.<HMAC>`, the first four parts readable, the last one
//! over them. Nothing about it is kept: it is the same each time it is made, so that a command is the same each time it is signed.

use std::str::FromStr as _;

use keros_protocol::magic_link::Digest;
use keros_protocol::{Eui, UnixSeconds};
use ring::hmac;

/// What a token opens: this link's manifest and the blobs that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grant {
    /// The Magic Link.
    pub(crate) digest: Digest,
    /// The gateway that it was made for.
    pub(crate) eui: Eui,
    /// From this second on it opens nothing.
    pub(crate) expires_at: UnixSeconds,
}

/// The center's secret.
#[derive(Debug)]
pub(crate) struct TokenKey {
    key: hmac::Key,
}

/// First part of each token. It is signed too, so that the secret can be used for tokens of another form one day.
const VERSION: &str = "1";

impl TokenKey {
    /// A key of this secret.
    pub(crate) fn new(secret: &str) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()) }
    }

    /// Makes a token.
    pub(crate) fn token(&self, grant: &Grant) -> String {
        let Grant { digest, eui, expires_at } = grant;
        let signed = format!("{VERSION}.{}.{eui}.{expires_at}", digest.hex());
        let tag = hmac::sign(&self.key, signed.as_bytes());
        let tag: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{signed}.{tag}")
    }

    /// What a token opens, if this key has made it. Whether its time is over is for the caller to see.
    pub(crate) fn grant(&self, token: &str) -> Option<Grant> {
        let (signed, tag) = token.rsplit_once('.')?;
        let tag = Digest::from_hex(tag).ok()?;
        let mut parts = signed.split('.');
        let (version, digest, eui, end) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if version != VERSION || parts.next().is_some() {
            return None;
        }
        hmac::verify(&self.key, signed.as_bytes(), tag.as_bytes()).ok()?;
        Some(Grant {
            digest: Digest::from_hex(digest).ok()?,
            eui: Eui::from_str(eui).ok()?,
            expires_at: end.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use keros_protocol::limits::MAX_FETCH_TOKEN_BYTES;

    use super::*;

    fn grant() -> Grant {
        Grant {
            digest: Digest::of(b"x"),
            eui: Eui::from_u64(0x7076_FF00_5607_0123),
            expires_at: 1_795_604_800,
        }
    }

    #[test]
    fn a_token_is_the_same_each_time_and_gives_what_it_was_made_for() {
        let key = TokenKey::new("secret");
        let token = key.token(&grant());
        assert_eq!(TokenKey::new("secret").token(&grant()), token);
        assert_eq!(key.grant(&token), Some(grant()));
        assert!(token.len() <= MAX_FETCH_TOKEN_BYTES && token.bytes().all(|byte| byte.is_ascii_graphic()));
    }

    #[test]
    fn a_token_with_any_other_character_opens_nothing() {
        let key = TokenKey::new("secret");
        let token = key.token(&grant());
        for at in 0..token.len() {
            for other in ["0", "f", "G", ".", "1"] {
                let mut altered = token.clone();
                altered.replace_range(at..=at, other);
                assert!(altered == token || key.grant(&altered).is_none(), "{altered}");
            }
        }
        for wrong in ["", ".", "1", &token[1..], &format!("{token}."), &format!("{token}0")] {
            assert_eq!(key.grant(wrong), None, "{wrong}");
        }
        assert_eq!(TokenKey::new("another secret").grant(&token), None);
    }
}
