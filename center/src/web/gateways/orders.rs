//! What is done to one gateway from its page. Each form leads back there.

use axum::extract::{Path, State};
use axum::response::Response;
use keros_protocol::Eui;
use serde::Deserialize;

use super::eui;
use super::show::one;
use crate::api::{EditGateway, MoveGateway};
use crate::rest::Api;
use crate::service::{OrderError, unix_now};
use crate::web::{Failure, Posted, Visitor, place, to};

/// Shows the gateway again with what was refused, or leads to it with what was done.
async fn answer<T>(
    api: &Api,
    visitor: &Visitor,
    eui: Eui,
    done: Result<T, OrderError>,
    said: &str,
) -> Result<Response, Failure> {
    match done {
        Ok(_) => Ok(to(&place("/gateways", &eui.to_string()), said)),
        Err(error) => {
            let refusal = Failure::from(error);
            let mut answer = one(api, visitor, eui, String::new(), Some(refusal.detail.clone())).await?;
            *answer.status_mut() = refusal.status;
            Ok(answer)
        }
    }
}

/// What the form of a gateway says.
#[derive(Debug, Deserialize)]
pub(super) struct EditFields {
    name: String,
    description: String,
    labels: String,
    #[serde(default)]
    location: Option<String>,
}

pub(super) async fn edit(
    State(api): State<Api>,
    Path(id): Path<String>,
    Posted { visitor, form }: Posted<EditFields>,
) -> Result<Response, Failure> {
    let eui = eui(&id)?;
    let order = EditGateway {
        name: Some(form.name.trim().to_owned()),
        description: Some(form.description.replace("\r\n", "\n")),
        labels: Some(form.labels.split_whitespace().map(str::to_owned).collect()),
        location: form.location,
    };
    let done = api.center().edit_gateway(&visitor.caller, eui, &order, unix_now()).await;
    answer(&api, &visitor, eui, done, "the gateway is changed").await
}

/// What the form of a move says.
#[derive(Debug, Deserialize)]
pub(super) struct MoveFields {
    customer: String,
}

pub(super) async fn move_to(
    State(api): State<Api>,
    Path(id): Path<String>,
    Posted { visitor, form }: Posted<MoveFields>,
) -> Result<Response, Failure> {
    let eui = eui(&id)?;
    let order = MoveGateway { customer: form.customer.trim().to_owned() };
    let done = api.center().move_gateway(&visitor.caller, eui, &order, unix_now()).await;
    answer(&api, &visitor, eui, done, "the gateway is moved").await
}

/// A form with nothing in it.
#[derive(Debug, Deserialize)]
pub(super) struct Nothing {}

pub(super) async fn retire(
    State(api): State<Api>,
    Path(id): Path<String>,
    Posted { visitor, .. }: Posted<Nothing>,
) -> Result<Response, Failure> {
    let eui = eui(&id)?;
    let done = api.center().retire_gateway(&visitor.caller, eui, unix_now()).await;
    answer(&api, &visitor, eui, done, "the gateway is retired: nothing is sent to it any more").await
}

pub(super) async fn unretire(
    State(api): State<Api>,
    Path(id): Path<String>,
    Posted { visitor, .. }: Posted<Nothing>,
) -> Result<Response, Failure> {
    let eui = eui(&id)?;
    let done = api.center().unretire_gateway(&visitor.caller, eui, unix_now()).await;
    answer(&api, &visitor, eui, done, "the gateway is in service again").await
}

pub(super) async fn nudge(
    State(api): State<Api>,
    Path(id): Path<String>,
    Posted { visitor, .. }: Posted<Nothing>,
) -> Result<Response, Failure> {
    let eui = eui(&id)?;
    let done = api.center().nudge(&visitor.caller, eui).await;
    answer(&api, &visitor, eui, done, "the gateway is asked for telemetry").await
}
