//! One session: one request, its answer, the end.
//!
//! The request is the first line on standard input; what follows it is not read. `run` ends with one `ended`: of the job, or
//! a refusal, after which nothing is recorded and the same command may be sent again. An id that was ever started is not
//! judged again, it is followed. `attach` repeats the whole journal and goes on to the end. `request_failed` says that this
//! session could not serve the request (busy, unknown, disk) and nothing about any job. Without an `ended`: attach again.

#[cfg(test)]
mod tests;

use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;

use keros_protocol::eligibility::claimed_ids;
use keros_protocol::executor::{Event, Request};
use keros_protocol::{Envelope, RefusalReason};

use crate::admit::admit;
use crate::begin::{Answer, begin, known, refused};
use crate::bundle::Trouble;
use crate::drive::Drive;
use crate::engine::{Engine, PlaybookEngine};
use crate::events::EventSink;
use crate::exit::Failure;
use crate::follow::{Followed, Teller};
use crate::orders::Desk;
use crate::refusals::{self, Refusals};
use crate::request::read_request;
use crate::settings::Settings;
use crate::state::{RunLock, State};
use crate::{peer, runner, stragglers, telling, time_floor};

/// A job that is to be carried on when the session's peer has its answer.
pub(crate) type Rest<'a> = (RunLock, Box<Drive<'a>>);

/// Serves standard input and output, inetd style.
pub(crate) fn serve_standard_streams(settings: &Settings) -> ExitCode {
    stragglers::lead_session();
    let engine = PlaybookEngine { settings };
    let (mut input, sink) = (std::io::stdin(), EventSink::standard_output());
    let asked = State::open_for(settings).and_then(|state| Ok((state, read_request(&mut input)?)));
    let request = asked.as_ref().ok().map(|(_, request)| request);
    let subject = request.and_then(telling::asked_for);
    let refusals = Refusals::of(peer::name(&input), request);
    // To be told of a refusal that comes before the state is looked at, too.
    let state = State::open_for(settings).ok();
    let mut refused = |why: &str| refusals.tell(state.as_ref(), why);
    match answer(settings, &engine, asked, &input, sink, &mut refused) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some((_run_lock, mut drive))) => {
            // The peer sees the end of the session; the job is no business of its.
            peer::let_go();
            telling::end_of_session(Some(drive.subject()), &drive.go(true).map(drop))
        }
        Err(failure) if failure.is_refusal() => {
            refused(&failure.chain());
            ExitCode::from(failure.code())
        }
        Err(failure) => telling::end_of_session(subject, &Err(failure)),
    }
}

/// Answers what was asked of this state, and says what of it was refused; an error is the caller's to tell of.
pub(crate) fn answer<'a>(
    settings: &'a Settings,
    engine: &'a dyn Engine,
    asked: Result<(State, Request), Failure>,
    input: &impl AsFd,
    mut sink: EventSink,
    refused: &mut dyn FnMut(&str),
) -> Result<Option<Rest<'a>>, Failure> {
    let answer = asked.and_then(|(state, request)| {
        let answer = decide(settings, &state, engine, request, input, refused)?;
        Ok((state, answer))
    });
    let (state, answer) = match answer {
        Ok(answer) => answer,
        Err(failure) => {
            let unknown = matches!(failure, Failure::Unknown(_));
            sink.send(&Event::RequestFailed { message: failure.chain(), unknown });
            return Err(failure);
        }
    };
    match answer {
        Answer::Say(event) => {
            sink.send(&event);
            if let Some(reason) = refusals::reason(&event) {
                refused(&reason);
            }
        }
        Answer::CarryOn(event, run_lock, drive) => {
            sink.send(&event);
            return Ok(Some((run_lock, drive)));
        }
        Answer::Run(run_lock, drive) => {
            let teller = Teller::new(drive.job().clone(), sink);
            runner::run(run_lock, *drive, teller)?;
        }
        Answer::Follow(job) => {
            let mut teller = Teller::new(job, sink);
            if let Followed::Left(run_lock, locked) = teller.follow(&state)? {
                let drive = Drive::take_over(settings, engine, locked)?;
                runner::run(run_lock, drive, teller)?;
            }
        }
    }
    Ok(None)
}

fn decide<'a>(
    settings: &'a Settings,
    state: &State,
    engine: &'a dyn Engine,
    request: Request,
    input: &impl AsFd,
    refused: &mut dyn FnMut(&str),
) -> Result<Answer<'a>, Failure> {
    let desk = Desk { settings, state, engine };
    match request {
        Request::Run { envelope, statement, bundle } => {
            // A statement that is not believed says nothing about the command beside it.
            match statement.map(|statement| settings.verifier().verify(&statement)) {
                Some(Ok(statement)) => time_floor::raise(state, statement.time_unix_s),
                Some(Err(message)) => refused(&message),
                None => {}
            }
            decide_run(settings, state, engine, &envelope, bundle.as_deref())
        }
        Request::Attach { command_id } => known(state, command_id)?
            .ok_or_else(|| Failure::Unknown(format!("unknown: command {command_id} was never started here"))),
        Request::Cancel { command_id, statement } => {
            if statement.is_none() {
                peer::check_is_root(input)?;
            }
            desk.cancel(command_id, statement)
        }
        Request::Confirm { command_id, statement } => desk.confirm(command_id, &statement),
        Request::Status {} => {
            let version = env!("CARGO_PKG_VERSION").to_owned();
            Ok(Answer::Say(Event::Status { version, running: state.running()? }))
        }
    }
}

/// An id that was started is not judged again: what became of it is the truth, whatever its envelope is like by now.
fn decide_run<'a>(
    settings: &'a Settings,
    state: &State,
    engine: &'a dyn Engine,
    envelope: &Envelope,
    bundle: Option<&Path>,
) -> Result<Answer<'a>, Failure> {
    if let Some((id, _)) = claimed_ids(envelope)
        && let Some(answer) = known(state, id)?
    {
        return Ok(answer);
    }
    let now_unix_s = time_floor::judged_time(state)?;
    let (platform_root, trust_folder) = (settings.platform_root(), &settings.trust_folder);
    match admit(platform_root, trust_folder, engine, envelope, bundle, now_unix_s) {
        Ok(admitted) => {
            time_floor::raise(state, admitted.command.issued_at_unix_s);
            begin(state, settings, engine, envelope, admitted)
        }
        Err(Trouble::Failed(failure)) => Err(failure),
        Err(Trouble::Refused(mut refusal)) => {
            if refusal.reason == RefusalReason::Expired {
                refusal.detail.extend(time_floor::explain(state));
            }
            Ok(refused(refusal))
        }
    }
}
