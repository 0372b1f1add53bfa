//! What the machine refused, in words that say what to do.

use std::io;
use std::path::Path;

use nix::libc;

use super::{FileKind, MAX_TREE_BYTES, MAX_TREE_ENTRIES};

/// Something that the machine refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SystemError {
    message: String,
    /// The kernel's number of it, so that a dry run's model can tell of it by the path that its task names.
    errno: Option<i32>,
}

impl SystemError {
    /// An operation on a path that failed.
    pub(crate) fn new(doing: &str, path: &Path, source: &io::Error) -> Self {
        let message = format!("cannot {doing} {}: {}", path.display(), reason(source));
        Self { message, errno: source.raw_os_error() }
    }

    /// Like [`SystemError::new`], for a name that shall be made: the folder may be missing.
    pub(super) fn below_folder(doing: &str, path: &Path, source: &io::Error) -> Self {
        if source.raw_os_error() != Some(libc::ENOENT) {
            return Self::new(doing, path, source);
        }
        let folder = path.parent().unwrap_or(path).display();
        Self::text(format!("cannot {doing} {}: the directory {folder} is not there", path.display()))
    }

    /// A file shall be written where there is something else.
    pub(super) fn in_the_way(path: &Path, kind: FileKind) -> Self {
        let what = if kind == FileKind::Directory { "a directory" } else { "not a regular file" };
        Self::text(format!("cannot write {}: it is {what}", path.display()))
    }

    /// The root shall be removed.
    pub(crate) fn never_removed(path: &Path) -> Self {
        Self::text(format!("{} is never removed: it is the root, or ends in `..`", path.display()))
    }

    /// A file is longer than who asks for it can take.
    pub(super) fn too_long(path: &Path, max_bytes: u64) -> Self {
        Self::text(format!("{} is longer than {max_bytes} bytes", path.display()))
    }

    /// A directory tree is larger than one task handles.
    pub(super) fn too_many(path: &Path) -> Self {
        let mebibytes = MAX_TREE_BYTES / 1024 / 1024;
        Self::text(format!(
            "{} holds more than {MAX_TREE_ENTRIES} entries, or more than {mebibytes} MiB of paths",
            path.display()
        ))
    }

    /// Anything else, in words.
    pub(crate) fn text(message: impl Into<String>) -> Self {
        Self { message: message.into(), errno: None }
    }
}

impl From<SystemError> for io::Error {
    fn from(error: SystemError) -> Self {
        error.errno.map_or_else(|| Self::other(error.message), Self::from_raw_os_error)
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
