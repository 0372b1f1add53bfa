//! How a receiver knows that a message is the center's: by the Standard Webhooks specification, with HMAC-SHA256, so that the libraries
//! that exist for it can be used.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keros_protocol::UnixSeconds;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

/// Bytes of a secret; the specification asks for 24 to 64.
const SECRET_BYTES: usize = 32;

/// What a receiver shares with the center. As text: `whsec_` and base64.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// A new one; `None` when the system gives no random numbers.
    pub(crate) fn random() -> Option<Self> {
        let mut bytes = vec![0; SECRET_BYTES];
        SystemRandom::new().fill(&mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// As a receiver is told it, and as it is kept.
    pub(crate) fn to_text(&self) -> String {
        format!("whsec_{}", STANDARD.encode(&self.0))
    }

    /// Reads what was kept.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        STANDARD.decode(text.strip_prefix("whsec_")?).ok().map(Self)
    }

    /// The value of the header `webhook-signature`.
    pub(crate) fn sign(&self, id: &str, at: UnixSeconds, body: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let tag = hmac::sign(&key, format!("{id}.{at}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_one_of_the_specification() {
        // The example of the reference libraries (github.com/standard-webhooks/standard-webhooks, svix).
        let secret = Secret::from_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}");
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_secret_is_another_and_is_read_again() {
        let (first, second) = (Secret::random().unwrap(), Secret::random().unwrap());
        assert_ne!(first, second);
        assert_eq!(Secret::from_text(&first.to_text()), Some(first));
        assert_eq!(Secret::from_text("whsec_?"), None);
    }
}
