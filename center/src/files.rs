//! Small files that only their owner may read. What root makes in the folder of another user belongs to that user: the service runs as a
//! user of its own, and could not read what an operator makes with sudo.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::Path;

/// Replaces a file whole: written beside it with mode 0600, synced, renamed over it.
///
/// # Errors
/// The first error of these steps; the old file is untouched then.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    let mut temporary = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    temporary.write_all(content)?;
    give_to_owner_of(folder, temporary.as_file())?;
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
    give_to_owner_of(folder_of(path), &file)?;
    file.sync_all()
}

/// Makes a folder, and those above it, for its owner alone; one that exists is left as it is.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let above = folder_of(path);
    create_private_folder(above)?;
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        // Somebody else was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        made => made?,
    }
    give_to_owner_of(above, &File::open(path)?)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Only root can give away, and only what it has just made is given.
fn give_to_owner_of(folder: &Path, made: &File) -> io::Result<()> {
    let owner = folder.metadata()?;
    if made.metadata()?.uid() != 0 || owner.uid() == 0 {
        return Ok(());
    }
    fchown(made, Some(owner.uid()), Some(owner.gid()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_root_makes_in_the_folder_of_a_user_belongs_to_that_user() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let above = tempfile::tempdir().unwrap();
        let data = above.path().join("data");
        std::fs::create_dir(&data).unwrap();
        std::os::unix::fs::chown(&data, Some(12345), Some(12346)).unwrap();
        create_private_folder(&data.join("keys/trust")).unwrap();
        create_new(&data.join("keys/trust/a.pem"), b"a", 0o644).unwrap();
        for _ in 0..2 {
            write_private(&data.join("broker-users"), b"b").unwrap();
        }
        for made in ["keys", "keys/trust", "keys/trust/a.pem", "broker-users"] {
            let found = data.join(made).metadata().unwrap();
            assert_eq!((found.uid(), found.gid()), (12345, 12346), "{made}");
        }
        create_private_folder(&above.path().join("own")).unwrap();
        assert_eq!(above.path().join("own").metadata().unwrap().uid(), 0);
    }
}
