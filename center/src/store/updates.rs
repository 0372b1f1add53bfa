//! The tables of updates and of their commands, one for each gateway.

use keros_protocol::magic_link::Digest;
use keros_protocol::{CommandId, Delivery, Eui, Job, JobLimits, JobOptions, Outcome, UnixSeconds, UpdateId};
use serde::{Deserialize, Serialize};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use sqlx::{QueryBuilder, Row as _};
use uuid::Uuid;

use super::among::Among;
use super::fleet::{self, Filter};
use super::plans::{PlanRow, gate, plan_row};
use super::{
    Customer, Result, StoreError, count, from_json, groups, number, numbered, optional_number, parsed,
    shown_name, to_big, to_json,
};
use crate::access::{CustomerId, GroupId, UserId, Visible};
use crate::api::SendOptions;
use crate::plan::{Gate, Plan};
use crate::service::Pending;

/// Rows of one INSERT: 8 values each, far below SQLite's 32,766 values for one statement.
const ROWS_PER_INSERT: usize = 500;

/// Whose update it is, and who sent it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Origin {
    /// Whose.
    pub(crate) customer: Customer,
    /// The group; `None` for a command that is carried by hand. It may be gone.
    pub(crate) group_id: Option<GroupId>,
    /// Who sent it; `None`: whoever has the center's own token.
    pub(crate) created_by_id: Option<UserId>,
    /// His log-in name then; empty in what was sent before there were users.
    pub(crate) created_by: String,
}

/// An update.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct UpdateRow {
    /// The update.
    pub(crate) update_id: UpdateId,
    /// The group that it was sent to.
    pub(crate) group: String,
    /// Kind of its job.
    pub(crate) kind: String,
    /// The Magic Link that it runs.
    pub(crate) link_digest: Option<Digest>,
    /// When it was sent.
    pub(crate) created_at: UnixSeconds,
    /// When its commands expire.
    pub(crate) expires_at: UnixSeconds,
    /// Its one command is carried to the gateway by a person.
    pub(crate) by_hand: bool,
    /// Whose it is, and who sent it.
    pub(crate) origin: Origin,
    /// The one gateway, when it was sent to a gateway and not to a group.
    pub(crate) eui: Option<Eui>,
    /// How its job is done.
    pub(crate) options: JobOptions,
    /// When its commands are handed out, and how far that is.
    pub(crate) plan: PlanRow,
    /// It is a dry run that comes first: how the real one is to be done.
    pub(crate) real_order: Option<RealOrder>,
}

/// How an order is to be done whose dry run comes first; kept as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RealOrder {
    /// How it is to be done.
    pub(crate) options: SendOptions,
    /// When its commands are handed out.
    pub(crate) plan: Plan,
    /// Seconds until its commands expire.
    pub(crate) expires_in_s: Option<u64>,
}

/// An update to be kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewUpdate {
    /// What is kept of it.
    pub(crate) row: UpdateRow,
    /// What is to be done.
    pub(crate) job: Job,
    /// How much it may use.
    pub(crate) limits: JobLimits,
    /// A command for each gateway, in the order of the stages.
    pub(crate) commands: Vec<(CommandId, Eui)>,
    /// How many commands are in each stage.
    pub(crate) stages: Vec<usize>,
}

impl NewUpdate {
    /// The commands, each with its stage.
    fn staged(&self) -> Vec<(CommandId, Eui, i64)> {
        let stages = (0_i64..).zip(&self.stages).flat_map(|(stage, size)| std::iter::repeat_n(stage, *size));
        self.commands
            .iter()
            .zip(stages.chain(std::iter::repeat(0)))
            .map(|((id, eui), stage)| (*id, *eui, stage))
            .collect()
    }
}

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
    /// When the gateway's next word about it should have come; `None` while none is owed.
    pub(crate) overdue_at: Option<UnixSeconds>,
}

impl CommandRow {
    /// Whether the gateway owes a word about it.
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
    /// The command that it told of then as under way; only of one that has not begun with this one.
    pub(crate) busy_with: Option<CommandId>,
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

/// How many commands of an update are alike.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CountRow {
    /// Their update.
    pub(crate) update_id: UpdateId,
    /// Their delivery.
    pub(crate) delivery: Delivery,
    /// The name of their outcome.
    pub(crate) outcome: Option<String>,
    /// How many.
    pub(crate) commands: u32,
    /// How many of them are overdue.
    pub(crate) overdue: u32,
}

fn update_row(row: &AnyRow) -> Result<UpdateRow> {
    Ok(UpdateRow {
        update_id: parsed(row, "update_id")?,
        group: row.try_get("group_name")?,
        kind: row.try_get("kind")?,
        link_digest: row
            .try_get::<Option<String>, _>("link_digest")?
            .map(|_| parsed(row, "link_digest"))
            .transpose()?,
        created_at: number(row, "created_at")?,
        expires_at: number(row, "expires_at")?,
        by_hand: number(row, "by_hand")? != 0,
        origin: Origin {
            customer: Customer { id: parsed(row, "customer_id")?, name: row.try_get("customer")? },
            group_id: row.try_get::<Option<String>, _>("group_id")?.map(GroupId::from),
            created_by_id: row
                .try_get::<Option<String>, _>("created_by_id")?
                .map(|_| parsed(row, "created_by_id"))
                .transpose()?,
            created_by: row.try_get("created_by")?,
        },
        eui: row.try_get::<Option<String>, _>("eui")?.map(|_| parsed(row, "eui")).transpose()?,
        options: from_json(row, "options")?.unwrap_or_default(),
        plan: plan_row(row)?,
        real_order: from_json(row, "real_order")?,
    })
}

/// What [`update_row`] reads.
macro_rules! updates {
    ($rest:literal) => {
        concat!(
            "SELECT u.update_id AS update_id, u.group_name AS group_name, u.kind AS kind, \
             u.link_digest AS link_digest, u.created_at AS created_at, u.expires_at AS expires_at, \
             u.by_hand AS by_hand, u.customer_id AS customer_id, k.name AS customer, u.group_id AS group_id, \
             u.created_by_id AS created_by_id, u.created_by AS created_by, u.eui AS eui, u.options AS options, \
             u.plan AS plan, u.stage AS stage, u.last_stage AS last_stage, u.stage_since AS stage_since, \
             u.halted_at AS halted_at, u.halted_why AS halted_why, u.forgiven AS forgiven, u.follows AS follows, \
             u.follows_as AS follows_as, u.failed_at AS failed_at, u.ended_at AS ended_at, u.real_order AS real_order \
             FROM updates u JOIN customers k ON k.customer_id = u.customer_id ",
            $rest
        )
    };
}

/// What [`pending`] reads.
macro_rules! pending {
    ($rest:literal) => {
        concat!(
            "SELECT c.update_id AS update_id, c.eui AS eui, u.kind AS kind, u.group_name AS group_name, \
             u.created_by AS created_by FROM commands c JOIN updates u ON u.update_id = c.update_id ",
            $rest
        )
    };
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

/// Keeps an update and its commands: all `waiting`, or handed out already.
pub(crate) async fn create(connection: &mut AnyConnection, update: &NewUpdate) -> Result<()> {
    let (row, plan) = (&update.row, &update.row.plan);
    let (delivery, times_sent) = if row.by_hand { (Delivery::Sent, 1_i64) } else { (Delivery::Waiting, 0) };
    sqlx::query(
        "INSERT INTO updates (update_id, group_name, kind, job, limits, options, created_at, expires_at, \
         link_digest, by_hand, customer_id, group_id, created_by_id, created_by, eui, plan, last_stage, stage_since, \
         follows, follows_as, real_order) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, \
         $16, $17, $18, $19, $20, $21)",
    )
    .bind(row.update_id.to_string())
    .bind(row.group.clone())
    .bind(row.kind.clone())
    .bind(to_json("job", &update.job)?)
    .bind(to_json("limits", &update.limits)?)
    .bind(to_json("options", &row.options)?)
    .bind(to_big(row.created_at))
    .bind(to_big(row.expires_at))
    .bind(row.link_digest.map(|digest| digest.to_string()))
    .bind(i64::from(row.by_hand))
    .bind(row.origin.customer.id.to_string())
    .bind(row.origin.group_id.as_ref().map(ToString::to_string))
    .bind(row.origin.created_by_id.map(|user| user.to_string()))
    .bind(row.origin.created_by.clone())
    .bind(row.eui.map(|eui| eui.to_string()))
    .bind(if plan.plan.is_empty() { None } else { Some(to_json("plan", &plan.plan)?) })
    .bind(i64::from(plan.progress.last))
    .bind(to_big(plan.progress.since))
    .bind(plan.follows.map(|(update_id, _)| update_id.to_string()))
    .bind(plan.follows.map(|(_, kind)| kind.as_str()))
    .bind(row.real_order.as_ref().map(|order| to_json("real_order", order)).transpose()?)
    .execute(&mut *connection)
    .await?;
    for commands in update.staged().chunks(ROWS_PER_INSERT) {
        let mut insert = QueryBuilder::<sqlx::Any>::new(
            "INSERT INTO commands (command_id, update_id, eui, expires_at, delivery, times_sent, changed_at, stage) ",
        );
        insert.push_values(commands, |mut values, (command_id, eui, stage)| {
            values
                .push_bind(command_id.to_string())
                .push_bind(row.update_id.to_string())
                .push_bind(eui.to_string())
                .push_bind(to_big(row.expires_at))
                .push_bind(delivery.as_str())
                .push_bind(times_sent)
                .push_bind(to_big(row.created_at))
                .push_bind(*stage);
        });
        numbered(insert)?.execute(&mut *connection).await?;
    }
    Ok(())
}

/// One update.
pub(crate) async fn find(connection: &mut AnyConnection, update_id: UpdateId) -> Result<Option<UpdateRow>> {
    let row = sqlx::query(updates!("WHERE u.update_id = $1"))
        .bind(update_id.to_string())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(update_row).transpose()
}

/// The visible updates, newest first, those before `before`.
pub(crate) async fn list(
    connection: &mut AnyConnection,
    visible: &Visible,
    before: Option<UpdateId>,
    limit: u32,
) -> Result<Vec<UpdateRow>> {
    // Version 7 UUIDs sort by time; `g` is after every hex digit.
    let among = Among::new("u.customer_id", visible, 3);
    let sql = among.within(updates!("WHERE u.update_id < $1 AND {among} ORDER BY u.update_id DESC LIMIT $2"));
    let query = sqlx::query(sql)
        .bind(before.map_or_else(|| "g".to_owned(), |id| id.to_string()))
        .bind(i64::from(limit));
    let rows = among.bind(query).fetch_all(connection).await?;
    rows.iter().map(update_row).collect()
}

/// Whose updates are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UpdatesOf<'a> {
    /// Those that were sent to a group.
    Group(&'a GroupId),
    /// Those that have a command for a gateway.
    Gateway(Eui),
}

/// Updates of a group or a gateway, newest first.
pub(crate) async fn list_of(
    connection: &mut AnyConnection,
    visible: &Visible,
    of: UpdatesOf<'_>,
    limit: u32,
) -> Result<Vec<UpdateRow>> {
    let among = Among::new("u.customer_id", visible, 3);
    let (sql, of) = match of {
        UpdatesOf::Group(group) => (
            updates!("WHERE u.group_id = $1 AND {among} ORDER BY u.update_id DESC LIMIT $2"),
            group.to_string(),
        ),
        UpdatesOf::Gateway(eui) => (
            updates!(
                "WHERE u.update_id IN (SELECT update_id FROM commands WHERE eui = $1) AND {among} \
                 ORDER BY u.update_id DESC LIMIT $2"
            ),
            eui.to_string(),
        ),
    };
    let query = sqlx::query(among.within(sql)).bind(of).bind(i64::from(limit));
    among.bind(query).fetch_all(connection).await?.iter().map(update_row).collect()
}

/// The counts of one update.
pub(crate) async fn counts(
    connection: &mut AnyConnection,
    update_id: UpdateId,
    now: UnixSeconds,
) -> Result<Vec<CountRow>> {
    let rows = sqlx::query(
        "SELECT update_id, delivery, outcome, COUNT(*) AS n, \
         SUM(CASE WHEN overdue_at <= $2 THEN 1 ELSE 0 END) AS late FROM commands WHERE update_id = $1 \
         GROUP BY update_id, delivery, outcome",
    )
    .bind(update_id.to_string())
    .bind(to_big(now))
    .fetch_all(connection)
    .await?;
    let count_row = |row: &AnyRow| {
        Ok(CountRow {
            update_id: parsed(row, "update_id")?,
            delivery: parsed(row, "delivery")?,
            outcome: row.try_get("outcome")?,
            commands: count(row, "n")?,
            overdue: count(row, "late")?,
        })
    };
    rows.iter().map(count_row).collect()
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

/// The lines of an update, or the one of a gateway.
pub(crate) async fn lines(
    connection: &mut AnyConnection,
    update_id: UpdateId,
    eui: Option<Eui>,
) -> Result<Vec<LineRow>> {
    let rows = sqlx::query(
        "SELECT c.command_id, c.update_id, c.eui AS eui, c.delivery, c.times_sent, c.outcome_json, c.changed_at, \
         c.cancel_requested_at, c.overdue_at, g.name AS name, g.codename AS codename, g.online AS online, \
         c.stage AS stage, g.last_telemetry_at AS last_telemetry_at, \
         CASE WHEN g.customer_id = u.customer_id THEN 1 ELSE 0 END AS is_own, \
         CASE WHEN c.outcome IN ('received', 'accepted') THEN (SELECT v.telemetry FROM gateway_vitals v WHERE v.eui = c.eui) ELSE NULL END AS telemetry \
         FROM commands c JOIN gateways g ON g.eui = c.eui JOIN updates u ON u.update_id = c.update_id \
         WHERE c.update_id = $1 AND ($2 = '' OR c.eui = $2) ORDER BY c.eui",
    )
    .bind(update_id.to_string())
    .bind(eui.map(|eui| eui.to_string()).unwrap_or_default())
    .fetch_all(connection)
    .await?;
    rows.iter().map(line_row).collect()
}

/// A command, and what is shown of its gateway.
pub(super) fn line_row(row: &AnyRow) -> Result<LineRow> {
    let command = command_row(row)?;
    if number(row, "is_own")? == 0 {
        // It has moved to another customer since: what it is called and how it is there is that one's affair.
        let name = shown_name(command.eui, None, None);
        let stage = count(row, "stage")?;
        return Ok(LineRow { command, name, online: false, stage, last_telemetry_at: None, busy_with: None });
    }
    let (name, codename): (Option<String>, Option<String>) = (row.try_get("name")?, row.try_get("codename")?);
    let name = shown_name(command.eui, name.as_deref(), codename.as_deref());
    let telemetry: Option<Busy> = from_json(row, "telemetry")?;
    let busy_with = telemetry.and_then(|told| told.job).map(|job| job.command_id);
    Ok(LineRow {
        busy_with: busy_with.filter(|busy| *busy != command.command_id),
        command,
        name,
        online: number(row, "online")? != 0,
        stage: count(row, "stage")?,
        last_telemetry_at: optional_number(row, "last_telemetry_at")?,
    })
}

/// One command.
pub(crate) async fn command(
    connection: &mut AnyConnection,
    command_id: CommandId,
) -> Result<Option<KnownCommand>> {
    let row = sqlx::query(
        "SELECT c.command_id, c.update_id AS update_id, c.eui, c.delivery, c.times_sent, c.outcome_json, \
         c.changed_at, c.cancel_requested_at, c.overdue_at, c.expires_at AS expires_at, u.limits AS limits, \
         u.options AS options FROM commands c JOIN updates u ON u.update_id = c.update_id WHERE c.command_id = $1",
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
        Ok(KnownCommand { row: command_row(row)?, allowance })
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

/// Whether a gateway may have to be told of a command: one that is not known to be received, that has not ended, or whose end was
/// asked for. When not, there is nothing in [`due`], [`lost`] and [`super::cancellations::open`].
pub(crate) async fn has_open(connection: &mut AnyConnection, eui: Eui) -> Result<bool> {
    // Each has an index of its own: one condition with OR would read all that the gateway ever had.
    let row = sqlx::query(
        "SELECT 1 AS n WHERE EXISTS (SELECT 1 FROM commands WHERE eui = $1 AND delivery IN ('waiting', 'sent')) \
         OR EXISTS (SELECT 1 FROM commands WHERE eui = $1 AND overdue_at IS NOT NULL) \
         OR EXISTS (SELECT 1 FROM commands WHERE eui = $1 AND cancel_requested_at IS NOT NULL AND delivery = 'expired')",
    )
    .bind(eui.to_string())
    .fetch_optional(connection)
    .await?;
    Ok(row.is_some())
}

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

/// The gateway has the command, and this became of it.
pub(crate) async fn keep_outcome(
    connection: &mut AnyConnection,
    command_id: CommandId,
    outcome: &Outcome,
    overdue_at: Option<UnixSeconds>,
    now: UnixSeconds,
) -> Result<()> {
    sqlx::query(
        "UPDATE commands SET delivery = 'received', outcome = $2, outcome_json = $3, overdue_at = $4, \
         changed_at = $5 WHERE command_id = $1",
    )
    .bind(command_id.to_string())
    .bind(outcome.name().to_owned())
    .bind(to_json("outcome_json", outcome)?)
    .bind(overdue_at.map(to_big))
    .bind(to_big(now))
    .execute(connection)
    .await?;
    Ok(())
}

/// Commands whose time is over and that are not known to be received become `expired`; their updates.
pub(crate) async fn expire(connection: &mut AnyConnection, now: UnixSeconds) -> Result<Vec<UpdateId>> {
    let rows = sqlx::query(
        "SELECT DISTINCT update_id FROM commands WHERE delivery IN ('waiting', 'sent') AND expires_at <= $1",
    )
    .bind(to_big(now))
    .fetch_all(&mut *connection)
    .await?;
    if !rows.is_empty() {
        sqlx::query(
            "UPDATE commands SET delivery = 'expired', changed_at = $1 \
             WHERE delivery IN ('waiting', 'sent') AND expires_at <= $1",
        )
        .bind(to_big(now))
        .execute(connection)
        .await?;
    }
    rows.iter().map(|row| parsed(row, "update_id")).collect()
}

/// A command that waits, of an update that was sent to the group: also for a gateway that is no longer in it.
pub(crate) async fn pending_of_group(
    connection: &mut AnyConnection,
    group: &GroupId,
) -> Result<Option<Pending>> {
    let row = sqlx::query(pending!("WHERE u.group_id = $1 AND c.delivery = 'waiting' LIMIT 1"))
        .bind(group.to_string())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(pending).transpose()
}

/// A command that waits for a member of the group.
pub(crate) async fn pending_of_members(
    connection: &mut AnyConnection,
    group: &GroupId,
) -> Result<Option<Pending>> {
    let row = sqlx::query(pending!(
        "JOIN group_members m ON m.eui = c.eui WHERE m.group_id = $1 AND c.delivery = 'waiting' LIMIT 1"
    ))
    .bind(group.to_string())
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(row) = row {
        return Ok(Some(pending(&row)?));
    }
    // And for those that are members by its rule.
    let Some(members) = groups::members_by_rule(connection, group).await? else { return Ok(None) };
    let waited_for = fleet::waited_for(connection, &Filter::members(members)).await?;
    let Some((_, eui)) = waited_for else { return Ok(None) };
    Ok(pending_of_gateway(connection, eui).await?.into_iter().next())
}

/// A gateway of the update that is not in service with this customer.
pub(crate) async fn stranger(
    connection: &mut AnyConnection,
    update_id: UpdateId,
    customer: CustomerId,
) -> Result<Option<Eui>> {
    let row = sqlx::query(
        "SELECT c.eui AS eui FROM commands c JOIN gateways g ON g.eui = c.eui \
         WHERE c.update_id = $1 AND (g.customer_id <> $2 OR g.retired_at IS NOT NULL) LIMIT 1",
    )
    .bind(update_id.to_string())
    .bind(customer.to_string())
    .fetch_optional(connection)
    .await?;
    row.map(|row| parsed(&row, "eui")).transpose()
}

/// The commands that wait for a gateway: one of each type, by the rule of the orders.
pub(crate) async fn pending_of_gateway(connection: &mut AnyConnection, eui: Eui) -> Result<Vec<Pending>> {
    let rows =
        sqlx::query(pending!("WHERE c.eui = $1 AND c.delivery = 'waiting' ORDER BY c.command_id LIMIT 100"))
            .bind(eui.to_string())
            .fetch_all(connection)
            .await?;
    rows.iter().map(pending).collect()
}

/// Commands of other updates that wait for the gateways of this one; some of them.
pub(crate) async fn pending_beside(
    connection: &mut AnyConnection,
    update_id: UpdateId,
) -> Result<Vec<Pending>> {
    let rows = sqlx::query(pending!(
        "JOIN commands n ON n.eui = c.eui WHERE n.update_id = $1 AND c.update_id <> $1 AND c.delivery = 'waiting' LIMIT 100"
    ))
    .bind(update_id.to_string())
    .fetch_all(connection)
    .await?;
    rows.iter().map(pending).collect()
}

fn pending(row: &AnyRow) -> Result<Pending> {
    Ok(Pending {
        update_id: parsed(row, "update_id")?,
        kind: row.try_get("kind")?,
        eui: parsed(row, "eui")?,
        group: row.try_get("group_name")?,
        by: row.try_get("created_by")?,
    })
}
