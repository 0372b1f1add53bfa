//! What the Software update page asks before it sends: for whom the update would be, what is in progress there, and what it would come
//! to.

use keros_protocol::magic_link::Digest;
use keros_protocol::{Eui, Job, UnixSeconds};
use sqlx::AnyConnection;

use super::center::Center;
use super::conflict::{Pending, Scope, conflict};
use super::gateways::find_gateway;
use super::groups::{find_group, member_count, member_kinds, members};
use super::order::OrderError;
use crate::access::{Action, Caller, GroupId};
use crate::api::{PreviewView, SendUpdate};
use crate::store::fleet::Kind;
use crate::store::{GroupRow, pending};

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
    /// How many gateways.
    pub(crate) count: u32,
    /// What was found.
    whom: Whom,
}

/// What was found. The gateways of a group are only read where they are asked for.
#[derive(Debug, Clone)]
enum Whom {
    Group(GroupRow),
    Gateway(Eui, Kind),
}

impl Addressed {
    /// The one gateway; `None`: it is a group.
    pub(crate) fn gateway(&self) -> Option<Eui> {
        match &self.whom {
            Whom::Group(_) => None,
            Whom::Gateway(eui, _) => Some(*eui),
        }
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
                let count = member_count(&mut connection, &group).await?;
                let (group_id, name) = (Some(group.group_id.clone()), group.name.clone());
                Ok(Addressed { group_id, name, count, whom: Whom::Group(group) })
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
                Ok(Addressed { group_id: None, name, count: 1, whom: Whom::Gateway(*eui, kind) })
            }
        }
    }

    /// The command that keeps an update of this kind from being sent there.
    pub(crate) async fn pending(&self, to: &Addressed, kind: &str) -> Result<Option<Pending>, OrderError> {
        let mut connection = self.store.read().await?;
        let (scope, pending) = match &to.whom {
            Whom::Group(group) => {
                let pending = pending_in(&mut connection, group).await?;
                (Scope::Group, pending.into_iter().collect())
            }
            Whom::Gateway(eui, _) => (Scope::Gateway, pending::of_gateway(&mut connection, *eui).await?),
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
        pending_in(&mut connection, &group).await
    }

    /// What the order would come to. Nothing is sent.
    pub(crate) async fn preview_update(
        &self,
        caller: &Caller,
        order: &SendUpdate,
        now: UnixSeconds,
    ) -> Result<PreviewView, OrderError> {
        let group =
            find_group(&mut *self.store.read().await?, caller, &order.group, Action::SendUpdates).await?;
        self.preview_of(caller, Whom::Group(group), &order.job, now).await
    }

    /// What the job would come to there.
    pub(crate) async fn preview_for(
        &self,
        caller: &Caller,
        to: Addressed,
        job: &Job,
        now: UnixSeconds,
    ) -> Result<PreviewView, OrderError> {
        self.preview_of(caller, to.whom, job, now).await
    }

    async fn preview_of(
        &self,
        caller: &Caller,
        whom: Whom,
        job: &Job,
        now: UnixSeconds,
    ) -> Result<PreviewView, OrderError> {
        let link = match job {
            Job::MagicLink { digest, source, .. } => self.named_link(caller, *digest, source).await?,
            Job::JetPorch { .. } | Job::Unknown { .. } => None,
        };
        let kinds = match whom {
            Whom::Group(group) => member_kinds(&mut *self.store.read().await?, &group).await?,
            Whom::Gateway(_, kind) => vec![kind],
        };
        self.preview(job, link, kinds, now).await
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
    match pending::of_group(connection, group_id).await? {
        Some(pending) => Ok(Some(pending)),
        None => {
            let waited_for = pending::waited_for(connection).await?;
            first_of(connection, &waited_for, gateways).await
        }
    }
}

/// The same, for the members of a group, which are only read when anything waits.
async fn pending_in(connection: &mut AnyConnection, group: &GroupRow) -> Result<Option<Pending>, OrderError> {
    if let Some(pending) = pending::of_group(connection, &group.group_id).await? {
        return Ok(Some(pending));
    }
    let waited_for = pending::waited_for(connection).await?;
    if waited_for.is_empty() {
        return Ok(None);
    }
    let gateways = members(connection, group).await?;
    first_of(connection, &waited_for, &gateways).await
}

/// A command that one of these gateways waits for, if it is also one of those, which are sorted.
async fn first_of(
    connection: &mut AnyConnection,
    waited_for: &[Eui],
    gateways: &[Eui],
) -> Result<Option<Pending>, OrderError> {
    let Some(eui) = waited_for.iter().find(|eui| gateways.binary_search(eui).is_ok()) else {
        return Ok(None);
    };
    Ok(pending::of_gateway(connection, *eui).await?.into_iter().next())
}

/// The kind of a job in the words of the pages.
pub(crate) fn kind_name(kind: &str) -> &str {
    match kind {
        "magic_link" => "Custom Magic Link",
        "jetporch" => "Custom JetPorch script",
        other => other,
    }
}
