//! A Magic Link: an OCI artifact whose digest names a bundle, good only for the gateways that it declares. Pure: bytes in,
//! checked values or a named refusal out. `docs/magic-link.md` says the same in words.
//!
//! Reading order: the hash ([`Digest`]), what it names ([`Manifest`]: files with a [`Title`] each), for whom
//! ([`LinkConfig`], [`GatewayPattern`], [`KerosRange`]), both together ([`MagicLink`]), where to get it ([`Source`], and the
//! [`Challenge`] of one that asks for a log-in).

mod config;
mod digest;
mod keros_range;
mod link;
mod login;
mod manifest;
mod pattern;
mod source;
mod title;

pub use config::LinkConfig;
pub use digest::{Digest, DigestError};
pub use keros_range::{KerosRange, KerosRangeError};
pub use link::{LinkGateway, MagicLink};
pub use login::{Challenge, basic_authorization, bearer_authorization};
pub use manifest::{BundleFile, Descriptor, Manifest};
pub use pattern::{GatewayPattern, PatternError};
pub use source::{Source, SourceError};
pub use title::{Title, TitleError};

/// Media type of the manifest (OCI image specification 1.1, image manifest).
pub const MANIFEST_MEDIA_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// Artifact type of a Magic Link.
pub const ARTIFACT_TYPE: &str = "application/vnd.keros.magic-link.v1";

/// Media type of its config blob.
pub const CONFIG_MEDIA_TYPE: &str = "application/vnd.keros.magic-link.config.v1+json";

/// Media type of each of its files: the bytes as they are, neither packed nor compressed.
pub const FILE_MEDIA_TYPE: &str = "application/vnd.keros.magic-link.file.v1";

/// The annotation of a layer that names its file: a path in the bundle (OCI image specification 1.1, annotations).
pub const TITLE_ANNOTATION: &str = "org.opencontainers.image.title";

/// The annotation of a layer whose file is a program: `"true"`.
pub const EXECUTABLE_ANNOTATION: &str = "vnd.keros.magic-link.executable";
