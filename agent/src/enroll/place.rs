//! The agent's folder below `/etc`, which is root's: its folders are looked at before anything is written, no link is followed, modes do
//! not depend on the umask, and every file is whole and durable before it has its name.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use keros_platform::{Disk as _, DiskFile, RealDisk, paths};
use keros_protocol::{KeyPurpose, TrustedKey};
use nix::libc;
use nix::unistd::{Gid, Group, Uid, fchown, geteuid};

use super::Keys;
use super::error::EnrolError;
use super::files::{DROP_IN, Generation, generation_of};

/// Whose group reads what is secret.
const GROUP: &str = "keros-agent";

/// The folder, while this process alone changes it.
pub(super) struct Place {
    folder: PathBuf,
    trust: PathBuf,
    group: Gid,
    _lock: Box<dyn DiskFile>,
}

impl Place {
    /// Looks at the folders, makes those that are missing, and takes the lock.
    pub(super) fn open(config: Option<&Path>, trust: &Path) -> Result<Self, EnrolError> {
        if !geteuid().is_root() {
            return Err(EnrolError::NotRoot);
        }
        let config = config.unwrap_or(Path::new(paths::AGENT_CONFIG_FILE));
        let folder = config.parent().unwrap_or(Path::new("/")).to_owned();
        let group = Group::from_name(GROUP).ok().flatten().map_or(Gid::from_raw(0), |group| group.gid);
        for (path, mode, group) in [
            (folder.clone(), 0o755, Gid::from_raw(0)),
            (folder.join("config.d"), 0o755, Gid::from_raw(0)),
            (folder.join("tls"), 0o750, group),
            (trust.to_owned(), 0o755, Gid::from_raw(0)),
        ] {
            folder_of_root(&path, mode, group)?;
        }
        let path = folder.join("tls/lock");
        let lock = RealDisk.try_lock(&path).map_err(|error| EnrolError::Write(path, error))?;
        Ok(Self { folder, trust: trust.to_owned(), group, _lock: lock.ok_or(EnrolError::Busy)? })
    }

    pub(super) fn tls(&self) -> PathBuf {
        self.folder.join("tls")
    }

    pub(super) fn trust(&self) -> &Path {
        &self.trust
    }

    pub(super) fn drop_in(&self) -> PathBuf {
        self.folder.join("config.d").join(DROP_IN)
    }

    /// The folder that is in force.
    pub(super) fn current(&self) -> Option<Generation> {
        let text = keros_platform::read_small(&self.drop_in(), 64 * 1024)?;
        generation_of(&text, &self.tls())
    }

    /// A new folder for the next enrolment; what earlier attempts left, and enrolments before the last, are removed.
    pub(super) fn new_generation(&self) -> Result<Generation, EnrolError> {
        let tls = self.tls();
        let current = self.current().map(|generation| generation.0);
        let mut last = 0;
        for name in RealDisk.list(&tls).map_err(|error| EnrolError::Write(tls.clone(), error))? {
            let path = tls.join(&name);
            let Some(number) = name.strip_prefix('e').and_then(|number| number.parse::<u64>().ok()) else {
                continue;
            };
            last = last.max(number);
            if Some(&path) != current.as_ref() {
                RealDisk.remove_folder(&path).map_err(|error| EnrolError::Write(path, error))?;
            }
        }
        let path = tls.join(format!("e{}", last.saturating_add(1)));
        make_folder(&path, 0o750, self.group).map_err(|error| EnrolError::Write(path.clone(), error))?;
        Ok(Generation(path))
    }

    /// Removes a folder that came to nothing. What cannot be removed is in nobody's way.
    pub(super) fn drop_generation(&self, generation: &Generation) {
        if self.current().is_none_or(|current| current.0 != generation.0) {
            let _ = RealDisk.remove_folder(&generation.0);
        }
    }

    /// Adds a trusted key, under its own name.
    pub(super) fn add_key(&self, purpose: KeyPurpose, pem: &str) -> Result<(), EnrolError> {
        let Some((path, pem)) = self.key_file(purpose, pem) else { return Ok(()) };
        if keros_platform::read_small(&path, 4096).as_deref() == Some(&pem) {
            return Ok(());
        }
        self.write(&path, pem.as_bytes(), 0o644, false)
    }

    /// Removes all trusted keys but these: another center's must not order jobs here any more.
    pub(super) fn keep_only_keys(&self, keys: &Keys) -> Result<(), EnrolError> {
        let kept: Vec<TrustedKey> =
            keys.iter().filter_map(|(_, pem)| TrustedKey::from_pem(pem).ok()).collect();
        let wrong = |error| EnrolError::Write(self.trust.clone(), error);
        for name in RealDisk.list(&self.trust).map_err(wrong)? {
            let is_key =
                KeyPurpose::ALL.iter().any(|purpose| name.starts_with(&format!("{}-", purpose.as_str())));
            let path = self.trust.join(&name);
            let text = keros_platform::read_small(&path, 4096).unwrap_or_default();
            let is_kept = TrustedKey::from_pem(&text).is_ok_and(|key| kept.contains(&key));
            if is_key && name.ends_with(".pem") && !is_kept {
                self.remove(&path)?;
            }
        }
        Ok(())
    }

    fn key_file(&self, purpose: KeyPurpose, pem: &str) -> Option<(PathBuf, String)> {
        let key = TrustedKey::from_pem(pem).ok()?;
        Some((self.trust.join(format!("{}-{}.pem", purpose.as_str(), key.id())), key.to_pem()))
    }

    /// Replaces a file: written beside it, synced, renamed over it, the folder synced. `for_agent`: its group may read it.
    pub(super) fn write(
        &self,
        path: &Path,
        content: &[u8],
        mode: u32,
        for_agent: bool,
    ) -> Result<(), EnrolError> {
        let group = if for_agent { self.group } else { Gid::from_raw(0) };
        write(path, content, mode, group).map_err(|error| EnrolError::Write(path.to_owned(), error))
    }

    /// Gives a file that was written here its name.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> Result<(), EnrolError> {
        let renamed = RealDisk.rename(from, to).and_then(|()| match to.parent() {
            Some(folder) => RealDisk.sync_folder(folder),
            None => Ok(()),
        });
        renamed.map_err(|error| EnrolError::Write(to.to_owned(), error))
    }

    /// Removes a file that may be gone already.
    pub(super) fn remove(&self, path: &Path) -> Result<(), EnrolError> {
        let removed = match RealDisk.remove_file(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Ok(()) => path.parent().map_or(Ok(()), |folder| RealDisk.sync_folder(folder)),
            error => error,
        };
        removed.map_err(|error| EnrolError::Write(path.to_owned(), error))
    }
}

fn write(path: &Path, content: &[u8], mode: u32, group: Gid) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("a file needs a folder"))?;
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    let temporary = folder.join(name);
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = (|| {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let mut file = options.open(&temporary)?;
        file.write_all(content)?;
        fchown(file.as_fd(), Some(Uid::from_raw(0)), Some(group))?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written?;
    File::open(folder)?.sync_all()
}

/// A folder that only root can write; it is made when it is missing.
fn folder_of_root(path: &Path, mode: u32, group: Gid) -> Result<(), EnrolError> {
    let wrong = |what| EnrolError::Folder { path: path.to_owned(), what };
    match path.symlink_metadata() {
        Ok(found) if !found.is_dir() => Err(wrong("is no folder")),
        Ok(found) if found.uid() != 0 => Err(wrong("does not belong to root")),
        Ok(found) if found.mode() & 0o022 != 0 => Err(wrong("can be written by others than root")),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make_folder(path, mode, group).map_err(|error| EnrolError::Write(path.to_owned(), error))
        }
        Err(error) => Err(EnrolError::Write(path.to_owned(), error)),
    }
}

fn make_folder(path: &Path, mode: u32, group: Gid) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)?;
    let folder =
        OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_DIRECTORY).open(path)?;
    fchown(folder.as_fd(), Some(Uid::from_raw(0)), Some(group))?;
    folder.set_permissions(Permissions::from_mode(mode))?;
    folder.sync_all()?;
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}
