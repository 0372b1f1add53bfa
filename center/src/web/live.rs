//! Tells an open page that what it shows has changed: `changed` events, and one `ended` at the end. The page reads the rest by itself.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use keros_protocol::{Eui, UpdateId};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, mpsc};

use super::{Failure, Visitor};
use crate::access::{Caller, UserId};
use crate::accounts::Known;
use crate::places::Place;
use crate::rest::Api;
use crate::service::{Change, OrderError, unix_now};

/// A comment is sent after this much silence, so that a client that is gone is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Between two events: an update of 100,000 gateways changes all the time, and a page is made anew for each.
const PAUSE: Duration = Duration::from_millis(500);

/// A page that missed a word, since another center has kept the change, is told to look all the same.
const AT_LEAST_EVERY: Duration = Duration::from_secs(30);

/// What a page shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// An update: it ends.
    Update(UpdateId),
    /// A gateway: it never ends.
    Gateway(Eui),
}

impl Shown {
    /// Whether the page may look otherwise after this change.
    fn is_changed_by(self, change: Change) -> bool {
        match (self, change) {
            (Self::Update(own), change) => change.update_id() == Some(own),
            (Self::Gateway(own), Change::Delivery { eui, .. } | Change::Gateway(eui)) => eui == own,
            // It may be one that was sent to this gateway.
            (Self::Gateway(_), Change::Update(_)) => true,
        }
    }

    /// Whether nothing more will change.
    async fn has_ended(self, api: &Api, caller: &Caller) -> Result<bool, OrderError> {
        match self {
            Self::Update(id) => Ok(api.center().update_summary(caller, id, unix_now()).await?.ended),
            Self::Gateway(eui) => api.center().gateway(caller, eui, unix_now()).await.map(|_| false),
        }
    }
}

/// The stream that the page of this listens to.
pub(super) async fn stream(api: Api, visitor: Visitor, shown: Shown) -> Result<Response, Failure> {
    let changes = api.center().listen();
    shown.has_ended(&api, &visitor.caller).await?;
    let place = api.place_for_stream(&visitor.caller).ok_or_else(|| {
        Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Too many pages are followed at once: reload this one later.",
        )
    })?;
    let (events, receiver) = mpsc::channel(1);
    tokio::spawn(follow(api, visitor.known(), shown, changes, events, place));
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|event| (Ok::<_, Infallible>(event), receiver))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

async fn follow(
    api: Api,
    known: Known,
    shown: Shown,
    mut changes: broadcast::Receiver<Change>,
    events: mpsc::Sender<Event>,
    _place: Place<UserId>,
) {
    let mut stop = api.stopping();
    while api.is_still(&known).await {
        // What changed between the page and this stream is told by the first event.
        let ended = match shown.has_ended(&api, &known.caller).await {
            Ok(ended) => ended,
            Err(error) => {
                tracing::debug!(%error, "a page is not followed any more");
                return;
            }
        };
        // Browsers leave out events without data.
        let event = Event::default().event(if ended { "ended" } else { "changed" }).data("page");
        if events.send(event).await.is_err() || ended {
            return;
        }
        tokio::time::sleep(PAUSE).await;
        tokio::select! {
            () = changed(&mut changes, shown) => {}
            () = tokio::time::sleep(AT_LEAST_EVERY) => {}
            () = events.closed() => return,
            _ = stop.wait_for(|stop| *stop) => return,
        }
        while matches!(changes.try_recv(), Ok(_) | Err(TryRecvError::Lagged(_))) {}
    }
}

/// Waits until what is shown has changed, or may have.
async fn changed(changes: &mut broadcast::Receiver<Change>, shown: Shown) {
    loop {
        match changes.recv().await {
            Ok(change) if !shown.is_changed_by(change) => {}
            Ok(_) | Err(RecvError::Lagged(_)) => return,
            // Nothing more comes; the stop ends the stream.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_told_of_what_it_shows_and_of_nothing_else() {
        let (update_id, other_id) = (UpdateId(uuid::Uuid::now_v7()), UpdateId(uuid::Uuid::now_v7()));
        let (eui, other) = (Eui::from_u64(1), Eui::from_u64(2));
        for (shown, change, is_changed) in [
            (Shown::Update(update_id), Change::Update(update_id), true),
            (Shown::Update(update_id), Change::Delivery { update_id, eui }, true),
            (Shown::Update(update_id), Change::Update(other_id), false),
            (Shown::Update(update_id), Change::Gateway(eui), false),
            (Shown::Gateway(eui), Change::Gateway(eui), true),
            (Shown::Gateway(eui), Change::Delivery { update_id, eui }, true),
            (Shown::Gateway(eui), Change::Update(update_id), true),
            (Shown::Gateway(eui), Change::Gateway(other), false),
            (Shown::Gateway(eui), Change::Delivery { update_id, eui: other }, false),
        ] {
            assert_eq!(shown.is_changed_by(change), is_changed, "{shown:?} {change:?}");
        }
    }
}
