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
mod group_edit;
mod groups;
mod guard;
mod help;
mod links;
mod live;
mod page;
mod plot;
mod software_update;
mod status;
mod subject;
mod text;
mod updates;
mod visitor;
mod webhooks;
mod words;

use axum::Router;
use axum::http::Uri;
use axum::middleware;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};

use crate::rest::{Api, nothing_there};
use failure::Failure;

pub(crate) use form::Posted;
pub(crate) use page::{Page, Section, html, part_of_place, place, to};
#[cfg(test)]
pub(crate) use software_update::Fields as SoftwareUpdate;
pub(crate) use visitor::Visitor;

/// All pages. What is nowhere else is said here to be nowhere: as a page, or as a problem below `/api`.
pub(crate) fn router(api: Api) -> Router<Api> {
    pages()
        .fallback(nowhere)
        .layer(middleware::from_fn(guard::whole_form))
        .layer(middleware::from_fn_with_state(api, guard::finish))
}

fn pages() -> Router<Api> {
    Router::new()
        .route("/", get(|| async { Redirect::to("/groups") }))
        .route("/groups", get(groups::list).post(groups::create))
        .route("/groups/new", get(groups::new))
        .route("/groups/{group}", get(groups::show))
        .merge(group_edit::router())
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
}

async fn nowhere(uri: Uri) -> Response {
    match uri.path().strip_prefix("/api") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => nothing_there().await.into_response(),
        _ => Failure::not_found("There is no such page.").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// The places at which the router answers GET, by what axum tells of it.
    fn asked_by_get() -> BTreeSet<String> {
        let told = format!("{:?}", super::pages());
        let (routes, node) = told.split_once("node: Node").unwrap();
        let ids_of = |text: &str, then: &str| -> Vec<(String, String)> {
            let parts = text.split("RouteId(").skip(1);
            let parts = parts.filter_map(|part| part.split_once(&format!("): {then}")));
            parts.map(|(id, rest)| (id.to_owned(), rest.to_owned())).collect()
        };
        let answers = |rest: &str| !rest.starts_with("None");
        let of_get: BTreeSet<String> = ids_of(routes, "MethodRouter(MethodRouter { get: ")
            .into_iter()
            .filter_map(|(id, rest)| answers(&rest).then_some(id))
            .collect();
        let paths = ids_of(node, "\"").into_iter().filter(|(id, _)| of_get.contains(id));
        // The place of what is nowhere else is axum’s own.
        let paths = paths.filter(|(_, rest)| !rest.starts_with("/{*"));
        paths.filter_map(|(_, rest)| Some(rest.split_once('"')?.0.to_owned())).collect()
    }

    /// The places that the browser is led to: the keys of two tables.
    fn opened_in_a_browser() -> BTreeSet<String> {
        let list = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/browser/lib/pages.mjs");
        let list = std::fs::read_to_string(list).unwrap();
        let keys = list.lines().filter_map(|line| line.strip_prefix("  '")?.split_once("': "));
        keys.map(|(place, _)| place.to_owned()).collect()
    }

    #[test]
    fn every_page_is_opened_in_a_browser() {
        let pages = asked_by_get();
        assert!(pages.len() > 30 && pages.contains("/groups/{group}/edit"), "{pages:?}");
        assert!(!pages.contains("/logout"), "it is asked by POST");
        assert_eq!(opened_in_a_browser(), pages, "tests/browser/lib/pages.mjs, and what the router has");
    }
}
