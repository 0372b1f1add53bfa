//! Errors in the JSON of the OCI distribution specification ("Error Codes").

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::links::BlobError;
use crate::store::StoreError;

/// The codes of the specification that are used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    BlobUnknown,
    Denied,
    DigestInvalid,
    ManifestUnknown,
    NameUnknown,
    TooManyRequests,
    Unauthorized,
    /// None of the specification's: an error of the center.
    Unknown,
    Unsupported,
}

impl Code {
    const fn name_and_status(self) -> (&'static str, StatusCode) {
        match self {
            Self::BlobUnknown => ("BLOB_UNKNOWN", StatusCode::NOT_FOUND),
            Self::Denied => ("DENIED", StatusCode::FORBIDDEN),
            Self::DigestInvalid => ("DIGEST_INVALID", StatusCode::BAD_REQUEST),
            Self::ManifestUnknown => ("MANIFEST_UNKNOWN", StatusCode::NOT_FOUND),
            Self::NameUnknown => ("NAME_UNKNOWN", StatusCode::NOT_FOUND),
            Self::TooManyRequests => ("TOOMANYREQUESTS", StatusCode::TOO_MANY_REQUESTS),
            Self::Unauthorized => ("UNAUTHORIZED", StatusCode::UNAUTHORIZED),
            Self::Unknown => ("UNKNOWN", StatusCode::INTERNAL_SERVER_ERROR),
            Self::Unsupported => ("UNSUPPORTED", StatusCode::NOT_FOUND),
        }
    }
}

/// When somebody who is sent away may come again, seconds: spread, so that a fleet does not come back in the same second.
const RETRY_AFTER_S: std::ops::Range<u8> = 5..69;

/// An error on its way to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    code: Code,
    status: StatusCode,
    message: String,
}

impl Failure {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, status: code.name_and_status().1, message: message.into() }
    }

    /// The store has failed; the log says how.
    pub(super) fn broken() -> Self {
        Self::new(Code::Unknown, "the center cannot read its store: its log says more")
    }

    /// With another status than the code has.
    pub(super) fn with(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        broken(error.into())
    }
}

impl From<BlobError> for Failure {
    fn from(error: BlobError) -> Self {
        broken(error.into())
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is what `into` gives")]
fn broken(error: anyhow::Error) -> Failure {
    tracing::error!(error = format!("{error:#}"), "the registry cannot read its store");
    Failure::broken()
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (code, _) = self.code.name_and_status();
        let error = serde_json::json!({ "errors": [{ "code": code, "message": self.message }] });
        let mut response = (self.status, Json(error)).into_response();
        match self.code {
            Code::Unauthorized => {
                let (name, value) = super::challenge();
                response.headers_mut().insert(name, header::HeaderValue::from_static(value));
            }
            Code::TooManyRequests => {
                response.headers_mut().insert(header::RETRY_AFTER, retry_after_s().into());
            }
            _ => {}
        }
        response
    }
}

fn retry_after_s() -> u16 {
    let mut random = [0];
    // Without a random number all are told the same.
    let _ = SystemRandom::new().fill(&mut random);
    u16::from(RETRY_AFTER_S.start + random[0] % (RETRY_AFTER_S.end - RETRY_AFTER_S.start))
}
