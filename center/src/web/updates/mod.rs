//! The pages of updates: the list of the last ones, the dashboard of one, the line of one gateway, cancelling, and what
//! follows it.

mod cancel;
mod dashboard;
mod differences;
mod follow;
mod last;
mod line;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;

use super::live::{self, Shown};
use super::{Failure, Visitor};
use crate::rest::Api;

pub(crate) use last::LastUpdates;

/// All of them.
pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/updates", get(last::list))
        .route("/updates/{id}", get(dashboard::show))
        .route("/updates/{id}/live", get(follow_live))
        .route("/updates/{id}/cancel", get(cancel::ask).post(cancel::cancel))
        .route("/updates/{id}/go-on", get(follow::ask_go_on).post(follow::go_on))
        .route("/updates/{id}/carry-out", get(follow::ask_carry_out).post(follow::carry_out))
        .route("/updates/{id}/retry", get(follow::ask_retry).post(follow::retry))
        .route("/updates/{id}/differences", get(differences::show))
        .route("/updates/{id}/gateways/{eui}", get(line::show))
        .route("/updates/{id}/gateways/{eui}/cancel", get(cancel::ask_one).post(cancel::cancel_one))
}

/// What an open page of an update listens to.
async fn follow_live(
    State(api): State<Api>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let shown = Shown::Update(update_id(&id)?);
    live::stream(api, visitor, shown).await
}

/// An update's id in the path of a page.
fn update_id(text: &str) -> Result<keros_protocol::UpdateId, Failure> {
    text.parse().map_err(|_| Failure::not_found("There is no such update."))
}

/// A gateway's EUI in the path of a page.
fn eui(text: &str) -> Result<keros_protocol::Eui, Failure> {
    text.parse().map_err(|_| Failure::not_found("There is no such gateway."))
}
