//! What root may do over `control.sock`: bring blobs of Magic Links and a signed command, and cancel a job. Who connects was checked before.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, HeaderMap};
use hyper::{Method, Request, StatusCode};
use keros_protocol::magic_link::Digest;
use keros_protocol::{CommandId, Envelope, limits};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::answer::{Answer, Timeouts, json_answer, not_allowed, problem};
use super::request::{CancelAnswer, CancelResult, CommandAnswer, Judgement, LocalRequest};
use super::routes::{self, Ordered};
use super::upload::Uploads;
use crate::numbers::Numbers;

/// What its answers are made of.
#[derive(Debug, Clone)]
pub(super) struct Control {
    pub(super) requests: mpsc::Sender<LocalRequest>,
    pub(super) uploads: Uploads,
    pub(super) timeouts: Timeouts,
    pub(super) numbers: Arc<Numbers>,
}

/// Answers one request.
pub(super) async fn answer(control: &Control, request: Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    let Some((route, parameter)) = routes::find(routes::CONTROL, parts.uri.path()) else {
        return problem(StatusCode::NOT_FOUND, &routes::listed(routes::CONTROL));
    };
    if !route.allow.split(", ").any(|allowed| allowed == parts.method.as_str()) {
        return not_allowed(route.path, route.allow);
    }
    match route.page {
        Ordered::Command => command(control, body, false).await,
        Ordered::Check => command(control, body, true).await,
        Ordered::Cancel => cancel(control, parameter).await,
        Ordered::Blob => match parameter.parse::<Digest>() {
            Ok(digest) => blob(control, &parts.method, &parts.headers, digest, body).await,
            Err(error) => problem(StatusCode::BAD_REQUEST, &error.to_string()),
        },
    }
}

async fn blob(
    control: &Control,
    method: &Method,
    headers: &HeaderMap,
    digest: Digest,
    body: Incoming,
) -> Answer {
    let answered = |status| json_answer(status, &json!({ "digest": digest }));
    match control.uploads.has(digest).await {
        Ok(true) => return answered(StatusCode::OK),
        Ok(false) if method == Method::HEAD => {
            return problem(StatusCode::NOT_FOUND, "this blob is not here");
        }
        Ok(false) => {}
        Err(error) => return problem(error.status(), &error.to_string()),
    }
    let Some(bytes) = content_length(headers) else {
        return problem(StatusCode::LENGTH_REQUIRED, "a blob comes with its length");
    };
    match control.uploads.take(digest, bytes, body).await {
        Ok(()) => answered(StatusCode::CREATED),
        Err(error) => {
            tracing::warn!(%digest, %error, "a blob was not taken");
            problem(error.status(), &format!("{digest}: {error}"))
        }
    }
}

async fn cancel(control: &Control, id: &str) -> Answer {
    let Ok(command_id) = id.parse::<CommandId>() else {
        return problem(StatusCode::BAD_REQUEST, "the id of a job is a UUID");
    };
    let asked = ask(control, |answer| LocalRequest::Cancel { command_id, answer });
    match asked.await {
        Ok(CancelAnswer::Done(job)) => {
            let handed_over = job.result == CancelResult::HandedOver {};
            json_answer(if handed_over { StatusCode::ACCEPTED } else { StatusCode::OK }, &job)
        }
        Ok(CancelAnswer::Unknown) => {
            problem(StatusCode::NOT_FOUND, &format!("no job {command_id} is kept on this gateway"))
        }
        Ok(CancelAnswer::NotDone(detail)) => problem(StatusCode::SERVICE_UNAVAILABLE, detail),
        Err(refused) => refused,
    }
}

/// What the main loop says to a request.
async fn ask<T>(
    control: &Control,
    request: impl FnOnce(oneshot::Sender<T>) -> LocalRequest,
) -> Result<T, Answer> {
    let unavailable = |detail| problem(StatusCode::SERVICE_UNAVAILABLE, detail);
    let (sender, receiver) = oneshot::channel();
    if control.requests.try_send(request(sender)).is_err() {
        return Err(unavailable("the agent is busy or stopping; try again"));
    }
    match tokio::time::timeout(control.timeouts.main_loop, receiver).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) | Err(_) => Err(unavailable("the agent's main loop gave no answer")),
    }
}

pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn command(control: &Control, body: Incoming, only_check: bool) -> Answer {
    let envelope = match read_envelope(body, control.timeouts.connection).await {
        Ok(envelope) => Box::new(envelope),
        Err(refused) => return refused,
    };
    match ask(control, |answer| LocalRequest::Command { envelope, only_check, answer }).await {
        Ok(CommandAnswer::Judged(judged)) => {
            let status = match judged.judgement {
                Judgement::Accepted {} if !only_check => StatusCode::ACCEPTED,
                _ => StatusCode::OK,
            };
            json_answer(status, &judged)
        }
        Ok(CommandAnswer::Unreadable(detail)) => problem(StatusCode::BAD_REQUEST, &detail),
        Ok(CommandAnswer::NotTaken(detail)) => problem(StatusCode::SERVICE_UNAVAILABLE, detail),
        Err(refused) => refused,
    }
}

async fn read_envelope(body: Incoming, limit: Duration) -> Result<Envelope, Answer> {
    let whole = Limited::new(body, limits::MAX_ENVELOPE_BYTES).collect();
    let bytes = match tokio::time::timeout(limit, whole).await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            let most = limits::MAX_ENVELOPE_BYTES;
            return Err(problem(
                StatusCode::PAYLOAD_TOO_LARGE,
                &format!("a command has at most {most} bytes"),
            ));
        }
        Ok(Err(error)) => return Err(problem(StatusCode::BAD_REQUEST, &error.to_string())),
        Err(_) => return Err(problem(StatusCode::REQUEST_TIMEOUT, "the command came too slowly")),
    };
    serde_json::from_slice(&bytes)
        .map_err(|error| problem(StatusCode::BAD_REQUEST, &format!("this is no signed command: {error}")))
}
