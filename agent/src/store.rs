//! The agent's state on disk: `state.json`, `commands/<id>.json` and `lock` in one folder of mode 0700. It must not know
//! what the state means.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hasher as _};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use keros_machine::Kept;
use keros_platform::{create_private_folder, sync_folder, write_atomically};
use keros_protocol::{CommandId, Envelope, Eui, ReportPosition, UnixSeconds, limits};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

/// Version of the form of `state.json`.
const VERSION: u32 = 1;

/// No state is longer: 16 + 50 jobs and 112 reports of some 500 bytes, of which a job's last one may have an output of
/// [`limits::MAX_OUTPUT_BYTES`], six bytes each in JSON.
const MAX_STATE_BYTES: u64 = 32 * 1024 * 1024;

/// Damaged files that are kept; more would fill the disk of a gateway whose flash dies.
const MAX_DAMAGED: usize = 3;

/// The folder, locked for this process.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    eui: Eui,
    /// Hash and length of what `state.json` has.
    stored: Option<(u64, usize)>,
    _lock: Flock<File>,
}

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The folder cannot be made or read.
    #[error("cannot use the state folder {}; it must belong to the agent's user", .0.display())]
    Folder(PathBuf, #[source] io::Error),
    /// Another agent has it.
    #[error("another agent is running on the state folder {}; stop it, or set another `state_folder`", .0.display())]
    Locked(PathBuf),
}

#[derive(Serialize, Deserialize)]
struct OnDisk<K> {
    version: u32,
    eui: Eui,
    #[serde(flatten)]
    kept: K,
}

impl Store {
    /// Locks the folder and reads the state. The texts say what was set aside.
    ///
    /// # Errors
    /// [`StoreError`]. A state that cannot be read is no error: it is set aside and a new one begins.
    pub(crate) fn open(
        folder: &Path,
        eui: Eui,
        new_stream: ReportPosition,
        now_unix_s: UnixSeconds,
    ) -> Result<(Self, Kept, Vec<String>), StoreError> {
        let error = |error| StoreError::Folder(folder.to_owned(), error);
        create_private_folder(&folder.join("commands")).map_err(error)?;
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(folder.join("lock"));
        let lock = Flock::lock(lock.map_err(error)?, FlockArg::LockExclusiveNonblock)
            .map_err(|_| StoreError::Locked(folder.to_owned()))?;
        let mut store = Self { folder: folder.to_owned(), eui, stored: None, _lock: lock };
        let mut warnings = Vec::new();
        let kept = match store.read() {
            Ok(Some(kept)) => kept,
            Ok(None) => Kept::new(new_stream),
            Err(why) => {
                warnings.push(store.set_aside(&why, now_unix_s));
                Kept::new(new_stream)
            }
        };
        Ok((store, kept, warnings))
    }

    fn read(&mut self) -> Result<Option<Kept>, String> {
        let path = self.folder.join("state.json");
        let content = match std::fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
            Ok(metadata) if metadata.len() > MAX_STATE_BYTES => return Err("it is too long".to_owned()),
            Ok(_) => std::fs::read(&path).map_err(|error| error.to_string())?,
        };
        let on_disk: OnDisk<Kept> = serde_json::from_slice(&content).map_err(|error| error.to_string())?;
        if on_disk.version != VERSION {
            return Err(format!("it has version {}, this agent reads version {VERSION}", on_disk.version));
        }
        if on_disk.eui != self.eui {
            return Err(format!("it is of gateway {}, this is {}", on_disk.eui, self.eui));
        }
        self.stored = Some(fingerprint(&content));
        Ok(Some(on_disk.kept))
    }

    fn set_aside(&self, why: &str, now_unix_s: UnixSeconds) -> String {
        let path = self.folder.join("state.json");
        let aside = self.folder.join(format!("state.json.damaged-{now_unix_s}"));
        let moved = std::fs::rename(&path, &aside).and_then(|()| sync_folder(&self.folder));
        self.drop_old_damaged();
        match moved {
            Ok(()) => format!("the stored state could not be used ({why}); it is now {}", aside.display()),
            Err(error) => format!("the stored state could not be used ({why}), nor set aside ({error})"),
        }
    }

    fn drop_old_damaged(&self) {
        let mut names = self.names(&self.folder);
        names.retain(|name| name.starts_with("state.json.damaged-"));
        names.sort();
        for name in names.iter().rev().skip(MAX_DAMAGED) {
            let _ = std::fs::remove_file(self.folder.join(name));
        }
    }

    /// Stores the state if it is not what the disk has. Durable when it returns.
    ///
    /// # Errors
    /// When it cannot be written; the old state is still there then.
    pub(crate) fn save(&mut self, kept: &Kept) -> io::Result<()> {
        let content = serde_json::to_vec(&OnDisk { version: VERSION, eui: self.eui, kept })?;
        let fingerprint = fingerprint(&content);
        if self.stored != Some(fingerprint) {
            write_atomically(&self.folder.join("state.json"), &content)?;
            self.stored = Some(fingerprint);
        }
        Ok(())
    }

    /// Stores a command. Durable when it returns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn save_command(&self, id: CommandId, envelope: &Envelope) -> io::Result<()> {
        write_atomically(&self.command_path(id), &serde_json::to_vec(envelope)?)
    }

    /// A stored command.
    ///
    /// # Errors
    /// When it is absent, too long or damaged.
    pub(crate) fn read_command(&self, id: CommandId) -> io::Result<Envelope> {
        let most = limits::MAX_ENVELOPE_BYTES as u64 + 64 * 1024;
        let text = keros_platform::read_small(&self.command_path(id), most)
            .ok_or_else(|| io::Error::other("the file is absent, not a text or too long"))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Forgets a command. One that stays is collected at the next start.
    pub(crate) fn remove_command(&self, id: CommandId) {
        let _ = std::fs::remove_file(self.command_path(id));
    }

    /// Removes the commands of all other jobs, and what an interrupted write has left.
    pub(crate) fn collect_orphans(&self, open: impl Iterator<Item = CommandId>) -> usize {
        let wanted: HashSet<String> = open.map(|id| format!("{id}.json")).collect();
        let folder = self.folder.join("commands");
        let mut names = self.names(&folder);
        names.retain(|name| !wanted.contains(name));
        names.iter().filter(|name| std::fs::remove_file(folder.join(name)).is_ok()).count()
    }

    fn names(&self, folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    fn command_path(&self, id: CommandId) -> PathBuf {
        self.folder.join("commands").join(format!("{id}.json"))
    }
}

fn fingerprint(content: &[u8]) -> (u64, usize) {
    let mut hasher = DefaultHasher::new();
    hasher.write(content);
    (hasher.finish(), content.len())
}
