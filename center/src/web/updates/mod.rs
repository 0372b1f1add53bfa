//! The pages of updates: the list of the last ones, the dashboard of one, the line of one gateway, cancelling, and what
//! follows it.

mod cancel;
mod dashboard;
mod differences;
mod follow;
mod last;
mod line;
mod live;

use axum::Router;
use axum::routing::get;

use crate::rest::Api;

pub(crate) use last::LastUpdates;

/// All of them.
pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/updates", get(last::list))
        .route("/updates/{id}", get(dashboard::show))
        .route("/updates/{id}/live", get(live::stream))
        .route("/updates/{id}/cancel", get(cancel::ask).post(cancel::cancel))
        .route("/updates/{id}/go-on", get(follow::ask_go_on).post(follow::go_on))
        .route("/updates/{id}/carry-out", get(follow::ask_carry_out).post(follow::carry_out))
        .route("/updates/{id}/retry", get(follow::ask_retry).post(follow::retry))
        .route("/updates/{id}/differences", get(differences::show))
        .route("/updates/{id}/gateways/{eui}", get(line::show))
        .route("/updates/{id}/gateways/{eui}/cancel", get(cancel::ask_one).post(cancel::cancel_one))
}

/// An update's id in the path of a page.
fn update_id(text: &str) -> Result<keros_protocol::UpdateId, super::Failure> {
    text.parse().map_err(|_| super::Failure::not_found("There is no such update."))
}

/// A gateway's EUI in the path of a page.
fn eui(text: &str) -> Result<keros_protocol::Eui, super::Failure> {
    text.parse().map_err(|_| super::Failure::not_found("There is no such gateway."))
}

/// The kind of a job in the vendor's words.
pub(super) fn kind(name: &str) -> &str {
    match name {
        "jetporch" => "Custom JetPorch script",
        "magic_link" => "Custom Magic Link",
        other => other,
    }
}
