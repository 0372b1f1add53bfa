//! The folder of one job. It appears under its name complete and locked by its runner, so that whoever sees it unlocked knows
//! that nobody runs it.

use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use keros_platform::{create_private_folder, read_small, sync_folder, write_atomically};
use keros_protocol::executor::Event;
use keros_protocol::{CommandId, Envelope, UnixSeconds};

use super::journal::{Journal, without_details};
use super::{State, lock_if_free, open_lock};
use crate::exit::Failure;
use crate::stragglers::Runner;

/// Folders whose name begins so were never begun.
pub(crate) const UNBORN: &str = ".new-";
/// More than a short outcome has.
const MAX_OUTCOME_BYTES: u64 = 64 * 1024;

/// The folder of a job that was started at some time.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    folder: PathBuf,
    id: CommandId,
}

/// A job whose run nobody else can begin or settle.
#[derive(Debug)]
pub(crate) struct LockedJob {
    /// The job.
    pub(crate) job: Job,
    _lock: File,
}

impl Job {
    pub(crate) const fn at(folder: PathBuf, id: CommandId) -> Self {
        Self { folder, id }
    }

    pub(crate) const fn id(&self) -> CommandId {
        self.id
    }

    pub(crate) fn journal_path(&self) -> PathBuf {
        self.folder.join("journal.jsonl")
    }

    /// Begins a job: from its publication on its id counts as started.
    pub(crate) fn begin(
        state: &State,
        id: CommandId,
        envelope: &Envelope,
        time_unix_s: UnixSeconds,
        tasks: u32,
    ) -> Result<(LockedJob, Journal), Failure> {
        let unborn = state.jobs_folder().join(format!("{UNBORN}{id}"));
        let job = Self::at(state.jobs_folder().join(id.to_string()), id);
        let started = Event::Started { command_id: id, time_unix_s, tasks };
        let made = fill(&unborn, envelope, &started).and_then(|parts| {
            let publish = || {
                std::fs::rename(&unborn, &job.folder)?;
                sync_folder(&state.jobs_folder())
            };
            publish().map_err(Failure::io(format!("make the folder of job {id}")))?;
            Ok(parts)
        });
        if made.is_err() {
            let _ = std::fs::remove_dir_all(&unborn);
        }
        made.map(|(lock, journal)| (LockedJob { job, _lock: lock }, journal))
    }

    /// Takes the right to settle it; `None` while its runner, or somebody who settles it, is at work.
    pub(crate) fn try_lock(&self) -> Result<Option<LockedJob>, Failure> {
        let lock = lock_if_free(open_lock(&self.folder.join("lock"))?, "take the lock of the job")?;
        Ok(lock.map(|lock| LockedJob { job: self.clone(), _lock: lock }))
    }

    /// The process that ran it.
    pub(crate) fn runner(&self) -> Option<Runner> {
        serde_json::from_str(&read_small(&self.folder.join("lock"), 4096)?).ok()
    }

    /// The end, short, when it was recorded.
    pub(crate) fn outcome(&self) -> Option<Event> {
        let text = read_small(&self.folder.join("outcome.json"), MAX_OUTCOME_BYTES)?;
        let event: Event = serde_json::from_str(&text).ok()?;
        matches!(event, Event::Ended { .. }).then_some(event)
    }

    /// Whether [`Job::outcome`] has something to read.
    pub(crate) fn has_outcome(&self) -> bool {
        self.folder.join("outcome.json").exists()
    }

    /// The signed command, when it is still kept.
    pub(crate) fn envelope(&self) -> Option<Envelope> {
        let most = keros_protocol::limits::MAX_ENVELOPE_BYTES as u64 + 4096;
        serde_json::from_str(&read_small(&self.folder.join("command.json"), most)?).ok()
    }

    /// Keeps the end beside the journal, where it is found when the journal is gone.
    pub(crate) fn keep_outcome(&self, ended: &Event) -> io::Result<()> {
        let json = serde_json::to_string(&without_details(ended))?;
        write_atomically(&self.folder.join("outcome.json"), json.as_bytes())
    }

    /// Removes everything but the outcome.
    pub(crate) fn keep_outcome_only(&self) -> Result<(), Failure> {
        if !self.journal_path().exists() || self.outcome().is_none() {
            return Ok(());
        }
        for name in ["journal.jsonl", "command.json", "lock"] {
            match std::fs::remove_file(self.folder.join(name)) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Failure::io(format!("shorten the record of job {}", self.id))(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes it all; its id stays in the other record.
    pub(crate) fn remove(&self) -> Result<(), Failure> {
        std::fs::remove_dir_all(&self.folder).map_err(Failure::io(format!("remove job {}", self.id)))
    }
}

fn fill(folder: &Path, envelope: &Envelope, started: &Event) -> Result<(File, Journal), Failure> {
    let doing = || Failure::io(format!("fill the folder {}", folder.display()));
    create_private_folder(folder).map_err(doing())?;
    let runner = serde_json::to_string(&Runner::this_process()).map_err(|error| doing()(error.into()))?;
    let command = serde_json::to_string(envelope).map_err(|error| doing()(error.into()))?;
    let Some(mut lock) = lock_if_free(open_lock(&folder.join("lock"))?, "lock the new job")? else {
        return Err(Failure::Internal("somebody else begins the same job under the same lock".to_owned()));
    };
    let mut fill = || {
        lock.set_len(0)?;
        lock.write_all(runner.as_bytes())?;
        // Nobody sees the folder yet: no need to replace anything atomically.
        let mut file = File::create_new(folder.join("command.json"))?;
        file.write_all(command.as_bytes())?;
        file.sync_data()?;
        let mut journal = Journal::create(&folder.join("journal.jsonl"))?;
        journal.reserve()?;
        journal.append_synced(started)?;
        sync_folder(folder)?;
        Ok(journal)
    };
    let journal = fill().map_err(doing())?;
    Ok((lock, journal))
}
