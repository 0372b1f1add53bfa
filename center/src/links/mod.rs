//! What Magic Links are made of at the center: the folder of blobs, and the tokens that open them to one gateway each. Which links
//! there are is in the database.
//!
//! Reading order: [`Blobs`], how one comes in ([`Upload`]) and goes out ([`answer`]), [`TokenKey`], and what the service is given
//! ([`Links`]).

pub(crate) mod answer;
mod blobs;
mod declared;
#[cfg(test)]
pub(crate) mod sample;
mod token;
mod upload;

use keros_protocol::magic_link::Source;

pub(crate) use blobs::{BlobError, Blobs, Removing, blob_path};
pub(crate) use declared::Declared;
pub(crate) use token::{Grant, TokenKey};
pub(crate) use upload::Upload;

/// The repository of the center's own registry.
pub(crate) const REPOSITORY: &str = "links";

/// What the service needs for Magic Links.
#[derive(Debug)]
pub(crate) struct Links {
    /// Their bytes.
    pub(crate) blobs: Blobs,
    /// Makes gateways' tokens.
    pub(crate) tokens: TokenKey,
    /// The registry as gateways are told; `None`: there is none, or nobody said how gateways reach it.
    pub(crate) source: Option<Source>,
}
