//! The lines of an update in parts: those of one status, from a gateway on. A great update is never read whole for a page.

use keros_protocol::{CommandId, Delivery, Eui, UnixSeconds, UpdateId};
use serde::Deserialize;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::commands::command_row;
use super::{CommandRow, Result, count, flag, from_json, number, optional_number, shown_name, to_big};

/// A line of an update: a delivery, and what is shown of its gateway.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LineRow {
    /// The delivery.
    pub(crate) command: CommandRow,
    /// What people call the gateway.
    pub(crate) name: String,
    /// Whether it is connected.
    pub(crate) online: bool,
    /// The stage of the command.
    pub(crate) stage: u32,
    /// When the gateway's last telemetry arrived.
    pub(crate) last_telemetry_at: Option<UnixSeconds>,
    /// Whether it is where it was when the update was sent.
    pub(crate) standing: Standing,
    /// The command that it told of then as under way; only of one that has not begun with this one.
    pub(crate) busy_with: Option<CommandId>,
}

/// Whether a gateway is still where it was when an update was sent to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Standing {
    /// It is.
    #[default]
    InService,
    /// It is out of service.
    Retired,
    /// It is another customer's: how it is there is that one's affair.
    Moved,
}

/// Of a telemetry only the job under way.
#[derive(Deserialize)]
struct Busy {
    #[serde(default)]
    job: Option<BusyWith>,
}

#[derive(Deserialize)]
struct BusyWith {
    command_id: CommandId,
}

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

/// What [`line_row`] reads. `busy_with` is only wanted of those that have not begun.
macro_rules! lines {
    ($($rest:literal),+) => {
        concat!(
            "SELECT c.command_id, c.update_id, c.eui AS eui, c.delivery, c.times_sent, c.outcome_json, c.changed_at, \
             c.cancel_requested_at, c.overdue_at, g.name AS name, g.codename AS codename, g.online AS online, g.retired_at AS retired_at, \
             c.stage AS stage, g.last_telemetry_at AS last_telemetry_at, \
             CASE WHEN g.customer_id = u.customer_id THEN 1 ELSE 0 END AS is_own, \
             CASE WHEN c.outcome IN ('received', 'accepted') THEN (SELECT v.telemetry FROM gateway_vitals v WHERE v.eui = c.eui) ELSE NULL END AS telemetry \
             FROM commands c JOIN gateways g ON g.eui = c.eui JOIN updates u ON u.update_id = c.update_id \
             WHERE c.update_id = $1 AND ",
            $($rest),+
        )
    };
}

/// A page: `$2` the gateway before, `$3` how many. Those that fit are found in an index alone: only a page of rows is read.
macro_rules! page {
    ($condition:literal) => {
        lines!(
            "c.eui IN (SELECT n.eui FROM commands n WHERE n.update_id = $1 AND n.eui > $2 AND ",
            $condition,
            " ORDER BY n.eui LIMIT $3) ORDER BY c.eui"
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
    // Who has no outcome has not received it, and the other way round: said twice, so that the index is followed from where a page begins.
    let sql = match filter {
        LineFilter::All => page!("1 = 1"),
        LineFilter::Delivery(Delivery::Received) => page!("n.delivery = $4"),
        LineFilter::Delivery(_) => page!("n.delivery = $4 AND n.outcome IS NULL"),
        LineFilter::NoOutcome => page!("n.outcome IS NULL"),
        LineFilter::Outcome(_) => page!("n.delivery = 'received' AND n.outcome = $4"),
        LineFilter::Overdue => page!("n.overdue_at <= $4"),
        LineFilter::Differences(_) => page!("n.differences_digest = $4"),
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

/// The line of one gateway.
pub(crate) async fn find(
    connection: &mut AnyConnection,
    update_id: UpdateId,
    eui: Eui,
) -> Result<Option<LineRow>> {
    let row = sqlx::query(lines!("c.eui = $2"))
        .bind(update_id.to_string())
        .bind(eui.to_string())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(line_row).transpose()
}

/// All lines.
pub(crate) async fn all(connection: &mut AnyConnection, update_id: UpdateId) -> Result<Vec<LineRow>> {
    let rows =
        sqlx::query(lines!("1 = 1 ORDER BY c.eui")).bind(update_id.to_string()).fetch_all(connection).await?;
    rows.iter().map(line_row).collect()
}

/// A command, and what is shown of its gateway.
pub(super) fn line_row(row: &AnyRow) -> Result<LineRow> {
    let command = command_row(row)?;
    if !flag(row, "is_own")? {
        return Ok(LineRow {
            name: shown_name(command.eui, None, None),
            command,
            online: false,
            stage: count(row, "stage")?,
            last_telemetry_at: None,
            standing: Standing::Moved,
            busy_with: None,
        });
    }
    let (name, codename): (Option<String>, Option<String>) = (row.try_get("name")?, row.try_get("codename")?);
    let name = shown_name(command.eui, name.as_deref(), codename.as_deref());
    let telemetry: Option<Busy> = from_json(row, "telemetry")?;
    let busy_with = telemetry.and_then(|told| told.job).map(|job| job.command_id);
    let retired_at = optional_number(row, "retired_at")?;
    Ok(LineRow {
        standing: if retired_at.is_some() { Standing::Retired } else { Standing::InService },
        busy_with: busy_with.filter(|busy| *busy != command.command_id),
        command,
        name,
        online: number(row, "online")? != 0,
        stage: count(row, "stage")?,
        last_telemetry_at: optional_number(row, "last_telemetry_at")?,
    })
}
