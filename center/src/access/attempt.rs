//! One try of a request that says by an `Idempotency-Key` that it is to be done once.

use uuid::Uuid;

/// A try. What it does is kept under its key in the same transaction, so that no other try with that key does it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// Whose key: keys of different users have nothing to do with each other.
    pub(crate) caller: String,
    /// The key.
    pub(crate) key: String,
    /// Which try.
    pub(crate) id: Uuid,
}
