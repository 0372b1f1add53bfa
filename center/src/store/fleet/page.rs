//! Pages of lists: searched, filtered, sorted, among 100,000.
//!
//! A list without a filter follows an index from where the last page ended. One with a filter is first asked for any [`MOST_COUNTED`] gateways
//! that match, in no order: when there are fewer, these are all of them, and are sorted here; when there are more, at least one in a
//! hundred matches, and following the index soon has a page full. Either way one page costs at most one pass over the narrow rows.

use std::cmp::Ordering;

use keros_protocol::{Eui, UnixSeconds};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::filter::{Filter, Way, push_matching, push_rank};
use super::total;
use crate::store::gateways::{GATEWAY_COLUMNS, gateway_row};
use crate::store::sql::Sql;
use crate::store::{GatewayRow, Result, parsed};

/// Gateways that match are counted up to here.
pub(crate) const MOST_COUNTED: u32 = 1000;

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
    let mut all = None;
    if filter.is_narrow() || part.sort == Sort::Status {
        let keys = some(connection, filter, part.sort, now).await?;
        if keys.len() <= MOST_COUNTED as usize {
            all = u32::try_from(keys.len()).ok();
            return sorted_here(connection, keys, part, all).await;
        }
    }
    if !filter.is_narrow() {
        all = Some(total(connection, filter, now).await?);
    }
    let mut keys = match part.sort {
        Sort::Status => by_status(connection, filter, part, now).await?,
        _ => following_an_index(connection, filter, part, now).await?,
    };
    let next = cut(&mut keys, part);
    Ok(Page { rows: rows(connection, &keys).await?, next, total: all })
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
    sql.push(" AS sort_key, g.eui AS eui");
    push_matching(&mut sql, filter, Way::Pass, now);
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
    sql.push(column).push(" AS sort_key, g.eui AS eui");
    push_matching(&mut sql, filter, Way::Index, now);
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
    sql.push(" AS sort_key, g.eui AS eui");
    push_matching(&mut sql, filter, Way::Pass, now);
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
