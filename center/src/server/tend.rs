//! When updates are looked after.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use keros_protocol::UpdateId;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::{broadcast, watch};

use crate::bounds::{TEND_ALL_PERIOD, TEND_PERIOD};
use crate::service::{Center, Change, unix_now};

/// Looks after updates: soon after they have changed, and after all of them now and then, since words of changes can be missed.
pub(super) async fn run(center: Arc<Center>, mut stop: watch::Receiver<bool>) -> anyhow::Result<()> {
    let mut changes = center.listen();
    let mut looked_at = unix_now();
    // Not by the time of the day, which may go back.
    let mut next_all = Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(TEND_PERIOD) => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        }
        let now = unix_now();
        let changed = Some(changed(&mut changes)).filter(|_| Instant::now() < next_all);
        if changed.is_none() {
            next_all = Instant::now() + TEND_ALL_PERIOD;
        }
        match center.tend(changed.as_ref(), looked_at, now).await {
            Ok(()) => looked_at = now,
            Err(error) => {
                next_all = Instant::now();
                let error = anyhow::Error::from(error);
                tracing::error!(error = format!("{error:#}"), "cannot look after the updates: tried again");
            }
        }
    }
}

/// The updates that have changed since the last time, as far as no word was missed.
fn changed(changes: &mut broadcast::Receiver<Change>) -> BTreeSet<UpdateId> {
    let mut changed = BTreeSet::new();
    loop {
        match changes.try_recv() {
            Ok(change) => {
                changed.extend(change.update_id());
            }
            // Under load words are missed all the time: what they were about is found when all is looked at.
            Err(TryRecvError::Lagged(_)) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => return changed,
        }
    }
}
