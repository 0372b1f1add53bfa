//! The table of updates.

use keros_protocol::magic_link::Digest;
use keros_protocol::{CommandId, Delivery, Eui, Job, JobLimits, JobOptions, UnixSeconds, UpdateId};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::among::Among;
use super::plans::{PlanRow, plan_row};
use super::tally::CountRow;
use super::{Customer, Result, commands, from_json, number, parsed, to_big, to_json};
use crate::access::{GroupId, UserId, Visible};
use crate::api::SendOptions;
use crate::plan::Plan;

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
    /// The first characters of its job, a script, as it is kept.
    pub(crate) job_begin: Option<String>,
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
    /// How many of its commands are alike, when they will hardly change any more.
    pub(crate) tally: Option<Vec<CountRow>>,
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
    /// A command for each gateway with its stage, by EUI: so each index grows at one place.
    pub(crate) commands: Vec<(CommandId, Eui, u32)>,
}

fn update_row(row: &AnyRow) -> Result<UpdateRow> {
    Ok(UpdateRow {
        update_id: parsed(row, "update_id")?,
        group: row.try_get("group_name")?,
        kind: row.try_get("kind")?,
        job_begin: row.try_get("job_begin")?,
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
        tally: from_json(row, "tally")?,
    })
}

/// What [`update_row`] reads.
macro_rules! updates {
    ($rest:literal) => {
        concat!(
            "SELECT u.update_id AS update_id, u.group_name AS group_name, u.kind AS kind, \
             CASE WHEN u.kind = 'jetporch' THEN SUBSTR(u.job, 1, 600) ELSE NULL END AS job_begin, \
             u.link_digest AS link_digest, u.created_at AS created_at, u.expires_at AS expires_at, \
             u.by_hand AS by_hand, u.customer_id AS customer_id, k.name AS customer, u.group_id AS group_id, \
             u.created_by_id AS created_by_id, u.created_by AS created_by, u.eui AS eui, u.options AS options, \
             u.plan AS plan, u.stage AS stage, u.last_stage AS last_stage, u.stage_since AS stage_since, \
             u.halted_at AS halted_at, u.halted_why AS halted_why, u.forgiven AS forgiven, u.follows AS follows, \
             u.follows_as AS follows_as, u.failed_at AS failed_at, u.ended_at AS ended_at, u.real_order AS real_order, \
             u.tally AS tally \
             FROM updates u JOIN customers k ON k.customer_id = u.customer_id ",
            $rest
        )
    };
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
    commands::create(connection, update, delivery, times_sent).await
}

/// One update.
pub(crate) async fn find(connection: &mut AnyConnection, update_id: UpdateId) -> Result<Option<UpdateRow>> {
    let row = sqlx::query(updates!("WHERE u.update_id = $1"))
        .bind(update_id.to_string())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(update_row).transpose()
}

/// Whose updates are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UpdatesOf<'a> {
    /// All of them.
    All,
    /// Those that were sent to a group.
    Group(&'a GroupId),
    /// Those that have a command for a gateway.
    Gateway(Eui),
}

/// The visible updates, newest first, those before `before`.
pub(crate) async fn list(
    connection: &mut AnyConnection,
    visible: &Visible,
    of: UpdatesOf<'_>,
    before: Option<UpdateId>,
    limit: u32,
) -> Result<Vec<UpdateRow>> {
    let among = Among::new("u.customer_id", visible, 4);
    let (sql, of) = match of {
        UpdatesOf::All => (
            updates!("WHERE u.update_id < $1 AND $3 = '' AND {among} ORDER BY u.update_id DESC LIMIT $2"),
            String::new(),
        ),
        UpdatesOf::Group(group) => (
            updates!(
                "WHERE u.update_id < $1 AND u.group_id = $3 AND {among} ORDER BY u.update_id DESC LIMIT $2"
            ),
            group.to_string(),
        ),
        UpdatesOf::Gateway(eui) => (
            updates!(
                "WHERE u.update_id < $1 AND u.update_id IN (SELECT update_id FROM commands WHERE eui = $3) AND {among} \
                 ORDER BY u.update_id DESC LIMIT $2"
            ),
            eui.to_string(),
        ),
    };
    // Version 7 UUIDs sort by time; `g` is after every hex digit.
    let before = before.map_or_else(|| "g".to_owned(), |id| id.to_string());
    let query = sqlx::query(among.within(sql)).bind(before).bind(i64::from(limit)).bind(of);
    among.bind(query).fetch_all(connection).await?.iter().map(update_row).collect()
}
