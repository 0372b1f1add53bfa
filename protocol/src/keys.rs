//! Ed25519 keys (RFC 8032) in the PEM files that `openssl` reads and writes (RFC 8410). It must not open files.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// DER of `SubjectPublicKeyInfo` for Ed25519 up to the 32 bytes of the key (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// What a key may sign. Keys of one purpose are never asked about the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyPurpose {
    /// Orders jobs.
    Command,
    /// States time, acknowledgements and cancellations; used every hour.
    Statement,
}

impl KeyPurpose {
    /// Both purposes.
    pub const ALL: [Self; 2] = [Self::Command, Self::Statement];

    /// The word in file and folder names.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Statement => "statement",
        }
    }
}

/// Names a public key: the first 16 hex digits of the SHA-256 of its DER `SubjectPublicKeyInfo`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(pub String);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a key file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No block of this label.
    #[error("no PEM block \"{0}\" found")]
    NoBlock(&'static str),
    /// The block is not base64.
    #[error("the PEM block is not valid base64")]
    Base64,
    /// The block holds something else than an Ed25519 key.
    #[error("the PEM block does not hold an Ed25519 key")]
    NotEd25519,
}

/// A public key that is trusted for one purpose.
#[derive(Clone, PartialEq, Eq)]
pub struct TrustedKey {
    bytes: [u8; 32],
}

impl fmt::Debug for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustedKey({})", self.id())
    }
}

impl TrustedKey {
    /// Reads a `PUBLIC KEY` PEM block.
    ///
    /// # Errors
    /// [`KeyError`] when there is no such block or it holds no Ed25519 key.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = pem_block(pem, "PUBLIC KEY")?;
        let bytes = der.strip_prefix(&SPKI_PREFIX).ok_or(KeyError::NotEd25519)?;
        Ok(Self { bytes: bytes.try_into().map_err(|_| KeyError::NotEd25519)? })
    }

    /// The `PUBLIC KEY` PEM block.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let der = [&SPKI_PREFIX[..], &self.bytes].concat();
        to_pem("PUBLIC KEY", &der)
    }

    /// The key's name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let digest = Sha256::new().chain_update(SPKI_PREFIX).chain_update(self.bytes).finalize();
        KeyId(digest[..8].iter().map(|b| format!("{b:02x}")).collect())
    }

    /// Whether `signature` is this key's over `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.bytes).verify(message, signature).is_ok()
    }
}

/// The keys trusted for one purpose.
#[derive(Debug, Clone, Default)]
pub struct KeyRing {
    keys: Vec<TrustedKey>,
}

impl KeyRing {
    /// A ring of these keys.
    #[must_use]
    pub fn new(keys: Vec<TrustedKey>) -> Self {
        Self { keys }
    }

    /// The key of this name.
    #[must_use]
    pub fn get(&self, id: &KeyId) -> Option<&TrustedKey> {
        self.keys.iter().find(|key| key.id() == *id)
    }

    /// The names of all keys.
    #[must_use]
    pub fn ids(&self) -> Vec<KeyId> {
        self.keys.iter().map(TrustedKey::id).collect()
    }

    /// Whether no key is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// A private key; the center has one for each purpose.
pub struct SigningKey {
    pair: Ed25519KeyPair,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public().id())
    }
}

impl SigningKey {
    /// Reads a `PRIVATE KEY` PEM block (PKCS #8), as `openssl genpkey -algorithm ed25519` writes it.
    ///
    /// # Errors
    /// [`KeyError`] when there is no such block or it holds no Ed25519 key.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = pem_block(pem, "PRIVATE KEY")?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| KeyError::NotEd25519)?;
        Ok(Self { pair })
    }

    /// Makes a `PRIVATE KEY` PEM block from 32 random bytes (the seed of RFC 8032, section 5.1.5).
    #[must_use]
    pub fn pem_from_seed(seed: &[u8; 32]) -> String {
        // PrivateKeyInfo of RFC 8410, section 7: version 0, the algorithm, the seed in an octet string in another.
        let prefix =
            [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
        to_pem("PRIVATE KEY", &[&prefix[..], seed].concat())
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> TrustedKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.pair.public_key().as_ref());
        TrustedKey { bytes }
    }

    /// Signs a message: 64 bytes.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

fn pem_block(pem: &str, label: &'static str) -> Result<Vec<u8>, KeyError> {
    let begin = format!("-----BEGIN {label}-----");
    let end = format!("-----END {label}-----");
    let body = pem
        .split_once(&begin)
        .and_then(|(_, rest)| rest.split_once(&end))
        .map(|(body, _)| body)
        .ok_or(KeyError::NoBlock(label))?;
    let text: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    BASE64.decode(text).map_err(|_| KeyError::Base64)
}

fn to_pem(label: &str, der: &[u8]) -> String {
    // At most 48 bytes of DER here: one line.
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64.encode(der))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_pem() {
        let key = SigningKey::from_pem(&SigningKey::pem_from_seed(&[7; 32])).unwrap();
        let public = TrustedKey::from_pem(&key.public().to_pem()).unwrap();
        assert_eq!(public, key.public());
        assert!(public.verifies(b"message", &key.sign(b"message")));
        assert!(!public.verifies(b"massage", &key.sign(b"message")));
    }

    /// RFC 8032, section 7.1, test 2.
    #[test]
    fn the_rfc_vector_holds() {
        let seed = hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
        let public = hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        let signature = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                         085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
        let key = SigningKey::from_pem(&SigningKey::pem_from_seed(&seed.try_into().unwrap())).unwrap();
        assert_eq!(key.public().bytes.to_vec(), public);
        assert_eq!(key.sign(&[0x72]), hex(signature));
    }

    #[test]
    fn foreign_files_are_refused_by_name() {
        assert_eq!(TrustedKey::from_pem(""), Err(KeyError::NoBlock("PUBLIC KEY")));
        let text = "-----BEGIN PUBLIC KEY-----\n%%%\n-----END PUBLIC KEY-----";
        assert_eq!(TrustedKey::from_pem(text), Err(KeyError::Base64));
        let text = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----";
        assert_eq!(TrustedKey::from_pem(text), Err(KeyError::NotEd25519));
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
    }
}
