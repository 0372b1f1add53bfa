//! `/groups`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::Api;
use super::body::{Body, eui};
use super::problem::Failure;
use crate::access::Caller;
use crate::api::{CreateGroup, EditGroup, GroupView};
use crate::service::unix_now;

pub(super) async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<Vec<GroupView>>, Failure> {
    Ok(Json(api.center.groups(&caller).await?))
}

pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<GroupView>, Failure> {
    Ok(Json(api.center.group(&caller, &name).await?))
}

pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Body(order): Body<CreateGroup>,
) -> Result<(StatusCode, Json<GroupView>), Failure> {
    Ok((StatusCode::CREATED, Json(api.center.create_group(&caller, &order, unix_now()).await?)))
}

pub(super) async fn edit(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
    Body(order): Body<EditGroup>,
) -> Result<Json<GroupView>, Failure> {
    Ok(Json(api.center.edit_group(&caller, &name, &order).await?))
}

pub(super) async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Failure> {
    api.center.remove_group(&caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn add_member(
    State(api): State<Api>,
    caller: Caller,
    Path((name, id)): Path<(String, String)>,
) -> Result<Json<GroupView>, Failure> {
    Ok(Json(api.center.add_member(&caller, &name, eui(&id)?).await?))
}

pub(super) async fn remove_member(
    State(api): State<Api>,
    caller: Caller,
    Path((name, id)): Path<(String, String)>,
) -> Result<Json<GroupView>, Failure> {
    Ok(Json(api.center.remove_member(&caller, &name, eui(&id)?).await?))
}
