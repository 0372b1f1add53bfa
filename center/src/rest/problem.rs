//! Errors as RFC 9457 problem details.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::api::Problem;
use crate::links::BlobError;
use crate::service::OrderError;

/// An error on its way to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    status: StatusCode,
    detail: String,
}

impl Failure {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
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
        let (status, detail) = status_of(error);
        Self::new(status, detail)
    }
}

/// The status of a refused order, and what the client is told. What is nobody's business but the operator's goes into the log.
pub(crate) fn status_of(error: OrderError) -> (StatusCode, String) {
    let detail = error.to_string();
    match error {
        OrderError::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, detail),
        OrderError::NotFound(_) => (StatusCode::NOT_FOUND, detail),
        OrderError::Conflict(_) => (StatusCode::CONFLICT, detail),
        OrderError::Unauthorised(_) => (StatusCode::UNAUTHORIZED, detail),
        OrderError::TooMany(..) => (StatusCode::TOO_MANY_REQUESTS, detail),
        OrderError::Forbidden(_) => (StatusCode::FORBIDDEN, detail),
        OrderError::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, detail),
        OrderError::Blob(error) => status_of_blob(error),
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
            kind: "about:blank".to_owned(),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
        };
        let mut response = (self.status, Json(problem)).into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        response
    }
}
