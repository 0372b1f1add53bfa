//! `/updates/{id}/events`: server-sent events. It reads the update again after each change and sends the lines that differ, so that a
//! client that is slow misses steps between, and never the last one.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use keros_protocol::{Eui, UpdateId};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, mpsc};

use super::Api;
use super::body::update_id;
use super::problem::Failure;
use crate::access::UserId;
use crate::accounts::Known;
use crate::api::{DeliveryView, UpdateView};
use crate::bounds::{STREAM_CHECK, STREAM_EVENTS};
use crate::places::Place;
use crate::service::{Change, OrderError, unix_now};

/// A comment is sent after this much silence, so that a client that is gone is noticed.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Rest between two readings, microseconds for each line: some ten times as long as reading it takes.
const PAUSE_PER_LINE_US: u64 = 50;

pub(super) async fn stream(
    State(api): State<Api>,
    known: Known,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, Failure> {
    let update_id = update_id(&id)?;
    let place = api.place_for_stream(&known.caller).ok_or_else(too_many)?;
    // Listen first, then read: what changes between is read twice, and never missed.
    let changes = api.center.listen();
    let view = api.center.update(&known.caller, update_id, unix_now()).await?;
    let (events, receiver) = mpsc::channel(STREAM_EVENTS);
    tokio::spawn(follow(api, known, update_id, changes, view, events, place));
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|event| (Ok::<_, Infallible>(event), receiver))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

async fn follow(
    api: Api,
    known: Known,
    update_id: UpdateId,
    mut changes: broadcast::Receiver<Change>,
    mut view: UpdateView,
    events: mpsc::Sender<Event>,
    _place: Place<UserId>,
) {
    let mut stop = api.stop.clone();
    let mut shown = Shown::default();
    loop {
        if shown.send_changed(&mut view, &events).await.is_none() {
            return;
        }
        loop {
            let has_changed = tokio::select! {
                go_on = next(&mut changes, update_id) => if go_on { true } else { return },
                () = tokio::time::sleep(STREAM_CHECK) => false,
                () = events.closed() => return,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            if !api.is_still(&known).await {
                return;
            }
            if has_changed {
                break;
            }
        }
        // A great update is not read again for each of its changes.
        let lines = u64::try_from(view.gateways.len()).unwrap_or(u64::MAX);
        tokio::time::sleep(Duration::from_micros(lines.saturating_mul(PAUSE_PER_LINE_US))).await;
        // Changes that wait already are all in what is read next.
        while matches!(changes.try_recv(), Ok(_) | Err(TryRecvError::Lagged(_))) {}
        view = match api.center.update(&known.caller, update_id, unix_now()).await {
            Ok(view) => view,
            Err(OrderError::Store(error)) => {
                tracing::error!(%error, "a stream of events ends: the store failed");
                return;
            }
            Err(_) => return,
        };
    }
}

/// Why a stream is not opened.
pub(super) fn too_many() -> Failure {
    Failure::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "too many streams of events are open, or too many of this user: try again later",
    )
}

/// What a client has been sent.
#[derive(Default)]
struct Shown {
    lines: BTreeMap<Eui, DeliveryView>,
    all_overdue: bool,
}

impl Shown {
    /// Sends the lines that differ from what was shown, then the whole update when its last gateways became overdue, or when it
    /// has ended; `None`: that was all, or the client is gone.
    async fn send_changed(&mut self, view: &mut UpdateView, events: &mpsc::Sender<Event>) -> Option<()> {
        for line in &view.gateways {
            if self.lines.get(&line.eui) != Some(line) {
                let event = Event::default().event("gateway").json_data(line).ok()?;
                events.send(event).await.ok()?;
                self.lines.insert(line.eui, line.clone());
            }
        }
        let all_overdue = view.open > 0 && view.overdue == view.open;
        if all_overdue && !self.all_overdue {
            let event = Event::default().event("overdue").json_data(&*view).ok()?;
            events.send(event).await.ok()?;
        }
        self.all_overdue = all_overdue;
        if !view.ended {
            return Some(());
        }
        let event = Event::default().event("ended").json_data(&*view).ok()?;
        events.send(event).await.ok()?;
        None
    }
}

/// Waits until the update has changed, or may have; `false` when nothing more can come.
async fn next(changes: &mut broadcast::Receiver<Change>, update_id: UpdateId) -> bool {
    loop {
        match changes.recv().await {
            Ok(change) if change.update_id() == Some(update_id) => break,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => break,
            Err(RecvError::Closed) => return false,
        }
    }
    true
}
