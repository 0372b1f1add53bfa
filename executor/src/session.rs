//! One session: one request, its answer, the end.
//!
//! The request is the first line on standard input; what follows it is not read. `run` ends with one `ended`: of the job, or
//! a refusal, after which nothing is recorded and the same command may be sent again. An id that was ever started is not
//! judged again, it is followed. `attach` repeats the whole journal and goes on to the end. `request_failed` says that this
//! session could not serve the request (busy, unknown, disk) and nothing about any job. Without an `ended`: attach again.

#[cfg(test)]
mod tests;

use std::io::Read;
use std::os::fd::AsFd;
use std::sync::mpsc::sync_channel;

use keros_protocol::Envelope;
use keros_protocol::eligibility::claimed_ids;
use keros_protocol::executor::{Event, Request};

use crate::admit::admit;
use crate::begin::{Answer, begin, known, refused};
use crate::engine::{Engine, PlaybookEngine};
use crate::events::EventSink;
use crate::exit::Failure;
use crate::follow::follow;
use crate::request::read_request;
use crate::settings::Settings;
use crate::state::State;
use crate::{runner, stragglers};

/// Serves standard input and output, inetd style.
pub(crate) fn serve_standard_streams(settings: &Settings) -> Result<(), Failure> {
    stragglers::lead_session();
    let engine = PlaybookEngine { settings };
    serve(settings, &engine, &mut std::io::stdin(), EventSink::standard_output())
}

fn serve(
    settings: &Settings,
    engine: &dyn Engine,
    input: &mut (impl Read + AsFd),
    mut sink: EventSink,
) -> Result<(), Failure> {
    let answer = read_request(input).and_then(|request| decide(settings, engine, request));
    let result = match answer {
        Ok(Answer::Say(event)) => {
            sink.send(&event);
            Ok(())
        }
        Ok(Answer::Follow(job)) => {
            // Nobody sends on this channel: another process writes the journal.
            let (_quiet, wake) = sync_channel(1);
            follow(&job, &mut sink, &wake)
        }
        Ok(Answer::Run(begun)) => return runner::run(*begun, sink),
        Err(failure) => Err(failure),
    };
    if let Err(failure) = &result {
        sink.send(&Event::RequestFailed { message: failure.chain() });
    }
    result
}

fn decide(settings: &Settings, engine: &dyn Engine, request: Request) -> Result<Answer, Failure> {
    let state = State::open(&settings.state.state_folder)?;
    match request {
        Request::Run { envelope, .. } => decide_run(settings, &state, engine, &envelope),
        Request::Attach { command_id } => known(&state, command_id)?
            .ok_or_else(|| Failure::Unknown(format!("unknown: command {command_id} was never started here"))),
        Request::Cancel { .. } | Request::Confirm { .. } => {
            Err(Failure::Request("this version cannot cancel or confirm a job".to_owned()))
        }
        Request::Status {} => {
            let version = env!("CARGO_PKG_VERSION").to_owned();
            Ok(Answer::Say(Event::Status { version, running: state.running()? }))
        }
    }
}

/// An id that was started is not judged again: what became of it is the truth, whatever its envelope is like by now.
fn decide_run(
    settings: &Settings,
    state: &State,
    engine: &dyn Engine,
    envelope: &Envelope,
) -> Result<Answer, Failure> {
    if let Some((id, _)) = claimed_ids(envelope)
        && let Some(answer) = known(state, id)?
    {
        return Ok(answer);
    }
    let now_unix_s = state.host().now_unix_s();
    match admit(settings.platform_root(), &settings.trust_folder, engine, envelope, now_unix_s) {
        Ok(admitted) => begin(state, envelope, admitted),
        Err(refusal) => Ok(refused(refusal)),
    }
}
