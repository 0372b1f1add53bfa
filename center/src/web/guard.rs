//! What holds for every page: the headers that keep a browser from doing what the page does not ask for, and errors as pages.

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts as _, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::page::error_page;
use super::{Failure, Visitor};
use crate::rest::{Api, is_text, is_text_uri, whole};

/// Only what comes from the center itself, and no script or style inside a page; nobody may frame it.
const POLICY: &str =
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Forms come whole and in time, before anybody looks at them; they and addresses are text.
pub(super) async fn whole_form(request: Request, next: Next) -> Response {
    if !is_text_uri(request.uri()) {
        return no_text("The address");
    }
    let (parts, body) = match whole(request).await {
        Ok(request) => request.into_parts(),
        Err(not_whole) => return Failure::new(not_whole.status, not_whole.detail).into_response(),
    };
    // It is there already, and as large as it may be.
    let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let content_type = parts.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let is_form = content_type.is_some_and(|found| found.starts_with(b"application/x-www-form-urlencoded"));
    if is_form && !std::str::from_utf8(&bytes).is_ok_and(is_text) {
        return no_text("The form");
    }
    next.run(Request::from_parts(parts, Body::from(bytes))).await
}

fn no_text(what: &str) -> Response {
    Failure::bad_request(format!("{what} is no text: it has a NUL character, or is no UTF-8."))
        .into_response()
}

/// Makes pages of failures, and sets the headers.
pub(super) async fn finish(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let mut kept = parts.clone();
    let mut response = next.run(Request::from_parts(parts, body)).await;
    if let Some(failure) = response.extensions_mut().remove::<Failure>() {
        let visitor = Visitor::from_request_parts(&mut kept, &api).await.ok();
        response = error_page(visitor.as_ref(), &failure);
    } else if response.status().is_client_error() && !response.headers().contains_key(header::CONTENT_TYPE) {
        // What axum answers by itself: a method that the page does not have.
        let failure = Failure::new(response.status(), "This page cannot be asked for in this way.");
        response = error_page(None, &failure);
    }
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
