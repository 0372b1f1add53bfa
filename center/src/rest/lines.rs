//! The lines of an update, below `/updates/{id}`.

use std::num::NonZeroU32;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;

use super::Api;
use super::body::{Query, eui, update_id};
use super::paging::part;
use super::problem::Failure;
use crate::access::Caller;
use crate::api::{DeliveryView, DifferencesView, LineQuery, LineView};
use crate::service::{line_filter, unix_now};

/// Lines in one answer, and how many there are when nothing is said.
const MOST: u32 = 1000;
const USUAL: u32 = 100;

/// By EUI; a `Link` header (RFC 8288) leads to the next ones.
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<LineQuery>,
) -> Result<(HeaderMap, Json<Vec<DeliveryView>>), Failure> {
    let (update_id, filter) = (update_id(&id)?, line_filter(&query)?);
    let after = query.cursor.as_deref().map(eui).transpose()?;
    let limit = query.limit.map_or(USUAL, NonZeroU32::get).clamp(1, MOST);
    let lines = api.center.lines(&caller, update_id, &filter, after, limit, unix_now()).await?;
    let which = LineQuery { cursor: None, ..query }.text();
    let separator = if which.is_empty() { "" } else { "?" };
    let place = format!("/updates/{update_id}/gateways{separator}{which}");
    Ok(part(&place, limit, lines, |line| line.eui.to_string()))
}

pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path((id, gateway)): Path<(String, String)>,
) -> Result<Json<LineView>, Failure> {
    Ok(Json(api.center.line(&caller, update_id(&id)?, eui(&gateway)?, unix_now()).await?))
}

pub(super) async fn differences(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<DifferencesView>, Failure> {
    Ok(Json(api.center.differences(&caller, update_id(&id)?, unix_now()).await?))
}
