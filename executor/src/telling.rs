//! What the log tells of a job: a line at its start and its end and at each turn of its life; of tasks only that they failed. Nothing
//! that a program printed is in it: that may hold secrets, and belongs into the report.

use std::io;
use std::process::ExitCode;

use keros_playbook::{Barrier, Observer};
use keros_protocol::eligibility::claimed_ids;
use keros_protocol::executor::{Event, Request, TaskStatus};
use keros_protocol::{Command, Outcome};
use keros_service::Named;
use keros_service::log::{self, Subject};
use tracing::Level;

use crate::exit::{self, Failure, complain};

/// The subject of lines about a command that was verified.
pub(crate) const fn subject(command: &Command) -> Subject {
    Subject { command_id: command.command_id, update_id: Some(command.update_id) }
}

/// The subject of lines about a request, as it claims it.
pub(crate) fn asked_for(request: &Request) -> Option<Subject> {
    match request {
        Request::Run { envelope, .. } => {
            claimed_ids(envelope).map(|(command_id, update_id)| Subject { command_id, update_id })
        }
        Request::Attach { command_id }
        | Request::Cancel { command_id, .. }
        | Request::Confirm { command_id, .. } => Some((*command_id).into()),
        Request::Status {} => None,
    }
}

/// Logs what has happened to a job, when that is worth a line.
pub(crate) fn tell(subject: Subject, event: &Event) {
    match event {
        Event::TaskStarted { task, module, .. } => {
            log::remark(Level::DEBUG, subject, &format_args!("{task} ({module}) begins"));
        }
        Event::TaskEnded { task, result, duration_ms, .. } if result.status == TaskStatus::Failed => {
            let message = result.message.as_deref().unwrap_or("it does not say why");
            let text = format_args!("{task} failed after {duration_ms} ms: {message}");
            log::tell_of(Named::TaskFailed, subject, &text);
        }
        Event::TaskEnded { task, result, duration_ms, .. } => {
            let text = format_args!("{task} ended in {duration_ms} ms: {}", result.status.as_str());
            log::remark(Level::DEBUG, subject, &text);
        }
        Event::PartEnded { task, .. } => {
            log::tell_of(Named::JobRebooting, subject, &format_args!("{task} asks for a reboot"));
        }
        Event::Resumed { .. } => log::remark(Level::INFO, subject, &"the job goes on after the reboot"),
        Event::Confirming { outcome, window_s, .. } => {
            let text = format_args!("tasks over ({outcome}); to be confirmed within {window_s} s");
            log::tell_of(Named::JobConfirming, subject, &text);
        }
        Event::Confirmed {} => {
            log::tell_of(Named::JobConfirmed, subject, &"confirmed: the center was heard of");
        }
        Event::RollingBack { reason } => {
            log::tell_of(Named::JobRollingBack, subject, &format_args!("the job is undone: {reason}"));
        }
        Event::UndoStep { what, error: Some(error) } => {
            log::remark(Level::WARN, subject, &format_args!("not undone: {what}: {error}"));
        }
        Event::Undone { remains, .. } => {
            let text = format_args!("undone; {} changes remain", remains.len());
            log::remark(Level::INFO, subject, &text);
        }
        Event::Rebooting { .. } => {
            log::tell_of(Named::JobRebooting, subject, &"a reboot, for what could not be undone");
        }
        Event::Ended { outcome } => ended(subject, outcome),
        _ => {}
    }
}

/// Logs why a session failed, if it did, and gives its exit code.
pub(crate) fn end_of_session(subject: Option<Subject>, result: &Result<(), Failure>) -> ExitCode {
    if let Err(failure) = result {
        failed(subject, &failure.chain());
    }
    exit::code(result)
}

/// Logs what failed, and of which job.
pub(crate) fn failed(subject: Option<Subject>, text: &str) {
    match subject {
        Some(subject) => log::remark(Level::WARN, subject, &text),
        None => complain(text),
    }
}

fn ended(subject: Subject, outcome: &Outcome) {
    let named = match outcome {
        Outcome::Succeeded { .. } => Named::JobSucceeded,
        Outcome::TimedOut { .. } => Named::JobTimedOut,
        Outcome::Interrupted { .. } => Named::JobInterrupted,
        Outcome::Cancelled { .. } => Named::JobCancelled,
        Outcome::RolledBack { .. } => Named::JobRolledBack,
        _ => Named::JobFailed,
    };
    match outcome {
        Outcome::Failed { message, .. } => {
            log::tell_of(named, subject, &format_args!("job ended: {outcome}: {message}"));
        }
        _ => log::tell_of(named, subject, &format_args!("job ended: {outcome}")),
    }
}

/// An observer that logs what it passes on.
pub(crate) struct Telling<'o> {
    pub(crate) observer: &'o mut dyn Observer,
    pub(crate) subject: Subject,
}

impl Observer for Telling<'_> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.observer.event(event)?;
        tell(self.subject, event);
        Ok(())
    }

    fn barrier(&self) -> Option<Barrier> {
        self.observer.barrier()
    }
}
