//! What the executor keeps on disk, in a folder that only root can read:
//!
//! ```text
//! lock                    held by the session that begins or runs a job; its text is that job's id
//! started                 every command id that was ever started, a second time
//! refuse-issued-before    moments before which a command must have been issued to be refused without a record
//! jobs/ID/command.json    the envelope, as it came
//! jobs/ID/journal.jsonl   what happened; the truth
//! jobs/ID/lock            held while the job runs; its text names the process
//! jobs/ID/outcome.json    the end again, short: all that is kept of an old job
//! ```
//!
//! Instances of the executor meet here alone.

pub(crate) mod barrier;
pub(crate) mod job;
pub(crate) mod journal;
pub(crate) mod lines;
pub(crate) mod started;
pub(crate) mod story;

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use keros_platform::{create_private_folder, read_small, sync_folder};
use keros_protocol::CommandId;

use crate::exit::Failure;
use job::Job;
use started::Started;

/// Jobs whose whole journal is kept.
const KEPT_JOURNALS: usize = 50;
/// Jobs whose outcome is kept: these and the ones above.
const KEPT_OUTCOMES: usize = 200;

/// The folder.
#[derive(Debug, Clone)]
pub(crate) struct State {
    folder: PathBuf,
}

/// The right to begin or run a job: there is one for the whole gateway. It ends when it is dropped, or with the process.
#[derive(Debug)]
pub(crate) struct RunLock {
    file: File,
}

impl RunLock {
    /// Writes into the lock which job it is for, so that others can say what is running.
    pub(crate) fn claim(&mut self, id: CommandId) -> Result<(), Failure> {
        let failure = || Failure::io("write the lock file");
        self.file.set_len(0).map_err(failure())?;
        write!(self.file, "{id}").map_err(failure())
    }
}

impl State {
    /// Opens the folder, or makes it.
    ///
    /// # Errors
    /// [`Failure::Unsafe`] when somebody else could have put it there.
    pub(crate) fn open(folder: &Path) -> Result<Self, Failure> {
        let state = Self { folder: folder.to_owned() };
        match folder.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let doing = format!("make the folder {}", folder.display());
                create_private_folder(folder).map_err(Failure::io(doing))?;
            }
            Err(error) => return Err(Failure::io(format!("look at {}", folder.display()))(error)),
            Ok(_) => {}
        }
        state.check_owner()?;
        // First the empty record, then the folder of jobs: a folder of jobs without a record means that it was lost.
        if !state.jobs_folder().exists() {
            Started::create_if_absent(&state.started_path())?;
            let doing = format!("make the folder {}", state.jobs_folder().display());
            create_private_folder(&state.jobs_folder())
                .and_then(|()| sync_folder(folder))
                .map_err(Failure::io(doing))?;
        }
        Ok(state)
    }

    /// Opens the folder to look at it; it is not made.
    pub(crate) fn open_existing(folder: &Path) -> Result<Self, Failure> {
        folder.metadata().map_err(Failure::io(format!("open the folder {}", folder.display())))?;
        Self::open(folder)
    }

    fn check_owner(&self) -> Result<(), Failure> {
        let path = self.folder.display();
        let metadata = self.folder.symlink_metadata().map_err(Failure::io(format!("look at {path}")))?;
        let this_user = nix::unistd::geteuid().as_raw();
        if !metadata.is_dir() {
            return Err(Failure::Unsafe(format!("{path} is not a folder (a symbolic link is not followed)")));
        }
        if metadata.uid() != this_user {
            let owner = metadata.uid();
            return Err(Failure::Unsafe(format!("{path} belongs to user {owner}, not to user {this_user}")));
        }
        if metadata.mode() & 0o077 != 0 {
            std::fs::set_permissions(&self.folder, Permissions::from_mode(0o700))
                .map_err(Failure::io(format!("close {path} to others")))?;
        }
        Ok(())
    }

    /// Takes the right to run a job, if nobody has it.
    pub(crate) fn try_lock(&self) -> Result<Option<RunLock>, Failure> {
        let file = open_lock(&self.folder.join("lock"))?;
        Ok(lock_if_free(file, "take the lock")?.map(|file| RunLock { file }))
    }

    /// The job that runs at this moment.
    pub(crate) fn running(&self) -> Result<Option<CommandId>, Failure> {
        let claimed = read_small(&self.folder.join("lock"), 64).and_then(|text| text.trim().parse().ok());
        let Some(job) = claimed.and_then(|id| self.job(id)) else { return Ok(None) };
        Ok(job.try_lock()?.is_none().then_some(job.id()))
    }

    /// The job of this command, if it was started and something is kept of it.
    pub(crate) fn job(&self, id: CommandId) -> Option<Job> {
        let folder = self.jobs_folder().join(id.to_string());
        folder.symlink_metadata().is_ok().then(|| Job::at(folder, id))
    }

    /// All jobs that something is kept of, oldest command first.
    pub(crate) fn jobs(&self) -> Result<Vec<Job>, Failure> {
        let doing = || format!("list {}", self.jobs_folder().display());
        let mut jobs = Vec::new();
        for entry in self.jobs_folder().read_dir().map_err(Failure::io(doing()))? {
            let path = entry.map_err(Failure::io(doing()))?.path();
            let id = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            jobs.extend(id.map(|id| Job::at(path, id)));
        }
        jobs.sort_by_key(Job::id);
        Ok(jobs)
    }

    /// Removes what is kept of old jobs beyond the bounds, and folders of jobs that were never begun. Only for the holder
    /// of the lock, when every job was settled.
    pub(crate) fn prune(&self, _lock: &RunLock) -> Result<(), Failure> {
        for entry in self.jobs_folder().read_dir().map_err(Failure::io("list the jobs"))?.flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(job::UNBORN.as_bytes()) {
                std::fs::remove_dir_all(entry.path()).map_err(Failure::io("remove a folder never begun"))?;
            }
        }
        let jobs = self.jobs()?;
        for (age, job) in jobs.iter().rev().enumerate() {
            // One more comes now.
            if age + 1 >= KEPT_OUTCOMES {
                job.remove()?;
            } else if age + 1 >= KEPT_JOURNALS {
                job.keep_outcome_only()?;
            }
        }
        Ok(())
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn jobs_folder(&self) -> PathBuf {
        self.folder.join("jobs")
    }

    pub(crate) fn started_path(&self) -> PathBuf {
        self.folder.join("started")
    }
}

/// Opens a lock file, or makes it.
fn open_lock(path: &Path) -> Result<File, Failure> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(Failure::io(format!("open {}", path.display())))
}

fn lock_if_free(file: File, doing: &str) -> Result<Option<File>, Failure> {
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(Failure::io(doing)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_others_could_have_made_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real");
        State::open(&real).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert_eq!(State::open(&link).unwrap_err().code(), 77);
        if std::os::unix::fs::chown(&real, Some(12345), None).is_ok() {
            assert_eq!(State::open(&real).unwrap_err().code(), 77);
        }
    }

    #[test]
    fn the_folder_is_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        State::open(folder.path()).unwrap();
        assert_eq!(folder.path().metadata().unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn there_is_one_lock() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        let lock = state.try_lock().unwrap();
        assert!(lock.is_some());
        assert!(state.try_lock().unwrap().is_none());
        drop(lock);
        assert!(state.try_lock().unwrap().is_some());
    }
}
