//! JSON bodies, path parts and numbers of a query, with errors that are problem details.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use keros_protocol::magic_link::Digest;
use keros_protocol::{Eui, UpdateId};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::problem::Failure;

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let too_large = || {
            let most = super::MAX_BODY_BYTES;
            Failure::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body has more than {most} bytes"))
        };
        if stated_length(request.headers()).is_some_and(|length| length > super::MAX_BODY_BYTES as u64) {
            return Err(too_large());
        }
        let bytes =
            Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => too_large(),
                status => Failure::new(status, rejection.body_text()),
            })?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            Failure::bad_request(format!("the body is not the JSON that is expected: {error}"))
        })
    }
}

/// How many bytes are said to come.
pub(super) fn stated_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Which part of a list is wanted.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Part {
    /// Elements at most.
    pub(super) limit: Option<u32>,
    /// Those before this one (updates).
    pub(super) before: Option<String>,
}

/// An EUI in any spelling.
pub(super) fn eui(text: &str) -> Result<Eui, Failure> {
    text.parse().map_err(|error| Failure::bad_request(format!("{text:?} is no EUI: {error}")))
}

/// An update's id.
pub(super) fn update_id(text: &str) -> Result<UpdateId, Failure> {
    text.parse().map_err(|error| Failure::bad_request(format!("{text:?} is no update id: {error}")))
}

/// A digest in full.
pub(super) fn digest(text: &str) -> Result<Digest, Failure> {
    text.parse().map_err(|error| Failure::bad_request(format!("{error}")))
}
