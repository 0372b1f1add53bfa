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
        let detail = error.to_string();
        match error {
            OrderError::Invalid(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail),
            OrderError::NotFound(_) => Self::not_found(detail),
            OrderError::Conflict(_) => Self::new(StatusCode::CONFLICT, detail),
            OrderError::Forbidden(_) => Self::new(StatusCode::FORBIDDEN, detail),
            OrderError::Unavailable(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, detail),
            OrderError::Blob(error) => blob_failure(error),
            OrderError::Store(error) => {
                let error = anyhow::Error::from(error);
                tracing::error!(error = format!("{error:#}"), "the store failed");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the database failed: the center's log says more",
                )
            }
        }
    }
}

fn blob_failure(error: BlobError) -> Failure {
    let detail = error.to_string();
    match error {
        BlobError::TooLarge { .. } => Failure::new(StatusCode::PAYLOAD_TOO_LARGE, detail),
        BlobError::Full { .. } | BlobError::DiskFull { .. } => {
            Failure::new(StatusCode::INSUFFICIENT_STORAGE, detail)
        }
        BlobError::OtherDigest { .. } => Failure::new(StatusCode::UNPROCESSABLE_ENTITY, detail),
        BlobError::Cut { .. } => Failure::bad_request(detail),
        BlobError::Io { .. } => {
            let error = anyhow::Error::from(error);
            tracing::error!(error = format!("{error:#}"), "the store of Magic Links failed");
            Failure::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the store of Magic Links failed: the center's log says more",
            )
        }
    }
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
