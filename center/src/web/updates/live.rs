//! Tells an open page that its update has changed: `changed` events, and one `ended` at the end. The page reads the rest by itself.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use keros_protocol::UpdateId;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, mpsc};

use super::update_id;
use crate::access::UserId;
use crate::accounts::Known;
use crate::places::Place;
use crate::rest::Api;
use crate::service::{Change, unix_now};
use crate::web::{Failure, Visitor};

/// A comment is sent after this much silence, so that a client that is gone is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Between two events: an update of 100,000 gateways changes all the time, and a page is made anew for each.
const PAUSE: Duration = Duration::from_millis(500);

/// A page that missed a word, since another center has kept the change, is told to look all the same.
const AT_LEAST_EVERY: Duration = Duration::from_secs(30);

pub(super) async fn stream(
    State(api): State<Api>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let update_id = update_id(&id)?;
    let changes = api.center().listen();
    api.center().update_summary(&visitor.caller, update_id, unix_now()).await?;
    let place = api.place_for_stream(&visitor.caller).ok_or_else(|| {
        Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Too many pages are followed at once: reload this one later.",
        )
    })?;
    let (events, receiver) = mpsc::channel(1);
    tokio::spawn(follow(api, visitor.known(), update_id, changes, events, place));
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|event| (Ok::<_, Infallible>(event), receiver))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

async fn follow(
    api: Api,
    known: Known,
    update_id: UpdateId,
    mut changes: broadcast::Receiver<Change>,
    events: mpsc::Sender<Event>,
    _place: Place<UserId>,
) {
    let mut stop = api.stopping();
    while api.is_still(&known).await {
        // What changed between the page and this stream is told by the first event.
        let ended = match api.center().update_summary(&known.caller, update_id, unix_now()).await {
            Ok(view) => view.ended,
            Err(error) => {
                tracing::debug!(%error, "a page is not followed any more");
                return;
            }
        };
        let event =
            Event::default().event(if ended { "ended" } else { "changed" }).data(update_id.to_string());
        if events.send(event).await.is_err() || ended {
            return;
        }
        tokio::time::sleep(PAUSE).await;
        tokio::select! {
            () = changed(&mut changes, update_id) => {}
            () = tokio::time::sleep(AT_LEAST_EVERY) => {}
            () = events.closed() => return,
            _ = stop.wait_for(|stop| *stop) => return,
        }
        while matches!(changes.try_recv(), Ok(_) | Err(TryRecvError::Lagged(_))) {}
    }
}

/// Waits until the update has changed, or may have.
async fn changed(changes: &mut broadcast::Receiver<Change>, update_id: UpdateId) {
    loop {
        match changes.recv().await {
            Ok(change) if change.update_id() != Some(update_id) => {}
            Ok(_) | Err(RecvError::Lagged(_)) => return,
            // Nothing more comes; the stop ends the stream.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
