//! The folder of trusted keys as it is at one moment: what is judged, what is kept of it with a job, and how it is put back. A shell task may
//! have done anything to it, which the job's own backup knows nothing of.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use keros_platform::{create_private_folder, sync_folder};
use serde::{Deserialize, Serialize};

/// Far more than one PEM block.
const MAX_BYTES: u64 = 4096;
/// Far more than a center has keys.
const MAX_FILES: usize = 64;
/// What a new file is called until it is complete; no key has such a name.
const UNBORN: &str = ".keros-new";

/// The folder of trusted keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Its own mode and owner.
    pub(super) folder: Access,
    /// Its files `*.pem` that may be keys.
    pub(super) files: Vec<KeyFile>,
}

/// Who may do what with a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Access {
    /// Its permissions.
    pub(super) mode: u32,
    /// The user that it belongs to.
    pub(super) user: u32,
    /// The group.
    pub(super) group: u32,
}

/// One file that may be a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyFile {
    pub(super) name: String,
    pub(super) access: Access,
    /// Its content; absent: it cannot be read, is too long, or no text.
    pub(super) text: Option<String>,
}

impl Access {
    fn of(metadata: &fs::Metadata) -> Self {
        Self { mode: metadata.mode() & 0o7777, user: metadata.uid(), group: metadata.gid() }
    }

    fn give(self, file: &File) -> io::Result<()> {
        fchown(file, Some(self.user), Some(self.group))?;
        file.set_permissions(Permissions::from_mode(self.mode))
    }
}

impl Kept {
    /// The folder as it is now. A link to a file counts as that file.
    ///
    /// # Errors
    /// When the folder cannot be listed, or has too many files.
    pub(crate) fn read(folder: &Path) -> io::Result<Self> {
        let access = Access::of(&folder.metadata()?);
        let mut files = Vec::new();
        for entry in folder.read_dir()? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !name.ends_with(".pem") {
                continue;
            }
            if files.len() >= MAX_FILES {
                return Err(io::Error::new(ErrorKind::FileTooLarge, format!("more than {MAX_FILES} files")));
            }
            if let Ok(metadata) = path.metadata() {
                let text =
                    if metadata.is_file() { keros_platform::read_small(&path, MAX_BYTES) } else { None };
                files.push(KeyFile { name, access: Access::of(&metadata), text });
            }
        }
        files.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Self { folder: access, files })
    }

    /// Makes the folder what it was: each file is the old or the new one in full at any instant, and all of it is on the disk at the end. It
    /// can be cut off and done again. Keys that came since then go last: until then there are more rather than fewer.
    ///
    /// # Errors
    /// The first one; what could be put back before it is.
    pub(crate) fn put_back(&self, folder: &Path) -> io::Result<()> {
        // An earlier attempt may have been cut off before all of it was on the disk.
        if Self::read(folder).is_ok_and(|now| now == *self) {
            return sync_folder(folder);
        }
        self.put_folder_back(folder)?;
        for file in &self.files {
            if let Some(text) = &file.text {
                put_file_back(folder, file, text)?;
            }
        }
        for file in Self::read(folder)?.files.iter().filter(|file| file.text.is_some()) {
            if !self.files.iter().any(|kept| kept.name == file.name) {
                fs::remove_file(folder.join(&file.name))?;
            }
        }
        sync_folder(folder)
    }

    fn put_folder_back(&self, folder: &Path) -> io::Result<()> {
        // A link to a folder is a folder: a gateway may keep its keys elsewhere.
        if !folder.metadata().is_ok_and(|found| found.is_dir()) {
            remove(folder)?;
            create_private_folder(folder)?;
        }
        self.folder.give(&File::open(folder)?)
    }
}

fn put_file_back(folder: &Path, file: &KeyFile, text: &str) -> io::Result<()> {
    let path = folder.join(&file.name);
    let is_as_it_was =
        path.metadata().is_ok_and(|found| found.is_file() && Access::of(&found) == file.access)
            && keros_platform::read_small(&path, MAX_BYTES).as_deref() == Some(text);
    if is_as_it_was {
        return Ok(());
    }
    let unborn: PathBuf = folder.join(format!("{}{UNBORN}", file.name));
    remove(&unborn)?;
    let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unborn)?;
    new.write_all(text.as_bytes())?;
    file.access.give(&new)?;
    new.sync_all()?;
    // A folder does not make room for a file.
    if path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        fs::remove_dir_all(&path)?;
    }
    fs::rename(&unborn, &path)
}

/// Removes a file or a link; it need not be there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, PathBuf, Kept) {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("trust");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        for (name, text) in [("command-a.pem", "a"), ("statement-a.pem", "s"), ("note.txt", "n")] {
            fs::write(folder.join(name), text).unwrap();
            fs::set_permissions(folder.join(name), Permissions::from_mode(0o644)).unwrap();
        }
        let kept = Kept::read(&folder).unwrap();
        (above, folder, kept)
    }

    #[test]
    fn whatever_was_done_to_the_keys_is_put_back() {
        type Harm = fn(&Path);
        let harms: [Harm; 9] = [
            |_| {},
            |folder| fs::remove_file(folder.join("command-a.pem")).unwrap(),
            |folder| fs::write(folder.join("command-a.pem"), "other").unwrap(),
            |folder| fs::write(folder.join("command-b.pem"), "new").unwrap(),
            |folder| {
                fs::set_permissions(folder.join("statement-a.pem"), Permissions::from_mode(0o666)).unwrap()
            },
            |folder| fs::set_permissions(folder, Permissions::from_mode(0o777)).unwrap(),
            |folder| {
                fs::remove_file(folder.join("command-a.pem")).unwrap();
                fs::create_dir_all(folder.join("command-a.pem/deep")).unwrap();
            },
            |folder| {
                fs::remove_dir_all(folder).unwrap();
                fs::write(folder, "no folder").unwrap();
            },
            |folder| {
                fs::rename(folder, folder.with_extension("away")).unwrap();
                std::os::unix::fs::symlink("/nowhere", folder).unwrap();
            },
        ];
        for (number, harm) in harms.iter().enumerate() {
            let (_above, folder, kept) = folder();
            harm(&folder);
            for _ in 0..2 {
                kept.put_back(&folder).unwrap();
                assert_eq!(Kept::read(&folder).unwrap(), kept, "harm {number}");
            }
        }
    }

    /// As after a power cut in the middle of putting back.
    #[test]
    fn what_an_earlier_attempt_left_is_no_hindrance() {
        let (_above, folder, kept) = folder();
        fs::remove_file(folder.join("command-a.pem")).unwrap();
        fs::write(folder.join("command-a.pem.keros-new"), "half").unwrap();
        kept.put_back(&folder).unwrap();
        assert_eq!(Kept::read(&folder).unwrap(), kept);
        assert!(!folder.join("command-a.pem.keros-new").exists());
        assert!(folder.join("note.txt").exists(), "what is no key is left alone");
    }
}
