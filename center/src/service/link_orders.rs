//! Orders that run a Magic Link: for whom it is declared, and the command that a person carries to a gateway.

use keros_protocol::magic_link::{LinkGateway, MagicLink};
use keros_protocol::{Eui, Job, KerosVersion, RefusalReason, UnixSeconds};

use super::audit::{What, audit};
use super::batch::not_json;
use super::center::{Center, in_thread};
use super::changes::Change;
use super::downlink::command_envelope;
use super::gateways::{find_gateway, no_gateway};
use super::groups::{find_group, member_kinds};
use super::links::require_link;
use super::order::{Audience, Order, OrderError, Way, invalid, new_update};
use crate::access::{Action, Caller};
use crate::api::{LinkView, SignLink, SignedLink};
use crate::links::Declared;
use crate::plan::{Gate, Plan};
use crate::store::fleet::Kind;
use crate::store::{Customer, DueCommand, NewUpdate, Origin, StoreError, customers, links, updates};

impl Center {
    /// One link, and which gateways of a group it is not for.
    pub(crate) async fn link_for_group(
        &self,
        caller: &Caller,
        name: &str,
        group: &str,
        now: UnixSeconds,
    ) -> Result<LinkView, OrderError> {
        let view = self.link(caller, name).await?;
        let mut connection = self.store.read().await?;
        let group = find_group(&mut connection, caller, group, Action::SeeGroups).await?;
        let kinds = member_kinds(&mut connection, &group).await?;
        drop(connection);
        let link = self.read_link(view.digest).await?;
        in_thread(move || {
            let declared = Declared::by(&link.config.gateways);
            let (mut not_declared, mut not_compatible) = (Vec::new(), Vec::new());
            for kind in &kinds {
                let (in_it, not_in_it): (Vec<Eui>, Vec<Eui>) =
                    kind.gateways.iter().partition(|eui| declared.contains(**eui));
                not_declared.extend(not_in_it);
                if in_it.first().is_some_and(|eui| is_unfit(&link, kind, *eui, now)) {
                    not_compatible.extend(in_it);
                }
            }
            not_declared.sort_unstable();
            not_compatible.sort_unstable();
            Ok(LinkView { not_declared: Some(not_declared), not_compatible: Some(not_compatible), ..view })
        })
        .await
    }

    /// Refuses an order that no gateway would carry out: the link is not there, is over, or declares none of them. Of a link that is
    /// only somewhere else nothing is known here.
    pub(super) async fn check_link_order(
        &self,
        job: &Job,
        customer: &Customer,
        gateways: &[Eui],
        now: UnixSeconds,
    ) -> Result<(), OrderError> {
        let Job::MagicLink { digest, source, .. } = job else { return Ok(()) };
        let mut connection = self.store.read().await?;
        require_link(&mut connection, job, customer.id).await?;
        if !links::is_of(&mut connection, *digest, customer.id).await? {
            return Ok(());
        }
        drop(connection);
        if source.is_empty() && self.links.source.is_none() {
            return Err(OrderError::Conflict(
                "gateways cannot reach the center's store: start the center with --registry or --registry-tls, and with \
                 --registry-url, the address by which gateways reach it; or send it with the source of another registry, by --source"
                    .to_owned(),
            ));
        }
        let link = self.read_link(*digest).await?;
        let gateways = gateways.to_vec();
        in_thread(move || check_for(&link, &gateways, now)).await
    }

    /// Makes an update for one gateway whose command a person carries there.
    pub(crate) async fn sign_link(
        &self,
        caller: &Caller,
        name: &str,
        order: SignLink,
        now: UnixSeconds,
    ) -> Result<SignedLink, OrderError> {
        let eui: Eui = order.eui.parse().map_err(|error| invalid(format!("{error}")))?;
        let digest = self.find_link(caller, name, Action::SeeLinks).await?.digest;
        let gateway = find_gateway(&mut *self.store.read().await?, caller, eui, Action::SignByHand).await?;
        let link = self.read_link(digest).await?;
        check_for(&link, &[eui], now)?;
        let order = Order {
            plan: Plan::default(),
            dry_run_first: false,
            job: Job::MagicLink { digest, source: String::new(), token: None },
            limits: order.limits,
            options: order.options,
            expires_in_s: order.expires_in_s,
        };
        let mut transaction = self.store.begin().await?;
        let customer = customers::find(&mut transaction, gateway.customer_id).await?;
        let customer = customer.ok_or_else(|| no_gateway(eui))?;
        let customer_id = customer.id;
        let (created_by_id, created_by) = (caller.user, caller.name.clone());
        let origin = Origin { customer, group_id: None, created_by_id, created_by };
        let audience =
            Audience { group: String::new(), gateways: vec![eui], way: Way::ByHand, follows: None };
        let update = new_update(order, audience, origin, now)?;
        require_link(&mut transaction, &update.job, customer_id).await?;
        updates::create(&mut transaction, &update).await?;
        let what =
            What::of(customer_id, format!("update {}", update.row.update_id), format!("{digest} for {eui}"));
        audit(&mut transaction, caller, Action::SignByHand, what).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        let update_id = update.row.update_id;
        tracing::info!(%update_id, %digest, %eui, "a command is signed that is carried by hand");
        self.tell(&[Change::Update(update_id)]);
        let envelope = due(&update)
            .map(|due| command_envelope(eui, &due, &self.keys.command, &self.links))
            .transpose()
            .map_err(not_json)?
            .flatten()
            .ok_or_else(|| invalid("there is no command to be signed"))?;
        Ok(SignedLink { update: self.update(caller, update_id, now).await?, envelope })
    }
}

/// The command of an update for one gateway, as it is read from the store.
fn due(update: &NewUpdate) -> Option<DueCommand> {
    let (command_id, ..) = update.commands.first()?;
    Some(DueCommand {
        command_id: *command_id,
        update_id: update.row.update_id,
        issued_at: update.row.created_at,
        expires_at: update.row.expires_at,
        job: update.job.clone(),
        limits: update.limits,
        options: update.row.options,
        cancel_requested: false,
        by_hand: update.row.by_hand,
        gate: Gate::default(),
        stage: 0,
    })
}

fn check_for(link: &MagicLink, gateways: &[Eui], now: UnixSeconds) -> Result<(), OrderError> {
    let name = &link.config.name;
    if link.config.expires_at_unix_s.is_some_and(|end| end <= now) {
        return Err(invalid(format!(
            "the time of the Magic Link {name:?} is over: no gateway would start it"
        )));
    }
    let declared = Declared::by(&link.config.gateways);
    match gateways {
        // An empty group has an answer of its own.
        [] => Ok(()),
        [eui] if !declared.contains(*eui) => {
            Err(invalid(format!("gateway {eui} is not declared in the Magic Link {name:?}: it would refuse")))
        }
        gateways if !gateways.iter().any(|eui| declared.contains(*eui)) => Err(invalid(format!(
            "none of the {} gateways is declared in the Magic Link {name:?}: all of them would refuse",
            gateways.len()
        ))),
        _ => Ok(()),
    }
}

/// Whether gateways of this kind, as they have last told of themselves, would refuse as `not_compatible`: all that the link declares, or none,
/// so that one of them is asked for. Those that have told nothing may fit.
pub(super) fn is_unfit(link: &MagicLink, kind: &Kind, declared: Eui, now: UnixSeconds) -> bool {
    let keros: Option<KerosVersion> = kind.keros_version.as_ref().and_then(|text| text.parse().ok());
    let as_told = LinkGateway {
        eui: declared,
        keros: keros.as_ref(),
        model: kind.codename.as_deref(),
        now_unix_s: now,
    };
    let refusal = link.fits(&as_told).err().map(|refusal| refusal.reason);
    kind.heard && refusal == Some(RefusalReason::NotCompatible)
}
