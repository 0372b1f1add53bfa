//! `/events`: that something changed, of everything that the caller may see; never how it is now, which is asked for. Nothing is kept for who was away or is slow: he is
//! told that he missed something, and reads again.

use std::collections::BTreeMap;
use std::convert::Infallible;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, sleep, timeout_at};

use super::Api;
use super::events::{KEEP_ALIVE, too_many};
use super::problem::Failure;
use crate::access::{Action, Caller, UserId};
use crate::accounts::Known;
use crate::bounds::{GATHER, STREAM_CHECK, STREAM_EVENTS, STREAM_LIFE};
use crate::places::Place;
use crate::service::{Change, OrderError};

pub(super) async fn stream(State(api): State<Api>, known: Known) -> Result<impl IntoResponse, Failure> {
    known.caller.require_somewhere(Action::SeeUpdates)?;
    let place = api.place_for_stream(&known.caller).ok_or_else(too_many)?;
    let changes = api.center.listen();
    let (events, receiver) = mpsc::channel(STREAM_EVENTS);
    tokio::spawn(async move {
        let end = Instant::now() + STREAM_LIFE;
        let told = timeout_at(end, follow(api, known, changes, events, place)).await;
        if let Ok(Err(error)) = told {
            tracing::error!(%error, "a stream of events ends: the store failed");
        }
    });
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|event| (Ok::<_, Infallible>(event), receiver))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// Until the client is gone, or the center stops.
async fn follow(
    api: Api,
    known: Known,
    mut changes: broadcast::Receiver<Change>,
    events: mpsc::Sender<Event>,
    _place: Place<UserId>,
) -> Result<(), OrderError> {
    let mut stop = api.stop.clone();
    let mut told = vec![("reset", json!({}))];
    loop {
        for (name, data) in told {
            let event = Event::default().event(name).data(data.to_string());
            if events.send(event).await.is_err() {
                return Ok(());
            }
        }
        let first = tokio::select! {
            first = changes.recv() => Some(first),
            () = sleep(STREAM_CHECK) => None,
            () = events.closed() => return Ok(()),
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        };
        if first.is_some() {
            sleep(GATHER).await;
        }
        if !api.is_still(&known).await {
            return Ok(());
        }
        let Some(first) = first else {
            told = Vec::new();
            continue;
        };
        let Some(gathered) = gather(first, &mut changes) else { return Ok(()) };
        told = match gathered {
            Gathered::Missed => vec![("reset", json!({}))],
            Gathered::Changes(changes) => seen(&api, &known.caller, changes).await?,
        };
    }
}

/// What came in a while.
enum Gathered {
    /// Each thing that changed, once, by its name.
    Changes(BTreeMap<String, Change>),
    /// More than is kept.
    Missed,
}

/// The first change and those that wait already; `None`: nothing more can come.
fn gather(first: Result<Change, RecvError>, changes: &mut broadcast::Receiver<Change>) -> Option<Gathered> {
    let mut all = BTreeMap::new();
    let mut missed = false;
    match first {
        Ok(change) => drop(all.insert(key(change), change)),
        Err(RecvError::Lagged(_)) => missed = true,
        Err(RecvError::Closed) => return None,
    }
    loop {
        match changes.try_recv() {
            Ok(change) => drop(all.insert(key(change), change)),
            Err(TryRecvError::Lagged(_)) => missed = true,
            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
        }
    }
    Some(if missed { Gathered::Missed } else { Gathered::Changes(all) })
}

fn key(change: Change) -> String {
    let (name, data) = shown(change);
    format!("{name} {data}")
}

fn shown(change: Change) -> (&'static str, Value) {
    match change {
        Change::Delivery { update_id, .. } | Change::Update(update_id) => {
            ("update", json!({"update_id": update_id}))
        }
        Change::Gateway(eui) => ("gateway", json!({"eui": eui})),
    }
}

/// Those that the caller may see.
async fn seen(
    api: &Api,
    caller: &Caller,
    changes: BTreeMap<String, Change>,
) -> Result<Vec<(&'static str, Value)>, OrderError> {
    let mut all = Vec::with_capacity(changes.len());
    for change in changes.into_values() {
        if api.center.sees(caller, change).await? {
            all.push(shown(change));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use keros_protocol::{Eui, UpdateId};

    use super::*;

    #[test]
    fn each_thing_is_told_once_and_who_was_behind_is_told_so() {
        let update = UpdateId(uuid::Uuid::from_u128(1));
        let eui = Eui::from_u64(7);
        let (sender, mut changes) = broadcast::channel(4);
        for change in
            [Change::Delivery { update_id: update, eui }, Change::Update(update), Change::Gateway(eui)]
        {
            sender.send(change).unwrap();
        }
        let Some(Gathered::Changes(all)) = gather(Ok(Change::Gateway(eui)), &mut changes) else {
            panic!("nothing was missed")
        };
        assert_eq!(
            all.into_values().map(|change| shown(change).0).collect::<Vec<_>>(),
            ["gateway", "update"]
        );
        for _ in 0..6 {
            sender.send(Change::Gateway(eui)).unwrap();
        }
        assert!(matches!(gather(Ok(Change::Update(update)), &mut changes), Some(Gathered::Missed)));
        drop(sender);
        assert!(gather(Err(RecvError::Closed), &mut changes).is_none());
    }
}
