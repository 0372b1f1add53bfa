//! What the Software update page asks before it sends: for whom the update would be, what is in progress there, and what it would come
//! to.

use keros_protocol::magic_link::Digest;
use keros_protocol::{Eui, Job, UnixSeconds};
use sqlx::AnyConnection;

use super::center::Center;
use super::conflict::{Pending, Scope, conflict};
use super::gateways::find_gateway;
use super::groups::{find_group, member_kinds, members};
use super::order::OrderError;
use crate::access::{Action, Caller, GroupId};
use crate::api::{PreviewView, SendUpdate};
use crate::store::fleet::Kind;
use crate::store::pending;

/// For whom an update is, as a person names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Addressee {
    /// The group of this id or name.
    Group(String),
    /// A gateway.
    Gateway(Eui),
}

/// A group or a gateway that was found.
#[derive(Debug, Clone)]
pub(crate) struct Addressed {
    /// The group's id; absent: it is the one gateway.
    pub(crate) group_id: Option<GroupId>,
    /// What people call it.
    pub(crate) name: String,
    /// The gateways, by kind.
    pub(crate) kinds: Vec<Kind>,
}

impl Addressed {
    /// How many gateways.
    pub(crate) fn count(&self) -> usize {
        self.kinds.iter().map(|kind| kind.gateways.len()).sum()
    }

    /// The one gateway; `None`: it is a group.
    pub(crate) fn gateway(&self) -> Option<Eui> {
        self.kinds.first()?.gateways.first().copied().filter(|_| self.group_id.is_none())
    }
}

impl Center {
    /// The gateways that an update to this addressee would be for. The caller may do this there.
    pub(crate) async fn addressed(
        &self,
        caller: &Caller,
        addressee: &Addressee,
        action: Action,
    ) -> Result<Addressed, OrderError> {
        let mut connection = self.store.read().await?;
        match addressee {
            Addressee::Group(name) => {
                let group = find_group(&mut connection, caller, name, action).await?;
                let kinds = member_kinds(&mut connection, &group).await?;
                Ok(Addressed { group_id: Some(group.group_id), name: group.name, kinds })
            }
            Addressee::Gateway(eui) => {
                let row = find_gateway(&mut connection, caller, *eui, action).await?;
                let name = row.shown_name();
                let kind = Kind {
                    codename: row.codename,
                    keros_version: row.keros_version,
                    heard: row.last_telemetry_at.is_some(),
                    gateways: vec![*eui],
                };
                Ok(Addressed { group_id: None, name, kinds: vec![kind] })
            }
        }
    }

    /// The command that keeps an update of this kind from being sent there.
    pub(crate) async fn pending(&self, to: &Addressed, kind: &str) -> Result<Option<Pending>, OrderError> {
        let mut connection = self.store.read().await?;
        let (scope, pending) = match (&to.group_id, to.gateway()) {
            (Some(group_id), _) => {
                let mut gateways: Vec<Eui> =
                    to.kinds.iter().flat_map(|kind| kind.gateways.iter().copied()).collect();
                gateways.sort_unstable();
                let pending = pending_for(&mut connection, group_id, &gateways).await?;
                (Scope::Group, pending.into_iter().collect())
            }
            (None, Some(eui)) => (Scope::Gateway, pending::of_gateway(&mut connection, eui).await?),
            (None, None) => return Ok(None),
        };
        Ok(conflict(scope, kind, &pending).cloned())
    }

    /// A command that waits for the gateway, of either type: its page has the orange dot meanwhile.
    pub(crate) async fn pending_for_gateway(
        &self,
        caller: &Caller,
        eui: Eui,
    ) -> Result<Option<Pending>, OrderError> {
        let mut connection = self.store.read().await?;
        find_gateway(&mut connection, caller, eui, Action::SeeUpdates).await?;
        Ok(pending::of_gateway(&mut connection, eui).await?.into_iter().next())
    }

    /// The command with which an update of the group waits, or one of its gateways: its page has the orange dot meanwhile.
    pub(crate) async fn pending_for_group(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<Option<Pending>, OrderError> {
        let mut connection = self.store.read().await?;
        let group = find_group(&mut connection, caller, name, Action::SeeUpdates).await?;
        let gateways = members(&mut connection, &group).await?;
        pending_for(&mut connection, &group.group_id, &gateways).await
    }

    /// What the order would come to. Nothing is sent.
    pub(crate) async fn preview_update(
        &self,
        caller: &Caller,
        order: &SendUpdate,
        now: UnixSeconds,
    ) -> Result<PreviewView, OrderError> {
        let addressee = Addressee::Group(order.group.clone());
        let to = self.addressed(caller, &addressee, Action::SendUpdates).await?;
        self.preview_for(caller, to, &order.job, now).await
    }

    /// What the job would come to there.
    pub(crate) async fn preview_for(
        &self,
        caller: &Caller,
        to: Addressed,
        job: &Job,
        now: UnixSeconds,
    ) -> Result<PreviewView, OrderError> {
        let link = match job {
            Job::MagicLink { digest, source, .. } => self.named_link(caller, *digest, source).await?,
            Job::JetPorch { .. } | Job::Unknown { .. } => None,
        };
        self.preview(job, link, to.kinds, now).await
    }

    /// The link of the center's store; that of another place need not be there.
    async fn named_link(
        &self,
        caller: &Caller,
        digest: Digest,
        source: &str,
    ) -> Result<Option<crate::api::LinkView>, OrderError> {
        match self.link(caller, &digest.to_string()).await {
            Ok(view) => Ok(Some(view)),
            Err(OrderError::NotFound(_)) if !source.is_empty() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A command that an order to the group has to wait for: one of the group's own, or one of these gateways, which are sorted.
pub(super) async fn pending_for(
    connection: &mut AnyConnection,
    group_id: &GroupId,
    gateways: &[Eui],
) -> Result<Option<Pending>, OrderError> {
    if let Some(pending) = pending::of_group(connection, group_id).await? {
        return Ok(Some(pending));
    }
    let waited_for = pending::waited_for(connection).await?;
    let Some(eui) = waited_for.into_iter().find(|eui| gateways.binary_search(eui).is_ok()) else {
        return Ok(None);
    };
    Ok(pending::of_gateway(connection, eui).await?.into_iter().next())
}

/// The kind of a job in the words of the pages.
pub(crate) fn kind_name(kind: &str) -> &str {
    match kind {
        "magic_link" => "Custom Magic Link",
        "jetporch" => "Custom JetPorch script",
        other => other,
    }
}
