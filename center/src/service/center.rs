//! The thin shell that MQTT and REST call: it reads and writes the store, and tells listeners what changed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use keros_protocol::topics::{Leaf, Prefix};
use keros_protocol::{Eui, Presence, SigningKey, UnixSeconds, UpdateId};
use tokio::sync::{Semaphore, broadcast, mpsc};

use super::batch::Message;
use super::changes::Change;
use super::order::OrderError;
use super::rate::{Admission, Rates};
use super::retention::Retention;
use crate::bounds::{CHANGES, MAX_GROUPS, SCRIPT_CHECKS};
use crate::links::Links;
use crate::store::{Store, StoreError, commands, gateways, silence};
use crate::webhooks::Reach;

/// Characters of a name, bytes of a description.
const MAX_NAME_CHARS: usize = 64;
const MAX_DESCRIPTION_BYTES: usize = 1024;

/// The center's private keys.
#[derive(Debug)]
pub(crate) struct Keys {
    /// Orders jobs.
    pub(crate) command: SigningKey,
    /// States time and acknowledgements.
    pub(crate) statement: SigningKey,
}

/// The center.
#[derive(Debug)]
pub(crate) struct Center {
    pub(super) store: Store,
    pub(super) keys: Keys,
    pub(super) prefix: Prefix,
    pub(super) links: Arc<Links>,
    pub(super) webhook_reach: Reach,
    changes: broadcast::Sender<Change>,
    /// Those of this center alone, for the other centers.
    own_changes: broadcast::Sender<Change>,
    pub(super) others: AtomicUsize,
    pub(super) nudges: mpsc::Sender<Vec<Eui>>,
    connected: AtomicBool,
    unusable: AtomicU64,
    rates: Mutex<Rates>,
    over_rate: AtomicU64,
    /// Whether gateways that said so too often are online, as they said last: kept later.
    put_off: Mutex<BTreeMap<Eui, bool>>,
    pub(super) max_groups: u32,
    pub(super) history_days: u32,
    pub(super) script_checks: Semaphore,
}

/// The center's clock. It is only read at the edges: rules are given the time.
pub(crate) fn unix_now() -> UnixSeconds {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Center {
    /// A center on an open store. Lists of gateways to be nudged go into `nudges`.
    pub(crate) fn new(
        store: Store,
        keys: Keys,
        prefix: Prefix,
        links: Links,
        nudges: mpsc::Sender<Vec<Eui>>,
    ) -> Self {
        Self {
            store,
            keys,
            prefix,
            links: Arc::new(links),
            webhook_reach: Reach::default(),
            changes: broadcast::Sender::new(CHANGES),
            own_changes: broadcast::Sender::new(CHANGES),
            others: AtomicUsize::new(0),
            nudges,
            connected: AtomicBool::new(false),
            unusable: AtomicU64::new(0),
            rates: Mutex::default(),
            over_rate: AtomicU64::new(0),
            put_off: Mutex::default(),
            max_groups: MAX_GROUPS,
            history_days: Retention::default().telemetry_days,
            script_checks: Semaphore::new(SCRIPT_CHECKS),
        }
    }

    /// The same center, whose webhooks may go so far.
    pub(crate) fn with_webhooks(self, reach: Reach) -> Self {
        Self { webhook_reach: reach, ..self }
    }

    /// The same, with another number of groups that a customer may have.
    pub(crate) fn with_max_groups(mut self, max_groups: u32) -> Self {
        self.max_groups = max_groups;
        self
    }

    /// The same, with the history of so many days of each gateway's vitals.
    pub(crate) fn with_history(mut self, days: u32) -> Self {
        self.history_days = days;
        self
    }

    /// The prefix of all topics.
    pub(crate) fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// Changes from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// Tells listeners. Nobody listening is no error.
    pub(crate) fn tell(&self, changes: &[Change]) {
        for change in changes {
            let _ = self.own_changes.send(*change);
        }
        self.tell_from_others(changes);
    }

    /// Tells listeners of what another center did.
    pub(crate) fn tell_from_others(&self, changes: &[Change]) {
        for change in changes {
            let _ = self.changes.send(*change);
        }
    }

    /// Changes that this center makes, from now on.
    pub(crate) fn listen_to_own(&self) -> broadcast::Receiver<Change> {
        self.own_changes.subscribe()
    }

    /// Whether the center is connected to its broker and hears the gateways.
    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// Whether the database answers.
    pub(crate) async fn has_database(&self) -> bool {
        self.store.answers().await
    }

    /// Keeps whether the center is connected to its broker and hears the gateways.
    pub(crate) fn set_connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Relaxed);
    }

    /// How many messages were left out since the start, because they made no sense.
    pub(crate) fn unusable(&self) -> u64 {
        self.unusable.load(Ordering::Relaxed)
    }

    /// A message was left out.
    pub(crate) fn count_unusable(&self) {
        self.unusable.fetch_add(1, Ordering::Relaxed);
    }

    /// How many messages were left out since the start, because their gateways sent too many.
    pub(crate) fn over_rate(&self) -> u64 {
        self.over_rate.load(Ordering::Relaxed)
    }

    /// Whether a message is looked at, by how much its gateway has sent lately. `now_ms` never goes back.
    pub(crate) fn admits(&self, message: &Message<'_>, now_ms: u64) -> bool {
        let Some((eui, leaf)) = self.prefix.parse(message.topic) else { return true };
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let admission = rates.admit(eui, leaf, message.payload.len(), now_ms);
        drop(rates);
        let presence = Presence::parse(message.payload).filter(|_| leaf == Leaf::Presence);
        let mut put_off = self.put_off.lock().unwrap_or_else(PoisonError::into_inner);
        let Admission::LeftOut(count) = admission else {
            if presence.is_some() {
                put_off.remove(&eui);
            }
            return true;
        };
        // A gateway sends it once: what it said last must not be lost.
        if let Some(presence) = presence {
            put_off.insert(eui, presence == Presence::Online);
        }
        drop(put_off);
        self.over_rate.fetch_add(1, Ordering::Relaxed);
        if count.is_power_of_two() {
            tracing::warn!(%eui, topic = message.topic, count, "a gateway sends too much: messages are left out");
        }
        false
    }

    /// Keeps what gateways said last of their presence, beyond what each may send. A database that is away is tried again later.
    pub(crate) async fn keep_put_off(&self) -> Result<(), StoreError> {
        let put_off = || self.put_off.lock().unwrap_or_else(PoisonError::into_inner);
        let gateways: Vec<Eui> = put_off().keys().copied().collect();
        if gateways.is_empty() {
            return Ok(());
        }
        let mut transaction = self.store.begin_for(&gateways).await?;
        // Only now: nothing newer of these gateways can be kept meanwhile.
        let last: Vec<(Eui, bool)> = {
            let mut put_off = put_off();
            gateways.iter().filter_map(|eui| put_off.remove_entry(eui)).collect()
        };
        let kept = async {
            for (eui, online) in &last {
                gateways::keep_presence(&mut transaction, *eui, *online).await?;
            }
            Ok(transaction.commit().await?)
        };
        let kept: Result<(), StoreError> = kept.await;
        if kept.is_err() {
            let mut put_off = put_off();
            for (eui, online) in last {
                put_off.entry(eui).or_insert(online);
            }
        }
        kept
    }

    /// At the start nobody is known to be online.
    pub(crate) async fn forget_presence(&self) -> Result<(), StoreError> {
        let mut transaction = self.store.begin().await?;
        gateways::all_offline(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// Ends the waiting of commands whose time is over.
    pub(crate) async fn expire(&self, now: UnixSeconds) -> Result<(), StoreError> {
        let mut transaction = self.store.begin().await?;
        let expired = commands::expire(&mut transaction, now).await?;
        transaction.commit().await?;
        self.tell_expired(expired);
        Ok(())
    }

    /// Tells listeners of updates with commands that have expired, once that is committed.
    pub(super) fn tell_expired(&self, updates: Vec<UpdateId>) {
        for update_id in updates {
            tracing::info!(%update_id, "commands of an update have expired");
            self.tell(&[Change::Update(update_id)]);
        }
    }

    /// Tells listeners of the commands that became overdue after `since`: nothing else changes then.
    pub(crate) async fn tell_overdue(&self, since: UnixSeconds, now: UnixSeconds) -> Result<(), StoreError> {
        for update_id in silence::became_overdue(&mut *self.store.read().await?, since, now).await? {
            tracing::warn!(%update_id, "gateways are overdue with an update: silent, or at it, for longer than it may take");
            self.tell(&[Change::Update(update_id)]);
        }
        Ok(())
    }

    /// Asks gateways for telemetry, if there is room among those that wait: the others are served at their next telemetry.
    pub(super) fn nudge_some(&self, gateways: Vec<Eui>) {
        if !gateways.is_empty() && self.nudges.try_send(gateways).is_err() {
            tracing::warn!("too many nudges are waiting: the gateways are served at their next telemetry");
        }
    }
}

/// What takes its time (the check of a long script, a disk) is not done in a thread that serves others.
pub(super) async fn in_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OrderError> + Send + 'static,
) -> Result<T, OrderError> {
    let broke = |_| OrderError::Unavailable("the check of the order broke: the log says more".to_owned());
    tokio::task::spawn_blocking(work).await.map_err(broke)?
}

pub(crate) fn check_name(what: &str, name: &str) -> Result<(), OrderError> {
    let bad = name.is_empty()
        || name.trim() != name
        || name.chars().count() > MAX_NAME_CHARS
        || name.chars().any(|c| c.is_control() || c == '/');
    if bad {
        return Err(OrderError::Invalid(format!(
            "{what} has 1 to {MAX_NAME_CHARS} characters, no '/', no control characters and no blanks at its ends"
        )));
    }
    Ok(())
}

pub(crate) fn check_description(text: &str) -> Result<(), OrderError> {
    if text.len() > MAX_DESCRIPTION_BYTES || text.contains('\0') {
        return Err(OrderError::Invalid(format!(
            "a description has at most {MAX_DESCRIPTION_BYTES} bytes, and no NUL"
        )));
    }
    Ok(())
}
