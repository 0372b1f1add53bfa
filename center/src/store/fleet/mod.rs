//! Gateways by what is asked of them: pages of lists, counts, and all that an order is for.

mod filter;
mod page;

use keros_protocol::{Eui, UnixSeconds};
use sqlx::{AnyConnection, Row as _};

use super::gateways::{KNOWN_COLUMNS, gateway_row};
use super::sql::Sql;
use super::{GatewayRow, Result, count, euis, flag, to_big};
use crate::gateway::status::ConnectionStatus;

pub(crate) use filter::{Filter, Members};
use filter::{Way, push_matching, push_rank};
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
    // Not by GROUP BY, for which SQLite sorts them.
    let mut sql = Sql::new(
        "SELECT COUNT(*) AS n, COUNT(CASE WHEN status_rank = 0 THEN 1 END) AS n0, \
         COUNT(CASE WHEN status_rank = 1 THEN 1 END) AS n1, COUNT(CASE WHEN status_rank = 2 THEN 1 END) AS n2 FROM (SELECT ",
    );
    push_rank(&mut sql, now);
    sql.push(" AS status_rank");
    push_matching(&mut sql, filter, Way::Pass, now);
    sql.push(") s");
    let rows = sql.fetch(connection).await?;
    let Some(row) = rows.first() else { return Ok(StatusCounts::default()) };
    let [all, n0, n1, n2] = [count(row, "n")?, count(row, "n0")?, count(row, "n1")?, count(row, "n2")?];
    Ok(StatusCounts { by_rank: [n0, n1, n2, all.saturating_sub(n0 + n1 + n2)] })
}

/// How many match.
pub(crate) async fn total(connection: &mut AnyConnection, filter: &Filter, now: UnixSeconds) -> Result<u32> {
    let mut sql = Sql::new("SELECT COUNT(*) AS n");
    push_matching(&mut sql, filter, Way::Pass, now);
    sql.fetch(connection).await?.first().map_or(Ok(0), |row| count(row, "n"))
}

/// All that match, by EUI.
pub(crate) async fn all(
    connection: &mut AnyConnection,
    filter: &Filter,
    now: UnixSeconds,
) -> Result<Vec<Eui>> {
    // One value and not 100,000 rows. `STRING_AGG` is in both databases.
    let mut sql = Sql::new("SELECT STRING_AGG(g.eui, '') AS euis");
    push_matching(&mut sql, filter, Way::Pass, now);
    match sql.fetch(connection).await?.first() {
        Some(row) => euis(row, "euis"),
        None => Ok(Vec::new()),
    }
}

/// All that match, by EUI, and those of them that are connected.
pub(crate) async fn all_and_online(
    connection: &mut AnyConnection,
    filter: &Filter,
    now: UnixSeconds,
) -> Result<(Vec<Eui>, Vec<Eui>)> {
    let mut sql = Sql::new(
        "SELECT STRING_AGG(g.eui, '') AS euis, STRING_AGG(CASE WHEN g.online = 1 THEN g.eui END, '') AS online",
    );
    push_matching(&mut sql, filter, Way::Pass, now);
    match sql.fetch(connection).await?.first() {
        Some(row) => Ok((euis(row, "euis")?, euis(row, "online")?)),
        None => Ok((Vec::new(), Vec::new())),
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

/// All that match, by kind. Whoever has sent telemetry has said its agent's version with it, and the index of kinds knows that.
pub(crate) async fn kinds(
    connection: &mut AnyConnection,
    filter: &Filter,
    now: UnixSeconds,
) -> Result<Vec<Kind>> {
    let mut sql = Sql::new(
        "SELECT g.codename AS codename, g.keros_version AS keros_version, STRING_AGG(g.eui, '') AS euis, \
         CASE WHEN g.agent_version IS NULL THEN 0 ELSE 1 END AS heard",
    );
    push_matching(&mut sql, filter, Way::Kinds, now);
    // As the index has them: nothing is sorted.
    sql.push(" GROUP BY g.codename, g.keros_version, g.agent_version");
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
    sql.push(KNOWN_COLUMNS);
    push_matching(&mut sql, filter, Way::Pass, now);
    sql.push(" AND g.alerted_at IS NULL ORDER BY g.eui LIMIT ").number(to_big(limit as u64));
    sql.fetch(connection).await?.iter().map(gateway_row).collect()
}
