//! `/magic-links`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Api;
use super::body::{Body, Query, digest};
use super::problem::Failure;
use crate::access::Caller;
use crate::api::{CollectLinks, LinkView, RemovedLinks, SignLink, SignedLink};
use crate::service::unix_now;

pub(super) async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<Vec<LinkView>>, Failure> {
    Ok(Json(api.center.list_links(&caller).await?))
}

/// For which group a link is to be looked at.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ForGroup {
    /// Says which of its gateways the link is not declared for, or does not fit.
    group: Option<String>,
}

pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
    Query(wanted): Query<ForGroup>,
) -> Result<Json<LinkView>, Failure> {
    let view = match wanted.group {
        Some(group) => api.center.link_for_group(&caller, &name, &group, unix_now()).await?,
        None => api.center.link(&caller, &name).await?,
    };
    Ok(Json(view))
}

/// For which customer a link is.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ForCustomer {
    /// By id or name; the caller's only customer, or `main`, when nothing is said.
    customer: Option<String>,
}

/// 201: it is new; 200: it was here.
pub(super) async fn put(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
    Query(wanted): Query<ForCustomer>,
    manifest: Bytes,
) -> Result<(StatusCode, Json<LinkView>), Failure> {
    let (view, is_new) = api
        .center
        .put_link(&caller, wanted.customer.as_deref(), digest(&name)?, manifest.into(), unix_now())
        .await?;
    Ok((if is_new { StatusCode::CREATED } else { StatusCode::OK }, Json(view)))
}

pub(super) async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<RemovedLinks>, Failure> {
    Ok(Json(api.center.remove_link(&caller, &name).await?))
}

pub(super) async fn collect(
    State(api): State<Api>,
    caller: Caller,
    Body(order): Body<CollectLinks>,
) -> Result<Json<RemovedLinks>, Failure> {
    Ok(Json(api.center.collect_links(&caller, unix_now().saturating_sub(order.older_than_s)).await?))
}

pub(super) async fn sign(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
    Body(order): Body<SignLink>,
) -> Result<(StatusCode, HeaderMap, Json<SignedLink>), Failure> {
    let signed = api.center.sign_link(&caller, &name, order, unix_now()).await?;
    let mut headers = HeaderMap::new();
    let place = format!("/api/v1/updates/{}", signed.update.update_id);
    headers.extend(place.parse().ok().map(|place| (header::LOCATION, place)));
    Ok((StatusCode::CREATED, headers, Json(signed)))
}
