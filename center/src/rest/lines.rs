//! The lines of an update, below `/updates/{id}`.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, header};

use super::Api;
use super::body::{eui, update_id};
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
    let after = query.after.as_deref().map(eui).transpose()?;
    let limit = query.limit.unwrap_or(USUAL).clamp(1, MOST);
    let lines = api.center.lines(&caller, update_id, &filter, after, limit, unix_now()).await?;
    let mut headers = HeaderMap::new();
    if lines.len() >= limit as usize
        && let Some(last) = lines.last()
    {
        let next = LineQuery { after: Some(last.eui.to_string()), limit: Some(limit), ..query };
        let link = format!("</api/v1/updates/{update_id}/gateways?{}>; rel=\"next\"", next.text());
        headers.extend(link.parse().ok().map(|link| (header::LINK, link)));
    }
    Ok((headers, Json(lines)))
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
