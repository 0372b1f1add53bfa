//! Errors as RFC 9457 problem details.

use axum::Json;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::api::{FieldProblem, Problem};
use crate::links::BlobError;
use crate::service::OrderError;

/// The media type of a problem.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// Of an error that is no problem yet, this much text is kept: they are sentences.
const MAX_TEXT_BYTES: usize = 16 * 1024;

/// The kinds of problem that a status alone does not say. Each is described in `docs/rest.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The status says it all.
    Blank,
    /// The body cannot be read, or has fields that it should not.
    InvalidBody,
    /// The query has parameters that it should not, or values that make no sense.
    InvalidQuery,
    /// An `Idempotency-Key` that was used for another request.
    KeyReused,
    /// The request with this `Idempotency-Key` is still being done.
    KeyInUse,
    /// The request with this `Idempotency-Key` was done, and its answer was lost.
    AnswerLost,
    /// `If-Match` names another state than the present one.
    Changed,
}

impl Kind {
    /// All of them, for the page that explains them.
    #[cfg(test)]
    pub(super) const ALL: [Self; 7] = [
        Self::Blank,
        Self::InvalidBody,
        Self::InvalidQuery,
        Self::KeyReused,
        Self::KeyInUse,
        Self::AnswerLost,
        Self::Changed,
    ];

    /// Its URI.
    pub(super) const fn uri(self) -> &'static str {
        match self {
            Self::Blank => "about:blank",
            Self::InvalidBody => "urn:keros:problem:invalid-body",
            Self::InvalidQuery => "urn:keros:problem:invalid-query",
            Self::KeyReused => "urn:keros:problem:idempotency-key-reused",
            Self::KeyInUse => "urn:keros:problem:idempotency-key-in-use",
            Self::AnswerLost => "urn:keros:problem:answer-lost",
            Self::Changed => "urn:keros:problem:changed-meanwhile",
        }
    }
}

/// A connection that breaks at a commit does not say whether it was one.
const DATABASE_AWAY: &str = "the database is away, busy or full: look whether the change was made, and try again when `/health` says that the \
                             database answers; the center's log says more";

/// An error on its way to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    status: StatusCode,
    kind: Kind,
    detail: String,
    errors: Vec<FieldProblem>,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, kind: Kind::Blank, detail: detail.into(), errors: Vec::new() }
    }

    /// The same of a kind of its own.
    pub(super) fn of_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Fields or parameters that are wrong. The sentence is of the first one.
    pub(super) fn of_fields(status: StatusCode, kind: Kind, errors: Vec<FieldProblem>) -> Self {
        let sentence = |error: &FieldProblem| match (&error.pointer, &error.parameter) {
            (Some(pointer), _) if !pointer.is_empty() => format!("{pointer}: {}", error.detail),
            (_, Some(parameter)) => format!("{parameter}: {}", error.detail),
            _ => error.detail.clone(),
        };
        let mut detail = errors.first().map(sentence).unwrap_or_default();
        if errors.len() > 1 {
            detail.push_str(&format!(" (and {} more: see `errors`)", errors.len() - 1));
        }
        Self { status, kind, detail, errors }
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not have this method")
    }

    pub(super) fn timed_out() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the answer took too long: try again later")
    }
}

impl From<OrderError> for Failure {
    fn from(error: OrderError) -> Self {
        let kind = if matches!(error, OrderError::Changed) { Kind::Changed } else { Kind::Blank };
        let (status, detail) = status_of(error);
        Self::new(status, detail).of_kind(kind)
    }
}

/// The status of a refused order, and what the client is told. What is nobody's business but the operator's goes into the log.
pub(crate) fn status_of(error: OrderError) -> (StatusCode, String) {
    let detail = error.to_string();
    match error {
        OrderError::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, detail),
        OrderError::NotFound(_) => (StatusCode::NOT_FOUND, detail),
        OrderError::Conflict(_) => (StatusCode::CONFLICT, detail),
        OrderError::Changed => (StatusCode::PRECONDITION_FAILED, detail),
        OrderError::Unauthorised(_) => (StatusCode::UNAUTHORIZED, detail),
        OrderError::TooMany(..) => (StatusCode::TOO_MANY_REQUESTS, detail),
        OrderError::Forbidden(_) => (StatusCode::FORBIDDEN, detail),
        OrderError::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, detail),
        OrderError::Blob(error) => status_of_blob(error),
        OrderError::Store(error) if error.is_for_now() => {
            failed("the database failed", error.into());
            (StatusCode::SERVICE_UNAVAILABLE, DATABASE_AWAY.to_owned())
        }
        OrderError::Store(error) => failed("the database failed", error.into()),
    }
}

fn status_of_blob(error: BlobError) -> (StatusCode, String) {
    let detail = error.to_string();
    match error {
        BlobError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, detail),
        BlobError::Full { .. } | BlobError::DiskFull { .. } => (StatusCode::INSUFFICIENT_STORAGE, detail),
        BlobError::OtherDigest { .. } => (StatusCode::UNPROCESSABLE_ENTITY, detail),
        BlobError::Cut { .. } => (StatusCode::BAD_REQUEST, detail),
        BlobError::Io { .. } => failed("the store of Magic Links failed", error.into()),
    }
}

fn failed(what: &str, error: anyhow::Error) -> (StatusCode, String) {
    tracing::error!(error = format!("{error:#}"), "{what}");
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{what}: the center's log says more"))
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let problem = Problem {
            kind: self.kind.uri().to_owned(),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
            errors: self.errors,
        };
        let mut response = (self.status, Json(problem)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Makes a problem of every error that is none yet: what axum says of a path that is no UTF-8, or of a query.
pub(super) async fn fence(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let is_problem = response.headers().get(header::CONTENT_TYPE).is_some_and(|found| found == PROBLEM_JSON);
    if is_problem || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let text = to_bytes(body, MAX_TEXT_BYTES).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let detail = match status {
        StatusCode::METHOD_NOT_ALLOWED => "this path does not have this method",
        StatusCode::RANGE_NOT_SATISFIABLE => "the range is beyond the end",
        _ if text.trim().is_empty() => "the request was refused",
        _ => text.trim(),
    };
    let mut problem = Failure::new(status, detail).into_response();
    // What the status needs beside its body: `Allow`, `Content-Range`.
    parts.headers.remove(header::CONTENT_TYPE);
    parts.headers.remove(header::CONTENT_LENGTH);
    problem.headers_mut().extend(parts.headers);
    problem
}
