//! Small files that only their owner may read.

use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Replaces a file whole: written beside it with mode 0600, synced, renamed over it.
///
/// # Errors
/// The first error of these steps; the old file is untouched then.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut temporary =
        tempfile::Builder::new().prefix(".new-").tempfile_in(folder.unwrap_or_else(|| Path::new(".")))?;
    temporary.write_all(content)?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Makes a file with these permissions that must not exist yet.
///
/// # Errors
/// `AlreadyExists`, and what else can happen to a file.
pub(crate) fn create_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Makes a folder, and those above it, for its owner alone; one that exists is left as it is.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}
