//! What follows an update: GO ON for its roll-out, CARRY OUT for its dry run, RETRY THE FAILED. Each is a page that says what will happen,
//! then the deed.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;

use super::cancel::Nothing;
use super::update_id;
use crate::access::Action;
use crate::api::{FollowUp, UpdateView};
use crate::rest::Api;
use crate::service::{Seen, kind_name, unix_now};
use crate::store::FollowsAs;
use crate::web::{Failure, Page, Posted, Section, Visitor, html, to};

#[derive(Template)]
#[template(path = "updates/follow.html")]
struct Ask {
    page: Page,
    update: UpdateView,
    kind: String,
    what: What,
}

/// What is asked.
enum What {
    /// Whether the roll-out goes on from here.
    GoOn(Seen),
    /// Whether the real one is sent to so many gateways.
    CarryOut(usize),
    /// Whether it is sent again to so many gateways.
    Retry(usize),
}

impl What {
    /// The button, and the last part of the place.
    fn names(&self) -> (&'static str, &'static str) {
        match self {
            Self::GoOn(_) => ("GO ON", "go-on"),
            Self::CarryOut(_) => ("CARRY OUT", "carry-out"),
            Self::Retry(_) => ("RETRY THE FAILED", "retry"),
        }
    }

    fn button(&self) -> &'static str {
        self.names().0
    }

    fn place(&self) -> &'static str {
        self.names().1
    }
}

pub(super) async fn ask_go_on(
    State(api): State<Api>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let update = api.center().update_summary(&visitor.caller, update_id(&id)?, unix_now()).await?;
    visitor.caller.require(Action::SendUpdates, &update.customer_id)?;
    let nothing =
        || Failure::new(axum::http::StatusCode::CONFLICT, "This update has no stage to go on with.");
    let what = What::GoOn(to_go_on_from(&update).ok_or_else(nothing)?);
    show(&visitor, update, what)
}

pub(super) async fn ask_carry_out(
    State(api): State<Api>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let (id, now) = (update_id(&id)?, unix_now());
    let gateways = api.center().would_follow(&visitor.caller, id, FollowsAs::Real).await?;
    let update = api.center().update_summary(&visitor.caller, id, now).await?;
    show(&visitor, update, What::CarryOut(gateways))
}

pub(super) async fn ask_retry(
    State(api): State<Api>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let (id, now) = (update_id(&id)?, unix_now());
    let gateways = api.center().would_follow(&visitor.caller, id, FollowsAs::Retry).await?;
    let update = api.center().update_summary(&visitor.caller, id, now).await?;
    show(&visitor, update, What::Retry(gateways))
}

fn show(visitor: &Visitor, update: UpdateView, what: What) -> Result<Response, Failure> {
    html(&Ask {
        page: Page::new(visitor, Section::Updates, what.button()),
        kind: kind_name(&update.kind).to_owned(),
        update,
        what,
    })
}

/// Where the roll-out was when the form was shown.
#[derive(Debug, Deserialize)]
pub(super) struct Shown {
    stage: u32,
    halted: bool,
}

pub(super) async fn go_on(
    State(api): State<Api>,
    Path(id): Path<String>,
    Posted { visitor, form: Shown { stage, halted } }: Posted<Shown>,
) -> Result<Response, Failure> {
    let (id, seen) = (update_id(&id)?, Seen { stage, halted });
    let update = api.center().go_on(&visitor.caller, id, Some(seen), unix_now()).await?;
    let said = match update.rollout {
        Some(rollout) => format!("the roll-out goes on: stage {} of {}", rollout.stage, rollout.stages),
        None => "the roll-out goes on".to_owned(),
    };
    Ok(to(&format!("/updates/{id}"), &said))
}

pub(super) async fn carry_out(
    State(api): State<Api>,
    Path(id): Path<String>,
    Posted { visitor, form: Nothing {} }: Posted<Nothing>,
) -> Result<Response, Failure> {
    let order = FollowUp::default();
    let update = api.center().carry_out(&visitor.caller, update_id(&id)?, order, unix_now()).await?;
    Ok(to(&format!("/updates/{}", update.update_id), "the update is sent"))
}

pub(super) async fn retry(
    State(api): State<Api>,
    Path(id): Path<String>,
    Posted { visitor, form: Nothing {} }: Posted<Nothing>,
) -> Result<Response, Failure> {
    let order = FollowUp::default();
    let update = api.center().retry(&visitor.caller, update_id(&id)?, order, unix_now()).await?;
    Ok(to(&format!("/updates/{}", update.update_id), "the update is sent again"))
}

/// Where a roll-out is that a word can let go on: one that was stopped, or one that has stages left.
pub(super) fn to_go_on_from(update: &UpdateView) -> Option<Seen> {
    let rollout = update.rollout.as_ref().filter(|_| !update.ended)?;
    let halted = rollout.halted_at_unix_s.is_some();
    (halted || rollout.stage < rollout.stages).then_some(Seen { stage: rollout.stage, halted })
}

/// Whether the real update can follow this one: it is a dry run that succeeded somewhere, and none did yet.
pub(super) fn can_be_carried_out(update: &UpdateView) -> bool {
    update.dry_run
        && !update.by_hand
        && update.outcomes.get("succeeded").is_some_and(|count| *count > 0)
        && !update.followed_by.iter().any(|follow| follow.kind == FollowsAs::Real)
}

/// Whether it can be sent again to gateways that it did not succeed on.
pub(super) fn can_be_retried(update: &UpdateView) -> bool {
    let of_outcomes = ["failed", "refused", "timed_out", "interrupted", "rolled_back", "expired"]
        .iter()
        .any(|name| update.outcomes.get(*name).is_some_and(|count| *count > 0));
    !update.by_hand && (of_outcomes || update.deliveries.get("expired").is_some_and(|count| *count > 0))
}
