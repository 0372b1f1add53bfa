//! Random secrets, of which only the digest is kept. They have 256 random bits, so that one SHA-256 is as good as any slow hash.

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::service::OrderError;

/// Random bytes of a secret.
const BYTES: usize = 32;

/// A new secret, in hex.
pub(super) fn new() -> Result<String, OrderError> {
    let mut bytes = [0; BYTES];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| OrderError::Unavailable("the machine gives no random numbers".to_owned()))?;
    Ok(hex(&bytes))
}

/// What is kept of a secret.
pub(super) fn digest_of(secret: &str) -> String {
    hex(digest(&SHA256, secret.as_bytes()).as_ref())
}

/// Whether two texts are the same, in a time that tells nothing of where they differ.
pub(crate) fn same(a: &str, b: &str) -> bool {
    let difference = digest_of(a).bytes().zip(digest_of(b).bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
    difference == 0
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
