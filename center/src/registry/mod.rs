//! The registry: the pull half of the OCI distribution protocol (specification 1.1) over the center's store, so that gateways and any
//! client of registries can fetch Magic Links. It must not write.

mod access;
mod error;

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use keros_protocol::Eui;
use keros_protocol::magic_link::{Digest, MANIFEST_MEDIA_TYPE};

use crate::bounds::{ANSWER_LIMIT, PULLS_OF_ONE};
use crate::links::REPOSITORY;
use crate::links::answer::OpenBlob;
use crate::places::Places;
use crate::rest::Token;
use crate::service::Center;
use access::Access;
use error::{Code, Failure};

/// What is told of a blob: a gateway knows from the manifest what it is.
const BLOB_MEDIA_TYPE: &str = "application/octet-stream";

/// What every request is given.
#[derive(Clone)]
pub(crate) struct Registry {
    center: Arc<Center>,
    token: Arc<Token>,
    places: Places<Eui>,
}

impl Registry {
    /// A registry of the center's store. `token`: that of the REST API, which opens all of it; `pulls`: blobs on their way out at the
    /// same time.
    pub(crate) fn new(center: Arc<Center>, token: Arc<Token>, pulls: usize) -> Self {
        Self { center, token, places: Places::new(pulls, PULLS_OF_ONE) }
    }

    /// All paths.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/v2/", get(base))
            .route(&format!("/v2/{REPOSITORY}/manifests/{{reference}}"), get(manifest))
            .route(&format!("/v2/{REPOSITORY}/blobs/{{reference}}"), get(blob))
            .route(&format!("/v2/{REPOSITORY}/tags/list"), get(tags))
            .fallback(other)
            .method_not_allowed_fallback(read_only)
            .layer(middleware::from_fn_with_state(self.clone(), access::check))
            .layer(middleware::from_fn(in_time))
            .with_state(self)
    }
}

async fn base() -> Response {
    ([("docker-distribution-api-version", "registry/2.0")], Json(serde_json::json!({}))).into_response()
}

/// There are none: a Magic Link is named by its hash alone.
async fn tags() -> Json<serde_json::Value> {
    Json(serde_json::json!({ "name": REPOSITORY, "tags": [] }))
}

async fn manifest(
    State(registry): State<Registry>,
    Extension(access): Extension<Access>,
    Path(reference): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Ok(digest) = reference.parse::<Digest>() else {
        return Err(Failure::new(Code::ManifestUnknown, "a Magic Link is named by its digest, not by a tag"));
    };
    access.to_link(digest)?;
    let length = registry.center.named_blob(digest, digest).await?;
    let length = length
        .ok_or_else(|| Failure::new(Code::ManifestUnknown, "there is no such Magic Link in this store"))?;
    Ok(open(&registry, digest, Some(length), MANIFEST_MEDIA_TYPE)?.answer(&headers, ()))
}

async fn blob(
    State(registry): State<Registry>,
    Extension(access): Extension<Access>,
    Path(reference): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let digest: Digest =
        reference.parse().map_err(|error| Failure::new(Code::DigestInvalid, format!("{error}")))?;
    let length = match access.link() {
        // Whether others name it is not told.
        Some(link) => Some(registry.center.named_blob(link, digest).await?.ok_or_else(no_blob)?),
        None => None,
    };
    let blob = open(&registry, digest, length, BLOB_MEDIA_TYPE)?;
    if method == Method::HEAD {
        return Ok(blob.answer(&headers, ()));
    }
    let place = registry.places.take(access.gateway()).ok_or_else(|| {
        Failure::new(Code::TooManyRequests, "too many blobs are being fetched: come again a little later")
    })?;
    Ok(blob.answer(&headers, place))
}

/// Opens a blob that must be there, of this length, when a link names it.
fn open(
    registry: &Registry,
    digest: Digest,
    named: Option<u64>,
    media_type: &'static str,
) -> Result<OpenBlob, Failure> {
    match (registry.center.links().blobs.find(digest), named) {
        (Ok(Some((file, length))), named) if named.is_none_or(|named| named == length) => {
            Ok(OpenBlob { digest, file, length, media_type })
        }
        (Ok(None), None) => Err(no_blob()),
        (Ok(found), _) => {
            let length = found.map(|(_, length)| length);
            tracing::error!(%digest, ?length, ?named, "a blob that a Magic Link names is lost or damaged: put it into the store again");
            Err(Failure::broken())
        }
        (Err(error), _) => Err(error.into()),
    }
}

fn no_blob() -> Failure {
    Failure::new(Code::BlobUnknown, "there is no such blob")
}

async fn other(request: Request) -> Failure {
    let path = request.uri().path();
    if path == format!("/v2/{REPOSITORY}") || !path.starts_with(&format!("/v2/{REPOSITORY}/")) {
        return Failure::new(Code::NameUnknown, format!("this registry has one repository: {REPOSITORY}"));
    }
    Failure::new(Code::Unsupported, "this registry only serves manifests and blobs by their digests")
}

async fn read_only() -> Failure {
    Failure::new(
        Code::Unsupported,
        "this registry is read only: `keros-center magic-link` puts links into it",
    )
    .with(StatusCode::METHOD_NOT_ALLOWED)
}

async fn in_time(request: Request, next: Next) -> Response {
    tokio::time::timeout(ANSWER_LIMIT, next.run(request)).await.unwrap_or_else(|_| {
        Failure::new(Code::TooManyRequests, "the answer took too long: come again a little later")
            .into_response()
    })
}

/// The header by which clients that know only user and password are asked for the API's token.
fn challenge() -> (header::HeaderName, &'static str) {
    (header::WWW_AUTHENTICATE, "Basic realm=\"keros-center\", charset=\"UTF-8\"")
}
