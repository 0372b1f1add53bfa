//! What a person reads about jobs. It only reads: a job without an end is not settled here.

use std::io::{self, Write};

use crate::bundle::Store;
use crate::cli::{JobArgs, JobsArgs, find_id};
use crate::exit::Failure;
use crate::standing::Standing;
use crate::state::State;
use crate::state::job::Job;
use crate::state::lines::{self, Splitter};
use keros_platform::Open;
use keros_protocol::executor::{Change, Event, TaskResult};
use keros_protocol::text::{printable, printable_lines};
use keros_protocol::{Command, CommandId, Outcome, Output};

/// Lists all jobs, newest first.
pub(crate) fn jobs(args: &JobsArgs) -> Result<(), Failure> {
    let state = State::open_existing(&args.state.state_folder)?;
    let mut out = io::stdout().lock();
    let mut jobs = state.jobs()?;
    jobs.reverse();
    if jobs.is_empty() && !args.json {
        return print(&mut out, "no job was started on this gateway yet");
    }
    for job in jobs {
        let standing = Standing::of(&state, &job)?;
        let line = if args.json {
            standing.json(job.id()).to_string()
        } else {
            format!("{}  {}", job.id(), printable(&standing.to_string()))
        };
        print(&mut out, &line)?;
    }
    Ok(())
}

/// Tells the story of one job.
pub(crate) fn job(args: &JobArgs) -> Result<(), Failure> {
    let state = State::open_existing(&args.state.state_folder)?;
    let known: Vec<CommandId> = state.jobs()?.iter().map(Job::id).collect();
    let id = find_id(&args.id, &known)?;
    let Some(job) = state.job(id)? else {
        return Err(Failure::Unknown(format!("nothing is kept of job {id} any more")));
    };
    let mut out = io::stdout().lock();
    if args.json {
        let mut seen = false;
        each_event(&job, |json| {
            seen = true;
            print(&mut out, json)
        })?;
        if let (false, Some(outcome)) = (seen, job.outcome()) {
            let json =
                serde_json::to_string(&outcome).map_err(|error| Failure::Internal(error.to_string()))?;
            print(&mut out, &json)?;
        }
        return Ok(());
    }
    print(&mut out, &head(&state, &job))?;
    each_event(&job, |json| match serde_json::from_str(json) {
        Ok(event) => tell(&mut out, &event),
        Err(_) => Ok(()),
    })?;
    print(&mut out, &format!("Outcome  {}", printable(&Standing::of(&state, &job)?.to_string())))
}

fn each_event(job: &Job, mut take: impl FnMut(&str) -> Result<(), Failure>) -> Result<(), Failure> {
    let doing = || Failure::io(format!("read the journal of job {}", job.id()));
    let mut file = match job.disk().open(&job.journal_path(), Open::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result.map_err(doing())?,
    };
    let mut splitter = Splitter::default();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let count = file.read(&mut chunk).map_err(doing())?;
        if count == 0 {
            return Ok(());
        }
        let mut events = Vec::new();
        splitter.push(&chunk[..count], |line| events.extend(lines::decode(line)));
        for json in events {
            take(&json)?;
        }
    }
}

fn head(state: &State, job: &Job) -> String {
    let payload = job.envelope().and_then(|envelope| envelope.unverified_payload().ok());
    let command: Option<Command> = payload.and_then(|payload| serde_json::from_slice(&payload).ok());
    let mut text = format!("Job      {}", job.id());
    match command {
        Some(command) => {
            text += &format!("\nUpdate   {}", command.update_id);
            let dry_run = if command.options.dry_run { ", dry run" } else { "" };
            text += &format!("\nKind     {}{dry_run}", command.job.kind());
            if let Some(digest) = command.job.link() {
                let name = Store::of(state.disk(), state.folder()).name(digest);
                let name = name.map_or("its bundle is not kept any more".to_owned(), |name| printable(&name));
                text += &format!("\nLink     {name}\n         {digest}");
            }
        }
        None => text += "\n         the journal of this old job is no longer kept, only its outcome",
    }
    text
}

fn tell(out: &mut impl Write, event: &Event) -> Result<(), Failure> {
    match event {
        Event::TaskStarted { task, module, handler, .. } => {
            let handler = if *handler { ", handler" } else { "" };
            let name = printable(&task.name);
            print(out, &format!("{:>4}/{}  {name}  ({module}{handler})", task.number, task.count))
        }
        Event::ItemEnded { item, result, duration_ms, .. } => {
            let item = printable(&item.to_string());
            let took = duration_ms.map_or_else(String::new, |ms| format!(" in {ms} ms"));
            print(out, &format!("         item {item}: {}{took}", result.status.as_str()))
        }
        Event::Retrying { left, delay_s, message, .. } => {
            let message = printable(message);
            print(out, &format!("         failed: {message}; again in {delay_s} s, {left} attempts left"))
        }
        Event::TaskEnded { result, duration_ms, .. } => {
            let attempts = result.attempts.map_or_else(String::new, |count| format!(", {count} attempts"));
            print(out, &format!("         {} in {duration_ms} ms{attempts}", result.status.as_str()))?;
            tell_details(out, result)
        }
        Event::PartEnded { task, .. } => {
            print(out, &format!("Reboot   asked for by task {}", printable(&task.to_string())))
        }
        Event::Resumed { .. } => print(out, "Booted   the job goes on"),
        Event::Confirming { outcome, window_s, renewed, .. } => {
            let anew = if *renewed { ", begun anew after a boot" } else { "" };
            let outcome = printable(&outcome.to_string());
            print(out, &format!("Window   {window_s} s to be confirmed in{anew}; then it is {outcome}"))
        }
        Event::Confirmed {} => print(out, "Window   confirmed: the center was heard of"),
        Event::RollingBack { reason } => print(out, &format!("Undoing  {}", printable(reason))),
        Event::UndoStep { what, error: None } => {
            print(out, &format!("         put back {}", printable(what)))
        }
        Event::UndoStep { what, error: Some(error) } => {
            print(out, &format!("         failed: {}: {}", printable(what), printable(error)))
        }
        Event::Undone { remains, .. } if remains.is_empty() => print(out, "Undone   all of it"),
        Event::Undone { remains, .. } => {
            print(out, "Undone   but for:")?;
            remains.iter().try_for_each(|text| print(out, &format!("         {}", printable(text))))
        }
        Event::Rebooting { .. } => print(out, "Reboot   for what could not be undone"),
        Event::Ended { outcome: Outcome::Failed { message, .. } } => {
            print(out, &format!("Failed   {}", printable(message)))
        }
        _ => Ok(()),
    }
}

fn tell_details(out: &mut impl Write, result: &TaskResult) -> Result<(), Failure> {
    for change in &result.changes {
        tell_change(out, change)?;
    }
    if let Some(message) = &result.message {
        for line in printable_lines(message) {
            print(out, &format!("         {line}"))?;
        }
    }
    if let Some(code) = result.exit_code.filter(|code| *code != 0) {
        print(out, &format!("         exit code {code}"))?;
    }
    for line in printable_lines(&result.output.as_ref().map(Output::to_string).unwrap_or_default()) {
        print(out, &format!("         | {line}"))?;
    }
    Ok(())
}

fn tell_change(out: &mut impl Write, change: &Change) -> Result<(), Failure> {
    let property = printable(&change.property);
    let before = change.before.as_deref().unwrap_or("-");
    let after = change.after.as_deref().unwrap_or("-");
    let is_short = before.len() + after.len() < 80 && !before.contains('\n') && !after.contains('\n');
    if is_short && change.diff.is_none() {
        return print(out, &format!("         {property}: {} -> {}", printable(before), printable(after)));
    }
    print(out, &format!("         {property} changed"))?;
    printable_lines(change.diff.as_deref().unwrap_or_default())
        .try_for_each(|line| print(out, &format!("           {line}")))
}

/// A reader that has seen enough (`| head`) is no error.
fn print(out: &mut impl Write, line: &str) -> Result<(), Failure> {
    match writeln!(out, "{line}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        result => result.map_err(Failure::io("write to standard output")),
    }
}
