//! `/enrolments`, and who is locked out.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::Api;
use super::body::{Body, eui};
use super::problem::Failure;
use crate::access::Caller;
use crate::api::{EnrolOrder, EnrolmentLine, EnrolmentView, LockedOut};
use crate::service::unix_now;

pub(super) async fn order(
    State(api): State<Api>,
    caller: Caller,
    Body(order): Body<EnrolOrder>,
) -> Result<(StatusCode, Json<Vec<EnrolmentLine>>), Failure> {
    Ok((StatusCode::CREATED, Json(api.office.order(&caller, &order, unix_now()).await?)))
}

pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<Vec<EnrolmentView>>, Failure> {
    Ok(Json(api.office.list(&caller, unix_now()).await?))
}

pub(super) async fn cancel(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    api.office.cancel(&caller, eui(&id)?, unix_now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn lock_out(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<LockedOut>, Failure> {
    Ok(Json(api.office.lock_out(&caller, eui(&id)?, unix_now()).await?))
}
