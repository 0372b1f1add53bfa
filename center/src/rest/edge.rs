//! What is done for every route alike, before and after its handler: its query has only parameters that it knows, its answer has an
//! `ETag`, `If-Match` and `Idempotency-Key` are heeded.

use std::sync::Arc;

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::encoded::{is_text, pairs};
use super::problem::{Failure, Kind};
use super::route::Route;
use super::{Api, once, shape};
use crate::access::{AsSeen, Caller};
use crate::api::FieldProblem;
use crate::service::tag_of;

/// What is known of a route when a request comes.
#[derive(Debug)]
pub(super) struct Known {
    parameters: Vec<String>,
    /// It is done once by key; the status when it was done.
    once: Option<StatusCode>,
    is_conditional: bool,
}

impl Known {
    /// Of this route.
    pub(super) fn of(route: &Route) -> Self {
        let schema = route.query_schema().unwrap_or_default();
        let properties = schema.get("properties").and_then(serde_json::Value::as_object);
        let done = route.answers.first().and_then(|(status, _)| StatusCode::from_u16(*status).ok());
        Self {
            parameters: properties.into_iter().flat_map(|all| all.keys().cloned()).collect(),
            once: done.filter(|_| route.is_once),
            is_conditional: route.is_conditional,
        }
    }
}

/// Around the handler of a route.
pub(super) async fn around(
    State((api, known)): State<(Api, Arc<Known>)>,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    if !is_text(request.uri().path()) {
        return Err(Failure::bad_request("the path is no text: it has a NUL character, or is no UTF-8"));
    }
    check_query(request.uri().query().unwrap_or_default(), &known.parameters)?;
    if request.method() == Method::GET {
        let wanted = request.headers().get(header::IF_NONE_MATCH).cloned();
        return Ok(tagged(next.run(request).await, wanted.as_ref()).await);
    }
    let request = with_condition(request, known.is_conditional)?;
    if let Some(status) = known.once {
        return once::around(&api, status, request, next).await;
    }
    Ok(next.run(request).await)
}

/// Lets only what is as the client last saw it be changed (RFC 9110, section 13.1.1): the service compares in the transaction of the change.
/// Where it does not, to leave the condition out would do what the client does not want.
fn with_condition(mut request: Request, is_conditional: bool) -> Result<Request, Failure> {
    let stated: Vec<String> = request
        .headers()
        .get_all(header::IF_MATCH)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .collect();
    if stated.is_empty() {
        return Ok(request);
    }
    if !is_conditional {
        return Err(Failure::bad_request(
            "this path does not heed If-Match: nothing was done; leave the header out to do it all the same",
        ));
    }
    if let Some(caller) = request.extensions_mut().remove::<Caller>() {
        request.extensions_mut().insert(caller.having_seen(AsSeen::new(stated.join(","))));
    }
    Ok(request)
}

/// Each parameter is known, comes once, and is text that a database takes.
pub(super) fn check_query(query: &str, known: &[String]) -> Result<(), Failure> {
    let mut errors = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for (name, value) in pairs(query) {
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
