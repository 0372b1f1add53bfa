//! The same on the machine's own disk, for those that need no other.

use std::io;
use std::path::Path;

use crate::{Disk as _, RealDisk};

/// [`Disk::write_atomically`](crate::Disk::write_atomically).
///
/// # Errors
/// The first error of any of its steps.
pub fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    RealDisk.write_atomically(path, content)
}

/// [`Disk::sync_folder`](crate::Disk::sync_folder).
///
/// # Errors
/// When the folder cannot be opened or synced.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    RealDisk.sync_folder(folder)
}

/// [`Disk::create_private_folder`](crate::Disk::create_private_folder).
///
/// # Errors
/// When it cannot be made.
pub fn create_private_folder(path: &Path) -> io::Result<()> {
    RealDisk.create_private_folder(path)
}
