//! From a request's method and path to an answer. Nothing here waits for a client.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use keros_protocol::CommandId;
use serde::Serialize;
use serde_json::json;
use tokio::sync::{mpsc, oneshot, watch};

use super::metrics::{self, Format};
use super::request::{LocalRequest, TelemetryAnswer};
use super::routes::{self, Seen};
use super::view::StatusView;
use crate::clock::SharedTime;
use crate::numbers::Numbers;

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    /// From connecting to the last byte of the answer; who is slower or silent is dropped.
    pub(super) connection: Duration,
    /// The main loop answers within milliseconds; a loop that does not for so long is stuck, and that is the answer.
    pub(super) main_loop: Duration,
}

/// What there is to see.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) status: watch::Receiver<Arc<StatusView>>,
    /// The effective settings as JSON.
    pub(crate) config_json: Arc<str>,
    pub(crate) numbers: Arc<Numbers>,
    pub(crate) time: SharedTime,
    pub(crate) state_folder: Arc<Path>,
}

/// What answers are made of.
#[derive(Debug, Clone)]
pub(super) struct Sources {
    pub(super) shown: Shown,
    pub(super) requests: mpsc::Sender<LocalRequest>,
    pub(super) timeouts: Timeouts,
}

/// What goes back.
pub(super) type Answer = Response<Full<Bytes>>;

/// Answers one request.
pub(super) async fn answer(sources: &Sources, request: &Parts) -> Answer {
    let Some((route, parameter)) = routes::find(routes::STATUS, request.uri.path()) else {
        return problem(StatusCode::NOT_FOUND, &routes::listed(routes::STATUS));
    };
    if request.method.as_str() != route.allow {
        return not_allowed(route.path, route.allow);
    }
    let shown = &sources.shown;
    match route.page {
        Seen::Metrics => metrics(shown, request),
        Seen::Status => json_answer(StatusCode::OK, &**shown.status.borrow()),
        Seen::Jobs => {
            let status = Arc::clone(&shown.status.borrow());
            let jobs = json!({ "open_jobs": status.open_jobs, "ended_jobs": status.ended_jobs });
            json_answer(StatusCode::OK, &jobs)
        }
        Seen::Config => with_type(StatusCode::OK, "application/json", shown.config_json.as_bytes().to_vec()),
        Seen::Telemetry => telemetry_now(sources).await,
        Seen::Job => one_job(&shown.status.borrow(), parameter),
    }
}

fn metrics(shown: &Shown, request: &Parts) -> Answer {
    let accept = request.headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Format::of(accept);
    let status = Arc::clone(&shown.status.borrow());
    let text = metrics::exposition(&status, &shown.numbers, shown.time.read(), &shown.state_folder, format);
    with_type(StatusCode::OK, format.content_type(), text.into_bytes())
}

/// An error as problem details (RFC 9457).
pub(super) fn problem(status: StatusCode, detail: &str) -> Answer {
    let title = status.canonical_reason().unwrap_or("Error");
    let body = json!({ "title": title, "status": status.as_u16(), "detail": detail });
    with_type(status, "application/problem+json", body.to_string().into_bytes())
}

/// The method is another one.
pub(super) fn not_allowed(what: &str, allowed: &'static str) -> Answer {
    let mut answer = problem(StatusCode::METHOD_NOT_ALLOWED, &format!("{what} takes {allowed} only"));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

fn one_job(status: &StatusView, id: &str) -> Answer {
    let Ok(id) = id.parse::<CommandId>() else {
        return problem(StatusCode::BAD_REQUEST, "the id of a job is a UUID");
    };
    match status.open_jobs.iter().chain(&status.ended_jobs).find(|job| job.command_id == id) {
        Some(job) => json_answer(StatusCode::OK, job),
        None => problem(StatusCode::NOT_FOUND, &format!("no job {id} is kept on this gateway")),
    }
}

async fn telemetry_now(sources: &Sources) -> Answer {
    let (sender, receiver) = oneshot::channel();
    if sources.requests.try_send(LocalRequest::TelemetryNow { answer: sender }).is_err() {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "the agent is busy or stopping; try again");
    }
    match tokio::time::timeout(sources.timeouts.main_loop, receiver).await {
        Ok(Ok(TelemetryAnswer::TooSoon { retry_after_s })) => {
            let detail = format!("telemetry was sent a short time ago; ask again in {retry_after_s} s");
            let mut answer = problem(StatusCode::TOO_MANY_REQUESTS, &detail);
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after_s));
            answer
        }
        Ok(Ok(accepted)) => json_answer(StatusCode::ACCEPTED, &accepted),
        Ok(Err(_)) | Err(_) => {
            problem(StatusCode::SERVICE_UNAVAILABLE, "the agent's main loop gave no answer")
        }
    }
}

/// A value as JSON.
pub(super) fn json_answer(status: StatusCode, body: &impl Serialize) -> Answer {
    match serde_json::to_vec(body) {
        Ok(body) => with_type(status, "application/json", body),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn with_type(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
