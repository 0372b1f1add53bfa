//! The one token that opens the API.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use ring::digest::{SHA256, digest};

use super::Api;
use super::problem::Failure;
use crate::access::Caller;

/// The API's token, as its digest: comparing digests takes the same time wherever the first difference is, and tells nothing of
/// the token's length.
pub(crate) struct Token {
    digest: [u8; 32],
}

impl Token {
    /// The token of this text.
    pub(crate) fn new(text: &str) -> Self {
        Self { digest: sha256(text.as_bytes()) }
    }

    /// Whether this is it.
    pub(crate) fn is(&self, given: &[u8]) -> bool {
        let difference = self.digest.iter().zip(sha256(given)).fold(0, |sum, (a, b)| sum | (a ^ b));
        difference == 0
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut array = [0; 32];
    array.copy_from_slice(digest(&SHA256, bytes).as_ref());
    array
}

/// Who asks: [`check`] has put him there.
impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        parts.extensions.get().cloned().ok_or_else(not_logged_in)
    }
}

/// The token that a request carries (RFC 6750, section 2.1).
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Lets only requests through that carry the token.
pub(super) async fn check(
    State(api): State<Api>,
    mut request: Request,
    next: Next,
) -> Result<Response, Failure> {
    if api.holds_token(request.headers()) {
        request.extensions_mut().insert(Caller::root());
        return Ok(next.run(request).await);
    }
    Err(not_logged_in())
}

fn not_logged_in() -> Failure {
    Failure::new(
        StatusCode::UNAUTHORIZED,
        "send the header `Authorization: Bearer TOKEN`; the token is in the file `api-token` of the center's data folder",
    )
}
