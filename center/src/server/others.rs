//! One of several centers on one PostgreSQL: what all must share, signs of life, and what they tell each other.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use keros_protocol::{KeyPurpose, TrustedKey};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use super::{BrokerChoice, ServeSettings};
use crate::bounds::DEADLINE_PERIOD;
use crate::files;
use crate::links::Links;
use crate::service::{Center, Change, Member, Watch, unix_now};
use crate::settings::DataFolder;
use crate::store::notices::{MAX_NOTICE_BYTES, Notices};
use crate::store::{Store, StoreError, centers};

/// Changes in one notice: each has less than 150 characters.
const CHANGES_PER_NOTICE: usize = MAX_NOTICE_BYTES / 200;

/// Changes are gathered for so long before others are told.
const GATHERING: Duration = Duration::from_millis(50);

/// A rest after the connection for notices broke.
const PAUSE: Duration = Duration::from_secs(2);

/// What all centers of a database have in common.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    /// This center's own name.
    pub(super) center_id: String,
    /// Gateways' tokens for the registry are made with it: each center gives the same token.
    pub(super) registry_secret: String,
}

/// Finds what the centers of this database share, or makes it; `None`: the database is this center's alone.
pub(super) async fn shared(
    store: &Store,
    folder: &DataFolder,
    blobs: &Path,
) -> anyhow::Result<Option<Shared>> {
    if !store.is_shared() {
        return Ok(None);
    }
    let own_mark = files_mark(folder, blobs)?;
    let mut connection = store.read().await?;
    let mark = centers::shared(&mut connection, "links_folder", &own_mark).await?;
    if mark != own_mark {
        bail!(
            "{} is not the folder of Magic Links that the other centers of this database have: name theirs with --links-folder, on storage \
             that all of them reach",
            blobs.display()
        );
    }
    let registry_secret =
        centers::shared(&mut connection, "registry_secret", &folder.registry_secret()?).await?;
    Ok(Some(Shared { center_id: folder.mqtt_client_id()?, registry_secret }))
}

/// The name that the folder has in itself; made by the first center that uses it.
fn files_mark(folder: &DataFolder, blobs: &Path) -> anyhow::Result<String> {
    files::create_private_folder(blobs).with_context(|| format!("cannot make {}", blobs.display()))?;
    folder.mark_of(blobs)
}

/// This center, as the others see it.
pub(super) fn member(
    client_id: &str,
    settings: &ServeSettings,
    keys: &[(KeyPurpose, TrustedKey)],
    links: &Links,
) -> Member {
    let keys: Vec<String> = keys.iter().map(|(_, key)| key.to_pem()).collect();
    let source = links.source.as_ref().map(ToString::to_string);
    let broker = &settings.broker;
    let text = format!("{keys:?} {:?} {source:?}", settings.topic_prefix);
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let settings = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let own_broker = matches!(broker, BrokerChoice::Embedded { .. });
    Member { center_id: client_id.to_owned(), settings, own_broker }
}

/// Refuses to serve where gateways that are connected to one center would not hear what another one has for them.
pub(super) async fn check_broker(center: &Center, member: &Member) -> anyhow::Result<()> {
    let Some(other) = center.find_in_the_way(member).await? else { return Ok(()) };
    let which = if member.own_broker {
        "this one would have a broker of its own"
    } else {
        "that one has a broker of its own"
    };
    bail!(
        "another center, {}, serves from this database, and {which}: gateways that are connected to one of them would not hear the other. \
         Give all centers one broker with --external-broker (docs/scale-out.md), or stop that one first",
        other.center_id
    )
}

/// Gives signs of life, and takes over from centers that have gone.
pub(super) async fn beat(
    center: Arc<Center>,
    member: Member,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let (mut seen, started) = (Watch::default(), Instant::now());
    loop {
        if let Err(error) = center.beat(&member, &mut seen, started.elapsed(), unix_now()).await {
            let error = anyhow::Error::from(error);
            tracing::error!(error = format!("{error:#}"), "no sign of life could be given: tried again");
        }
        tokio::select! {
            () = tokio::time::sleep(DEADLINE_PERIOD) => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        }
    }
}

/// Changes on their way from one center to the others.
#[derive(Debug, Serialize, Deserialize)]
struct Notice {
    from: String,
    changes: Vec<Change>,
}

/// Tells the others what this center changes. What is lost on the way they read at the next change.
pub(super) async fn tell(
    center: Arc<Center>,
    store: Store,
    member: Member,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut own = center.listen_to_own();
    loop {
        let first = tokio::select! {
            first = own.recv() => first,
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        };
        let mut changes = match first {
            Ok(change) => vec![change],
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return Ok(()),
        };
        tokio::time::sleep(GATHERING).await;
        while let Ok(change) = own.try_recv() {
            if !changes.contains(&change) {
                changes.push(change);
            }
            if changes.len() >= CHANGES_PER_NOTICE {
                break;
            }
        }
        let notice = Notice { from: member.center_id.clone(), changes };
        if let Err(error) = store.notify(serde_json::to_string(&notice)?).await {
            tracing::warn!(%error, "the other centers could not be told of changes: they see them at the next one");
        }
    }
}

/// Hears what the others change, and passes it on to whoever looks at this center.
pub(super) async fn hear(
    center: Arc<Center>,
    store: Store,
    member: Member,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut since = unix_now();
    loop {
        let ended = tokio::select! {
            ended = hear_until_it_breaks(&center, &store, &member, &mut since) => ended,
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        };
        if let Err(error) = ended {
            tracing::warn!(%error, "what other centers change is not heard for now: tried again");
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        }
    }
}

async fn hear_until_it_breaks(
    center: &Center,
    store: &Store,
    member: &Member,
    since: &mut u64,
) -> Result<(), StoreError> {
    let mut notices: Notices = store.notices().await?;
    // A minute more: the clocks of others are not this one.
    center.tell_changed_since(since.saturating_sub(60)).await?;
    loop {
        *since = unix_now();
        let Some(text) = notices.next().await? else { return Ok(()) };
        match serde_json::from_str::<Notice>(&text) {
            Ok(notice) if notice.from != member.center_id => center.tell_from_others(&notice.changes),
            Ok(_) => {}
            // Of a newer center.
            Err(error) => tracing::debug!(%error, "a notice of another center is not understood"),
        }
    }
}
