//! Lists of gateways, and what is told of one.

use std::collections::{BTreeMap, BTreeSet};

use keros_protocol::{Eui, Telemetry, UnixSeconds};
use sqlx::AnyConnection;

use super::center::Center;
use super::customers::customer_for;
use super::gateways::find_gateway;
use super::groups::{find_group, members_of, rule_of};
use super::order::{OrderError, invalid};
use super::views;
use crate::access::{Action, Caller};
use crate::api::{
    DayPoint, GatewayCounts, GatewayUpdate, GatewayView, History, HourPoint, OfDay, Packages, Vital,
    VitalValue,
};
use crate::bounds::MAX_GATEWAY_UPDATES;
use crate::gateway::history::{Day, Point};
use crate::gateway::rule::{Facts, Rule};
use crate::gateway::status::ConnectionStatus;
use crate::store::fleet::{self, Filter, Part, Place, Sort};
use crate::store::{GatewayRow, GroupRow, gateway_updates, groups, labels, vitals};

/// Characters of a search.
const MAX_SEARCH_CHARS: usize = 100;

/// Which gateways are wanted, as people say it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Part of an EUI, a name or a description.
    pub(crate) search: Option<String>,
    /// Statuses, with commas between.
    pub(crate) status: Option<String>,
    /// KerOS versions, as in a rule: `6.3`, or with a sign before it: `>=6.3`.
    pub(crate) keros: Option<String>,
    /// Hardware code names, as in a rule.
    pub(crate) model: Option<String>,
    /// Labels, as in a rule.
    pub(crate) label: Option<String>,
    /// A whole rule: whom a group with it would have.
    pub(crate) rule: Option<String>,
    /// A group, by id or name.
    pub(crate) group: Option<String>,
    /// A customer, by id or name.
    pub(crate) customer: Option<String>,
    /// `no` (when nothing is said), `yes` or `all`.
    pub(crate) retired: Option<String>,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FleetPage {
    /// Its gateways.
    pub(crate) gateways: Vec<GatewayView>,
    /// Where the next page begins.
    pub(crate) next: Option<Place>,
    /// How many gateways match; `None`: more than are counted.
    pub(crate) total: Option<u32>,
}

impl Center {
    /// One page of the gateways that the caller may see and wants.
    pub(crate) async fn fleet(
        &self,
        caller: &Caller,
        wanted: &Wanted,
        part: &Part,
        now: UnixSeconds,
    ) -> Result<FleetPage, OrderError> {
        let mut connection = self.store.read().await?;
        let filter = filter(&mut connection, caller, wanted).await?;
        let page = fleet::page(&mut connection, &filter, part, now).await?;
        let gateways = gateway_views(&mut connection, page.rows, now).await?;
        Ok(FleetPage { gateways, next: page.next, total: page.total })
    }

    /// How many of them have each status.
    pub(crate) async fn fleet_counts(
        &self,
        caller: &Caller,
        wanted: &Wanted,
        now: UnixSeconds,
    ) -> Result<GatewayCounts, OrderError> {
        let mut connection = self.store.read().await?;
        let filter = filter(&mut connection, caller, wanted).await?;
        let counts = fleet::counts(&mut connection, &filter, now).await?;
        Ok(GatewayCounts {
            total: counts.total(),
            operational: counts.of(ConnectionStatus::Operational),
            warning: counts.of(ConnectionStatus::Warning),
            unreachable: counts.of(ConnectionStatus::Unreachable),
            unknown: counts.of(ConnectionStatus::Unknown),
        })
    }

    /// One gateway, with its last telemetry.
    pub(crate) async fn gateway(
        &self,
        caller: &Caller,
        eui: Eui,
        now: UnixSeconds,
    ) -> Result<GatewayView, OrderError> {
        let mut connection = self.store.read().await?;
        let row = find_gateway(&mut connection, caller, eui, Action::SeeGateways).await?;
        whole_gateway(&mut connection, row, now).await
    }

    /// The history of its vitals.
    pub(crate) async fn history(&self, caller: &Caller, eui: Eui) -> Result<History, OrderError> {
        let mut connection = self.store.read().await?;
        find_gateway(&mut connection, caller, eui, Action::SeeGateways).await?;
        let hours = vitals::hours(&mut connection, eui).await?;
        let days = vitals::days(&mut connection, eui).await?;
        Ok(History {
            hours: hours.filled().map(|(hour, point)| hour_point(hour, point)).collect(),
            days: days.filled().map(|(number, day)| day_point(number, day)).collect(),
        })
    }

    /// The packages whose name or version has this in it.
    pub(crate) async fn packages(
        &self,
        caller: &Caller,
        eui: Eui,
        search: Option<&str>,
    ) -> Result<Packages, OrderError> {
        let mut connection = self.store.read().await?;
        find_gateway(&mut connection, caller, eui, Action::SeeGateways).await?;
        let mut packages = vitals::packages(&mut connection, eui).await?;
        let total = u32::try_from(packages.len()).unwrap_or(u32::MAX);
        if let Some(search) = search.map(|search| search.trim().to_lowercase()) {
            let has = |text: &str| text.to_lowercase().contains(&search);
            packages.retain(|package| has(&package.name) || has(&package.version));
        }
        Ok(Packages { total, packages })
    }

    /// Its updates, the newest first.
    pub(crate) async fn updates_of_gateway(
        &self,
        caller: &Caller,
        eui: Eui,
    ) -> Result<Vec<GatewayUpdate>, OrderError> {
        let mut connection = self.store.read().await?;
        find_gateway(&mut connection, caller, eui, Action::SeeGateways).await?;
        // Not those of a customer that it belonged to before.
        let visible = caller.where_may(Action::SeeUpdates);
        Ok(gateway_updates::list(&mut connection, eui, &visible, MAX_GATEWAY_UPDATES).await?)
    }
}

/// What is wanted, of what the caller may see.
async fn filter(
    connection: &mut AnyConnection,
    caller: &Caller,
    wanted: &Wanted,
) -> Result<Filter, OrderError> {
    caller.require_somewhere(Action::SeeGateways)?;
    let mut filter = Filter::all(caller.where_may(Action::SeeGateways));
    filter.search = said(wanted.search.as_deref()).map(str::to_owned);
    if filter.search.as_ref().is_some_and(|search| search.chars().count() > MAX_SEARCH_CHARS) {
        return Err(invalid(format!("a search has at most {MAX_SEARCH_CHARS} characters")));
    }
    for word in said(wanted.status.as_deref()).into_iter().flat_map(|text| text.split(',')) {
        let status = ConnectionStatus::parse(word.trim()).ok_or_else(|| {
            invalid("a status is Operational, Warning, Unreachable or Unknown; several have commas between")
        })?;
        filter.statuses.push(status);
    }
    filter.rule = rule(wanted)?;
    filter.retired = match said(wanted.retired.as_deref()) {
        None | Some("no") => Some(false),
        Some("yes") => Some(true),
        Some("all") => None,
        Some(_) => return Err(invalid("retired is no, yes or all")),
    };
    if let Some(name) = said(wanted.customer.as_deref()) {
        filter.customer = Some(customer_for(connection, caller, Some(name), Action::SeeGateways).await?.id);
    }
    if let Some(name) = said(wanted.group.as_deref()) {
        filter.group = Some(members_of(&find_group(connection, caller, name, Action::SeeGroups).await?)?);
    }
    Ok(filter)
}

/// What a form leaves empty is not said.
fn said(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

/// All that is asked of a gateway by model, version and label, as one rule.
fn rule(wanted: &Wanted) -> Result<Rule, OrderError> {
    let mut whole = Rule::default();
    for (what, text) in
        [("model", &wanted.model), ("keros", &wanted.keros), ("label", &wanted.label), ("", &wanted.rule)]
    {
        let Some(text) = said(text.as_deref()) else { continue };
        let has_sign = what.is_empty() || text.starts_with(['=', '!', '<', '>']);
        let text = format!("{what} {}{text}", if has_sign { "" } else { "= " });
        let rule: Rule = text.trim().parse().map_err(|error| invalid(format!("{}: {error}", text.trim())))?;
        if rule.conditions.len() > 1 && !what.is_empty() {
            return Err(invalid(format!("{what} is one condition: `rule` takes several")));
        }
        whole.conditions.extend(rule.conditions);
    }
    Ok(whole)
}

/// One gateway with its last telemetry, as it is shown.
pub(super) async fn whole_gateway(
    connection: &mut AnyConnection,
    row: GatewayRow,
    now: UnixSeconds,
) -> Result<GatewayView, OrderError> {
    let (eui, heard_at) = (row.eui, row.last_telemetry_at);
    let telemetry = vitals::telemetry(connection, eui).await?;
    let vitals = telemetry.as_ref().map(|telemetry| vitals_of(telemetry, heard_at.unwrap_or(0)));
    let mut views = gateway_views(connection, vec![row], now).await?;
    let view = views.pop().ok_or_else(|| super::gateways::no_gateway(eui))?;
    Ok(GatewayView { telemetry, vitals: vitals.unwrap_or_default(), ..view })
}

/// Rows with what is in other tables: groups and labels.
pub(super) async fn gateway_views(
    connection: &mut AnyConnection,
    rows: Vec<GatewayRow>,
    now: UnixSeconds,
) -> Result<Vec<GatewayView>, OrderError> {
    let euis: Vec<Eui> = rows.iter().map(|row| row.eui).collect();
    let mut groups = groups::of_gateways(connection, &euis).await?;
    let mut labels = labels::of(connection, &euis).await?;
    let mut with_rules = BTreeMap::new();
    for customer in rows.iter().map(|row| row.customer_id).collect::<BTreeSet<_>>() {
        with_rules.insert(customer, rules_of(groups::with_rules(connection, customer).await?)?);
    }
    let view = |row: GatewayRow| {
        let mut groups = groups.remove(&row.eui).unwrap_or_default();
        let labels = labels.remove(&row.eui).unwrap_or_default();
        let keros = row.keros_version.as_deref().and_then(|text| text.parse().ok());
        let facts = Facts { model: row.codename.as_deref(), keros: keros.as_ref(), labels: &labels };
        let of_customer = with_rules.get(&row.customer_id).into_iter().flatten();
        let met = of_customer.filter(|(_, rule)| row.retired_at.is_none() && rule.is_met_by(facts));
        groups.extend(met.map(|(name, _)| name.clone()));
        groups.sort();
        groups.dedup();
        views::gateway(row, groups, labels, now)
    };
    Ok(rows.into_iter().map(view).collect())
}

/// The names of groups and their rules.
fn rules_of(groups: Vec<GroupRow>) -> Result<Vec<(String, Rule)>, OrderError> {
    let with_rule = |group: GroupRow| Ok(rule_of(&group)?.map(|rule| (group.name, rule)));
    groups.into_iter().filter_map(|group| with_rule(group).transpose()).collect()
}

/// The vitals that the vendor's clients know, by their names; what the gateway could not find out is absent.
fn vitals_of(telemetry: &Telemetry, date_unix_s: UnixSeconds) -> Vec<Vital> {
    // Through text: 12.5 of an f32 is 12.5 and not 12.499999.
    let number = |value: f32| value.to_string().parse().ok().map(VitalValue::Number);
    let text = |text: &str| Some(VitalValue::Text(text.to_owned()));
    #[allow(clippy::cast_precision_loss, reason = "seconds since boot: exact for 285 million years")]
    let seconds = |value: u64| Some(VitalValue::Number(value as f64));
    [
        ("cpu_percent", telemetry.cpu_percent.and_then(number)),
        ("memory_percent", telemetry.memory_percent.and_then(number)),
        ("temperature", telemetry.temperature.and_then(number)),
        ("uptime", telemetry.uptime.and_then(seconds)),
        ("network_interface_category", telemetry.network_interface_category.as_deref().and_then(text)),
        ("keros", telemetry.keros_version.as_ref().and_then(|version| text(version.as_str()))),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some(Vital { name: name.to_owned(), value: value?, date_unix_s }))
    .collect()
}

fn hour_point(hour: u64, point: Point) -> HourPoint {
    let from_tenths = |tenths: Option<i32>| tenths.map(|tenths| f64::from(tenths) / 10.0);
    HourPoint {
        time_unix_s: hour.saturating_mul(3600),
        cpu_percent: from_tenths(point.cpu),
        memory_percent: from_tenths(point.memory),
        temperature: from_tenths(point.temperature),
    }
}

fn day_point(number: u64, day: Day) -> DayPoint {
    let of_day = |pair: Option<(i32, i32)>| pair.map(|(average, maximum)| OfDay { average, maximum });
    DayPoint {
        time_unix_s: number.saturating_mul(86_400),
        cpu_percent: of_day(day.cpu),
        memory_percent: of_day(day.memory),
        temperature: of_day(day.temperature),
    }
}

/// Where a page begins, as it is written in an address: the key and the gateway.
pub(crate) fn place_text(place: &Place) -> String {
    match &place.key {
        fleet::Key::Nothing => place.eui.to_string(),
        fleet::Key::Number(number) => format!("{number}.{}", place.eui),
        fleet::Key::Text(text) => format!("{text}.{}", place.eui),
    }
}

/// The other way round, of a list that is sorted so.
pub(crate) fn place_from(text: &str, sort: Sort) -> Result<Place, OrderError> {
    let wrong = || invalid("`cursor` does not fit this list: take it from the link to the next page");
    let (key, eui) = text.rsplit_once('.').map_or((None, text), |(key, eui)| (Some(key), eui));
    let eui: Eui = eui.parse().map_err(|_| wrong())?;
    let key = match (sort, key) {
        (Sort::Eui, None) => fleet::Key::Nothing,
        (Sort::Telemetry | Sort::Status, Some(key)) => fleet::Key::Number(key.parse().map_err(|_| wrong())?),
        (Sort::Name | Sort::Keros, Some(key))
            if key.len() <= 128 && key.chars().all(|c| c.is_ascii_hexdigit()) =>
        {
            fleet::Key::Text(key.to_owned())
        }
        _ => return Err(wrong()),
    };
    Ok(Place { key, eui })
}

/// What a list is sorted by: a word, with `-` before it for the other way round.
pub(crate) fn sort_from(text: Option<&str>) -> Result<(Sort, bool), OrderError> {
    let text = said(text).unwrap_or("eui");
    let (word, descending) = text.strip_prefix('-').map_or((text, false), |word| (word, true));
    let sort = match word {
        "eui" => Sort::Eui,
        "name" => Sort::Name,
        "telemetry" => Sort::Telemetry,
        "keros" => Sort::Keros,
        "status" => Sort::Status,
        _ => {
            return Err(invalid(
                "sort is eui, name, telemetry, keros or status, with - before it for the other way round",
            ));
        }
    };
    Ok((sort, descending))
}
