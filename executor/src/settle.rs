//! Finishes what jobs are owed whose process is gone.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use keros_protocol::text::printable;
use keros_protocol::{CommandId, Outcome};
use serde_json::json;

use crate::bundle::tidy;
use crate::cli::SettleArgs;
use crate::drive::{Drive, Left};
use crate::engine::{Engine, PlaybookEngine};
use crate::exit::Failure;
use crate::settings::Settings;
use crate::state::job::LockedJob;
use crate::state::started::{Record, Started};
use crate::state::{RunLock, State};
use crate::stragglers;

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
        let _ = run_lock.claim(id);
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

/// Finishes all that is owed, and waits for what takes its time. When a job runs, whoever runs it does that.
pub(crate) fn settle(args: &SettleArgs) -> Result<(), Failure> {
    stragglers::lead_session();
    let state = State::open_for(&args.settings)?;
    let engine = PlaybookEngine { settings: &args.settings };
    if owed(&state)?.is_empty() {
        // A timer asks every few minutes: its log is not to be filled.
        let is_asked_by_hand = io::stdout().is_terminal() && !args.json;
        return if is_asked_by_hand { say(args, &json!({}), "no job is owed anything") } else { Ok(()) };
    }
    let finished = finish(&state, &args.settings, &engine, &mut |id, outcome| {
        let line = format!("{id}  {}", printable(&outcome.to_string()));
        say(args, &json!({ "command_id": id, "outcome": outcome }), &line)
    })?;
    if finished {
        return Ok(());
    }
    let running = state.running()?.map_or_else(|| "a job".to_owned(), |id| format!("job {id}"));
    say(args, &json!({ "running": state.running()? }), &format!("{running} is running"))
}

/// Finishes all that is owed; `false` when a job runs.
pub(crate) fn finish(
    state: &State,
    settings: &Settings,
    engine: &dyn Engine,
    tell: &mut dyn FnMut(CommandId, &Outcome) -> Result<(), Failure>,
) -> Result<bool, Failure> {
    let owed = owed(state)?;
    let Some(mut run_lock) = state.try_lock()? else { return Ok(false) };
    for id in owed {
        let Some(locked) = lock(state, id)? else { continue };
        let _ = run_lock.claim(id);
        let mut drive = Drive::take_over(settings, engine, locked)?;
        drive.go(true)?;
        if let Some(outcome) = drive.outcome() {
            tell(id, outcome)?;
        }
    }
    complete_record(state)?;
    tidy(state, settings.bounds.bundles_bytes(), None)?;
    Ok(true)
}

fn say(args: &SettleArgs, json: &serde_json::Value, text: &str) -> Result<(), Failure> {
    let line = if args.json { json.to_string() } else { text.to_owned() };
    writeln!(io::stdout().lock(), "{line}").map_err(Failure::io("write to standard output"))
}
