//! The REST API: turns HTTP into calls of the center and back. It must decide nothing.

mod auth;
mod blobs;
mod body;
mod enrolments;
mod events;
mod fleet;
mod gateways;
mod groups;
mod links;
mod problem;
mod updates;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::HeaderMap;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use tokio::sync::{Semaphore, watch};

use crate::bounds::{ANSWER_LIMIT, STREAMS, UPLOADS};
use crate::enroll::Office;
use crate::service::Center;
use crate::web;
use problem::Failure;

pub(crate) use auth::Token;
pub(crate) use problem::status_of;

/// A script of the greatest size, with every byte escaped in JSON, and its variables.
const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;

/// What every request is given.
#[derive(Clone)]
pub(crate) struct Api {
    center: Arc<Center>,
    office: Arc<Office>,
    token: Arc<Token>,
    streams: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

impl Api {
    /// An API of a center, that ends its streams when `stop` says so.
    pub(crate) fn new(
        center: Arc<Center>,
        office: Arc<Office>,
        token: Arc<Token>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let (streams, uploads) = (Arc::new(Semaphore::new(STREAMS)), Arc::new(Semaphore::new(UPLOADS)));
        Self { center, office, token, streams, uploads, stop }
    }

    /// The center that it speaks for.
    pub(crate) fn center(&self) -> &Arc<Center> {
        &self.center
    }

    /// Whether a request carries the API's token.
    pub(crate) fn holds_token(&self, headers: &HeaderMap) -> bool {
        auth::bearer(headers).is_some_and(|given| self.token.is(given.as_bytes()))
    }

    /// All paths: of the API, and of the pages.
    pub(crate) fn router(self) -> Router {
        let guarded = Router::new()
            .route("/gateways", get(fleet::list).post(gateways::declare))
            .route("/gateways/counts", get(fleet::counts))
            .route("/gateways/export", get(fleet::export))
            .route("/gateways/import", post(fleet::import))
            .route("/gateways/{eui}", get(gateways::show).patch(fleet::edit))
            .route("/gateways/{eui}/history", get(fleet::history))
            .route("/gateways/{eui}/packages", get(fleet::packages))
            .route("/gateways/{eui}/updates", get(fleet::updates))
            .route("/gateways/{eui}/move", post(fleet::move_to))
            .route("/gateways/{eui}/retire", post(fleet::retire))
            .route("/gateways/{eui}/unretire", post(fleet::unretire))
            .route("/gateways/{eui}/nudge", post(gateways::nudge))
            .route("/gateways/{eui}/lock-out", post(enrolments::lock_out))
            .route("/enrolments", get(enrolments::list).post(enrolments::order))
            .route("/enrolments/{eui}", delete(enrolments::cancel))
            .route("/groups", get(groups::list).post(groups::create))
            .route("/groups/{name}", get(groups::show).patch(groups::edit).delete(groups::remove))
            .route(
                "/groups/{name}/gateways/{eui}",
                put(groups::add_member).merge(delete(groups::remove_member)),
            )
            .route("/updates", get(updates::list).post(updates::send))
            .route("/updates/{id}", get(updates::show))
            .route("/updates/{id}/events", get(events::stream))
            .route("/updates/{id}/cancel", post(updates::cancel))
            .route("/updates/{id}/gateways/{eui}/cancel", post(updates::cancel_one))
            .route("/magic-links", get(links::list))
            .route("/magic-links/collect", post(links::collect))
            .route("/magic-links/{digest}", get(links::show).put(links::put).delete(links::remove))
            .route("/magic-links/{digest}/sign", post(links::sign))
            .route_layer(middleware::from_fn(in_time))
            // Blobs take as long as they take, while something comes.
            .route("/blobs/{digest}", get(blobs::get).put(blobs::put))
            .fallback(nothing_there)
            .method_not_allowed_fallback(not_so)
            .layer(middleware::from_fn_with_state(self.clone(), auth::check));
        let api = Router::new().route("/health", get(health)).merge(guarded);
        Router::new()
            .nest("/api/v1", api)
            .merge(web::router(self.clone()))
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .with_state(self)
    }
}

async fn health(State(api): State<Api>) -> Json<serde_json::Value> {
    Json(serde_json::json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "broker_connected": api.center.is_connected(),
        "messages_left_out": api.center.unusable(),
        "messages_over_rate": api.center.over_rate(),
        "magic_links_bytes": api.center.links().blobs.used_bytes(),
    }))
}

/// Below `/api`, where nothing is.
pub(crate) async fn nothing_there() -> impl IntoResponse {
    Failure::not_found("nothing has this path; the API is below /api/v1")
}

async fn not_so() -> Failure {
    Failure::method_not_allowed()
}

async fn in_time(request: Request, next: Next) -> Response {
    tokio::time::timeout(ANSWER_LIMIT, next.run(request))
        .await
        .unwrap_or_else(|_| Failure::timed_out().into_response())
}
