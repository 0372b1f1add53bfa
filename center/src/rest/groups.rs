//! `/groups`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::Api;
use super::body::{Body, eui};
use super::problem::Failure;
use crate::api::GroupView;

pub(super) async fn list(State(api): State<Api>) -> Result<Json<Vec<GroupView>>, Failure> {
    Ok(Json(api.center.groups().await?))
}

pub(super) async fn show(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<GroupView>, Failure> {
    Ok(Json(api.center.group(&name).await?))
}

pub(super) async fn create(
    State(api): State<Api>,
    Body(group): Body<GroupView>,
) -> Result<(StatusCode, Json<GroupView>), Failure> {
    Ok((StatusCode::CREATED, Json(api.center.create_group(&group).await?)))
}

pub(super) async fn remove(State(api): State<Api>, Path(name): Path<String>) -> Result<StatusCode, Failure> {
    api.center.remove_group(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn add_member(
    State(api): State<Api>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Json<GroupView>, Failure> {
    Ok(Json(api.center.add_member(&name, eui(&id)?).await?))
}

pub(super) async fn remove_member(
    State(api): State<Api>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Json<GroupView>, Failure> {
    Ok(Json(api.center.remove_member(&name, eui(&id)?).await?))
}
