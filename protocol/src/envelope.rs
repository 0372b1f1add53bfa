//! The signed envelope: DSSE v1 (<https://github.com/secure-systems-lab/dsse>), so that the signature covers the very
//! bytes that are parsed, and their type.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::{KeyId, KeyRing, SigningKey, limits};

/// A signed payload as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// What the payload is: [`Envelope::COMMAND`] or [`Envelope::STATEMENT`].
    pub payload_type: String,
    /// The payload's bytes, base64 (RFC 4648, section 4, with padding).
    pub payload: String,
    /// At least one must verify with a trusted key of the type's purpose.
    pub signatures: Vec<Signature>,
}

/// One signature of an [`Envelope`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Signature {
    /// The key's name.
    pub keyid: KeyId,
    /// The signature's 64 bytes, base64.
    pub sig: String,
}

/// Why an envelope is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Another payload type than the one asked for.
    #[error("the payload type is {found:?}, expected {expected:?}")]
    PayloadType {
        /// In the envelope.
        found: String,
        /// Asked for.
        expected: &'static str,
    },
    /// Greater than [`limits::MAX_ENVELOPE_BYTES`].
    #[error("the payload has {found} base64 digits, at most {most} are allowed")]
    TooLarge {
        /// In the envelope.
        found: usize,
        /// Allowed.
        most: usize,
    },
    /// No signatures, or more than [`limits::MAX_SIGNATURES`].
    #[error("{0} signatures, 1 to {most} are allowed", most = limits::MAX_SIGNATURES)]
    SignatureCount(usize),
    /// The payload is not base64.
    #[error("the payload is not valid base64")]
    Base64,
    /// No signature is by a key that is trusted.
    #[error("signed by unknown key {0}")]
    UnknownKey(String),
    /// A trusted key is named, but its signature does not fit these bytes.
    #[error("the signature of key {0} does not fit the payload")]
    BadSignature(KeyId),
}

impl Envelope {
    /// Payload type of a [`crate::Command`].
    pub const COMMAND: &'static str = "application/vnd.keros.command.v1+json";
    /// Payload type of a [`crate::Statement`].
    pub const STATEMENT: &'static str = "application/vnd.keros.statement.v1+json";

    /// Signs a payload.
    #[must_use]
    pub fn sign(payload_type: &str, payload: &[u8], key: &SigningKey) -> Self {
        let sig = BASE64.encode(key.sign(&pre_authentication_encoding(payload_type, payload)));
        Self {
            payload_type: payload_type.to_owned(),
            payload: BASE64.encode(payload),
            signatures: vec![Signature { keyid: key.public().id(), sig }],
        }
    }

    /// The payload's bytes, if one of the signatures is by a key of `ring` and covers them.
    ///
    /// # Errors
    /// [`EnvelopeError`] says what does not hold. The payload must not be used then.
    pub fn verify(&self, payload_type: &'static str, ring: &KeyRing) -> Result<Vec<u8>, EnvelopeError> {
        if self.payload_type != payload_type {
            let found = limits::shorten(&self.payload_type, 128);
            return Err(EnvelopeError::PayloadType { found, expected: payload_type });
        }
        if self.signatures.is_empty() || self.signatures.len() > limits::MAX_SIGNATURES {
            return Err(EnvelopeError::SignatureCount(self.signatures.len()));
        }
        let payload = self.unverified_payload()?;
        let message = pre_authentication_encoding(payload_type, &payload);
        let mut error = None;
        for signature in &self.signatures {
            let Some(key) = ring.get(&signature.keyid) else {
                let id = limits::shorten(&signature.keyid.0, 64);
                error.get_or_insert(EnvelopeError::UnknownKey(id));
                continue;
            };
            if BASE64.decode(&signature.sig).is_ok_and(|sig| key.verifies(&message, &sig)) {
                return Ok(payload);
            }
            error = Some(EnvelopeError::BadSignature(key.id()));
        }
        Err(error.unwrap_or(EnvelopeError::SignatureCount(0)))
    }

    /// The payload's bytes without any check: only to find out which command is being refused.
    ///
    /// # Errors
    /// [`EnvelopeError::TooLarge`] and [`EnvelopeError::Base64`].
    pub fn unverified_payload(&self) -> Result<Vec<u8>, EnvelopeError> {
        if self.payload.len() > limits::MAX_ENVELOPE_BYTES {
            return Err(EnvelopeError::TooLarge {
                found: self.payload.len(),
                most: limits::MAX_ENVELOPE_BYTES,
            });
        }
        BASE64.decode(&self.payload).map_err(|_| EnvelopeError::Base64)
    }
}

/// PAE of the DSSE specification: `DSSEv1 <length> <type> <length> <payload>`, lengths in decimal bytes.
fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_pem(&SigningKey::pem_from_seed(&[seed; 32])).unwrap()
    }

    fn ring(seeds: &[u8]) -> KeyRing {
        KeyRing::new(seeds.iter().map(|seed| key(*seed).public()).collect())
    }

    /// The example of the DSSE specification, protocol.md.
    #[test]
    fn the_encoding_is_the_specifications() {
        assert_eq!(
            pre_authentication_encoding("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn every_altered_bit_is_found() {
        let envelope = Envelope::sign(Envelope::COMMAND, b"{\"a\":1}", &key(1));
        assert_eq!(envelope.verify(Envelope::COMMAND, &ring(&[1])).unwrap(), b"{\"a\":1}");
        let payload = envelope.unverified_payload().unwrap();
        for bit in 0..payload.len() * 8 {
            let mut altered = payload.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            let envelope = Envelope { payload: BASE64.encode(altered), ..envelope.clone() };
            assert!(matches!(
                envelope.verify(Envelope::COMMAND, &ring(&[1])),
                Err(EnvelopeError::BadSignature(_))
            ));
        }
        let signature = BASE64.decode(&envelope.signatures[0].sig).unwrap();
        for bit in 0..signature.len() * 8 {
            let mut altered = signature.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            let mut envelope = envelope.clone();
            envelope.signatures[0].sig = BASE64.encode(altered);
            assert!(envelope.verify(Envelope::COMMAND, &ring(&[1])).is_err());
        }
    }

    #[test]
    fn one_trusted_signature_of_several_is_enough() {
        let mut envelope = Envelope::sign(Envelope::COMMAND, b"x", &key(1));
        envelope.signatures.extend(Envelope::sign(Envelope::COMMAND, b"x", &key(2)).signatures);
        assert!(envelope.verify(Envelope::COMMAND, &ring(&[1])).is_ok());
        assert!(envelope.verify(Envelope::COMMAND, &ring(&[2])).is_ok());
        assert!(matches!(envelope.verify(Envelope::COMMAND, &ring(&[3])), Err(EnvelopeError::UnknownKey(_))));
    }

    #[test]
    fn a_statement_is_no_command() {
        let envelope = Envelope::sign(Envelope::STATEMENT, b"x", &key(1));
        assert!(matches!(
            envelope.verify(Envelope::COMMAND, &ring(&[1])),
            Err(EnvelopeError::PayloadType { .. })
        ));
        let relabelled = Envelope { payload_type: Envelope::COMMAND.to_owned(), ..envelope };
        assert!(matches!(
            relabelled.verify(Envelope::COMMAND, &ring(&[1])),
            Err(EnvelopeError::BadSignature(_))
        ));
    }

    #[test]
    fn counts_and_sizes_are_bounded() {
        let envelope = Envelope::sign(Envelope::COMMAND, b"x", &key(1));
        let none = Envelope { signatures: vec![], ..envelope.clone() };
        assert_eq!(none.verify(Envelope::COMMAND, &ring(&[1])), Err(EnvelopeError::SignatureCount(0)));
        let many = Envelope { signatures: vec![envelope.signatures[0].clone(); 5], ..envelope.clone() };
        assert_eq!(many.verify(Envelope::COMMAND, &ring(&[1])), Err(EnvelopeError::SignatureCount(5)));
        let large = Envelope { payload: "A".repeat(limits::MAX_ENVELOPE_BYTES + 4), ..envelope };
        assert!(matches!(large.verify(Envelope::COMMAND, &ring(&[1])), Err(EnvelopeError::TooLarge { .. })));
    }
}
