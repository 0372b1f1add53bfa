//! JSON bodies, queries and path parts, with errors that are problem details.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use keros_protocol::magic_link::Digest;
use keros_protocol::{Eui, UpdateId};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;

use super::problem::{Failure, Kind};
use super::shape;
use crate::api::FieldProblem;

/// A JSON body. Fields that its type does not have are refused.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned + JsonSchema, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let too_large = || {
            let most = super::MAX_BODY_BYTES;
            Failure::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body has more than {most} bytes"))
        };
        if stated_length(request.headers()).is_some_and(|length| length > super::MAX_BODY_BYTES as u64) {
            return Err(too_large());
        }
        if !is_json(request.headers()) {
            return Err(Failure::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body is JSON: send the header `Content-Type: application/json`",
            ));
        }
        let bytes =
            Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => too_large(),
                status => Failure::new(status, rejection.body_text()),
            })?;
        parse(&bytes).map(Self)
    }
}

/// `application/json`, with or without parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media_type
        .and_then(|text| text.split(';').next())
        .is_some_and(|text| text.trim().eq_ignore_ascii_case("application/json"))
}

/// 400: it is no JSON; 422: it is, and not what is expected.
pub(super) fn parse<T: DeserializeOwned + JsonSchema>(bytes: &[u8]) -> Result<T, Failure> {
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| {
        Failure::bad_request(format!("the body is no JSON: {error}")).of_kind(Kind::InvalidBody)
    })?;
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    let mut errors = shape::problems(&schema, &value);
    // serde takes a list for an object whose fields may all be absent.
    if schema.get("type").is_some_and(|kind| kind == "object") && !value.is_object() {
        let detail = "an object is expected".to_owned();
        errors.push(FieldProblem { pointer: Some(String::new()), parameter: None, detail });
    }
    if errors.is_empty() {
        // From the text, not from the value: that has each field once, whatever the text had.
        match serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(bytes)) {
            Ok(parsed) => return Ok(parsed),
            Err(error) => {
                let pointer = pointer(error.path());
                let detail = without_place(&error.into_inner().to_string());
                errors.push(FieldProblem { pointer: Some(pointer), parameter: None, detail });
            }
        }
    }
    Err(Failure::of_fields(StatusCode::UNPROCESSABLE_ENTITY, Kind::InvalidBody, errors))
}

/// The path as a JSON pointer.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter().fold(String::new(), |mut pointer, segment| {
        let part = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => return pointer,
        };
        pointer.push('/');
        pointer.push_str(&part);
        pointer
    })
}

/// serde_json's message without "at line 1 column 5": the pointer says where.
fn without_place(text: &str) -> String {
    text.rsplit_once(" at line ").map_or(text, |(before, _)| before).to_owned()
}

/// How many bytes are said to come.
pub(super) fn stated_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The parameters of a query. Those that its type does not have were refused before.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        axum::extract::Query::try_from_uri(&parts.uri).map(|axum::extract::Query(query)| Self(query)).map_err(
            |rejection| {
                // "…: limit: invalid digit found in string"
                let text = rejection.body_text();
                let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
                let (parameter, detail) = text.split_once(": ").unwrap_or(("", text));
                let errors = vec![FieldProblem {
                    pointer: None,
                    parameter: Some(parameter.to_owned()).filter(|name| !name.is_empty()),
                    detail: detail.to_owned(),
                }];
                Failure::of_fields(StatusCode::BAD_REQUEST, Kind::InvalidQuery, errors)
            },
        )
    }
}

/// An EUI in any spelling.
pub(crate) fn eui(text: &str) -> Result<Eui, Failure> {
    text.parse().map_err(|error| Failure::bad_request(format!("{text:?} is no EUI: {error}")))
}

/// An update's id.
pub(crate) fn update_id(text: &str) -> Result<UpdateId, Failure> {
    text.parse().map_err(|error| Failure::bad_request(format!("{text:?} is no update id: {error}")))
}

/// A digest in full.
pub(super) fn digest(text: &str) -> Result<Digest, Failure> {
    text.parse().map_err(|error| Failure::bad_request(format!("{error}")))
}
