//! What is done for every route alike, before and after its handler: its query has only parameters that it knows, its answer has an
//! `ETag`, `If-Match` and `Idempotency-Key` are heeded.

use std::sync::Arc;

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::MethodRouter;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use ring::digest::{SHA256, digest};

use super::problem::{Failure, Kind};
use super::route::Route;
use super::{Api, once, shape};
use crate::api::FieldProblem;
use crate::bounds::COMPARED_BYTES;

/// What is known of a route when a request comes.
#[derive(Debug)]
pub(super) struct Known {
    parameters: Vec<String>,
    is_once: bool,
    /// What shows the state that `If-Match` is about.
    shown: Option<MethodRouter<Api>>,
}

impl Known {
    /// Of this route, among all of them.
    pub(super) fn of(route: &Route, all: &[Route]) -> Self {
        let schema = route.query_schema().unwrap_or_default();
        let properties = schema.get("properties").and_then(serde_json::Value::as_object);
        let shows =
            |other: &&Route| route.is_conditional && other.path == route.path && other.method == Method::GET;
        Self {
            parameters: properties.into_iter().flat_map(|all| all.keys().cloned()).collect(),
            is_once: route.is_once,
            shown: all.iter().find(shows).map(|other| other.handler.clone()),
        }
    }
}

/// Around the handler of a route.
pub(super) async fn around(
    State((api, known)): State<(Api, Arc<Known>)>,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    check_query(request.uri().query().unwrap_or_default(), &known.parameters)?;
    if request.method() == Method::GET {
        let wanted = request.headers().get(header::IF_NONE_MATCH).cloned();
        return Ok(tagged(next.run(request).await, wanted.as_ref()).await);
    }
    if known.is_once {
        return once::around(&api, request, next).await;
    }
    match (request.headers().get(header::IF_MATCH).cloned(), known.shown.clone()) {
        (Some(wanted), Some(shown)) => if_match(&api, &wanted, shown, request, next).await,
        _ => Ok(next.run(request).await),
    }
}

/// Changes only what is as the client last saw it (RFC 9110, section 13.1.1). Between the look and the change no other request with
/// `If-Match` changes anything.
async fn if_match(
    api: &Api,
    wanted: &HeaderValue,
    shown: MethodRouter<Api>,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    // First the whole body: whoever sends it slowly holds nobody up.
    let body = to_bytes(body, super::MAX_BODY_BYTES).await.map_err(|_| {
        Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body has more than {} bytes", super::MAX_BODY_BYTES),
        )
    })?;
    let held = api.edits.lock().await;
    let mut look = Request::new(Body::empty());
    look.uri_mut().clone_from(&parts.uri);
    // Who asks, and what the path's parameters are.
    look.extensions_mut().clone_from(&parts.extensions);
    let Ok(present) = TowerToHyperService::new(shown.with_state(api.clone())).call(look).await;
    if present.status() != StatusCode::OK {
        return Ok(present);
    }
    let present = to_bytes(present.into_body(), COMPARED_BYTES).await.map_err(|_| Failure::timed_out())?;
    let tag = tag_of(&present);
    let is_meant =
        wanted.to_str().is_ok_and(|list| list.split(',').map(str::trim).any(|one| one == "*" || one == tag));
    if !is_meant {
        let detail = "it has changed since you last saw it: look again, then decide again";
        return Err(Failure::new(StatusCode::PRECONDITION_FAILED, detail).of_kind(Kind::Changed));
    }
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    drop(held);
    Ok(response)
}

/// Each parameter is known, comes once, and is text that a database takes.
fn check_query(query: &str, known: &[String]) -> Result<(), Failure> {
    let mut errors = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for (name, value) in form_urlencoded(query) {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let detail = if !known.contains(&name.as_str()) {
            shape::unknown("parameter", &name, &known)
        } else if seen.contains(&name) {
            "it is there twice".to_owned()
        } else if value.is_none_or(|value| value.contains('\0')) {
            "it is no text: it has a NUL character, or is no UTF-8".to_owned()
        } else {
            seen.push(name);
            continue;
        };
        errors.push(FieldProblem { pointer: None, parameter: Some(name), detail });
        if errors.len() >= 20 {
            break;
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(Failure::of_fields(StatusCode::BAD_REQUEST, Kind::InvalidQuery, errors))
}

/// The pairs of a query; a value that is no UTF-8 is `None`.
fn form_urlencoded(query: &str) -> impl Iterator<Item = (String, Option<String>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = String::from_utf8_lossy(&decoded(name)).into_owned();
        (name, String::from_utf8(decoded(value)).ok())
    })
}

fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let hex = |at: usize| {
        let digits = text.get(at + 1..at + 3)?;
        digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u8::from_str_radix(digits, 16).ok())?
    };
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match (byte, hex(at)) {
            (b'%', Some(value)) => {
                out.push(value);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(*byte),
        }
        at += 1;
    }
    out
}

/// With a strong `ETag`, the digest of what is shown; 304 without a body when the client has it already (RFC 9110, section 13.1.2).
async fn tagged(response: Response, wanted: Option<&HeaderValue>) -> Response {
    // Streams have no length; blobs have a tag of their own.
    let is_whole = response.status() == StatusCode::OK && response.body().size_hint().exact().is_some();
    if !is_whole || response.headers().contains_key(header::ETAG) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return Failure::timed_out().into_response();
    };
    let tag = tag_of(&bytes);
    let is_same = wanted.and_then(|wanted| wanted.to_str().ok()).is_some_and(|wanted| names(wanted, &tag));
    parts.headers.extend(HeaderValue::try_from(tag).ok().map(|tag| (header::ETAG, tag)));
    parts.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if is_same {
        let kept: [HeaderName; 3] = [header::ETAG, header::CACHE_CONTROL, header::LINK];
        let found = parts.headers;
        let kept = kept.into_iter().filter_map(|name| found.get(&name).cloned().map(|value| (name, value)));
        return (StatusCode::NOT_MODIFIED, kept.collect::<HeaderMap>()).into_response();
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// The strong tag of a representation.
pub(super) fn tag_of(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let digest = digest(&SHA256, bytes);
    let mut tag = String::from("\"");
    for byte in digest.as_ref().iter().take(16) {
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

/// Whether a list of tags has this one. A weak one of the same text is as good for reading.
fn names(list: &str, tag: &str) -> bool {
    list.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(query: &str) -> String {
        let known = ["limit".to_owned(), "cursor".to_owned()];
        check_query(query, &known).map_or_else(|failure| format!("{failure:?}"), |()| String::new())
    }

    #[test]
    fn parameters_that_nobody_knows_or_that_come_twice_are_refused() {
        assert_eq!(errors(""), "");
        assert_eq!(errors("limit=5&cursor=a%20b"), "");
        for (query, words) in [
            ("limt=5", "did you mean `limit`?"),
            ("x=5", "there are limit, cursor"),
            ("limit=5&limit=6", "twice"),
            ("cursor=%00", "NUL"),
            ("cursor=%FF", "UTF-8"),
            ("%FF=1", "unknown parameter"),
            ("=", "unknown parameter"),
            ("%zz=%", "unknown parameter `%zz`"),
        ] {
            assert!(errors(query).contains(words), "{query}: {}", errors(query));
        }
    }

    #[test]
    fn tags_are_compared_as_a_list() {
        let tag = tag_of(b"x");
        assert_eq!((tag.len(), tag == tag_of(b"y")), (34, false));
        for (list, expected) in [
            (tag.clone(), true),
            (format!("\"a\", {tag}"), true),
            (format!("W/{tag}"), true),
            ("*".to_owned(), true),
            ("\"a\"".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(names(&list, &tag), expected, "{list}");
        }
    }
}
