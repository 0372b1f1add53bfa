//! The dashboard of an update: how far it has come, in parts by status, and the gateways of the part that was chosen.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use keros_protocol::{Delivery, Eui, Job, Outcome, UpdateId};

use super::{follow, update_id};
use crate::access::Action;
use crate::api::{DeliveryView, LineQuery, UpdateView, WaitsForReason};
use crate::plan::Rollout;
use crate::rest::Api;
use crate::service::{kind_name, line_filter, unix_now};
use crate::store::FollowsAs;
use crate::web::status::{self, Part, Shown};
use crate::web::text::At;
use crate::web::words::Said;
use crate::web::{Failure, Page, Section, Visitor, html};

/// Lines on one page.
const PAGE: u32 = 100;

/// Seconds after which a browser without scripts asks again, until all have ended.
pub(super) const REFRESH_S: u32 = 5;

#[derive(Template)]
#[template(path = "updates/dashboard.html")]
struct Dashboard {
    page: Page,
    update: UpdateView,
    kind: String,
    state: Shown,
    sent: At,
    expires: At,
    /// One sentence, for those who do not see the bars.
    told: String,
    deliveries: Vec<Part>,
    outcomes: Vec<Part>,
    /// The part that was chosen.
    chosen: Option<String>,
    query: LineQuery,
    lines: Vec<Line>,
    /// The query of the next page.
    next: Option<String>,
    script: Option<String>,
    is_dry_run: bool,
    may_cancel: bool,
    may_go_on: bool,
    may_carry_out: bool,
    may_retry: bool,
    /// How its stages are, when it has some.
    stages: Option<String>,
    not_before: Option<At>,
}

/// One gateway.
pub(super) struct Line {
    pub(super) eui: Eui,
    pub(super) name: String,
    pub(super) delivery: Shown,
    pub(super) outcome: Shown,
    /// Task, reason, counts.
    pub(super) detail: Said,
    pub(super) changed: At,
    /// What it waits for, in words; of a task that runs `detail` says it.
    pub(super) waits_for: Option<String>,
    pub(super) overdue: bool,
    /// Its end was asked for and is not known yet.
    pub(super) is_asked: bool,
    pub(super) can_be_cancelled: bool,
}

impl Line {
    pub(super) fn new(view: &DeliveryView) -> Self {
        let ended = view.outcome.as_ref().is_some_and(Outcome::is_terminal);
        // One that was sent before it expired may have been received all the same.
        let is_away = match view.delivery {
            Delivery::Cancelled => true,
            Delivery::Expired => view.times_sent == 0,
            Delivery::Waiting | Delivery::Sent | Delivery::Received => false,
        };
        let never = is_away && view.outcome.is_none();
        let asked = view.cancel_requested_at_unix_s.is_some();
        Self {
            eui: view.eui,
            name: view.name.clone(),
            delivery: status::delivery(view.delivery.as_str()),
            outcome: status::outcome(view.outcome.as_ref().map_or("none", Outcome::name)),
            detail: match (&view.outcome, never) {
                (Some(outcome), _) => Said::of(outcome),
                (None, true) => Said { words: "it was never sent to the gateway".to_owned(), name: None },
                (None, false) => Said::default(),
            },
            changed: At::new(view.changed_at_unix_s),
            waits_for: view
                .waits_for
                .as_ref()
                .filter(|waits| waits.reason != WaitsForReason::Job)
                .map(|waits| waits.text.clone()),
            overdue: view.overdue,
            is_asked: asked && !ended && !never,
            can_be_cancelled: !asked && !ended && !never,
        }
    }
}

pub(super) async fn show(
    State(api): State<Api>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(query): Query<LineQuery>,
) -> Result<Response, Failure> {
    let (update_id, now) = (update_id(&id)?, unix_now());
    let filter = line_filter(&query)?;
    let after = query.cursor.as_deref().map(super::eui).transpose()?;
    let update = api.center().update_summary(&visitor.caller, update_id, now).await?;
    let ordered = api.center().ordered(&visitor.caller, update_id).await?;
    let views = api.center().lines(&visitor.caller, update_id, &filter, after, PAGE, now).await?;
    let last = views.last().filter(|_| views.len() >= PAGE as usize);
    let next = last.map(|last| LineQuery { cursor: Some(last.eui.to_string()), ..query.clone() }.text());
    let title = match update.gateway {
        Some(eui) => format!("Update of gateway {eui}"),
        None if update.group.is_empty() => "Update".to_owned(),
        None => format!("Update of {}", update.group),
    };
    let mut page = Page::new(&visitor, Section::Updates, title);
    if !update.ended {
        page.refresh_s = Some(REFRESH_S);
    }
    page.script = Some("live.js");
    let may_send = visitor.caller.may(Action::SendUpdates, &update.customer_id);
    html(&Dashboard {
        may_go_on: may_send && follow::to_go_on_from(&update).is_some(),
        may_carry_out: may_send && follow::can_be_carried_out(&update),
        may_retry: may_send && follow::can_be_retried(&update),
        stages: update.plan.rollout.as_ref().map(stages),
        not_before: update.plan.not_before_unix_s.map(At::new),
        kind: kind_name(&update.kind).to_owned(),
        state: status::state(&update.state),
        sent: At::new(update.created_at_unix_s),
        expires: At::new(update.expires_at_unix_s),
        told: told(&update),
        deliveries: status::delivery_bar(&update.deliveries),
        outcomes: status::outcome_bar(&update.outcomes),
        chosen: chosen(&query),
        lines: views.iter().map(Line::new).collect(),
        next,
        is_dry_run: ordered.options.dry_run,
        script: match ordered.job {
            Job::JetPorch { script, .. } => Some(script),
            Job::MagicLink { .. } | Job::Unknown { .. } => None,
        },
        may_cancel: visitor.caller.may(Action::CancelUpdates, &update.customer_id),
        query,
        update,
        page,
    })
}

/// How far the update has come, in one sentence.
fn told(update: &UpdateView) -> String {
    let all: u32 = update.outcomes.values().sum();
    let waiting = update.deliveries.get("waiting").copied().unwrap_or_default();
    let mut text = format!("{} of {} ended", all - update.open.min(all), gateways(all));
    if waiting > 0 {
        text.push_str(&format!(", {waiting} not sent yet"));
    }
    if update.overdue > 0 {
        text.push_str(&format!(", {} overdue", update.overdue));
    }
    text + "."
}

/// The stages of a roll-out in words.
fn stages(rollout: &Rollout) -> String {
    let first: Vec<String> = rollout.stages.iter().map(ToString::to_string).collect();
    format!(
        "{}, then the rest; stops when more than {} % of a stage do not succeed",
        first.join(", then "),
        rollout.max_failed_percent
    )
}

fn gateways(count: u32) -> String {
    if count == 1 { "1 gateway".to_owned() } else { format!("{count} gateways") }
}

/// Which lines are listed, in words; `None`: all.
fn chosen(query: &LineQuery) -> Option<String> {
    match query {
        LineQuery { delivery: Some(name), .. } => Some(format!("Delivery: {}", status::delivery(name).word)),
        LineQuery { outcome: Some(name), .. } => Some(format!("Outcome: {}", status::outcome(name).word)),
        LineQuery { overdue: Some(true), .. } => Some("Overdue".to_owned()),
        LineQuery { differences: Some(_), .. } => Some("the same differences".to_owned()),
        _ => None,
    }
}

impl Dashboard {
    fn id(&self) -> UpdateId {
        self.update.update_id
    }

    /// Both progress bars: the axis as queries name it, its title, its parts.
    fn bars(&self) -> [(&'static str, &'static str, &[Part]); 2] {
        [("delivery", "Delivery", &self.deliveries), ("outcome", "Outcome", &self.outcomes)]
    }

    /// Whether this bar's legend also names those of whom a word is overdue.
    fn has_overdue(&self, axis: &str) -> bool {
        axis == "outcome" && self.update.overdue > 0
    }

    /// What an update is to this one that follows it.
    fn follower(&self, kind: &FollowsAs) -> &'static str {
        match kind {
            FollowsAs::Retry => "Sent again to the failed",
            FollowsAs::Real => "Carried out",
        }
    }

    /// Whether this part is the one that was chosen.
    fn is_chosen(&self, axis: &str, part: &Part) -> bool {
        let chosen = if axis == "delivery" { &self.query.delivery } else { &self.query.outcome };
        chosen.as_deref() == Some(part.status.name.as_str())
    }
}
