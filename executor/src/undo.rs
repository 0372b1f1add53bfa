//! Undoes a job that has ended, when somebody on the gateway asks for it. The job's outcome stays what it was; the journal gets
//! the steps.

use std::io::{self, Write as _};

use keros_protocol::CommandId;
use keros_protocol::executor::Event;
use keros_protocol::text::printable;

use crate::cli::{UndoArgs, find_id};
use crate::engine::{Engine as _, PlaybookEngine};
use crate::exit::Failure;
use crate::follow::take_locks;
use crate::life::Phase;
use crate::state::State;
use crate::state::job::Job;
use crate::state::journal::Journal;
use crate::state::story::Story;
use crate::{stragglers, telling};

/// Undoes it, and tells each step.
pub(crate) fn undo(args: &UndoArgs) -> Result<(), Failure> {
    let state = State::open_existing(&args.settings.state.state_folder)?;
    let known: Vec<CommandId> = state.jobs()?.iter().map(Job::id).collect();
    let id = find_id(&args.id, &known)?;
    let Some(job) = state.job(id)? else {
        return Err(Failure::Unknown(format!("nothing is kept of job {id} any more")));
    };
    let Some((_run_lock, _locked)) = take_locks(&state, &job)? else {
        return Err(Failure::Busy("a job is running: `keros-executor cancel` stops it".to_owned()));
    };
    stragglers::lead_session();
    let doing = || Failure::io(format!("undo job {id}"));
    let story = Story::read(job.disk(), &job.journal_path()).map_err(doing())?;
    check(&state, &job, &story)?;
    let mut journal = Journal::append_to(job.disk(), &job.journal_path(), &story).map_err(doing())?;
    let tell = |event: Event, journal: &mut Journal| {
        // It is done all the same when it cannot be written: a full disk may be what is to be undone.
        if let Err(error) = journal.append_synced(&event) {
            telling::failed(Some(id.into()), &format!("the journal of job {id} cannot be written: {error}"));
        }
        telling::tell(id.into(), &event);
        print(&event, args.json);
    };
    tell(Event::RollingBack { reason: "asked for on the gateway".to_owned() }, &mut journal);
    let engine = PlaybookEngine { settings: &args.settings };
    let remains = engine.undo(&job.backup_folder(), &mut |what, error| {
        let step = Event::UndoStep { what: what.to_owned(), error: error.map(str::to_owned) };
        tell(step, &mut journal);
    });
    tell(Event::Undone { remains, nonce: None }, &mut journal);
    Ok(())
}

fn check(state: &State, job: &Job, story: &Story) -> Result<(), Failure> {
    let id = job.id();
    let refuse = |message: String| Err(Failure::Request(message));
    match &story.life.phase {
        Phase::Ended { undone: Some(remains), .. } if remains.is_empty() => {
            return refuse(format!("job {id} was undone already"));
        }
        Phase::Ended { outcome, .. } if matches!(**outcome, keros_protocol::Outcome::RolledBack { .. }) => {
            return refuse(format!("job {id} was undone already: {outcome}"));
        }
        Phase::Ended { .. } => {}
        _ => return refuse(format!("job {id} has no end yet: `keros-executor settle` carries it on")),
    }
    if !job.disk().exists(&job.backup_folder()).unwrap_or(false) {
        return refuse(format!("what it takes to undo job {id} is not kept any more"));
    }
    let later = state.jobs()?.into_iter().rev().take_while(|later| later.id() != id);
    for later in later {
        let is_there = later.disk().exists(&later.backup_folder()).unwrap_or(false);
        let told = Story::read(later.disk(), &later.journal_path());
        let is_undone = told.is_ok_and(|story| match story.life.phase {
            Phase::Ended { undone, outcome } => {
                undone.is_some() || matches!(*outcome, keros_protocol::Outcome::RolledBack { .. })
            }
            _ => false,
        });
        if is_there && !is_undone {
            let later = later.id();
            return refuse(format!(
                "job {later} ran after it, and would lose its ground: undo that one first"
            ));
        }
    }
    Ok(())
}

fn print(event: &Event, json: bool) {
    let line = if json { serde_json::to_string(event).unwrap_or_default() } else { words(event) };
    let _ = writeln!(io::stdout().lock(), "{line}");
}

fn words(event: &Event) -> String {
    match event {
        Event::UndoStep { what, error: None } => format!("put back  {}", printable(what)),
        Event::UndoStep { what, error: Some(error) } => {
            format!("failed    {}: {}", printable(what), printable(error))
        }
        Event::Undone { remains, .. } if remains.is_empty() => "All of it is undone.".to_owned(),
        Event::Undone { remains, .. } => {
            let lines: Vec<String> = remains.iter().map(|text| format!("  {}", printable(text))).collect();
            format!("It is undone, but for:\n{}", lines.join("\n"))
        }
        _ => "Undoing, the last change first.".to_owned(),
    }
}
