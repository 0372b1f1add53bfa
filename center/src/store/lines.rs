//! The lines of an update in parts: those of one status, from a gateway on. A great update is never read whole for a page.

use keros_protocol::{Delivery, Eui, UnixSeconds, UpdateId};
use sqlx::AnyConnection;

use super::updates::line_row;
use super::{LineRow, Result, to_big};

/// Which lines of an update are meant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum LineFilter {
    /// All of them.
    #[default]
    All,
    /// Those whose delivery this is.
    Delivery(Delivery),
    /// Those of which nothing was reported.
    NoOutcome,
    /// Those whose outcome has this name.
    Outcome(String),
    /// Those whose gateway owes a word.
    Overdue,
    /// Those whose dry run would change just this.
    Differences(String),
}

/// What [`page`] reads: `$1` the update, `$2` the gateway before, `$3` how many.
macro_rules! lines {
    ($condition:literal) => {
        concat!(
            "SELECT c.command_id, c.update_id, c.eui AS eui, c.delivery, c.times_sent, c.outcome_json, c.changed_at, \
             c.cancel_requested_at, c.overdue_at, g.name AS name, g.codename AS codename, g.online AS online, \
             c.stage AS stage, g.last_telemetry_at AS last_telemetry_at, \
             CASE WHEN g.customer_id = u.customer_id THEN 1 ELSE 0 END AS is_own, \
             CASE WHEN c.outcome IN ('received', 'accepted') THEN (SELECT v.telemetry FROM gateway_vitals v WHERE v.eui = c.eui) ELSE NULL END AS telemetry \
             FROM commands c JOIN gateways g ON g.eui = c.eui JOIN updates u ON u.update_id = c.update_id WHERE c.update_id = $1 AND c.eui > $2",
            $condition,
            " ORDER BY c.eui LIMIT $3"
        )
    };
}

/// Lines by the EUIs of their gateways, those after `after`.
pub(crate) async fn page(
    connection: &mut AnyConnection,
    update_id: UpdateId,
    filter: &LineFilter,
    after: Option<Eui>,
    limit: u32,
    now: UnixSeconds,
) -> Result<Vec<LineRow>> {
    let sql = match filter {
        LineFilter::All => lines!(""),
        LineFilter::Delivery(_) => lines!(" AND c.delivery = $4"),
        LineFilter::NoOutcome => lines!(" AND c.outcome IS NULL"),
        LineFilter::Outcome(_) => lines!(" AND c.outcome = $4"),
        LineFilter::Overdue => lines!(" AND c.overdue_at <= $4"),
        LineFilter::Differences(_) => lines!(" AND c.differences_digest = $4"),
    };
    let query = sqlx::query(sql)
        .bind(update_id.to_string())
        .bind(after.map(|eui| eui.to_string()).unwrap_or_default())
        .bind(i64::from(limit));
    let query = match filter {
        LineFilter::All | LineFilter::NoOutcome => query,
        LineFilter::Delivery(delivery) => query.bind(delivery.as_str()),
        LineFilter::Outcome(text) | LineFilter::Differences(text) => query.bind(text.clone()),
        LineFilter::Overdue => query.bind(to_big(now)),
    };
    query.fetch_all(connection).await?.iter().map(line_row).collect()
}
