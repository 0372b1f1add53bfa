//! What can be wrong with a bundle, each with what to do.

use std::io;
use std::path::PathBuf;

use keros_protocol::eligibility::Refusal;
use keros_protocol::limits::{MAX_BUNDLE_BYTES, MAX_BUNDLE_FILES};
use keros_protocol::magic_link::{Digest, TitleError};

/// Why a bundle cannot be made, read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BundleError {
    /// Of the system.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// Of the system.
    #[error("cannot write {}", .0.display())]
    Write(PathBuf, #[source] io::Error),
    /// A link, a socket, a device.
    #[error("{} is a {what}: a bundle holds files only{advice}", .path.display())]
    NoFile {
        /// Where.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// What to do about it.
        advice: &'static str,
    },
    /// A name that no file of a bundle can have.
    #[error("{} cannot be in a bundle", .0.display())]
    Name(PathBuf, #[source] TitleError),
    /// A name that is no text.
    #[error("{} cannot be in a bundle: its name is not UTF-8", .0.display())]
    NameNoText(PathBuf),
    /// Nothing in it.
    #[error("{} holds no file", .0.display())]
    Empty(PathBuf),
    /// Two files for one place.
    #[error("{} and {} would come to the same place", .0.display(), .1.display())]
    Twice(PathBuf, PathBuf),
    /// Something else.
    #[error("{} is no Debian package", .0.display())]
    NoDeb(PathBuf),
    /// More than a link can list.
    #[error("{} holds more than {MAX_BUNDLE_FILES} files: pack them into an archive in files/, for the module `unpack`", .0.display())]
    TooManyFiles(PathBuf),
    /// More than a gateway takes.
    #[error("{} holds {bytes} bytes, a bundle has at most {MAX_BUNDLE_BYTES}; the largest file is {} with {largest_bytes}", .folder.display(), .largest.display())]
    TooManyBytes {
        /// The folder.
        folder: PathBuf,
        /// All of it.
        bytes: u64,
        /// The file with the most.
        largest: PathBuf,
        /// That file's.
        largest_bytes: u64,
    },
    /// No playbook to begin with.
    #[error("{} has no site.yml and {found} other .yml files at its top: name the one to run with --playbook", .folder.display())]
    NoPlaybook {
        /// The folder.
        folder: PathBuf,
        /// How many could be meant.
        found: usize,
    },
    /// A list of gateways that cannot be read.
    #[error("{file}, line {line}: {what}")]
    Gateways {
        /// The list.
        file: String,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// Nobody may run it.
    #[error(
        "no gateway is declared: name some with --gateways FILE (one EUI, or a beginning like 7076FF*, a line) or --gateway"
    )]
    NoGateways,
    /// The link is none, as a gateway would say.
    #[error("{}", .0.detail)]
    Refused(Refusal),
    /// Not an OCI image layout.
    #[error("{} is no OCI image layout: {what}", .path.display())]
    NoLayout {
        /// The folder or tar.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// The hash is not in there.
    #[error("{} does not hold {digest}; it holds {known}", .path.display())]
    NotInIt {
        /// The folder or tar.
        path: PathBuf,
        /// What was asked for.
        digest: String,
        /// What there is.
        known: String,
    },
    /// Several to choose from.
    #[error("{} holds several Magic Links: name one of {known}", .path.display())]
    Several {
        /// The folder or tar.
        path: PathBuf,
        /// What there is.
        known: String,
    },
    /// Over the network.
    #[error("cannot read {what}")]
    Remote {
        /// What was asked for.
        what: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A blob is not there, or not as it should be.
    #[error("{} lacks the blob {digest}, or holds it damaged: {what}", .path.display())]
    Blob {
        /// The folder, tar or file, or the name of what is elsewhere.
        path: PathBuf,
        /// Which.
        digest: Digest,
        /// What is wrong.
        what: String,
    },
    /// It would overwrite something else.
    #[error("{} exists: name one that does not", .0.display())]
    Exists(PathBuf),
}

impl From<Refusal> for BundleError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
