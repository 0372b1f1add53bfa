//! `/gateways`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};

use super::Api;
use super::body::{Body, Query, eui};
use super::paging::{Page, part};
use super::problem::Failure;
use crate::access::Caller;
use crate::api::{DeclareGateway, GatewayView};
use crate::service::unix_now;

/// Gateways in one answer, unless fewer are asked for.
const MOST: u32 = 100_000;

/// In the order of their EUIs; a `Link` header (RFC 8288) leads to those that did not fit.
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(page): Query<Page>,
) -> Result<(HeaderMap, Json<Vec<GatewayView>>), Failure> {
    let limit = page.limit(MOST, MOST);
    let after = page.cursor.as_deref().map(eui).transpose()?;
    let gateways = api.center.gateways(&caller, after, limit).await?;
    Ok(part("/gateways", limit, gateways, |gateway| gateway.eui.to_string()))
}

pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<GatewayView>, Failure> {
    Ok(Json(api.center.gateway(&caller, eui(&id)?).await?))
}

pub(super) async fn declare(
    State(api): State<Api>,
    caller: Caller,
    Body(order): Body<DeclareGateway>,
) -> Result<(StatusCode, Json<GatewayView>), Failure> {
    Ok((StatusCode::CREATED, Json(api.center.declare(&caller, &order, unix_now()).await?)))
}

pub(super) async fn nudge(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    api.center.nudge(&caller, eui(&id)?).await?;
    Ok(StatusCode::ACCEPTED)
}
