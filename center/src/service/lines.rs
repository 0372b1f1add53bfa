//! The lines of an update: a part of them, one with all that was reported, and those of a dry run put together by what it would change.

use keros_protocol::{Eui, Outcome, UnixSeconds, UpdateId};
use serde::Deserialize;

use super::center::Center;
use super::order::{OrderError, invalid};
use super::state::Counts;
use super::updates::{find_update, no_update};
use super::views::{self, LineOf};
use crate::access::{Action, Caller};
use crate::api::{DeliveryView, DifferencesGroup, DifferencesView, LineQuery, LineView, ReportView};
use crate::bounds::{DIFFERENCES_SHOWN, GATEWAYS_OF_DIFFERENCES, REPORTS_SHOWN};
use crate::store::{KeptReport, LineFilter, OrderedJob, differences, jobs, lines, reports};

impl Center {
    /// Lines of an update by the EUIs of their gateways, those after `after`.
    pub(crate) async fn lines(
        &self,
        caller: &Caller,
        update_id: UpdateId,
        filter: &LineFilter,
        after: Option<Eui>,
        limit: u32,
        now: UnixSeconds,
    ) -> Result<Vec<DeliveryView>, OrderError> {
        let mut connection = self.store.read().await?;
        let of = LineOf::update(&find_update(&mut connection, caller, update_id, Action::SeeUpdates).await?);
        let rows = lines::page(&mut connection, update_id, filter, after, limit, now).await?;
        Ok(rows.into_iter().map(|row| views::delivery(row, of, now)).collect())
    }

    /// The line of one gateway, with all that is known of it.
    pub(crate) async fn line(
        &self,
        caller: &Caller,
        update_id: UpdateId,
        eui: Eui,
        now: UnixSeconds,
    ) -> Result<LineView, OrderError> {
        let mut connection = self.store.read().await?;
        let of = LineOf::update(&find_update(&mut connection, caller, update_id, Action::SeeUpdates).await?);
        let row = lines::find(&mut connection, update_id, eui).await?;
        let row =
            row.ok_or_else(|| OrderError::NotFound(format!("update {update_id} is not for gateway {eui}")))?;
        let command_id = row.command.command_id;
        let reports = reports::of_command(&mut connection, eui, command_id, REPORTS_SHOWN).await?;
        Ok(LineView {
            differences: differences::of_gateway(&mut connection, update_id, eui).await?,
            reports: reports.into_iter().map(report).collect(),
            delivery: views::delivery(row, of, now),
        })
    }

    /// What an update orders.
    pub(crate) async fn ordered(
        &self,
        caller: &Caller,
        update_id: UpdateId,
    ) -> Result<OrderedJob, OrderError> {
        let mut connection = self.store.read().await?;
        find_update(&mut connection, caller, update_id, Action::SeeUpdates).await?;
        jobs::find(&mut connection, update_id).await?.ok_or_else(|| no_update(update_id))
    }

    /// What the dry run of an update would change, and on how many gateways the same.
    pub(crate) async fn differences(
        &self,
        caller: &Caller,
        update_id: UpdateId,
        now: UnixSeconds,
    ) -> Result<DifferencesView, OrderError> {
        let outcomes = self.update_summary(caller, update_id, now).await?.outcomes;
        let mut connection = self.store.read().await?;
        let of = LineOf::update(&find_update(&mut connection, caller, update_id, Action::SeeUpdates).await?);
        let (rows, group_count) = differences::groups(&mut connection, update_id, DIFFERENCES_SHOWN).await?;
        let changed = differences::gateways(&mut connection, update_id).await?;
        let (mut groups, all) = (Vec::new(), outcomes.values().sum::<u32>());
        for row in rows {
            let filter = LineFilter::Differences(row.digest.clone());
            let lines =
                lines::page(&mut connection, update_id, &filter, None, GATEWAYS_OF_DIFFERENCES, now).await?;
            groups.push(DifferencesGroup {
                digest: row.digest,
                count: row.gateways,
                differences: row.text,
                gateways: lines.into_iter().map(|line| views::delivery(line, of, now)).collect(),
            });
        }
        let succeeded = outcomes.get("succeeded").copied().unwrap_or_default();
        let unchanged = succeeded.saturating_sub(changed);
        let other = all.saturating_sub(succeeded.max(changed));
        Ok(DifferencesView { update_id, groups, group_count, unchanged, other })
    }
}

/// Which lines a query means.
///
/// # Errors
/// When it names what is not there, or more than one thing.
pub(crate) fn filter(query: &LineQuery) -> Result<LineFilter, OrderError> {
    let mut filters = Vec::new();
    if let Some(name) = &query.delivery {
        let delivery = name.parse().map_err(|_| invalid(format!("no delivery is called {name:?}")))?;
        filters.push(LineFilter::Delivery(delivery));
    }
    match query.outcome.as_deref() {
        None => {}
        Some("none") => filters.push(LineFilter::NoOutcome),
        Some(name) if Counts::is_outcome(name) => filters.push(LineFilter::Outcome(name.to_owned())),
        Some(name) => return Err(invalid(format!("no outcome is called {name:?}"))),
    }
    if query.overdue == Some(true) {
        filters.push(LineFilter::Overdue);
    }
    if let Some(digest) = &query.differences {
        if digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(invalid(format!("{digest:?} is not the digest of a group of differences")));
        }
        filters.push(LineFilter::Differences(digest.clone()));
    }
    if filters.len() > 1 {
        return Err(invalid(
            "only one of delivery, outcome, overdue and differences can be asked for at once",
        ));
    }
    Ok(filters.pop().unwrap_or_default())
}

/// A report as it is shown. What cannot be read is left out of it: it was kept because of its number.
fn report(kept: KeptReport) -> ReportView {
    #[derive(Deserialize)]
    struct Told {
        time_unix_s: Option<UnixSeconds>,
    }
    let time_unix_s = serde_json::from_str::<Told>(&kept.json).ok().and_then(|told| told.time_unix_s);
    let mut outcome = serde_json::from_str::<Outcome>(&kept.json).ok();
    if let Some(Outcome::Succeeded { differences, .. }) = &mut outcome {
        // They are shown by themselves.
        *differences = None;
    }
    ReportView {
        status: kept.status,
        received_at_unix_s: kept.received_at,
        time_unix_s,
        outcome,
        note: kept.note,
    }
}
