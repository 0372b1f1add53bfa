//! Gateways by what is asked of them: pages of lists, counts, and all that an order is for.

mod filter;
mod page;

use keros_protocol::{Eui, UnixSeconds};
use sqlx::{AnyConnection, Row as _};

use super::gateways::{GATEWAY_COLUMNS, gateway_row};
use super::sql::Sql;
use super::{GatewayRow, Result, count, euis, flag, to_big};
use crate::gateway::status::ConnectionStatus;

pub(crate) use filter::{Filter, Members};
use filter::{Way, push_filter, push_rank};
pub(crate) use page::{Key, MOST_COUNTED, Part, Place, Sort, page};

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

/// All that match, by EUI.
pub(crate) async fn all(
    connection: &mut AnyConnection,
    filter: &Filter,
    now: UnixSeconds,
) -> Result<Vec<Eui>> {
    // One value and not 100,000 rows. `STRING_AGG` is in both databases.
    let mut sql = Sql::new("SELECT STRING_AGG(g.eui, '') AS euis FROM gateways g WHERE ");
    push_filter(&mut sql, filter, Way::Pass, now);
    match sql.fetch(connection).await?.first() {
        Some(row) => euis(row, "euis"),
        None => Ok(Vec::new()),
    }
}

/// Gateways that are alike in all that decides whether they take an update, but for their EUIs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Hardware code name as last stated.
    pub(crate) codename: Option<String>,
    /// KerOS version as last stated.
    pub(crate) keros_version: Option<String>,
    /// They have sent telemetry.
    pub(crate) heard: bool,
    /// The gateways.
    pub(crate) gateways: Vec<Eui>,
}

/// All that match, by kind.
pub(crate) async fn kinds(
    connection: &mut AnyConnection,
    filter: &Filter,
    now: UnixSeconds,
) -> Result<Vec<Kind>> {
    let mut sql = Sql::new(
        "SELECT g.codename AS codename, g.keros_version AS keros_version, STRING_AGG(g.eui, '') AS euis, \
         CASE WHEN g.last_telemetry_at IS NULL THEN 0 ELSE 1 END AS heard FROM gateways g WHERE ",
    );
    push_filter(&mut sql, filter, Way::Pass, now);
    sql.push(
        " GROUP BY g.codename, g.keros_version, CASE WHEN g.last_telemetry_at IS NULL THEN 0 ELSE 1 END",
    );
    let rows = sql.fetch(connection).await?;
    let kind = |row: &sqlx::any::AnyRow| {
        Ok(Kind {
            codename: row.try_get("codename")?,
            keros_version: row.try_get("keros_version")?,
            heard: flag(row, "heard")?,
            gateways: euis(row, "euis")?,
        })
    };
    rows.iter().map(kind).collect()
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
