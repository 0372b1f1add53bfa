//! `/enrolments`, and who is locked out.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::Api;
use super::body::{Body, eui};
use super::problem::Failure;
use crate::api::{EnrolOrder, EnrolmentLine, EnrolmentView, LockedOut};
use crate::service::unix_now;

pub(super) async fn order(
    State(api): State<Api>,
    Body(order): Body<EnrolOrder>,
) -> Result<(StatusCode, Json<Vec<EnrolmentLine>>), Failure> {
    Ok((StatusCode::CREATED, Json(api.office.order(&order, unix_now()).await?)))
}

pub(super) async fn list(State(api): State<Api>) -> Result<Json<Vec<EnrolmentView>>, Failure> {
    Ok(Json(api.office.list(unix_now()).await?))
}

pub(super) async fn cancel(State(api): State<Api>, Path(id): Path<String>) -> Result<StatusCode, Failure> {
    api.office.cancel(eui(&id)?, unix_now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn lock_out(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<LockedOut>, Failure> {
    Ok(Json(api.office.lock_out(eui(&id)?, unix_now()).await?))
}
