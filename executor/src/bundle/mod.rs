//! The bundle of a Magic Link. What the agent has fetched is not believed: it lies where an unprivileged program can change it at any
//! moment. It is copied into a folder of our own while it is hashed, and only that copy is used:
//!
//! ```text
//! bundles/HEX/manifest.json   HEX is its digest, the link's hash
//! bundles/HEX/config.json     for whom it is
//! bundles/HEX/files/TITLE     its files, read-only
//! bundles/.new-HEX            a copy that was never completed
//! ```
//!
//! Reading order: what the agent brought ([`given`]), whether this gateway may run it ([`offer`]), the copy ([`store`]), how long it stays ([`keep`]); its files go
//! by their titles ([`by_title`]).

mod by_title;
mod content;
mod given;
mod keep;
mod offer;
mod store;
#[cfg(test)]
mod tests;

pub(crate) use by_title::ByTitle;
pub(crate) use keep::tidy;
pub(crate) use offer::Offer;
pub(crate) use store::{Bundle, Store};

use keros_protocol::RefusalReason;
use keros_protocol::eligibility::Refusal;

use crate::exit::Failure;

/// Why there is no bundle to run.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The command cannot be run, by name.
    Refused(Refusal),
    /// That could not be told.
    Failed(Failure),
}

impl Trouble {
    fn refused(reason: RefusalReason, detail: impl AsRef<str>) -> Self {
        Self::Refused(Refusal::new(reason, detail))
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}
