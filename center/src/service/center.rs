//! The thin shell that MQTT and REST call: it reads and writes the store, and tells listeners what changed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use keros_protocol::topics::Prefix;
use keros_protocol::{Eui, SigningKey, UnixSeconds, UpdateId};
use tokio::sync::{broadcast, mpsc};

use super::batch::Message;
use super::changes::Change;
use super::links::require_link;
use super::order::{OrderError, Way, new_update};
use super::rate::{Admission, Rates};
use super::state::Counts;
use super::views;
use crate::api::{DeclareGateway, GatewayView, GroupView, SendUpdate, UpdateView};
use crate::bounds::{CHANGES, REPORT_AGE_S};
use crate::links::Links;
use crate::store::{Store, StoreError, gateways, groups, reports, silence, updates};

/// Groups at most.
const MAX_GROUPS: u32 = 1000;

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
    changes: broadcast::Sender<Change>,
    nudges: mpsc::Sender<Vec<Eui>>,
    connected: AtomicBool,
    unusable: AtomicU64,
    rates: Mutex<Rates>,
    over_rate: AtomicU64,
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
            changes: broadcast::Sender::new(CHANGES),
            nudges,
            connected: AtomicBool::new(false),
            unusable: AtomicU64::new(0),
            rates: Mutex::default(),
            over_rate: AtomicU64::new(0),
        }
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
            let _ = self.changes.send(*change);
        }
    }

    /// Whether the center is connected to its broker and hears the gateways.
    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
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
        let Admission::LeftOut(count) = rates.admit(eui, leaf, message.payload.len(), now_ms) else {
            return true;
        };
        self.over_rate.fetch_add(1, Ordering::Relaxed);
        if count.is_power_of_two() {
            tracing::warn!(%eui, topic = message.topic, count, "a gateway sends too much: messages are left out");
        }
        false
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
        let expired = updates::expire(&mut transaction, now).await?;
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
            tracing::warn!(%update_id, "gateways owe a word about an update: they are silent for longer than it may take");
            self.tell(&[Change::Update(update_id)]);
        }
        Ok(())
    }

    /// Removes reports that nobody needs any more: what became of each command is kept apart.
    pub(crate) async fn tidy(&self, now: UnixSeconds) -> Result<(), StoreError> {
        let mut transaction = self.store.begin().await?;
        reports::prune(&mut transaction, now.saturating_sub(REPORT_AGE_S)).await?;
        Ok(transaction.commit().await?)
    }

    /// Gateways in the order of their EUIs, those after `after`.
    pub(crate) async fn gateways(
        &self,
        after: Option<Eui>,
        limit: u32,
    ) -> Result<Vec<GatewayView>, OrderError> {
        let mut connection = self.store.read().await?;
        let rows = gateways::list(&mut connection, after, limit).await?;
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(Vec::new()) };
        let mut groups = groups::of_gateways(&mut connection, first.eui, last.eui).await?;
        Ok(rows
            .into_iter()
            .map(|row| {
                let of_it = groups.remove(&row.eui).unwrap_or_default();
                views::gateway(row, of_it)
            })
            .collect())
    }

    /// One gateway, with its last telemetry.
    pub(crate) async fn gateway(&self, eui: Eui) -> Result<GatewayView, OrderError> {
        let mut connection = self.store.read().await?;
        let row = gateways::find(&mut connection, eui).await?.ok_or_else(|| no_gateway(eui))?;
        let groups = groups::of_gateways(&mut connection, eui, eui).await?.remove(&eui);
        let telemetry = gateways::telemetry(&mut connection, eui).await?;
        Ok(GatewayView { telemetry, ..views::gateway(row, groups.unwrap_or_default()) })
    }

    /// Declares a gateway, or names one that is known.
    pub(crate) async fn declare(
        &self,
        order: &DeclareGateway,
        now: UnixSeconds,
    ) -> Result<GatewayView, OrderError> {
        let eui: Eui = order.eui.parse().map_err(|error| OrderError::Invalid(format!("{error}")))?;
        if let Some(name) = &order.name {
            check_name("a gateway's name", name)?;
        }
        check_description(&order.description)?;
        let mut transaction = self.store.begin().await?;
        gateways::declare(&mut transaction, eui, order.name.as_deref(), &order.description, now).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        self.gateway(eui).await
    }

    /// Asks one gateway for telemetry.
    pub(crate) async fn nudge(&self, eui: Eui) -> Result<(), OrderError> {
        let gateway = gateways::find(&mut *self.store.read().await?, eui).await?;
        let gateway = gateway.ok_or_else(|| no_gateway(eui))?;
        if !gateway.online {
            return Err(OrderError::Conflict(format!(
                "gateway {eui} is not connected: it sends telemetry by itself when it comes back"
            )));
        }
        if !self.is_connected() {
            return Err(OrderError::Unavailable("the center is not connected to its broker".to_owned()));
        }
        self.nudges
            .try_send(vec![eui])
            .map_err(|_| OrderError::Unavailable("too many nudges are waiting: try again later".to_owned()))
    }

    /// All groups.
    pub(crate) async fn groups(&self) -> Result<Vec<GroupView>, OrderError> {
        Ok(groups::list(&mut *self.store.read().await?).await?)
    }

    /// One group.
    pub(crate) async fn group(&self, name: &str) -> Result<GroupView, OrderError> {
        groups::find(&mut *self.store.read().await?, name).await?.ok_or_else(|| no_group(name))
    }

    /// Makes a group, with its members.
    pub(crate) async fn create_group(&self, group: &GroupView) -> Result<GroupView, OrderError> {
        check_name("a group's name", &group.name)?;
        check_description(&group.description)?;
        let mut transaction = self.store.begin().await?;
        if groups::find(&mut transaction, &group.name).await?.is_some() {
            return Err(OrderError::Conflict(format!("there is a group {:?} already", group.name)));
        }
        if groups::count(&mut transaction).await? >= MAX_GROUPS {
            return Err(OrderError::Conflict(format!("there are {MAX_GROUPS} groups: remove one first")));
        }
        groups::create(&mut transaction, &group.name, &group.description).await?;
        for eui in &group.gateways {
            gateways::find(&mut transaction, *eui).await?.ok_or_else(|| no_gateway(*eui))?;
            groups::add_member(&mut transaction, &group.name, *eui).await?;
        }
        transaction.commit().await.map_err(StoreError::from)?;
        self.group(&group.name).await
    }

    /// Removes a group. Updates that were sent to it go on.
    pub(crate) async fn remove_group(&self, name: &str) -> Result<(), OrderError> {
        let mut transaction = self.store.begin().await?;
        let found = groups::remove(&mut transaction, name).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        if found { Ok(()) } else { Err(no_group(name)) }
    }

    /// Puts a gateway into a group.
    pub(crate) async fn add_member(&self, name: &str, eui: Eui) -> Result<GroupView, OrderError> {
        let mut transaction = self.store.begin().await?;
        groups::find(&mut transaction, name).await?.ok_or_else(|| no_group(name))?;
        gateways::find(&mut transaction, eui).await?.ok_or_else(|| no_gateway(eui))?;
        groups::add_member(&mut transaction, name, eui).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        self.group(name).await
    }

    /// Takes a gateway out of a group.
    pub(crate) async fn remove_member(&self, name: &str, eui: Eui) -> Result<GroupView, OrderError> {
        let mut transaction = self.store.begin().await?;
        groups::find(&mut transaction, name).await?.ok_or_else(|| no_group(name))?;
        let found = groups::remove_member(&mut transaction, name, eui).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        if !found {
            return Err(OrderError::NotFound(format!("gateway {eui} is not in the group {name:?}")));
        }
        self.group(name).await
    }

    /// Accepts an update for a group, and asks those of its gateways that are connected for telemetry.
    pub(crate) async fn send_update(
        &self,
        order: SendUpdate,
        now: UnixSeconds,
    ) -> Result<UpdateView, OrderError> {
        let group = self.group(&order.group).await?;
        self.check_link_order(&order.job, &group.gateways, now).await?;
        let update = in_thread(move || new_update(order, &group.gateways, Way::Sent, now)).await?;
        let mut transaction = self.store.begin().await?;
        require_link(&mut transaction, &update.job).await?;
        let expired = updates::expire(&mut transaction, now).await?;
        if let Some((under_way, eui)) = updates::in_progress(&mut transaction, &update.row.group).await? {
            return Err(OrderError::Conflict(format!(
                "update {under_way} is in progress: its command still waits for gateway {eui}"
            )));
        }
        updates::create(&mut transaction, &update).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        self.tell_expired(expired);
        let update_id = update.row.update_id;
        tracing::info!(%update_id, group = update.row.group, gateways = update.commands.len(), "an update is accepted");
        self.tell(&[Change::Update(update_id)]);
        let online = groups::online_members(&mut *self.store.read().await?, &update.row.group).await?;
        self.nudge_some(online);
        self.update(update_id, now).await
    }

    /// Updates, newest first, those before `before`, without their lines.
    pub(crate) async fn updates(
        &self,
        before: Option<UpdateId>,
        limit: u32,
        now: UnixSeconds,
    ) -> Result<Vec<UpdateView>, OrderError> {
        let mut connection = self.store.read().await?;
        let mut list = Vec::new();
        for row in updates::list(&mut connection, before, limit).await? {
            let counts = updates::counts(&mut connection, row.update_id, now).await?;
            list.push(views::update(row, Counts::of(&counts)));
        }
        Ok(list)
    }

    /// One update, with a line for each gateway.
    pub(crate) async fn update(
        &self,
        update_id: UpdateId,
        now: UnixSeconds,
    ) -> Result<UpdateView, OrderError> {
        let mut connection = self.store.read().await?;
        let row = updates::find(&mut connection, update_id).await?.ok_or_else(|| no_update(update_id))?;
        let mut counts = Counts::default();
        let mut lines = Vec::new();
        for line in updates::lines(&mut connection, update_id, None).await? {
            let command = &line.command;
            counts.add(command.delivery, command.outcome.as_ref().map(|outcome| outcome.name()), 1);
            counts.overdue += u32::from(command.is_overdue(now));
            lines.push(views::delivery(line, now));
        }
        Ok(UpdateView { gateways: lines, ..views::update(row, counts) })
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

pub(super) fn no_update(update_id: UpdateId) -> OrderError {
    OrderError::NotFound(format!("there is no update {update_id}: `keros-center update list` lists them"))
}

pub(super) fn no_gateway(eui: Eui) -> OrderError {
    OrderError::NotFound(format!("gateway {eui} is not known: declare it, or wait for its first telemetry"))
}

fn no_group(name: &str) -> OrderError {
    OrderError::NotFound(format!("there is no group {name:?}: `keros-center groups` lists them"))
}

fn check_name(what: &str, name: &str) -> Result<(), OrderError> {
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

fn check_description(text: &str) -> Result<(), OrderError> {
    if text.len() > MAX_DESCRIPTION_BYTES || text.contains('\0') {
        return Err(OrderError::Invalid(format!(
            "a description has at most {MAX_DESCRIPTION_BYTES} bytes, and no NUL"
        )));
    }
    Ok(())
}
