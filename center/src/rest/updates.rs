//! `/updates`, but for the stream of events.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};

use super::Api;
use super::body::{Body, Query, eui, update_id};
use super::paging::{Page, part};
use super::problem::Failure;
use crate::access::Caller;
use crate::api::{CancelView, PreviewView, SendUpdate, UpdateView};
use crate::service::unix_now;
use crate::store::UpdatesOf;

/// Updates in one answer, and how many there are when nothing is said.
const MOST: u32 = 1000;
const USUAL: u32 = 100;

/// Newest first; a `Link` header (RFC 8288) leads to older ones.
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(page): Query<Page>,
) -> Result<(HeaderMap, Json<Vec<UpdateView>>), Failure> {
    let limit = page.limit(USUAL, MOST);
    let before = page.cursor.as_deref().map(update_id).transpose()?;
    let updates = api.center.updates(&caller, UpdatesOf::All, before, limit, unix_now()).await?;
    Ok(part("/updates", limit, updates, |update| update.update_id.to_string()))
}

/// The last updates of a gateway, newest first.
pub(super) async fn of_gateway(
    State(api): State<Api>,
    caller: Caller,
    Path(gateway): Path<String>,
) -> Result<Json<Vec<UpdateView>>, Failure> {
    let gateway = api.center.gateway(&caller, eui(&gateway)?, unix_now()).await?;
    let of = UpdatesOf::Gateway(gateway.eui);
    Ok(Json(api.center.updates(&caller, of, None, USUAL, unix_now()).await?))
}

pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<UpdateView>, Failure> {
    Ok(Json(api.center.update(&caller, update_id(&id)?, unix_now()).await?))
}

pub(super) async fn send(
    State(api): State<Api>,
    caller: Caller,
    Body(order): Body<SendUpdate>,
) -> Result<(StatusCode, HeaderMap, Json<UpdateView>), Failure> {
    let update = api.center.send_update(&caller, order, unix_now()).await?;
    let mut headers = HeaderMap::new();
    let place = format!("/api/v1/updates/{}", update.update_id);
    headers.extend(place.parse().ok().map(|place| (header::LOCATION, place)));
    Ok((StatusCode::CREATED, headers, Json(update)))
}

/// What an order would come to. Nothing is sent.
pub(super) async fn preview(
    State(api): State<Api>,
    caller: Caller,
    Body(order): Body<SendUpdate>,
) -> Result<Json<PreviewView>, Failure> {
    Ok(Json(api.center.preview_update(&caller, &order, unix_now()).await?))
}

pub(super) async fn cancel(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<CancelView>, Failure> {
    Ok(Json(api.center.cancel(&caller, update_id(&id)?, None, unix_now()).await?))
}

pub(super) async fn cancel_one(
    State(api): State<Api>,
    caller: Caller,
    Path((id, gateway)): Path<(String, String)>,
) -> Result<Json<CancelView>, Failure> {
    Ok(Json(api.center.cancel(&caller, update_id(&id)?, Some(eui(&gateway)?), unix_now()).await?))
}
