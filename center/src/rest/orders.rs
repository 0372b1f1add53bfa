//! Updates for one gateway, updates that follow others, roll-outs, exports.

use std::num::NonZeroU32;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Api;
use super::body::{Body, Query, eui, update_id};
use super::problem::Failure;
use super::route::Route;
use crate::access::Action::{AskTelemetry, SeeUpdates, SendUpdates};
use crate::access::Caller;
use crate::api::{FollowUp, NudgedGroup, SendToGateway, UpdateView};
use crate::service::{Seen, unix_now};

/// The media type of the exports.
const CSV: &str = "text/csv";

/// Its part of the table.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/gateways/{eui}/updates", SendUpdates, "Sends a job to one gateway.", send_to_gateway)
            .body::<SendToGateway>()
            .json::<UpdateView>(201)
            .refuses(&[409])
            .once(),
        Route::post(
            "/groups/{name}/nudge",
            AskTelemetry,
            "Asks the members of a group for telemetry now.",
            nudge_group,
        )
        .json::<NudgedGroup>(202)
        .refuses(&[409]),
        Route::get("/updates.csv", SeeUpdates, "The updates as CSV, 10,000 at most.", updates_csv)
            .bytes(200, CSV),
        Route::get("/updates/{id}/gateways.csv", SeeUpdates, "The gateways of an update as CSV.", lines_csv)
            .bytes(200, CSV),
        Route::post(
            "/updates/{id}/retry",
            SendUpdates,
            "Sends the job again where it did not succeed.",
            retry,
        )
        .body::<FollowUp>()
        .json::<UpdateView>(201)
        .refuses(&[409])
        .once(),
        Route::post("/updates/{id}/carry-out", SendUpdates, "Sends what a dry run was for.", carry_out)
            .body::<FollowUp>()
            .json::<UpdateView>(201)
            .refuses(&[409])
            .once(),
        Route::post(
            "/updates/{id}/go-on",
            SendUpdates,
            "Lets a roll-out go on, or begins its next stage.",
            go_on,
        )
        .query::<GoOn>()
        .json::<UpdateView>(200)
        .refuses(&[409, 422])
        .once(),
    ]
}

async fn send_to_gateway(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Body(order): Body<SendToGateway>,
) -> Result<(StatusCode, HeaderMap, Json<UpdateView>), Failure> {
    Ok(created(api.center.send_to_gateway(&caller, eui(&id)?, order, unix_now()).await?))
}

async fn retry(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Body(order): Body<FollowUp>,
) -> Result<(StatusCode, HeaderMap, Json<UpdateView>), Failure> {
    Ok(created(api.center.retry(&caller, update_id(&id)?, order, unix_now()).await?))
}

async fn carry_out(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Body(order): Body<FollowUp>,
) -> Result<(StatusCode, HeaderMap, Json<UpdateView>), Failure> {
    Ok(created(api.center.carry_out(&caller, update_id(&id)?, order, unix_now()).await?))
}

fn created(update: UpdateView) -> (StatusCode, HeaderMap, Json<UpdateView>) {
    let mut headers = HeaderMap::new();
    let place = format!("/api/v1/updates/{}", update.update_id);
    headers.extend(place.parse().ok().map(|place| (header::LOCATION, place)));
    (StatusCode::CREATED, headers, Json(update))
}

/// Where the roll-out was as the caller saw it. What is said twice then begins one stage, not two.
#[derive(Debug, Default, Deserialize, JsonSchema)]
struct GoOn {
    /// The stage that was under way, from 1; with `halted`. 409 when the roll-out has gone on since.
    stage: Option<NonZeroU32>,
    /// Whether it had been stopped; with `stage`.
    halted: Option<bool>,
}

impl GoOn {
    fn seen(&self) -> Result<Option<Seen>, Failure> {
        match (self.stage, self.halted) {
            (Some(stage), Some(halted)) => Ok(Some(Seen { stage: stage.get(), halted })),
            (None, None) => Ok(None),
            _ => Err(Failure::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "say both `stage` and `halted`, or neither",
            )),
        }
    }
}

async fn go_on(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Query(asked): Query<GoOn>,
) -> Result<Json<UpdateView>, Failure> {
    let seen = asked.seen()?;
    Ok(Json(api.center.go_on(&caller, update_id(&id)?, seen, unix_now()).await?))
}

async fn nudge_group(
    State(api): State<Api>,
    caller: Caller,
    Path(group): Path<String>,
) -> Result<(StatusCode, Json<NudgedGroup>), Failure> {
    Ok((StatusCode::ACCEPTED, Json(api.center.nudge_group(&caller, &group).await?)))
}

async fn updates_csv(State(api): State<Api>, caller: Caller) -> Result<(HeaderMap, String), Failure> {
    Ok((file("updates.csv"), api.center.updates_csv(&caller, unix_now()).await?))
}

async fn lines_csv(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<(HeaderMap, String), Failure> {
    let update_id = update_id(&id)?;
    let name = format!("update-{update_id}.csv");
    Ok((file(&name), api.center.lines_csv(&caller, update_id, unix_now()).await?))
}

/// The head of an answer that is a file. The name has no characters that would have to be escaped.
fn file(name: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    let disposition = format!("attachment; filename=\"{name}\"");
    headers.extend(disposition.parse().ok().map(|value| (header::CONTENT_DISPOSITION, value)));
    headers
}
