//! The pages of gateways: the list, the page of one, what is changed there, and how gateways are added.

mod add;
mod list;
mod orders;
mod show;

use axum::Router;
use axum::routing::{get, post};
use keros_protocol::Eui;

use super::Failure;
use crate::gateway::status::ConnectionStatus;
use crate::rest::Api;

/// The pages below `/gateways`, but for the Software update page.
pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/gateways", get(list::list).post(add::declare))
        .route("/gateways/new", get(add::new))
        .route("/gateways/import", get(add::import_form).post(add::import))
        .route("/gateways/export", get(list::export))
        .route("/gateways/{eui}", get(show::show))
        .route("/gateways/{eui}/live", get(show::follow_live))
        .route("/gateways/{eui}/edit", post(orders::edit))
        .route("/gateways/{eui}/move", post(orders::move_to))
        .route("/gateways/{eui}/retire", post(orders::retire))
        .route("/gateways/{eui}/unretire", post(orders::unretire))
        .route("/gateways/{eui}/nudge", post(orders::nudge))
}

/// How a status looks: its sign and colour, beside its word.
pub(super) fn look(status: ConnectionStatus) -> &'static str {
    match status {
        ConnectionStatus::Operational => "good",
        ConnectionStatus::Warning => "warn",
        ConnectionStatus::Unreachable => "bad",
        ConnectionStatus::Unknown => "none",
    }
}

/// A gateway in the path of a page.
fn eui(text: &str) -> Result<Eui, Failure> {
    text.parse().map_err(|_| Failure::not_found("There is no such gateway: this is no EUI."))
}
