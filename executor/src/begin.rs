//! From a request to a job that counts as started, at most once for each command id, however many sessions ask for it.

use std::time::Duration;

use keros_protocol::eligibility::Refusal;
use keros_protocol::executor::Event;
use keros_protocol::{Command, CommandId, Envelope, Outcome, RefusalReason};

use crate::admit::{Admitted, Work};
use crate::bundle::{Store, Trouble, tidy};
use crate::drive::Drive;
use crate::engine::{Engine, Plan};
use crate::exit::Failure;
use crate::follow::forgotten;
use crate::settings::Settings;
use crate::settle::{complete_record, settle_all};
use crate::state::job::{Job, LockedJob};
use crate::state::journal::Journal;
use crate::state::started::{Record, Started};
use crate::state::story::Story;
use crate::state::{RunLock, State, backup, barrier};
use crate::telling;
use crate::trust::Kept;

/// How long to wait for a lock that nobody runs a job under: its holder is about to begin or to settle one.
const PATIENCE: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_millis(10);

/// What a session does.
pub(crate) enum Answer<'a> {
    /// Say this, and end.
    Say(Event),
    /// Follow this job.
    Follow(Job),
    /// Run this job, and tell of it.
    Run(RunLock, Box<Drive<'a>>),
    /// Say this; then carry a job on that nobody runs, without anybody who listens.
    CarryOn(Event, RunLock, Box<Drive<'a>>),
}

/// What is to be said of an id that was started before; `None` for a new one.
pub(crate) fn known<'a>(state: &State, id: CommandId) -> Result<Option<Answer<'a>>, Failure> {
    if let Some(job) = state.job(id)? {
        return Ok(Some(Answer::Follow(job)));
    }
    let started = Started::read(state.disk(), &state.started_path())?;
    if !started.contains(id) {
        return Ok(None);
    }
    // Another session may have begun it since the first look.
    Ok(Some(state.job(id)?.map_or_else(|| Answer::Say(forgotten()), Answer::Follow)))
}

/// Begins an admitted command.
///
/// # Errors
/// [`Failure::Busy`] when another job runs.
pub(crate) fn begin<'a>(
    state: &State,
    settings: &'a Settings,
    engine: &'a dyn Engine,
    envelope: &Envelope,
    admitted: Admitted,
) -> Result<Answer<'a>, Failure> {
    let Admitted { command, work } = admitted;
    let id = command.command_id;
    let mut run_lock = match take_lock(state, id)? {
        Ok(lock) => lock,
        Err(job) => return Ok(Answer::Follow(job)),
    };
    // Only under the lock is it certain.
    if let Some(answer) = known(state, id)? {
        return Ok(answer);
    }
    let waiting = settle_all(state, settings, engine, &mut run_lock);
    if let Some(drive) = waiting? {
        let message = format!("another job is running: {} waits for its end", drive.job().id());
        return Ok(Answer::CarryOn(
            Event::RequestFailed { message, unknown: false },
            run_lock,
            Box::new(drive),
        ));
    }
    let failed = match start(state, settings, engine, &mut run_lock, envelope, &command, work) {
        Ok((begun, plan)) => {
            return Ok(Answer::Run(run_lock, Box::new(Drive::begun(settings, engine, begun, plan))));
        }
        Err(Trouble::Failed(failure)) if state.job(id)?.is_some() => return Err(failure),
        Err(trouble) => trouble,
    };
    forget_bundle(state, &command);
    match failed {
        Trouble::Refused(refusal) => Ok(refused(refusal)),
        Trouble::Failed(failure) if is_full(&failure) => Ok(no_space(&failure)),
        Trouble::Failed(failure) => Err(failure),
    }
}

/// All that must be on the disk before the first task, under the lock. From [`Job::begin`] on the command counts as started.
fn start(
    state: &State,
    settings: &Settings,
    engine: &dyn Engine,
    run_lock: &mut RunLock,
    envelope: &Envelope,
    command: &Command,
    work: Work,
) -> Result<((LockedJob, Journal), Plan), Trouble> {
    let record = Record { id: command.command_id, issued_at_unix_s: command.issued_at_unix_s };
    run_lock.claim(record.id)?;
    prepare(state, run_lock, record)?;
    tidy(state, settings.bounds.bundles_bytes(), command.job.link())?;
    let plan = plan(state, engine, command, work)?;
    backup::make_room(state, &settings.bounds, plan.backup_bytes)??;
    // Without them the job is judged by what it leaves alone.
    let keys = Kept::read(&settings.trust_folder)
        .map_err(|error| {
            telling::failed(Some(telling::subject(command)), &format!("the trusted keys: {error}"))
        })
        .ok();
    let begun = Job::begin(state, record.id, envelope, keys.as_ref(), state.host().now_unix_s(), plan.tasks)?;
    Started::append(state.disk(), &state.started_path(), record)?;
    Ok((begun, plan))
}

/// Brings the records of earlier jobs, which all have their end, in order: each is in both records, none is kept too long. Refuses
/// what they do not allow.
fn prepare(state: &State, run_lock: &RunLock, command: Record) -> Result<(), Trouble> {
    let verdict = barrier::check(state, command)?;
    complete_record(state)?;
    state.prune(run_lock)?;
    Ok(verdict?)
}

/// What is to be run: of a Magic Link, our own copy.
fn plan(state: &State, engine: &dyn Engine, command: &Command, work: Work) -> Result<Plan, Trouble> {
    match work {
        Work::Script(plan) => Ok(plan),
        Work::Link(offer) => {
            let bundle = Store::of(state.disk(), state.folder()).take(state, &offer)?;
            Ok(engine.plan(command, Some(&bundle))?)
        }
    }
}

/// A bundle that was copied for nothing takes room from whoever comes next.
fn forget_bundle(state: &State, command: &Command) {
    if let Some(digest) = command.job.link()
        && let Err(failure) = Store::of(state.disk(), state.folder()).remove(digest)
    {
        telling::failed(Some(telling::subject(command)), &failure.chain());
    }
}

fn no_space<'a>(failure: &Failure) -> Answer<'a> {
    refused(Refusal::new(RefusalReason::NoSpace, format!("the executor's record: {}", failure.chain())))
}

/// A terminal answer for a command that was not started.
pub(crate) fn refused<'a>(refusal: Refusal) -> Answer<'a> {
    let Refusal { reason, detail } = refusal;
    Answer::Say(Event::Ended { outcome: Outcome::Refused { reason, detail } })
}

/// The lock; or the job itself, when another session with the same command was faster.
fn take_lock(state: &State, id: CommandId) -> Result<Result<RunLock, Job>, Failure> {
    let patience_ms = PATIENCE.as_millis().try_into().unwrap_or(u64::MAX);
    let deadline_ms = state.host().boottime_ms().saturating_add(patience_ms);
    loop {
        if let Some(lock) = state.try_lock()? {
            return Ok(Ok(lock));
        }
        if let Some(job) = state.job(id)? {
            return Ok(Err(job));
        }
        if let Some(other) = state.running()?.filter(|other| *other != id)
            && !has_ended(state, other)?
        {
            return Err(Failure::Busy(format!("another job is running: {other}")));
        }
        if state.host().boottime_ms() >= deadline_ms {
            return Err(Failure::Busy("another job is being begun or settled".to_owned()));
        }
        state.host().sleep(INTERVAL);
    }
}

/// Whoever has heard of a job's end may ask for the next one before the first one's process has let go of the lock.
fn has_ended(state: &State, id: CommandId) -> Result<bool, Failure> {
    let Some(job) = state.job(id)? else { return Ok(false) };
    let doing = format!("read the journal of job {id}");
    let story = Story::read(job.disk(), &job.journal_path()).map_err(Failure::io(doing))?;
    Ok(story.ended.is_some())
}

fn is_full(failure: &Failure) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(failure, Failure::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
}
