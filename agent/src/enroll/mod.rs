//! `keros-agent enroll`: from one pasted line to a connection with the center; and `keros-agent renew`: the next certificate.
//!
//! The private key is made here and never leaves. Everything is written beside what is in force, in a folder of its own below `tls`, and
//! tried against the real broker from there; then one rename, of `config.d/50-enrolled.yaml`, puts it in force. Only after that the center
//! is told: so whatever instant the power is cut at, either the old configuration works or the new one, and the same line can be used again.
//!
//! Reading order: [`enroll`] and [`renew`], what the center is asked ([`ask`], [`pinned`], [`key`]), where files go ([`place`],
//! [`files`]), the [`trial`], the [`service`].

mod ask;
mod error;
mod files;
mod join;
mod key;
mod pinned;
mod place;
mod renew;
mod service;
#[cfg(test)]
mod tests;
mod trial;

use keros_protocol::KeyPurpose;

pub(crate) use error::{EnrolError, Kind};
pub(crate) use join::{Wanted, enroll};
pub(crate) use renew::{Renewal, renew};

/// Keys by what they may sign, PEM.
type Keys = Vec<(KeyPurpose, String)>;
