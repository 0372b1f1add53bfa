//! Commands, one for each gateway of an update: how far each has come, and which a gateway has to be told of.

use std::collections::BTreeSet;

use keros_protocol::{CommandId, Delivery, Eui, Job, JobLimits, JobOptions, Outcome, UnixSeconds, UpdateId};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe};
use uuid::Uuid;

use super::plans::gate;
use super::sql::Sql;
use super::{
    NewUpdate, Result, StoreError, count, euis, from_json, number, optional_number, parsed, to_big, to_json,
};
use crate::access::CustomerId;
use crate::plan::Gate;

/// Rows of one INSERT: three values each. `sqlx` asks SQLite for the name of each value, which looks through all of them: with 500 rows that was a
/// fifth of the time of an order to 100,000.
const ROWS_PER_INSERT: usize = 100;

/// A delivery.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CommandRow {
    /// The command.
    pub(crate) command_id: CommandId,
    /// Its update.
    pub(crate) update_id: UpdateId,
    /// The gateway that it is for.
    pub(crate) eui: Eui,
    /// How far it has come.
    pub(crate) delivery: Delivery,
    /// How often it was sent.
    pub(crate) times_sent: u32,
    /// What became of it.
    pub(crate) outcome: Option<Outcome>,
    /// When any of this last changed.
    pub(crate) changed_at: UnixSeconds,
    /// When an operator asked for its end.
    pub(crate) cancel_requested_at: Option<UnixSeconds>,
    /// When the gateway's next step with it should have come; `None` while none is owed.
    pub(crate) overdue_at: Option<UnixSeconds>,
}

impl CommandRow {
    /// Whether the gateway is late with it.
    pub(crate) fn is_overdue(&self, now: UnixSeconds) -> bool {
        self.overdue_at.is_some_and(|at| at <= now)
    }
}

/// A delivery, and what decides how long it may take.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KnownCommand {
    /// The delivery.
    pub(crate) row: CommandRow,
    /// How long it may take.
    pub(crate) allowance: Allowance,
    /// The counts of its update are kept.
    pub(crate) is_counted: bool,
}

/// What decides how long a command may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// When it expires.
    pub(crate) expires_at: UnixSeconds,
    /// How much it may use.
    pub(crate) limits: JobLimits,
    /// How it is done.
    pub(crate) options: JobOptions,
}

/// A command that has to be sent, with all that its envelope is made from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DueCommand {
    /// The command.
    pub(crate) command_id: CommandId,
    /// Its update.
    pub(crate) update_id: UpdateId,
    /// When the update was sent.
    pub(crate) issued_at: UnixSeconds,
    /// When it expires.
    pub(crate) expires_at: UnixSeconds,
    /// What is to be done.
    pub(crate) job: Job,
    /// How much it may use.
    pub(crate) limits: JobLimits,
    /// How it is to be done.
    pub(crate) options: JobOptions,
    /// Its end was asked for: it must not be sent without its cancellation.
    pub(crate) cancel_requested: bool,
    /// A person carries it to the gateway.
    pub(crate) by_hand: bool,
    /// What its update lets through.
    pub(crate) gate: Gate,
    /// Its stage.
    pub(crate) stage: u32,
}

pub(super) fn command_row(row: &AnyRow) -> Result<CommandRow> {
    Ok(CommandRow {
        command_id: parsed(row, "command_id")?,
        update_id: parsed(row, "update_id")?,
        eui: parsed(row, "eui")?,
        delivery: parsed(row, "delivery")?,
        times_sent: count(row, "times_sent")?,
        outcome: from_json(row, "outcome_json")?,
        changed_at: number(row, "changed_at")?,
        cancel_requested_at: optional_number(row, "cancel_requested_at")?,
        overdue_at: optional_number(row, "overdue_at")?,
    })
}

/// Keeps the commands of a new update.
pub(crate) async fn create(
    connection: &mut AnyConnection,
    update: &NewUpdate,
    delivery: Delivery,
    times_sent: i64,
) -> Result<()> {
    for commands in update.commands.chunks(ROWS_PER_INSERT) {
        // What all have alike is a value once, and all statements of full length are one that is prepared.
        let mut query = sqlx::query(AssertSqlSafe(insert(commands.len())))
            .bind(update.row.update_id.to_string())
            .bind(to_big(update.row.expires_at))
            .bind(delivery.as_str())
            .bind(times_sent)
            .bind(to_big(update.row.created_at));
        for (command_id, eui, stage) in commands {
            query = query.bind(command_id.to_string()).bind(eui.to_string()).bind(i64::from(*stage));
        }
        query.persistent(commands.len() == ROWS_PER_INSERT).execute(&mut *connection).await?;
    }
    Ok(())
}

/// The statement that inserts so many commands. Both databases name the columns of VALUES so.
fn insert(rows: usize) -> String {
    use std::fmt::Write as _;
    let mut sql = "INSERT INTO commands (command_id, eui, stage, update_id, expires_at, delivery, times_sent, changed_at) \
                   SELECT v.column1, v.column2, v.column3, $1, $2, $3, $4, $5 FROM (VALUES "
        .to_owned();
    for row in 0..rows {
        let comma = if row == 0 { "" } else { ", " };
        let first = 6 + 3 * row;
        let _ = write!(sql, "{comma}(${first}, ${}, ${})", first + 1, first + 2);
    }
    sql + ") AS v"
}

/// One command.
pub(crate) async fn find(
    connection: &mut AnyConnection,
    command_id: CommandId,
) -> Result<Option<KnownCommand>> {
    let row = sqlx::query(
        "SELECT c.command_id, c.update_id AS update_id, c.eui, c.delivery, c.times_sent, c.outcome_json, \
         c.changed_at, c.cancel_requested_at, c.overdue_at, c.expires_at AS expires_at, u.limits AS limits, \
         u.options AS options, CASE WHEN u.tally IS NULL THEN 0 ELSE 1 END AS counted \
         FROM commands c JOIN updates u ON u.update_id = c.update_id WHERE c.command_id = $1",
    )
    .bind(command_id.to_string())
    .fetch_optional(connection)
    .await?;
    let known = |row: &AnyRow| {
        let allowance = Allowance {
            expires_at: number(row, "expires_at")?,
            limits: from_json(row, "limits")?.unwrap_or_default(),
            options: from_json(row, "options")?.unwrap_or_default(),
        };
        Ok(KnownCommand { row: command_row(row)?, allowance, is_counted: number(row, "counted")? != 0 })
    };
    row.as_ref().map(known).transpose()
}

/// What [`due_command`] reads, of one gateway (`$1`).
macro_rules! commands_of_gateway {
    ($condition:literal) => {
        concat!(
            "SELECT c.command_id, c.update_id AS update_id, c.expires_at AS expires_at, u.created_at AS created_at, \
             u.job AS job, u.limits AS limits, u.options AS options, c.cancel_requested_at AS cancel_requested_at, \
             u.by_hand AS by_hand, u.plan AS plan, u.stage AS released, u.halted_at AS halted_at, c.stage AS stage \
             FROM commands c JOIN updates u ON u.update_id = c.update_id WHERE c.eui = $1 AND ",
            $condition,
            " ORDER BY c.command_id LIMIT $3"
        )
    };
}

/// Whether a gateway (`$1`) may have to be told of a command: one that is not known to be received, that has not ended, or whose end was
/// asked for. When not, there is nothing in [`due`], [`lost`] and [`super::cancellations::open`]. Each has an index of its own: one condition
/// with OR would read all that the gateway ever had.
macro_rules! has_open {
    () => {
        "CASE WHEN EXISTS (SELECT 1 FROM commands WHERE eui = $1 AND delivery IN ('waiting', 'sent')) \
         OR EXISTS (SELECT 1 FROM commands WHERE eui = $1 AND overdue_at IS NOT NULL) \
         OR EXISTS (SELECT 1 FROM commands WHERE eui = $1 AND cancel_requested_at IS NOT NULL AND delivery = 'expired') \
         THEN 1 ELSE 0 END"
    };
}
pub(super) use has_open;

/// The commands that a gateway should be sent and is not known to have, oldest first.
pub(crate) async fn due(
    connection: &mut AnyConnection,
    eui: Eui,
    now: UnixSeconds,
    limit: usize,
) -> Result<Vec<DueCommand>> {
    let rows = sqlx::query(commands_of_gateway!(
        "c.delivery IN ('waiting', 'sent') AND c.expires_at > $2 AND u.by_hand = 0"
    ))
    .bind(eui.to_string())
    .bind(to_big(now))
    .bind(to_big(limit as u64))
    .fetch_all(connection)
    .await?;
    rows.iter().map(due_command).collect()
}

/// The commands that a gateway had, that have no end yet, and of which it has said nothing in the stream of reports that it is in
/// now: it has lost its state, and must ask its executor what became of them. Oldest first, and expired ones too: they may have
/// run.
pub(crate) async fn lost(
    connection: &mut AnyConnection,
    eui: Eui,
    stream: Uuid,
    limit: usize,
) -> Result<Vec<DueCommand>> {
    // A word is owed by exactly those that are received and have not ended.
    let rows = sqlx::query(commands_of_gateway!("c.overdue_at IS NOT NULL AND c.heard_stream <> $2"))
        .bind(eui.to_string())
        .bind(stream.to_string())
        .bind(to_big(limit as u64))
        .fetch_all(connection)
        .await?;
    rows.iter().map(due_command).collect()
}

/// The gateway has spoken of the command in this stream of reports.
pub(crate) async fn keep_heard_stream(
    connection: &mut AnyConnection,
    command_id: CommandId,
    stream: Uuid,
) -> Result<()> {
    sqlx::query(
        "UPDATE commands SET heard_stream = $2 WHERE command_id = $1 AND COALESCE(heard_stream, '') <> $2",
    )
    .bind(command_id.to_string())
    .bind(stream.to_string())
    .execute(connection)
    .await?;
    Ok(())
}

fn due_command(row: &AnyRow) -> Result<DueCommand> {
    let missing = |column| StoreError::Row { column, value: "NULL".to_owned() };
    Ok(DueCommand {
        command_id: parsed(row, "command_id")?,
        update_id: parsed(row, "update_id")?,
        issued_at: number(row, "created_at")?,
        expires_at: number(row, "expires_at")?,
        job: from_json(row, "job")?.ok_or_else(|| missing("job"))?,
        limits: from_json(row, "limits")?.ok_or_else(|| missing("limits"))?,
        options: from_json(row, "options")?.ok_or_else(|| missing("options"))?,
        cancel_requested: optional_number(row, "cancel_requested_at")?.is_some(),
        by_hand: number(row, "by_hand")? != 0,
        gate: gate(row)?,
        stage: count(row, "stage")?,
    })
}

/// A command is about to be sent once more.
pub(crate) async fn keep_sent(
    connection: &mut AnyConnection,
    command_id: CommandId,
    now: UnixSeconds,
) -> Result<()> {
    sqlx::query(
        "UPDATE commands SET delivery = 'sent', times_sent = times_sent + 1, changed_at = $2 \
         WHERE command_id = $1 AND delivery IN ('waiting', 'sent')",
    )
    .bind(command_id.to_string())
    .bind(to_big(now))
    .execute(connection)
    .await?;
    Ok(())
}

/// The gateway has the command, and this became of it, as it said in this stream of reports.
pub(crate) async fn keep_outcome(
    connection: &mut AnyConnection,
    command_id: CommandId,
    (outcome, stream): (&Outcome, Uuid),
    overdue_at: Option<UnixSeconds>,
    now: UnixSeconds,
) -> Result<()> {
    sqlx::query(
        "UPDATE commands SET delivery = 'received', outcome = $2, outcome_json = $3, overdue_at = $4, \
         changed_at = $5, heard_stream = $6 WHERE command_id = $1",
    )
    .bind(command_id.to_string())
    .bind(outcome.name().to_owned())
    .bind(to_json("outcome_json", outcome)?)
    .bind(overdue_at.map(to_big))
    .bind(to_big(now))
    .bind(stream.to_string())
    .execute(connection)
    .await?;
    Ok(())
}

/// Commands whose time is over and that are not known to be received become `expired`; their updates.
pub(crate) async fn expire(connection: &mut AnyConnection, now: UnixSeconds) -> Result<Vec<UpdateId>> {
    // All commands of an update expire with it; one whose commands are counted for good has none that waits.
    let rows = sqlx::query(
        "SELECT u.update_id AS update_id FROM updates u WHERE u.tally IS NULL AND u.expires_at <= $1 AND EXISTS \
         (SELECT 1 FROM commands c WHERE c.update_id = u.update_id AND c.delivery IN ('waiting', 'sent'))",
    )
    .bind(to_big(now))
    .fetch_all(&mut *connection)
    .await?;
    let updates: Vec<UpdateId> = rows.iter().map(|row| parsed(row, "update_id")).collect::<Result<_>>()?;
    for update_id in &updates {
        sqlx::query(
            "UPDATE commands SET delivery = 'expired', changed_at = $1 \
             WHERE update_id = $2 AND delivery IN ('waiting', 'sent')",
        )
        .bind(to_big(now))
        .bind(update_id.to_string())
        .execute(&mut *connection)
        .await?;
    }
    Ok(updates)
}

/// The gateways of an update, still in service with this customer, that ended it in one of these ways; by EUI.
pub(crate) async fn ended_so(
    connection: &mut AnyConnection,
    update_id: UpdateId,
    customer: CustomerId,
    ends: &BTreeSet<&'static str>,
) -> Result<Vec<Eui>> {
    let ends: Vec<&str> = ends.iter().copied().collect();
    let mut sql = Sql::new(
        // CROSS: SQLite begins with the commands then, of which few have ended so, and looks each gateway up.
        "SELECT STRING_AGG(c.eui, '') AS euis FROM commands c CROSS JOIN gateways g WHERE g.eui = c.eui AND c.update_id = ",
    );
    sql.text(update_id.to_string());
    sql.push(" AND g.retired_at IS NULL AND g.customer_id = ").text(customer.to_string());
    // The names of outcomes and of deliveries without one do not meet but for `cancelled`, which is both.
    sql.push(" AND CASE WHEN c.outcome IS NULL THEN c.delivery ELSE c.outcome END IN ").list(&ends);
    match sql.fetch(connection).await?.first() {
        Some(row) => euis(row, "euis"),
        None => Ok(Vec::new()),
    }
}
