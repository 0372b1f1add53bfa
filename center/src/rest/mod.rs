//! The REST API: turns HTTP into calls of the center and back. It must decide nothing.
//!
//! [`table`] has a line for each route, and says how to add one; the router, the OpenAPI document and `docs/rest.md` are made of it.
//! [`edge`] is what every route has alike, [`problem`] what every error looks like.

mod accounts;
mod all_events;
mod audit;
mod auth;
mod blobs;
mod body;
mod edge;
mod encoded;
mod enrolments;
mod events;
mod fleet;
#[cfg(test)]
mod fuzz;
mod gateways;
mod groups;
mod lines;
mod links;
mod once;
mod openapi;
mod orders;
mod paging;
mod problem;
mod route;
mod scripts;
mod shape;
mod table;
mod updates;
mod webhooks;
mod whole;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use tokio::sync::watch;

use crate::access::{Caller, UserId};
use crate::accounts::{Accounts, Known};
use crate::api::Health;
use crate::bounds::{ANSWER_LIMIT, STREAMS, STREAMS_OF_ONE, UPLOADS, UPLOADS_OF_ONE};
use crate::enroll::Office;
use crate::places::{Place, Places};
use crate::service::{Center, unix_now};
use crate::web;
use problem::Failure;

pub(crate) use auth::{Front, Token, is_of_another_site, session_secret};
pub(crate) use encoded::{is_text, is_text_uri};
pub(crate) use fleet::export_of;
pub(crate) use problem::status_of;
pub(crate) use whole::whole;

/// A script of the greatest size, with every byte escaped in JSON, and its variables.
const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;

/// What every request is given.
#[derive(Clone)]
pub(crate) struct Api {
    center: Arc<Center>,
    office: Arc<Office>,
    token: Arc<Token>,
    accounts: Arc<Accounts>,
    front: Front,
    streams: Places<UserId>,
    uploads: Places<UserId>,
    stop: watch::Receiver<bool>,
}

impl Api {
    /// An API of a center, that ends its streams when `stop` says so.
    pub(crate) fn new(
        center: Arc<Center>,
        office: Arc<Office>,
        token: Arc<Token>,
        accounts: Arc<Accounts>,
        front: Front,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let (streams, uploads) = (Places::new(STREAMS, STREAMS_OF_ONE), Places::new(UPLOADS, UPLOADS_OF_ONE));
        Self { center, office, token, accounts, front, streams, uploads, stop }
    }

    /// The center that it speaks for.
    pub(crate) fn center(&self) -> &Arc<Center> {
        &self.center
    }

    /// Who is who.
    pub(crate) fn accounts(&self) -> &Arc<Accounts> {
        &self.accounts
    }

    /// What stands before the center.
    pub(crate) fn front(&self) -> Front {
        self.front
    }

    /// Room for one more stream of events, unless too many are open, or too many of this user.
    pub(crate) fn place_for_stream(&self, caller: &Caller) -> Option<Place<UserId>> {
        self.streams.take(caller.user)
    }

    /// Whether somebody who follows a stream is still who he was, and may what he could.
    pub(crate) async fn is_still(&self, known: &Known) -> bool {
        let still = self.accounts.is_still(known, unix_now()).await;
        still.unwrap_or_else(|error| {
            tracing::error!(%error, "a stream of events ends: it is not known who follows it");
            false
        })
    }

    /// Holds true when streams have to end.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.clone()
    }

    /// All paths: of the API, and of the pages.
    pub(crate) fn router(self) -> Router {
        let mut open = Router::new();
        let mut guarded = Router::new();
        for route in table::routes() {
            let around = (self.clone(), Arc::new(edge::Known::of(&route)));
            let mut handler = route.handler.route_layer(middleware::from_fn_with_state(around, edge::around));
            // Blobs take as long as they take, while something comes.
            if !route.is_endless {
                handler = handler.route_layer(middleware::from_fn(in_time));
            }
            let routes = if route.action.is_some() { &mut guarded } else { &mut open };
            *routes = std::mem::take(routes).route(route.path, handler);
        }
        let api = guarded
            .fallback(nothing_there)
            .method_not_allowed_fallback(not_so)
            .layer(middleware::from_fn_with_state(self.clone(), auth::check))
            .merge(open)
            .layer(middleware::from_fn(problem::fence));
        Router::new()
            .nest("/api/v1", api)
            .merge(web::router(self.clone()))
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .with_state(self)
    }
}

async fn health(State(api): State<Api>) -> (StatusCode, Json<Health>) {
    let has_database = api.center.has_database().await;
    // Whoever spreads requests over several centers goes by the number.
    let (status, word) =
        if has_database { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "no database") };
    let health = Health {
        status: word.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        database_answers: has_database,
        broker_connected: api.center.is_connected(),
        other_centers: api.center.others(),
        messages_left_out: api.center.unusable(),
        messages_over_rate: api.center.over_rate(),
        magic_links_bytes: api.center.links().blobs.used_bytes(),
    };
    (status, Json(health))
}

/// Below `/api`, where nothing is.
pub(crate) async fn nothing_there() -> impl IntoResponse {
    Failure::not_found("nothing has this path; the API is below /api/v1")
}

async fn not_so() -> Failure {
    Failure::method_not_allowed()
}

async fn in_time(request: Request, next: Next) -> Response {
    let answer = async {
        match whole(request).await {
            Ok(request) => next.run(request).await,
            Err(not_whole) => whole::refusal(not_whole),
        }
    };
    tokio::time::timeout(ANSWER_LIMIT, answer).await.unwrap_or_else(|_| Failure::timed_out().into_response())
}

/// The routes that need a log-in, and what each needs.
#[cfg(test)]
pub(crate) fn guarded_routes() -> Vec<(axum::http::Method, &'static str, crate::access::Action)> {
    table::routes().into_iter().filter_map(|route| Some((route.method, route.path, route.action?))).collect()
}
