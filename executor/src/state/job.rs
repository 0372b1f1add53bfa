//! The folder of one job. It appears under its name complete and locked by its runner, so that whoever sees it unlocked knows
//! that nobody runs it.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keros_platform::{Disk, DiskFile, Open};
use keros_protocol::executor::Event;
use keros_protocol::{Command, CommandId, Envelope, UnixSeconds};

use super::State;
use super::journal::{Journal, without_details};
use super::lines;
use crate::exit::Failure;
use crate::host::Host;
use crate::stragglers::Runner;
use crate::trust::Kept;

/// Folders whose name begins so were never begun.
pub(crate) const UNBORN: &str = ".new-";
/// The trusted keys from before the job.
const KEYS: &str = "keys.json";
/// More than 64 keys have.
const MAX_KEYS_BYTES: u64 = 1024 * 1024;
/// A file that only keeps room.
const ROOM: &str = "room";
/// Less than must be free before a job: the greatest files are seldom larger.
const ROOM_BYTES: u64 = 8 * 1024 * 1024;
/// More than a short outcome has.
const MAX_OUTCOME_BYTES: u64 = 64 * 1024;

/// The folder of a job that was started at some time.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    folder: PathBuf,
    id: CommandId,
    disk: Arc<dyn Disk>,
    host: Arc<dyn Host>,
}

/// A job whose run nobody else can begin or settle.
#[derive(Debug)]
pub(crate) struct LockedJob {
    /// The job.
    pub(crate) job: Job,
    lock: Box<dyn DiskFile>,
}

impl LockedJob {
    /// Writes down that this process runs it from here on.
    pub(crate) fn claim(&mut self) -> io::Result<()> {
        let runner = serde_json::to_string(&self.job.host().this_process())?;
        self.lock.set_len(0)?;
        self.lock.write_all(runner.as_bytes())
    }
}

impl Job {
    pub(super) fn at(state: &State, folder: PathBuf, id: CommandId) -> Self {
        Self { folder, id, disk: Arc::clone(&state.disk), host: Arc::clone(&state.host) }
    }

    pub(crate) const fn id(&self) -> CommandId {
        self.id
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    pub(crate) fn host(&self) -> &dyn Host {
        &*self.host
    }

    pub(crate) fn journal_path(&self) -> PathBuf {
        self.file("journal.jsonl")
    }

    pub(crate) fn backup_folder(&self) -> PathBuf {
        self.file("backup")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Begins a job: from its publication on its id counts as started.
    pub(crate) fn begin(
        state: &State,
        id: CommandId,
        envelope: &Envelope,
        keys: Option<&Kept>,
        time_unix_s: UnixSeconds,
        tasks: u32,
    ) -> Result<(LockedJob, Journal), Failure> {
        let unborn = state.jobs_folder().join(format!("{UNBORN}{id}"));
        let job = Self::at(state, state.jobs_folder().join(id.to_string()), id);
        let started = Event::Started { command_id: id, time_unix_s, tasks };
        let made = fill(state, &unborn, (envelope, keys), &started).and_then(|parts| {
            let publish = || {
                state.disk.rename(&unborn, &job.folder)?;
                state.disk.sync_folder(&state.jobs_folder())?;
                // The names of that folder and of the record of started commands, in case nobody came to it before.
                state.disk.sync_folder(&state.folder)
            };
            publish().map_err(Failure::io(format!("make the folder of job {id}")))?;
            Ok(parts)
        });
        if made.is_err() {
            let _ = state.disk.remove_folder(&unborn);
        }
        made.map(|(lock, journal)| (LockedJob { job, lock }, journal))
    }

    /// Takes the right to settle it; `None` while its runner, or somebody who settles it, is at work.
    pub(crate) fn try_lock(&self) -> Result<Option<LockedJob>, Failure> {
        let path = self.folder.join("lock");
        let lock = self.disk.try_lock(&path).map_err(Failure::io(format!("lock {}", path.display())))?;
        Ok(lock.map(|lock| LockedJob { job: self.clone(), lock }))
    }

    /// The process that ran it; `None` when that is not on record.
    ///
    /// # Errors
    /// When it cannot be read at this moment: what that process left running could not be ended.
    pub(crate) fn runner(&self) -> io::Result<Option<Runner>> {
        match self.disk.read(&self.file("lock"), 4096) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::FileTooLarge) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The end, short, when it was recorded.
    pub(crate) fn outcome(&self) -> Option<Event> {
        let text = self.disk.read_text(&self.folder.join("outcome.json"), MAX_OUTCOME_BYTES)?;
        let event: Event = serde_json::from_str(&text).ok()?;
        matches!(event, Event::Ended { .. }).then_some(event)
    }

    /// Whether [`Job::outcome`] has something to read.
    pub(crate) fn has_outcome(&self) -> bool {
        self.disk.exists(&self.folder.join("outcome.json")).unwrap_or(false)
    }

    /// The signed command, when it is still kept.
    pub(crate) fn envelope(&self) -> Option<Envelope> {
        let most = keros_protocol::limits::MAX_ENVELOPE_BYTES as u64 + 4096;
        serde_json::from_str(&self.disk.read_text(&self.folder.join("command.json"), most)?).ok()
    }

    /// The command itself, when it is still kept. It was verified before it was put there.
    pub(crate) fn command(&self) -> Option<Command> {
        serde_json::from_slice(&self.envelope()?.unverified_payload().ok()?).ok()
    }

    /// The trusted keys as they were before the job; `None` when they were not kept, or not as they were written.
    pub(crate) fn keys_before(&self) -> Option<Kept> {
        let line = self.disk.read(&self.folder.join(KEYS), MAX_KEYS_BYTES).ok()?;
        serde_json::from_str(&lines::decode(line.strip_suffix(b"\n")?)?).ok()
    }

    /// Keeps the end beside the journal, where it is found when the journal is gone.
    pub(crate) fn keep_outcome(&self, ended: &Event) -> io::Result<()> {
        let json = serde_json::to_string(&without_details(ended))?;
        self.disk.write_atomically(&self.folder.join("outcome.json"), json.as_bytes())
    }

    /// Removes everything but the outcome.
    pub(crate) fn keep_outcome_only(&self) -> Result<(), Failure> {
        if !self.disk.exists(&self.journal_path()).unwrap_or(false) || self.outcome().is_none() {
            return Ok(());
        }
        self.forget_backup()?;
        for name in [
            ROOM,
            KEYS,
            "resume.json",
            "cancel.json",
            "confirm.json",
            "journal.jsonl",
            "command.json",
            "lock",
        ] {
            match self.disk.remove_file(&self.folder.join(name)) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Failure::io(format!("shorten the record of job {}", self.id))(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes what it takes to undo it.
    pub(crate) fn forget_backup(&self) -> Result<(), Failure> {
        match self.disk.remove_folder(&self.backup_folder()) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Failure::io(format!("remove the backup of job {}", self.id))(error))
            }
            _ => Ok(()),
        }
    }

    /// Keeps room for its undoing: the job itself may fill the disk, and what is put back is written beside what is there.
    pub(crate) fn keep_room(&self) -> Result<(), Failure> {
        let kept = self.disk.open(&self.file(ROOM), Open::Replace).and_then(|file| file.reserve(ROOM_BYTES));
        kept.map_err(Failure::io(format!("keep room to undo job {}", self.id)))
    }

    /// Gives that room back.
    pub(crate) fn give_room_back(&self) {
        // It is taken from no one but this job, and goes with its folder.
        let _ = self.disk.remove_file(&self.file(ROOM));
    }

    /// Removes it all; its id stays in the other record.
    pub(crate) fn remove(&self) -> Result<(), Failure> {
        self.disk.remove_folder(&self.folder).map_err(Failure::io(format!("remove job {}", self.id)))
    }
}

fn fill(
    state: &State,
    folder: &Path,
    (envelope, keys): (&Envelope, Option<&Kept>),
    started: &Event,
) -> Result<(Box<dyn DiskFile>, Journal), Failure> {
    let (disk, host) = (state.disk(), state.host());
    let doing = || Failure::io(format!("fill the folder {}", folder.display()));
    disk.create_folder(folder).map_err(doing())?;
    let runner = serde_json::to_string(&host.this_process()).map_err(|error| doing()(error.into()))?;
    let command = serde_json::to_string(envelope).map_err(|error| doing()(error.into()))?;
    let Some(mut lock) = disk.try_lock(&folder.join("lock")).map_err(doing())? else {
        return Err(Failure::Internal("somebody else begins the same job under the same lock".to_owned()));
    };
    let mut fill = || {
        lock.set_len(0)?;
        lock.write_all(runner.as_bytes())?;
        // Nobody sees the folder yet: no need to replace anything atomically.
        let mut file = disk.open(&folder.join("command.json"), Open::New)?;
        file.write_all(command.as_bytes())?;
        let mut written = vec![file];
        if let Some(keys) = keys {
            let mut file = disk.open(&folder.join(KEYS), Open::New)?;
            file.write_all(&lines::encode(&serde_json::to_string(keys)?))?;
            written.push(file);
        }
        let mut journal = Journal::create(disk, &folder.join("journal.jsonl"))?;
        journal.reserve()?;
        journal.tell(started)?;
        // All is written before anything is waited for: most of it then becomes durable with the first.
        written.iter().try_for_each(|file| file.sync_data())?;
        journal.sync()?;
        disk.sync_folder(folder)?;
        Ok(journal)
    };
    let journal = fill().map_err(doing())?;
    Ok((lock, journal))
}
