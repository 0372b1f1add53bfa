//! `/blobs`: the bytes of Magic Links, in and out, streamed.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use futures_util::StreamExt as _;
use keros_protocol::magic_link::Digest;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Api;
use super::body::{digest, stated_length};
use super::problem::Failure;
use crate::access::{Action, Caller};
use crate::bounds::{UPLOAD_IDLE_LIMIT, UPLOAD_PARTS};
use crate::links::answer::OpenBlob;
use crate::links::{BlobError, Links, Upload};
use crate::service::OrderError;

/// To who asks before an upload, the blob stays here for a while.
pub(super) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let digest = digest(&name)?;
    api.center.require_blob(&caller, digest).await?;
    let blobs = &api.center.links().blobs;
    let held = blobs.removing().await;
    let found = blobs.find(digest).map_err(OrderError::from)?;
    let Some((file, length)) = found else {
        return Err(Failure::not_found(format!("there is no blob {digest}")));
    };
    if method == Method::HEAD {
        blobs.want(digest, &held).map_err(OrderError::from)?;
    }
    drop(held);
    let blob = OpenBlob { digest, file, length, media_type: "application/octet-stream" };
    Ok(blob.answer(&headers, ()))
}

/// 201: it is new; 200: it was here.
pub(super) async fn put(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Failure> {
    let digest = digest(&name)?;
    caller.require_somewhere(Action::EditLinks)?;
    let _place = api.uploads.take(caller.user).ok_or_else(|| {
        Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many uploads are under way, or too many of this user: try again later",
        )
    })?;
    let (parts, receiver) = mpsc::channel(UPLOAD_PARTS);
    let links = Arc::clone(api.center.links());
    let stated_bytes = stated_length(&headers);
    let writer = tokio::task::spawn_blocking(move || receive(&links, digest, stated_bytes, receiver));
    forward(body, parts).await;
    let received = writer
        .await
        .map_err(|_| OrderError::Unavailable("the upload broke: the log says more".to_owned()))?;
    Ok(if received.map_err(OrderError::from)? { StatusCode::CREATED } else { StatusCode::OK })
}

/// Bytes, or why there are no more.
type Part = Result<Bytes, String>;

/// Hands on what comes, until the end of the body or of the writer.
async fn forward(body: Body, parts: mpsc::Sender<Part>) {
    let mut stream = body.into_data_stream();
    loop {
        let next = tokio::select! {
            next = timeout(UPLOAD_IDLE_LIMIT, stream.next()) => next,
            () = parts.closed() => return,
        };
        let part = match next {
            Ok(Some(Ok(bytes))) => Ok(bytes),
            Ok(Some(Err(error))) => Err(error.to_string()),
            Ok(None) => return,
            Err(_) => Err(format!("nothing more came for {} s", UPLOAD_IDLE_LIMIT.as_secs())),
        };
        let last = part.is_err();
        if parts.send(part).await.is_err() || last {
            return;
        }
    }
}

/// Writes what comes; whether the blob is new.
fn receive(
    links: &Links,
    digest: Digest,
    stated_bytes: Option<u64>,
    mut parts: mpsc::Receiver<Part>,
) -> Result<bool, BlobError> {
    let mut upload = Upload::begin(&links.blobs, digest, stated_bytes)?;
    while let Some(part) = parts.blocking_recv() {
        match part {
            Ok(bytes) => upload.write(&bytes)?,
            Err(why) => return Err(upload.cut(why)),
        }
    }
    upload.finish()
}
