//! Lists of gateways: searched, filtered, sorted, in pages, among 100,000.
//!
//! A list without a filter follows an index from where the last page ended. One with a filter is first asked for any [`MOST_COUNTED`] gateways
//! that match, in no order: when there are fewer, these are all of them, and are sorted here; when there are more, at least one in a
//! hundred matches, and following the index soon has a page full. Either way one page costs at most one pass over the narrow rows.

use std::cmp::Ordering;

use keros_protocol::{Eui, UnixSeconds, UpdateId};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::gateways::{GATEWAY_COLUMNS, gateway_row};
use super::sql::Sql;
use super::{GatewayRow, Result, count, parsed, to_big};
use crate::access::{CustomerId, GroupId, Visible};
use crate::gateway::rule::{Condition, Range, Rule};
use crate::gateway::search::search_pattern;
use crate::gateway::status::{ConnectionStatus, Moments};

/// Gateways that match are counted up to here.
pub(crate) const MOST_COUNTED: u32 = 1000;

/// Which gateways.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Filter {
    /// Of these customers.
    pub(crate) visible: Visible,
    /// Of this one of them.
    pub(crate) customer: Option<CustomerId>,
    /// Part of an EUI, a name or a description.
    pub(crate) search: Option<String>,
    /// With one of these statuses; all when empty.
    pub(crate) statuses: Vec<ConnectionStatus>,
    /// Member of this group.
    pub(crate) group: Option<Members>,
    /// That meet this.
    pub(crate) rule: Rule,
    /// Out of service or not; `None`: both.
    pub(crate) retired: Option<bool>,
    /// Connected or not; `None`: both.
    pub(crate) online: Option<bool>,
}

/// The members of a group: those that were put into it, and those of its customer that meet its rule. Never a retired one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Members {
    /// The group.
    pub(crate) group: GroupId,
    /// Whose it is.
    pub(crate) customer: CustomerId,
    /// Its rule.
    pub(crate) rule: Option<Rule>,
}

/// What a list is sorted by; gateways that are alike in it are sorted by EUI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Sort {
    /// EUI.
    #[default]
    Eui,
    /// What people call it.
    Name,
    /// When the last telemetry came; those first that never sent one.
    Telemetry,
    /// KerOS version; those first whose version is not known.
    Keros,
    /// Connection status; the worst first.
    Status,
}

/// The value that a gateway is sorted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// Only by EUI.
    Nothing,
    /// A number.
    Number(i64),
    /// A text of digits.
    Text(String),
}

/// Where a page begins: after this gateway.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Its key.
    pub(crate) key: Key,
    /// The gateway.
    pub(crate) eui: Eui,
}

/// Which part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// Sorted by it.
    pub(crate) sort: Sort,
    /// The other way round.
    pub(crate) descending: bool,
    /// Those after this place.
    pub(crate) after: Option<Place>,
    /// So many at most.
    pub(crate) limit: u32,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Page {
    /// Its gateways.
    pub(crate) rows: Vec<GatewayRow>,
    /// Where the next page begins; `None`: this is the last.
    pub(crate) next: Option<Place>,
    /// How many gateways match; `None`: more than [`MOST_COUNTED`].
    pub(crate) total: Option<u32>,
}

/// How many gateways have each status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct StatusCounts {
    /// By [`ConnectionStatus::rank`].
    by_rank: [u32; 4],
}

impl StatusCounts {
    /// How many have this one.
    pub(crate) fn of(&self, status: ConnectionStatus) -> u32 {
        usize::try_from(status.rank()).ok().and_then(|rank| self.by_rank.get(rank)).copied().unwrap_or(0)
    }

    /// How many there are.
    pub(crate) fn total(&self) -> u32 {
        self.by_rank.iter().sum()
    }
}

impl Filter {
    /// All gateways in service of these customers.
    pub(crate) fn all(visible: Visible) -> Self {
        Self {
            visible,
            customer: None,
            search: None,
            statuses: Vec::new(),
            group: None,
            rule: Rule::default(),
            retired: Some(false),
            online: None,
        }
    }

    /// The members of one group.
    pub(crate) fn members(members: Members) -> Self {
        Self { group: Some(members), ..Self::all(Visible::All) }
    }

    /// Whether few may match.
    fn is_narrow(&self) -> bool {
        self.customer.is_some()
            || self.visible != Visible::All
            || self.search.is_some()
            || !self.statuses.is_empty()
            || self.group.is_some()
            || !self.rule.conditions.is_empty()
            || self.retired == Some(true)
            || self.online.is_some()
    }
}

impl Sort {
    const fn column(self) -> &'static str {
        match self {
            Self::Eui => "g.eui",
            Self::Name => "g.name_key",
            Self::Telemetry => "COALESCE(g.last_telemetry_at, 0)",
            Self::Keros => "g.keros_key",
            // No column: see `by_status`.
            Self::Status => "g.eui",
        }
    }
}

/// One page of the gateways that match.
pub(crate) async fn page(
    connection: &mut AnyConnection,
    filter: &Filter,
    part: &Part,
    now: UnixSeconds,
) -> Result<Page> {
    let mut total = None;
    if filter.is_narrow() || part.sort == Sort::Status {
        let keys = some(connection, filter, part.sort, now).await?;
        if keys.len() <= MOST_COUNTED as usize {
            total = u32::try_from(keys.len()).ok();
            return sorted_here(connection, keys, part, total).await;
        }
    }
    if !filter.is_narrow() {
        total = Some(counts(connection, filter, now).await?.total());
    }
    let mut keys = match part.sort {
        Sort::Status => by_status(connection, filter, part, now).await?,
        _ => following_an_index(connection, filter, part, now).await?,
    };
    let next = cut(&mut keys, part);
    Ok(Page { rows: rows(connection, &keys).await?, next, total })
}

/// How many of the matching gateways have each status.
pub(crate) async fn counts(
    connection: &mut AnyConnection,
    filter: &Filter,
    now: UnixSeconds,
) -> Result<StatusCounts> {
    let mut sql = Sql::new("SELECT status_rank, COUNT(*) AS n FROM (SELECT ");
    push_rank(&mut sql, now);
    sql.push(" AS status_rank FROM gateways g WHERE ");
    push_filter(&mut sql, filter, Way::Pass, now);
    sql.push(") s GROUP BY status_rank");
    let mut counts = StatusCounts::default();
    for row in sql.fetch(connection).await? {
        if let Some(slot) = counts.by_rank.get_mut(count(&row, "status_rank")? as usize) {
            *slot = count(&row, "n")?;
        }
    }
    Ok(counts)
}

/// All that match, in the order of their EUIs: for those that an update is sent to.
pub(crate) async fn all(
    connection: &mut AnyConnection,
    filter: &Filter,
    now: UnixSeconds,
) -> Result<Vec<Eui>> {
    let mut sql = Sql::new("SELECT g.eui AS eui FROM gateways g WHERE ");
    push_filter(&mut sql, filter, Way::Pass, now);
    sql.push(" ORDER BY g.eui");
    sql.fetch(connection).await?.iter().map(|row| parsed(row, "eui")).collect()
}

/// The rows of all that match, in the order of their EUIs.
pub(crate) async fn all_rows(
    connection: &mut AnyConnection,
    filter: &Filter,
    now: UnixSeconds,
) -> Result<Vec<GatewayRow>> {
    let mut sql = Sql::new("SELECT ");
    sql.push(GATEWAY_COLUMNS).push(" FROM gateways g WHERE ");
    push_filter(&mut sql, filter, Way::Pass, now);
    sql.push(" ORDER BY g.eui");
    sql.fetch(connection).await?.iter().map(gateway_row).collect()
}

/// Some that match and that people have not been told of as silent.
pub(crate) async fn not_alerted(
    connection: &mut AnyConnection,
    filter: &Filter,
    now: UnixSeconds,
    limit: usize,
) -> Result<Vec<GatewayRow>> {
    let mut sql = Sql::new("SELECT ");
    sql.push(GATEWAY_COLUMNS).push(" FROM gateways g WHERE ");
    push_filter(&mut sql, filter, Way::Pass, now);
    sql.push(" AND g.alerted_at IS NULL ORDER BY g.eui LIMIT ").number(to_big(limit as u64));
    sql.fetch(connection).await?.iter().map(gateway_row).collect()
}

/// One that matches and that a command waits for, with its update.
pub(crate) async fn waited_for(
    connection: &mut AnyConnection,
    filter: &Filter,
) -> Result<Option<(UpdateId, Eui)>> {
    let mut sql = Sql::new(
        "SELECT c.update_id AS update_id, c.eui AS eui FROM commands c JOIN gateways g ON g.eui = c.eui \
         WHERE c.delivery = 'waiting' AND ",
    );
    // No status is asked for: nothing depends on the time.
    push_filter(&mut sql, filter, Way::Pass, 0);
    sql.push(" LIMIT 1");
    let rows = sql.fetch(connection).await?;
    rows.first().map(|row| Ok((parsed(row, "update_id")?, parsed(row, "eui")?))).transpose()
}

/// Some that match, in no order, and one more than are counted.
async fn some(
    connection: &mut AnyConnection,
    filter: &Filter,
    sort: Sort,
    now: UnixSeconds,
) -> Result<Vec<Place>> {
    let mut sql = Sql::new("SELECT ");
    push_key(&mut sql, sort, now);
    sql.push(" AS sort_key, g.eui AS eui FROM gateways g WHERE ");
    push_filter(&mut sql, filter, Way::Pass, now);
    sql.push(" LIMIT ").number(i64::from(MOST_COUNTED) + 1);
    sql.fetch(connection).await?.iter().map(|row| place(row, sort)).collect()
}

/// A page and one gateway more, by following the index of what is sorted by.
async fn following_an_index(
    connection: &mut AnyConnection,
    filter: &Filter,
    part: &Part,
    now: UnixSeconds,
) -> Result<Vec<Place>> {
    let column = part.sort.column();
    let mut sql = Sql::new("SELECT ");
    sql.push(column).push(" AS sort_key, g.eui AS eui FROM gateways g WHERE ");
    push_filter(&mut sql, filter, Way::Index, now);
    if let Some(after) = &part.after {
        sql.push(" AND (").push(column).push(", g.eui) ").push(if part.descending { "< (" } else { "> (" });
        push_place(&mut sql, after);
        sql.push(")");
    }
    sql.push(" ORDER BY ").push(column).push(if part.descending { " DESC, g.eui DESC" } else { ", g.eui" });
    sql.push(" LIMIT ").number(i64::from(part.limit) + 1);
    sql.fetch(connection).await?.iter().map(|row| place(row, part.sort)).collect()
}

/// The same by status, that no index knows since it changes with time: one pass over all that match.
async fn by_status(
    connection: &mut AnyConnection,
    filter: &Filter,
    part: &Part,
    now: UnixSeconds,
) -> Result<Vec<Place>> {
    let mut sql = Sql::new("SELECT sort_key, eui FROM (SELECT ");
    push_rank(&mut sql, now);
    sql.push(" AS sort_key, g.eui AS eui FROM gateways g WHERE ");
    push_filter(&mut sql, filter, Way::Pass, now);
    sql.push(") s");
    if let Some(after) = &part.after {
        sql.push(" WHERE (sort_key, eui) ").push(if part.descending { "< (" } else { "> (" });
        push_place(&mut sql, after);
        sql.push(")");
    }
    sql.push(if part.descending { " ORDER BY sort_key DESC, eui DESC" } else { " ORDER BY sort_key, eui" });
    sql.push(" LIMIT ").number(i64::from(part.limit) + 1);
    sql.fetch(connection).await?.iter().map(|row| place(row, part.sort)).collect()
}

async fn sorted_here(
    connection: &mut AnyConnection,
    mut keys: Vec<Place>,
    part: &Part,
    total: Option<u32>,
) -> Result<Page> {
    let order = |a: &Place, b: &Place| if part.descending { b.cmp(a) } else { a.cmp(b) };
    keys.sort_by(order);
    if let Some(after) = &part.after {
        keys.retain(|place| order(place, after) == Ordering::Greater);
    }
    let next = cut(&mut keys, part);
    Ok(Page { rows: rows(connection, &keys).await?, next, total })
}

/// Cuts a page off; gives where the next one begins.
fn cut(keys: &mut Vec<Place>, part: &Part) -> Option<Place> {
    let more = keys.len() > part.limit as usize;
    keys.truncate(part.limit as usize);
    more.then(|| keys.last().cloned()).flatten()
}

/// The rows of these gateways, in their order.
async fn rows(connection: &mut AnyConnection, keys: &[Place]) -> Result<Vec<GatewayRow>> {
    /// Values of one statement: SQLite's limit is 32,766, PostgreSQL's 65,535.
    const AT_ONCE: usize = 1000;
    let mut found = std::collections::BTreeMap::new();
    for keys in keys.chunks(AT_ONCE) {
        let euis: Vec<Eui> = keys.iter().map(|place| place.eui).collect();
        let mut sql = Sql::new("SELECT ");
        sql.push(GATEWAY_COLUMNS).push(" FROM gateways WHERE eui IN ").list(&euis);
        for row in sql.fetch(connection).await? {
            let row = gateway_row(&row)?;
            found.insert(row.eui, row);
        }
    }
    Ok(keys.iter().filter_map(|place| found.remove(&place.eui)).collect())
}

fn place(row: &AnyRow, sort: Sort) -> Result<Place> {
    use sqlx::Row as _;
    let key = match sort {
        Sort::Eui => Key::Nothing,
        Sort::Name | Sort::Keros => Key::Text(row.try_get("sort_key")?),
        Sort::Telemetry | Sort::Status => Key::Number(row.try_get("sort_key")?),
    };
    Ok(Place { key, eui: parsed(row, "eui")? })
}

fn push_place(sql: &mut Sql, place: &Place) {
    match &place.key {
        Key::Nothing => sql.text(place.eui.to_string()),
        Key::Number(number) => sql.number(*number),
        Key::Text(text) => sql.text(text.clone()),
    };
    sql.push(", ").text(place.eui.to_string());
}

fn push_key(sql: &mut Sql, sort: Sort, now: UnixSeconds) {
    match sort {
        Sort::Status => push_rank(sql, now),
        other => {
            sql.push(other.column());
        }
    }
}

/// [`ConnectionStatus::rank`] in SQL: the same table as `gateway/status.rs`, held against it by a test.
fn push_rank(sql: &mut Sql, now: UnixSeconds) {
    let Moments { late_before, silent_before } = Moments::at(now);
    sql.push(
        "CASE WHEN COALESCE(g.last_telemetry_at, 0) = 0 THEN 2 WHEN COALESCE(g.last_telemetry_at, 0) < ",
    )
    .number(to_big(silent_before))
    .push(" AND g.online = 0 THEN 0 WHEN COALESCE(g.last_telemetry_at, 0) < ")
    .number(to_big(late_before))
    .push(" OR g.warnings <> '' THEN 1 ELSE 3 END");
}

/// How a statement goes through the gateways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Whichever way finds those that match: few do.
    Pass,
    /// In the order of an index: many match. SQLite takes the index of any column that is compared and sorts all that it finds; a column
    /// within an expression it leaves alone.
    Index,
}

fn push_filter(sql: &mut Sql, filter: &Filter, way: Way, now: UnixSeconds) {
    sql.push(match filter.retired {
        Some(true) => "g.retired_at IS NOT NULL",
        Some(false) => "g.retired_at IS NULL",
        None => "1 = 1",
    });
    if let Some(online) = filter.online {
        sql.push(" AND g.online = ").number(i64::from(online));
    }
    if let Visible::Only(customers) = &filter.visible {
        push_customers(sql, customers, way);
    }
    if let Some(customer) = filter.customer {
        push_customers(sql, &[customer], way);
    }
    if let Some(search) = &filter.search {
        sql.push(" AND g.search_text LIKE ").text(search_pattern(search)).push(" ESCAPE '!'");
    }
    if let Some(members) = &filter.group {
        push_members(sql, members, way);
    }
    push_rule(sql, &filter.rule);
    for (index, status) in filter.statuses.iter().enumerate() {
        sql.push(if index == 0 { " AND (" } else { " OR " });
        push_rank(sql, now);
        sql.push(" = ").number(status.rank());
    }
    if !filter.statuses.is_empty() {
        sql.push(")");
    }
}

fn push_customers(sql: &mut Sql, customers: &[CustomerId], way: Way) {
    sql.push(match way {
        Way::Pass => " AND g.customer_id IN ",
        Way::Index => " AND (g.customer_id || '') IN ",
    });
    sql.list(customers);
}

/// A gateway of another customer is never a member, whatever the table of members says.
fn push_members(sql: &mut Sql, members: &Members, way: Way) {
    push_customers(sql, &[members.customer], way);
    sql.push(" AND g.retired_at IS NULL AND (");
    let group = members.group.to_string();
    match way {
        Way::Pass => {
            sql.push("g.eui IN (SELECT m.eui FROM group_members m WHERE m.group_id = ").text(group);
        }
        Way::Index => {
            sql.push("EXISTS (SELECT 1 FROM group_members m WHERE m.eui = g.eui AND m.group_id = ")
                .text(group);
        }
    }
    sql.push(")");
    if let Some(rule) = &members.rule {
        sql.push(" OR (1 = 1");
        push_rule(sql, rule);
        sql.push(")");
    }
    sql.push(")");
}

/// [`Rule::is_met_by`] in SQL; a test holds the two against each other.
fn push_rule(sql: &mut Sql, rule: &Rule) {
    for condition in &rule.conditions {
        sql.push(" AND ");
        match condition {
            Condition::Model { is, models } => {
                sql.push("g.codename IS NOT NULL AND g.codename ")
                    .push(if *is { "IN " } else { "NOT IN " })
                    .list(models);
            }
            Condition::Label { has, labels } => {
                sql.push(if *has { "g.eui IN " } else { "g.eui NOT IN " });
                sql.push("(SELECT l.eui FROM gateway_labels l WHERE l.label IN ").list(labels).push(")");
            }
            Condition::Keros { within, ranges } => push_ranges(sql, *within, ranges),
        }
    }
}

fn push_ranges(sql: &mut Sql, within: bool, ranges: &[Range]) {
    // An empty key is an unknown version. As an expression, so that no list is taken through its index and then sorted.
    sql.push("g.keros_key <> '' AND ").push(if within { "(" } else { "NOT (" });
    for (index, range) in ranges.iter().enumerate() {
        sql.push(if index == 0 { "(1 = 1" } else { " OR (1 = 1" });
        if let Some(low) = &range.low {
            sql.push(" AND (g.keros_key || '') >= ").text(low.clone());
        }
        if let Some(high) = &range.high {
            sql.push(" AND (g.keros_key || '') < ").text(high.clone());
        }
        sql.push(")");
    }
    sql.push(")");
}
