//! The entrance where gateways enrol: HTTP into calls of the [`Office`], and back. It is served beside the registry, with TLS only.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use keros_protocol::Eui;
use keros_protocol::enroll::{EnrolProblem, EnrolReason, REQUEST_BYTES, paths};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::attempts::Attempts;
use super::office::{Office, Refused};
use crate::bounds::ANSWER_LIMIT;
use crate::listen::Peer;
use crate::service::unix_now;

#[derive(Clone)]
struct Desk {
    office: Arc<Office>,
    attempts: Arc<Attempts>,
}

/// The paths of enrolment, and behind them those of another router.
pub(crate) fn router(office: Arc<Office>, others: Router) -> Router {
    let desk = Desk { office, attempts: Arc::default() };
    Router::new()
        .route(paths::ISSUE, post(issue))
        .route(paths::CONFIRM, post(confirm))
        .route(paths::RENEW, post(renew))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES))
        .route_layer(middleware::from_fn_with_state(desk.clone(), admit))
        .with_state(desk)
        .fallback_service(others)
}

async fn issue(State(desk): State<Desk>, body: Bytes) -> Answer {
    let ask = match parse(&body) {
        Ok(ask) => ask,
        Err(refused) => return Answer::no(&refused),
    };
    Answer::of(desk.office.issue(&ask, unix_now()).await).to(ask.eui)
}

async fn confirm(State(desk): State<Desk>, body: Bytes) -> Answer {
    let ask = match parse(&body) {
        Ok(ask) => ask,
        Err(refused) => return Answer::no(&refused),
    };
    Answer::of(desk.office.confirm(&ask, unix_now()).await).to(ask.eui)
}

async fn renew(State(desk): State<Desk>, body: Bytes) -> Answer {
    let ask = match parse(&body) {
        Ok(ask) => ask,
        Err(refused) => return Answer::no(&refused),
    };
    Answer::of(desk.office.renew(&ask, unix_now()).await).to(ask.eui)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|_| EnrolProblem {
        reason: EnrolReason::BadRequest,
        detail: "the body is not the JSON that is expected".to_owned(),
    })
}

/// Those who were refused too often wait; nobody waits for ever.
async fn admit(
    State(desk): State<Desk>,
    Extension(Peer(address)): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    if !desk.attempts.may_ask(address, Instant::now()) {
        let detail = "too many requests of this address were refused: wait a minute".to_owned();
        return Answer::no(&EnrolProblem { reason: EnrolReason::TooMany, detail }).into_response();
    }
    let path = request.uri().path().to_owned();
    let Ok(response) = tokio::time::timeout(ANSWER_LIMIT, next.run(request)).await else {
        return Answer::broken().into_response();
    };
    if response.status().is_client_error() {
        desk.attempts.refused(address, Instant::now());
        let eui = response.extensions().get::<Asker>().map(|asker| tracing::field::display(asker.0));
        tracing::warn!(%address, path, eui, status = response.status().as_u16(), "enrolment: refused");
    }
    response
}

/// Who an asker says that it is: for the log.
#[derive(Debug, Clone, Copy)]
struct Asker(Eui);

/// An answer on its way out, and to whom.
struct Answer(StatusCode, Vec<u8>, Option<Asker>);

impl Answer {
    fn of<T: Serialize>(decided: anyhow::Result<Result<T, Refused>>) -> Self {
        match decided {
            Ok(Ok(value)) => serde_json::to_vec(&value)
                .map_or_else(|_| Self::broken(), |body| Self(StatusCode::OK, body, None)),
            Ok(Err(refused)) => Self::no(&refused),
            Err(error) => {
                tracing::error!("enrolment: {error:#}");
                Self::broken()
            }
        }
    }

    fn no(refused: &Refused) -> Self {
        let status = match refused.reason {
            EnrolReason::BadRequest => StatusCode::BAD_REQUEST,
            EnrolReason::TooMany => StatusCode::TOO_MANY_REQUESTS,
            EnrolReason::NotPossible => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::FORBIDDEN,
        };
        Self(status, serde_json::to_vec(refused).unwrap_or_default(), None)
    }

    fn broken() -> Self {
        let detail = "the center failed: its log says more".to_owned();
        let problem = EnrolProblem { reason: EnrolReason::Other, detail };
        Self(StatusCode::INTERNAL_SERVER_ERROR, serde_json::to_vec(&problem).unwrap_or_default(), None)
    }

    /// To this gateway, as it says.
    fn to(self, eui: Eui) -> Self {
        Self(self.0, self.1, Some(Asker(eui)))
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = (self.0, [(header::CONTENT_TYPE, "application/json")], self.1).into_response();
        if let Some(asker) = self.2 {
            response.extensions_mut().insert(asker);
        }
        response
    }
}
