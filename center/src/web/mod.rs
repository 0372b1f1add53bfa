//! The pages: turns what the center says into HTML, and forms into calls of the center. They must decide nothing, and work without
//! scripts; those only add.
//!
//! How to add a page: a template in `web/templates` that extends `layout.html` and begins with an `h1`; a struct with `#[derive(Template)]`,
//! whose first field is a [`Page`]; a handler that takes a [`Visitor`] (or a [`Posted`] form, which has one) and answers with
//! `Result<Response, Failure>`, by [`html`] or [`to`]; a line in [`router`]. All that a template shows is escaped.

mod account;
mod administration;
mod assets;
mod diff;
mod failure;
mod flash;
mod form;
mod gateways;
mod groups;
mod guard;
mod help;
mod links;
mod page;
mod plot;
mod software_update;
mod status;
mod text;
mod updates;
mod visitor;
mod webhooks;

use axum::Router;
use axum::http::Uri;
use axum::middleware;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};

use crate::rest::{Api, nothing_there};
use failure::Failure;

pub(crate) use form::Posted;
pub(crate) use page::{Page, Section, html, part_of_place, place, to};
pub(crate) use visitor::Visitor;

/// All pages. What is nowhere else is said here to be nowhere: as a page, or as a problem below `/api`.
pub(crate) fn router(api: Api) -> Router<Api> {
    Router::new()
        .route("/", get(|| async { Redirect::to("/groups") }))
        .route("/groups", get(groups::list).post(groups::create))
        .route("/groups/new", get(groups::new))
        .route("/groups/{group}", get(groups::show))
        .merge(gateways::router())
        .merge(software_update::router::<software_update::OfGroup>())
        .merge(software_update::router::<software_update::OfGateway>())
        .route("/help/jetporch", get(help::jetporch))
        .route("/login", get(account::login).post(account::log_in))
        .route("/logout", post(account::log_out))
        .route("/set-up/{secret}", get(account::set_up_form).post(account::set_up))
        .route("/account", get(account::account))
        .route("/account/password", post(account::change_password))
        .route("/account/tokens", post(account::create_token))
        .route("/account/tokens/revoke", post(account::revoke_token))
        .route("/customers", get(administration::customers).post(administration::create_customer))
        .route("/users", get(administration::users).post(administration::create_user))
        .route("/users/{user}", get(administration::user).post(administration::change_user))
        .route("/audit", get(administration::audit))
        .route("/magic-links", get(links::list))
        .route("/magic-links/{digest}", get(links::show))
        .merge(webhooks::router())
        .merge(updates::router())
        .route("/static/{name}", get(assets::get))
        .fallback(nowhere)
        .layer(middleware::from_fn_with_state(api, guard::finish))
}

async fn nowhere(uri: Uri) -> Response {
    match uri.path().strip_prefix("/api") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => nothing_there().await.into_response(),
        _ => Failure::not_found("There is no such page.").into_response(),
    }
}
