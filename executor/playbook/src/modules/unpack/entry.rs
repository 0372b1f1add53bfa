//! What an archive says of one of its entries, and what is left of that after the check.

use std::io::Read;
use std::path::PathBuf;

use keros_protocol::limits::shorten;

/// An entry as the archive describes it.
pub(super) struct Entry {
    /// Its name, as it stands there.
    pub(super) name: Vec<u8>,
    pub(super) kind: Kind,
    /// All mode bits.
    pub(super) mode: u32,
}

/// What an entry is. Devices, pipes and the like never come this far.
pub(super) enum Kind {
    File {
        size: u64,
    },
    Directory,
    /// A symbolic link, and where it leads.
    Link(Vec<u8>),
    /// Another name of an earlier entry.
    HardLink(Vec<u8>),
}

/// An entry that may be unpacked.
pub(super) struct Admitted {
    /// Below the destination; never empty, only ordinary names in it.
    pub(super) path: PathBuf,
    pub(super) kind: AdmittedKind,
    /// Permission bits.
    pub(super) mode: u32,
}

/// What is to be unpacked.
pub(super) enum AdmittedKind {
    File {
        size: u64,
    },
    Directory,
    Link(PathBuf),
    /// The same content as an earlier file's, below the destination.
    CopyOf(PathBuf),
}

/// Is shown each entry that is to be unpacked, with its content; may leave some of that unread.
pub(super) type Visit<'v> = dyn FnMut(&Admitted, &mut dyn Read) -> Result<(), String> + 'v;

/// A refusal that names its entry.
pub(super) fn refuse(name: &[u8], why: &str) -> String {
    format!("the archive's entry {:?}: {why}", shorten(&String::from_utf8_lossy(name), 200))
}
