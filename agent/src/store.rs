//! The agent's state on disk: `state.json`, `commands/<id>.json` and `lock` in one folder of mode 0700. It must not know
//! what the state means.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keros_machine::Kept;
use keros_platform::{Disk, DiskFile, Open, RealDisk};
use keros_protocol::{CommandId, Envelope, Eui, ReportPosition, UnixSeconds, limits};
use serde::{Deserialize, Serialize};

use crate::checked::{self, Seal};

/// Version of the form of `state.json`, and of a command's file.
const VERSION: u32 = 1;
/// How `state.json` began before it had a checksum.
const OLDER_STATE: &str = "{\"version\":1,";
/// How a command's file began before it had more than the envelope.
const OLDER_COMMAND: &str = "{\"payloadType\":";

/// A longer statement is not kept beside a command; the next one will do.
const MAX_STATEMENT_BYTES: usize = 32 * 1024;

/// No state is longer: 16 + 50 jobs and 112 reports of some 500 bytes, of which a job's last one may have an output of
/// [`limits::MAX_OUTPUT_BYTES`], six bytes each in JSON.
const MAX_STATE_BYTES: u64 = 32 * 1024 * 1024;

/// Damaged files that are kept; more would fill the disk of a gateway whose flash dies.
const MAX_DAMAGED: usize = 3;

/// So often a state is asked for that the disk does not give, before it is taken for lost.
const READ_ATTEMPTS: usize = 3;

/// The folder, locked for this process.
#[derive(Debug)]
pub struct Store {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    eui: Eui,
    /// Hash and length of what `state.json` has.
    stored: Option<(u64, usize)>,
    _lock: Box<dyn DiskFile>,
}

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
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

/// A command as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCommand {
    /// As the center sent it.
    pub envelope: Envelope,
    /// The newest signed statement when it came: by it the executor knows the time.
    pub statement: Option<Envelope>,
}

#[derive(Serialize, Deserialize)]
struct CommandOnDisk<E> {
    version: u32,
    envelope: E,
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    statement: Option<E>,
}

/// The time floor of a state on disk, without locking it; `None` when this user cannot read it, or there is none.
pub(crate) fn floor_of(folder: &Path) -> Option<UnixSeconds> {
    #[derive(Deserialize)]
    struct Floor {
        floor_unix_s: UnixSeconds,
    }
    let content = RealDisk.read(&folder.join("state.json"), MAX_STATE_BYTES).ok()?;
    checked::check(&content, OLDER_STATE).ok()?;
    Some(serde_json::from_slice::<Floor>(&content).ok()?.floor_unix_s)
}

impl Store {
    /// Locks the folder and reads the state. The texts say what was set aside.
    ///
    /// # Errors
    /// [`StoreError`]. A state that cannot be read is no error: it is set aside and a new one begins.
    pub fn open(
        folder: &Path,
        eui: Eui,
        new_stream: ReportPosition,
        now_unix_s: UnixSeconds,
    ) -> Result<(Self, Kept, Vec<String>), StoreError> {
        Self::open_on(Arc::new(RealDisk), folder, eui, new_stream, now_unix_s)
    }

    /// The same on any disk.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_on(
        disk: Arc<dyn Disk>,
        folder: &Path,
        eui: Eui,
        new_stream: ReportPosition,
        now_unix_s: UnixSeconds,
    ) -> Result<(Self, Kept, Vec<String>), StoreError> {
        let error = |error| StoreError::Folder(folder.to_owned(), error);
        let is_fresh = !disk.list(folder).unwrap_or_default().iter().any(|name| name == "lock");
        disk.create_private_folder(&folder.join("commands")).map_err(error)?;
        // A run before this one may have made the folders and been lost before it made their names durable. The folder above
        // may belong to somebody who does not let us in.
        disk.sync_folder(folder).map_err(error)?;
        match folder.parent().map_or(Ok(()), |above| disk.sync_folder(above)) {
            Err(cause) if cause.kind() != io::ErrorKind::PermissionDenied => return Err(error(cause)),
            _ => {}
        }
        let lock = disk.try_lock(&folder.join("lock")).map_err(error)?;
        let lock = lock.ok_or_else(|| StoreError::Locked(folder.to_owned()))?;
        let mut store = Self { disk, folder: folder.to_owned(), eui, stored: None, _lock: lock };
        let mut warnings = Vec::new();
        let kept = match store.read() {
            Ok(Some(kept)) => kept,
            Ok(None) if is_fresh => Kept::new(new_stream),
            Ok(None) => Kept::after_loss(new_stream),
            Err(why) => {
                warnings.push(store.set_aside(&why, now_unix_s));
                Kept::after_loss(new_stream)
            }
        };
        Ok((store, kept, warnings))
    }

    fn read(&mut self) -> Result<Option<Kept>, String> {
        let path = self.folder.join("state.json");
        // A disk that does not answer once has not lost anything yet.
        let mut attempts = (0..READ_ATTEMPTS).map(|_| self.disk.read(&path, MAX_STATE_BYTES));
        let is_answer = |read: &io::Result<_>| match read {
            Ok(_) => true,
            Err(error) => matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::FileTooLarge),
        };
        let answer = attempts.find(is_answer).unwrap_or_else(|| self.disk.read(&path, MAX_STATE_BYTES));
        let content = match answer {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result.map_err(|error| error.to_string())?,
        };
        checked::check(&content, OLDER_STATE)?;
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
        let moved = self.disk.rename(&path, &aside).and_then(|()| self.disk.sync_folder(&self.folder));
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
            let _ = self.disk.remove_file(&self.folder.join(name));
        }
    }

    /// Stores the state if it is not what the disk has. Durable when it returns.
    ///
    /// # Errors
    /// When it cannot be written; the old state is still there then.
    pub fn save(&mut self, kept: &Kept) -> io::Result<()> {
        let content = checked::seal(&serde_json::to_vec(&OnDisk { version: VERSION, eui: self.eui, kept })?);
        let fingerprint = fingerprint(&content);
        if self.stored != Some(fingerprint) {
            // Should this fail, the disk may have the one or the other.
            self.stored = None;
            self.disk.write_atomically(&self.folder.join("state.json"), &content)?;
            self.stored = Some(fingerprint);
        }
        Ok(())
    }

    /// Stores a command. Durable when it returns. Not by way of another name, which would be one more thing to wait for: before it
    /// is durable no state speaks of it, and its checksum tells when it is torn.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save_command(&self, id: CommandId, command: &StoredCommand) -> io::Result<()> {
        let short = |statement: &&Envelope| statement.payload.len() <= MAX_STATEMENT_BYTES;
        let on_disk = CommandOnDisk {
            version: VERSION,
            envelope: &command.envelope,
            statement: command.statement.as_ref().filter(short),
        };
        let content = checked::seal(&serde_json::to_vec(&on_disk)?);
        let path = self.command_path(id);
        let mut file = self.disk.open(&path, Open::Replace)?;
        if let Err(error) = file.write_all(&content).and_then(|()| file.sync_all()) {
            // The disk may be full, and the state itself must find room.
            let _ = self.disk.remove_file(&path);
            return Err(error);
        }
        self.disk.sync_folder(&self.folder.join("commands"))
    }

    /// A stored command.
    ///
    /// # Errors
    /// When it is absent, too long or damaged.
    pub fn read_command(&self, id: CommandId) -> io::Result<StoredCommand> {
        let most = (limits::MAX_ENVELOPE_BYTES + 2 * MAX_STATEMENT_BYTES) as u64;
        let content = self.disk.read(&self.command_path(id), most)?;
        match checked::check(&content, OLDER_COMMAND).map_err(io::Error::other)? {
            Seal::Older => Ok(StoredCommand { envelope: serde_json::from_slice(&content)?, statement: None }),
            Seal::Whole => {
                let CommandOnDisk { envelope, statement, .. } = serde_json::from_slice(&content)?;
                Ok(StoredCommand { envelope, statement })
            }
        }
    }

    /// Forgets a command. One that stays is collected at the next start.
    pub fn remove_command(&self, id: CommandId) {
        let _ = self.disk.remove_file(&self.command_path(id));
    }

    /// Removes the commands of all other jobs, and what an interrupted write has left.
    pub fn collect_orphans(&self, open: impl Iterator<Item = CommandId>) -> usize {
        let wanted: HashSet<String> = open.map(|id| format!("{id}.json")).collect();
        let folder = self.folder.join("commands");
        let mut names = self.names(&folder);
        names.retain(|name| !wanted.contains(name));
        names.iter().filter(|name| self.disk.remove_file(&folder.join(name)).is_ok()).count()
    }

    fn names(&self, folder: &Path) -> Vec<String> {
        self.disk.list(folder).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const EUI: Eui = Eui::from_u64(0x7076_FF00_5607_0123);

    fn position(stream: u128) -> ReportPosition {
        ReportPosition { stream: uuid::Uuid::from_u128(stream), number: 0 }
    }

    fn open(folder: &Path, stream: u128) -> Result<(Store, Kept, Vec<String>), StoreError> {
        Store::open(folder, EUI, position(stream), 1_800_000_000)
    }

    /// Opens it again. A program that another test is starting has our locks from its fork to its exec.
    fn reopen(folder: &Path, stream: u128) -> (Store, Kept, Vec<String>) {
        let limit = std::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            match open(folder, stream) {
                Err(StoreError::Locked(_)) if std::time::Instant::now() < limit => std::thread::yield_now(),
                opened => return opened.unwrap(),
            }
        }
    }

    fn id(number: u128) -> CommandId {
        CommandId(uuid::Uuid::from_u128(number))
    }

    fn command(payload: &str) -> StoredCommand {
        let envelope = |payload: &str| Envelope {
            payload_type: "t".to_owned(),
            payload: payload.to_owned(),
            signatures: Vec::new(),
        };
        StoredCommand { envelope: envelope(payload), statement: Some(envelope("said")) }
    }

    #[test]
    fn what_was_stored_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let (mut store, kept, _) = open(&state, 1).unwrap();
        store.save(&kept).unwrap();
        store.save_command(id(1), &command("a")).unwrap();
        drop(store);
        let (store, read, warnings) = open(&state, 2).unwrap();
        assert_eq!(read, kept);
        assert_ne!(read, Kept::new(position(2)));
        assert!(warnings.is_empty());
        assert_eq!(store.read_command(id(1)).unwrap(), command("a"));
        assert_eq!(std::fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn the_same_state_is_not_written_twice() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, kept, _) = open(folder.path(), 1).unwrap();
        store.save(&kept).unwrap();
        std::fs::remove_file(folder.path().join("state.json")).unwrap();
        store.save(&kept).unwrap();
        assert!(!folder.path().join("state.json").exists(), "flash is not written for nothing");
    }

    #[test]
    fn a_second_agent_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path(), 1).unwrap();
        let error = open(folder.path(), 2).unwrap_err().to_string();
        assert!(error.contains("another agent") && error.contains("state_folder"), "{error}");
        drop(first);
        reopen(folder.path(), 2);
    }

    #[test]
    fn a_damaged_state_is_set_aside_and_a_new_stream_begins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let (mut store, kept, _) = open(folder.path(), 1).unwrap();
        store.save(&kept).unwrap();
        drop(store);
        let good = std::fs::read_to_string(&path).unwrap();
        let damaged = [
            String::new(),
            good[..good.len() / 2].to_owned(),
            good.replace("\"version\":1", "\"version\":99"),
            good.replace("7076FF0056070123", "7076FF0056070124"),
            "\0".repeat(good.len()),
        ];
        for (number, text) in damaged.iter().enumerate() {
            std::fs::write(&path, text).unwrap();
            let time = 1_800_000_000 + number as u64;
            let (_, kept, warnings) = Store::open(folder.path(), EUI, position(7), time).unwrap();
            assert_eq!(kept, Kept::after_loss(position(7)));
            assert!(warnings[0].contains("state.json.damaged-"), "{warnings:?}");
        }
        let left = std::fs::read_dir(folder.path()).unwrap();
        let left =
            left.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("damaged"));
        assert_eq!(left.count(), MAX_DAMAGED);
    }

    #[test]
    fn a_state_that_is_gone_is_a_lost_one() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, kept, _) = open(folder.path(), 1).unwrap();
        assert_eq!(kept, Kept::new(position(1)), "a fresh folder has lost nothing");
        store.save(&kept).unwrap();
        drop(store);
        std::fs::remove_file(folder.path().join("state.json")).unwrap();
        assert_eq!(reopen(folder.path(), 2).1, Kept::after_loss(position(2)));
    }

    #[test]
    fn each_flipped_byte_is_noticed_and_the_agent_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let (mut store, kept, _) = open(folder.path(), 1).unwrap();
        store.save(&kept).unwrap();
        store.save_command(id(1), &command("a")).unwrap();
        drop(store);
        let good = std::fs::read(&path).unwrap();
        for index in 0..good.len() {
            let mut flipped = good.clone();
            flipped[index] ^= 1 << (index % 8);
            std::fs::write(&path, flipped).unwrap();
            let (_, kept, warnings) = reopen(folder.path(), 7);
            assert_eq!(kept, Kept::after_loss(position(7)), "byte {index}");
            assert!(warnings[0].contains("state.json.damaged-"), "byte {index}: {warnings:?}");
        }
        let (store, ..) = reopen(folder.path(), 7);
        let path = store.command_path(id(1));
        let good = std::fs::read(&path).unwrap();
        for index in 0..good.len() {
            let mut flipped = good.clone();
            flipped[index] ^= 1 << (index % 8);
            std::fs::write(&path, flipped).unwrap();
            assert!(store.read_command(id(1)).is_err(), "byte {index}");
        }
    }

    #[test]
    fn what_an_older_version_has_stored_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (store, ..) = open(folder.path(), 1).unwrap();
        let older =
            serde_json::to_vec(&OnDisk { version: 1, eui: EUI, kept: Kept::new(position(5)) }).unwrap();
        std::fs::write(folder.path().join("state.json"), older).unwrap();
        let envelope = command("a").envelope;
        std::fs::write(store.command_path(id(1)), serde_json::to_vec(&envelope).unwrap()).unwrap();
        drop(store);
        let (store, kept, warnings) = reopen(folder.path(), 2);
        assert_eq!((kept, warnings), (Kept::new(position(5)), Vec::new()));
        assert_eq!(store.read_command(id(1)).unwrap(), StoredCommand { envelope, statement: None });
    }

    #[test]
    fn an_older_version_can_read_what_is_stored() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, kept, _) = open(folder.path(), 1).unwrap();
        store.save(&kept).unwrap();
        // As it read it before there was a checksum.
        let content = std::fs::read(folder.path().join("state.json")).unwrap();
        let read: OnDisk<Kept> = serde_json::from_slice(&content).unwrap();
        assert_eq!((read.version, read.eui, read.kept), (1, EUI, kept));
    }

    #[test]
    fn orphans_are_collected_and_damaged_commands_named() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _, _) = open(folder.path(), 1).unwrap();
        for number in 1..=3 {
            store.save_command(id(number), &command("a")).unwrap();
        }
        std::fs::write(folder.path().join("commands/x.json.new"), "half").unwrap();
        assert_eq!(store.collect_orphans([id(2)].into_iter()), 3);
        assert!(store.read_command(id(2)).is_ok());
        assert!(store.read_command(id(1)).is_err());
        std::fs::write(store.command_path(id(2)), "{").unwrap();
        assert!(store.read_command(id(2)).is_err());
    }

    /// Needs root, for a file system of its own.
    #[test]
    fn a_full_disk_leaves_the_old_state_whole() {
        let folder = tempfile::tempdir().unwrap();
        let mount = |words: &[&str]| {
            std::process::Command::new(words[0]).args(&words[1..]).arg(folder.path()).status()
        };
        let mounted = mount(&["mount", "-t", "tmpfs", "-o", "size=64k", "keros-test"]);
        if !mounted.is_ok_and(|status| status.success()) {
            keros_skip::skipped("only root can mount a small file system");
            return;
        }
        let (mut store, kept, _) = open(folder.path(), 1).unwrap();
        store.save(&kept).unwrap();
        let before = std::fs::read(folder.path().join("state.json")).unwrap();
        let big = command(&"A".repeat(100_000));
        let error = store.save_command(id(1), &big).unwrap_err();
        let filler = std::fs::write(folder.path().join("filler"), vec![0; 100_000]);
        let refused = store.save(&Kept::new(position(2)));
        let after = std::fs::read(folder.path().join("state.json")).unwrap();
        std::fs::remove_file(folder.path().join("filler")).unwrap();
        let recovered = store.save(&Kept::new(position(2)));
        let half_written = store.read_command(id(1)).is_ok();
        drop(store);
        mount(&["umount"]).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(filler.is_err() && refused.is_err() && recovered.is_ok() && !half_written);
        assert_eq!(before, after);
    }
}
