//! What the machine refused, in words that say what to do.

use std::io;
use std::path::Path;

use nix::libc;

/// Something that the machine refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SystemError(String);

impl SystemError {
    /// An operation on a path that failed.
    pub(crate) fn new(doing: &str, path: &Path, source: &io::Error) -> Self {
        Self(format!("cannot {doing} {}: {}", path.display(), reason(source)))
    }

    /// Anything else, in words.
    pub(crate) fn text(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

fn reason(source: &io::Error) -> String {
    let text = match source.raw_os_error() {
        Some(libc::ENOENT) => "no such file or directory",
        Some(libc::ENOSPC) => "the disk is full",
        Some(libc::EDQUOT) => "the disk quota is used up",
        Some(libc::EROFS) => "the file system is read-only",
        Some(libc::EISDIR) => "it is a directory",
        Some(libc::ENOTDIR) => "a part of the path is not a directory",
        Some(libc::ENOTEMPTY) => "the directory is not empty (`recurse: true` removes what is in it)",
        Some(libc::ELOOP) => "too many symbolic links",
        Some(libc::ENAMETOOLONG) => "the name is too long",
        Some(libc::EBUSY) => "it is in use, perhaps a mount point",
        Some(libc::EPERM | libc::EACCES) => "permission denied (is this run by root?)",
        _ => return source.to_string(),
    };
    text.to_owned()
}
