//! `/gateways`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::Api;
use super::body::{Body, eui};
use super::problem::Failure;
use crate::access::Caller;
use crate::api::{DeclareGateway, GatewayView};
use crate::service::unix_now;

pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<GatewayView>, Failure> {
    Ok(Json(api.center.gateway(&caller, eui(&id)?, unix_now()).await?))
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
