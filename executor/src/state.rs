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
//! jobs/ID/backup/         what it takes to undo the job
//! jobs/ID/keys.json       the trusted keys as they were before the job
//! jobs/ID/resume.json     where the job goes on after the reboot that a task asked for
//! jobs/ID/cancel.json     asked of the runner: the end of the job
//! jobs/ID/confirm.json    asked of the runner: the center's word that it was heard of
//! refusals                how many refusals were told of lately; never synced
//! floor                   what the time is at least, as the center has signed
//! bundles/HEX/            our own copy of a Magic Link's bundle, by the link's digest: see the module `bundle`
//! ```
//!
//! Instances of the executor meet here alone.

pub(crate) mod asked;
pub(crate) mod backup;
pub(crate) mod barrier;
pub(crate) mod job;
pub(crate) mod journal;
pub(crate) mod lines;
pub(crate) mod started;
pub(crate) mod story;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use keros_platform::{Disk, DiskFile, RealDisk};
use keros_protocol::CommandId;

use crate::exit::Failure;
use crate::host::{Host, RealHost};
use crate::settings::Settings;
use job::Job;
use started::Started;

/// What stays free before a job: neither its bundle nor its backup takes anything of it. The journal keeps room for itself.
pub(crate) const KEPT_FREE_BYTES: u64 = 16 * 1024 * 1024;
/// Jobs whose whole journal is kept.
const KEPT_JOURNALS: usize = 50;
/// Jobs whose outcome is kept: these and the ones above.
const KEPT_OUTCOMES: usize = 200;

/// The folder, and the machine that it is on.
#[derive(Debug, Clone)]
pub(crate) struct State {
    folder: PathBuf,
    disk: Arc<dyn Disk>,
    host: Arc<dyn Host>,
}

/// The right to begin or run a job: there is one for the whole gateway. It ends when it is dropped, or with the process.
#[derive(Debug)]
pub(crate) struct RunLock {
    file: Box<dyn DiskFile>,
}

impl RunLock {
    /// Writes into the lock which job it is for, so that others can say what is running.
    pub(crate) fn claim(&mut self, id: CommandId) -> Result<(), Failure> {
        let failure = || Failure::io("write the lock file");
        self.file.set_len(0).map_err(failure())?;
        self.file.write_all(id.to_string().as_bytes()).map_err(failure())
    }
}

impl State {
    /// Opens the folder, or makes it.
    ///
    /// # Errors
    /// [`Failure::Unsafe`] when somebody else could have put it there.
    pub(crate) fn open(folder: &Path) -> Result<Self, Failure> {
        Self::open_on(Arc::new(RealDisk), Arc::new(RealHost::default()), folder)
    }

    /// The same, to run jobs with these settings.
    pub(crate) fn open_for(settings: &Settings) -> Result<Self, Failure> {
        Self::open_on(Arc::new(RealDisk), Arc::new(RealHost::of(settings)), &settings.state.state_folder)
    }

    /// The same on any disk and machine.
    pub(crate) fn open_on(disk: Arc<dyn Disk>, host: Arc<dyn Host>, folder: &Path) -> Result<Self, Failure> {
        let state = Self { folder: folder.to_owned(), disk, host };
        let looking = |path: &Path| Failure::io(format!("look at {}", path.display()));
        let making = |path: &Path| Failure::io(format!("make the folder {}", path.display()));
        if !state.disk.exists(folder).map_err(looking(folder))? {
            state.disk.create_private_folder(folder).map_err(making(folder))?;
        }
        state.check_owner()?;
        // First the empty record, then the folder of jobs: a folder of jobs without a record means that it was lost.
        let jobs = state.jobs_folder();
        if !state.disk.exists(&jobs).map_err(looking(&jobs))? {
            // A process before this one may have made the folder and been lost before it made its name durable.
            if let Some(above) = folder.parent() {
                state.disk.sync_folder(above).map_err(making(folder))?;
            }
            Started::create_if_absent(&*state.disk, &state.started_path())?;
            state.disk.create_private_folder(&jobs).map_err(making(&jobs))?;
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
        let found = self.disk.look_at(&self.folder).map_err(Failure::io(format!("look at {path}")))?;
        let this_user = nix::unistd::geteuid().as_raw();
        if !found.is_folder {
            return Err(Failure::Unsafe(format!("{path} is not a folder (a symbolic link is not followed)")));
        }
        if found.owner != this_user {
            let owner = found.owner;
            return Err(Failure::Unsafe(format!("{path} belongs to user {owner}, not to user {this_user}")));
        }
        if found.mode & 0o077 != 0 {
            let closed = self.disk.set_mode(&self.folder, 0o700);
            closed.map_err(Failure::io(format!("close {path} to others")))?;
        }
        Ok(())
    }

    /// Takes the right to run a job, if nobody has it.
    pub(crate) fn try_lock(&self) -> Result<Option<RunLock>, Failure> {
        let path = self.folder.join("lock");
        let lock = self.disk.try_lock(&path).map_err(Failure::io(format!("lock {}", path.display())))?;
        Ok(lock.map(|file| RunLock { file }))
    }

    /// The job that runs at this moment.
    pub(crate) fn running(&self) -> Result<Option<CommandId>, Failure> {
        let claimed = self.disk.read_text(&self.folder.join("lock"), 64);
        let claimed = claimed.and_then(|text| text.trim().parse().ok());
        let Some(job) = claimed.map_or(Ok(None), |id| self.job(id))? else { return Ok(None) };
        Ok(job.try_lock()?.is_none().then_some(job.id()))
    }

    /// The job of this command, if it was started and something is kept of it.
    pub(crate) fn job(&self, id: CommandId) -> Result<Option<Job>, Failure> {
        let folder = self.jobs_folder().join(id.to_string());
        let exists = self.disk.exists(&folder);
        let exists = exists.map_err(Failure::io(format!("look at {}", folder.display())))?;
        Ok(exists.then(|| Job::at(self, folder, id)))
    }

    /// All jobs that something is kept of, oldest command first.
    pub(crate) fn jobs(&self) -> Result<Vec<Job>, Failure> {
        let names = self.job_names()?;
        let jobs = names.iter().filter_map(|name| {
            let id = name.parse().ok()?;
            Some(Job::at(self, self.jobs_folder().join(name), id))
        });
        let mut jobs: Vec<Job> = jobs.collect();
        jobs.sort_by_key(Job::id);
        Ok(jobs)
    }

    fn job_names(&self) -> Result<Vec<String>, Failure> {
        let folder = self.jobs_folder();
        self.disk.list(&folder).map_err(Failure::io(format!("list {}", folder.display())))
    }

    /// Removes what is kept of old jobs beyond the bounds, and folders of jobs that were never begun. Only for the holder
    /// of the lock, when every job was settled.
    pub(crate) fn prune(&self, _lock: &RunLock) -> Result<(), Failure> {
        for name in self.job_names()?.iter().filter(|name| name.starts_with(job::UNBORN)) {
            let removed = self.disk.remove_folder(&self.jobs_folder().join(name));
            removed.map_err(Failure::io("remove a folder never begun"))?;
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

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    pub(crate) fn host(&self) -> &dyn Host {
        &*self.host
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

    pub(crate) fn refusals_path(&self) -> PathBuf {
        self.folder.join("refusals")
    }

    pub(crate) fn floor_path(&self) -> PathBuf {
        self.folder.join("floor")
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

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
