//! Bundles: what a Magic Link carries. Made from a folder, read from and written to OCI image layouts, checked as a gateway would.
//! It must not print anything, nor know of the command line.
//!
//! Reading order: what is wrong ([`BundleError`]), a link with a way to its blobs ([`Bundle`], [`Blobs`]), how one is made
//! (`folder`, `quick`, `make`, `gateways`), how it is kept outside of a center (`layout`, `tarball`, `distribution`).

pub(crate) mod check;
pub(crate) mod distribution;
mod error;
mod folder;
mod gateways;
mod layout;
mod link;
mod make;
mod quick;
mod tarball;
mod verified;

pub(crate) use error::BundleError;
pub(crate) use gateways::{parse_pattern, read_gateways};
pub(crate) use layout::{Image, write};
pub(crate) use link::{Blobs, Bundle, Remote};
pub(crate) use make::{Contents, make, make_quick};
pub(crate) use quick::{Placed, Quick};

#[cfg(test)]
mod tests;
