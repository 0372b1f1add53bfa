//! Gives a terminal outcome to a job whose process is gone without one.

use keros_protocol::executor::Event;
use keros_protocol::{Command, Outcome};

use crate::exit::Failure;
use crate::state::State;
use crate::state::job::LockedJob;
use crate::state::journal::Journal;
use crate::state::started::{Record, Started};
use crate::state::story::Story;

/// Settles it, unless its end is recorded already. What it left running is ended first.
pub(crate) fn settle(locked: &LockedJob) -> Result<(), Failure> {
    let job = &locked.job;
    let doing = || Failure::io(format!("settle job {}", job.id()));
    let path = job.journal_path();
    let story = Story::read(job.disk(), &path).map_err(doing())?;
    if let (true, Some(outcome)) = (story.terminated, &story.ended) {
        if job.outcome().is_none() {
            job.keep_outcome(&Event::Ended { outcome: outcome.clone() }).map_err(doing())?;
        }
        return Ok(());
    }
    if let Some(runner) = job.runner() {
        job.host().end_stragglers(&runner);
    }
    let ended = Event::Ended { outcome: outcome_of(&story) };
    let mut journal = Journal::append_to(job.disk(), &path, story.terminated).map_err(doing())?;
    journal.append_synced(&ended).map_err(doing())?;
    job.keep_outcome(&ended).map_err(doing())
}

/// Settles all jobs that have no end yet. Only for the holder of the lock, under which nobody begins one.
pub(crate) fn settle_all(state: &State) -> Result<(), Failure> {
    for job in state.jobs()? {
        if !job.has_outcome()
            && let Some(locked) = job.try_lock()?
        {
            settle(&locked)?;
        }
    }
    Ok(())
}

/// Adds the jobs whose second record is missing, because the process was lost just before it was written. Only for the holder
/// of the lock.
pub(crate) fn complete_record(state: &State) -> Result<(), Failure> {
    let path = state.started_path();
    let started = Started::read(state.disk(), &path)?;
    for job in state.jobs()?.iter().filter(|job| !started.contains(job.id())) {
        let payload = job.envelope().and_then(|envelope| envelope.unverified_payload().ok());
        let command: Option<Command> = payload.and_then(|payload| serde_json::from_slice(&payload).ok());
        if let Some(command) = command {
            let record = Record { id: job.id(), issued_at_unix_s: command.issued_at_unix_s };
            Started::append(state.disk(), &path, record)?;
        }
    }
    Ok(())
}

/// What is certain, and nothing else.
fn outcome_of(story: &Story) -> Outcome {
    if let Some(outcome) = &story.ended {
        return outcome.clone();
    }
    let interruption = story.interruption.clone();
    if story.begun && story.damaged_lines == 0 {
        return Outcome::Interrupted { interruption };
    }
    let known = match &interruption.task {
        Some(task) => format!("the last task known to have begun is {task}"),
        None => "no task is known to have begun".to_owned(),
    };
    Outcome::Failed {
        task: None,
        exit_code: None,
        message: format!("the job's journal on the gateway is damaged, so its end is not known; {known}"),
        output: None,
        summary: interruption.summary,
    }
}
