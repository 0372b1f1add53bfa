//! `Idempotency-Key`: a request that makes something is done once, whatever is sent again.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use ring::digest::{Context, SHA256};

use super::Api;
use super::problem::{Failure, Kind};
use crate::access::{Attempt, Caller};
use crate::bounds::KEPT_ANSWER_BYTES;
use crate::service::{Once, unix_now};
use crate::store::idempotency::KeptAnswer;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const MAX_KEY_BYTES: usize = 128;

/// Around the handler of a route that makes something.
pub(super) async fn around(
    api: &Api,
    status: StatusCode,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    let Some(key) = key(request.headers())? else { return Ok(next.run(request).await) };
    let Some(caller) = request.extensions().get::<Caller>().cloned() else {
        return Ok(next.run(request).await);
    };
    let (mut parts, body) = request.into_parts();
    let bytes = to_bytes(body, super::MAX_BODY_BYTES).await.map_err(|_| {
        let most = super::MAX_BODY_BYTES;
        Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body has more than {most} bytes, or did not come whole"),
        )
    })?;
    let digest = digest(&[parts.method.as_str().as_bytes(), parts.uri.to_string().as_bytes(), &bytes]);
    match api.center.begin_once(&caller, &key, &digest, unix_now()).await? {
        Once::Begin(attempt) => {
            parts.extensions.insert(caller.trying(attempt.clone()));
            let response = next.run(Request::from_parts(parts, Body::from(bytes))).await;
            Ok(kept(api, &attempt, response).await)
        }
        Once::Again(answer) => Ok(again(answer)),
        Once::Lost(thing) => lost(api, &caller, status, &thing).await,
        Once::UnderWay => Err(Failure::new(
            StatusCode::CONFLICT,
            "the request with this Idempotency-Key is still being done: ask again in a minute",
        )
        .of_kind(Kind::KeyInUse)),
        Once::OtherRequest => Err(Failure::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "this Idempotency-Key was used for another request: each request has a key of its own",
        )
        .of_kind(Kind::KeyReused)),
    }
}

pub(super) fn key(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let mut all = headers.get_all(KEY).iter();
    let (Some(value), None) = (all.next(), all.next()) else {
        return if headers.contains_key(KEY) { Err(no_key()) } else { Ok(None) };
    };
    let text = value.to_str().map_err(|_| no_key())?;
    let is_good =
        !text.is_empty() && text.len() <= MAX_KEY_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_good { Ok(Some(text.to_owned())) } else { Err(no_key()) }
}

fn no_key() -> Failure {
    Failure::bad_request(format!(
        "an Idempotency-Key comes once, and has 1 to {MAX_KEY_BYTES} printable characters without blanks: a UUID is a good one"
    ))
}

/// The digest of these parts; where one ends and the next begins counts.
fn digest(parts: &[&[u8]]) -> String {
    use std::fmt::Write as _;
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part);
    }
    context.finish().as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Keeps the answer before it is sent. What was refused did nothing, and may be tried again. An answer that is too large is lost here: the
/// key says what was done all the same.
async fn kept(api: &Api, attempt: &Attempt, response: Response) -> Response {
    if !response.status().is_success() {
        if let Err(error) = api.center.end_once(attempt, None).await {
            tracing::warn!(%error, "an Idempotency-Key that did nothing is kept for a minute");
        }
        return response;
    }
    let (parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, usize::MAX).await else { return Failure::timed_out().into_response() };
    let answer = KeptAnswer {
        status: parts.status.as_u16(),
        place: parts.headers.get(header::LOCATION).and_then(|place| place.to_str().ok()).map(str::to_owned),
        text: String::from_utf8_lossy(&bytes).into_owned(),
    };
    if bytes.len() <= KEPT_ANSWER_BYTES
        && let Err(error) = api.center.end_once(attempt, Some(&answer)).await
    {
        tracing::warn!(%error, "the answer to a request with an Idempotency-Key cannot be kept");
    }
    Response::from_parts(parts, Body::from(bytes))
}

fn again(answer: KeptAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    json(status, answer.place.as_deref(), answer.text.into())
}

fn json(status: StatusCode, place: Option<&str>, text: Bytes) -> Response {
    let is_empty = text.is_empty();
    let mut response = (status, Body::from(text)).into_response();
    let headers = response.headers_mut();
    if !is_empty {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    headers.extend(place.and_then(|place| Some((header::LOCATION, HeaderValue::try_from(place).ok()?))));
    response
}

/// What was done is known, not what was answered: an update is shown as it is now.
async fn lost(api: &Api, caller: &Caller, status: StatusCode, thing: &str) -> Result<Response, Failure> {
    let update = thing.strip_prefix("update ").and_then(|id| id.parse().ok());
    let Some(update_id) = update else {
        return Err(Failure::new(
            StatusCode::CONFLICT,
            format!("this was done ({thing}), and the answer was lost: do not send it again"),
        )
        .of_kind(Kind::AnswerLost));
    };
    let view = api.center.update(caller, update_id, unix_now()).await?;
    let text = serde_json::to_vec(&view).map_err(|error| Failure::bad_request(error.to_string()))?;
    let place = format!("/api/v1/updates/{update_id}");
    Ok(json(status, Some(place.as_str()).filter(|_| status == StatusCode::CREATED), text.into()))
}
