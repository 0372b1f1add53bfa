//! Finishes what jobs are owed whose process is gone.

use std::time::Duration;

use keros_protocol::CommandId;

use crate::drive::{Drive, Left};
use crate::engine::Engine;
use crate::exit::Failure;
use crate::settings::Settings;
use crate::state::job::LockedJob;
use crate::state::started::{Record, Started};
use crate::state::{RunLock, State};

/// Whoever asks whether a job runs holds its lock for a moment.
const INTERVAL: Duration = Duration::from_millis(10);
const PATIENCE: u32 = 500;

/// Carries all jobs that have no end yet as far as that goes without waiting. Only for the holder of the lock, under which
/// nobody begins one. Gives the one that waits, if there is one.
pub(crate) fn settle_all<'a>(
    state: &State,
    settings: &'a Settings,
    engine: &'a dyn Engine,
    run_lock: &mut RunLock,
) -> Result<Option<Drive<'a>>, Failure> {
    for id in owed(state)? {
        let Some(locked) = lock(state, id)? else { continue };
        run_lock.claim(id)?;
        let mut drive = Drive::take_over(settings, engine, locked)?;
        if drive.go(false)? == Left::Waiting {
            return Ok(Some(drive));
        }
    }
    Ok(None)
}

/// Jobs without an end, oldest first.
pub(crate) fn owed(state: &State) -> Result<Vec<CommandId>, Failure> {
    let jobs = state.jobs()?;
    Ok(jobs.iter().filter(|job| !job.has_outcome()).map(crate::state::job::Job::id).collect())
}

fn lock(state: &State, id: CommandId) -> Result<Option<LockedJob>, Failure> {
    let Some(job) = state.job(id)? else { return Ok(None) };
    for _ in 0..PATIENCE {
        if let Some(locked) = job.try_lock()? {
            return Ok(Some(locked));
        }
        state.host().sleep(INTERVAL);
    }
    Err(Failure::Busy(format!("somebody holds the lock of job {id}")))
}

/// Adds the jobs whose second record is missing, because the process was lost just before it was written. Only for the holder
/// of the lock.
pub(crate) fn complete_record(state: &State) -> Result<(), Failure> {
    let path = state.started_path();
    let started = Started::read(state.disk(), &path)?;
    for job in state.jobs()?.iter().filter(|job| !started.contains(job.id())) {
        if let Some(command) = job.command() {
            let record = Record { id: job.id(), issued_at_unix_s: command.issued_at_unix_s };
            Started::append(state.disk(), &path, record)?;
        }
    }
    Ok(())
}
