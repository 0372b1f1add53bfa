//! CANCEL UPDATE: a page that says what will happen, then the deed. For all gateways, or for one.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use keros_protocol::{Eui, UpdateId};
use serde::Deserialize;

use super::{eui, update_id};
use crate::access::Action;
use crate::api::CancelView;
use crate::rest::Api;
use crate::service::{kind_name, unix_now};
use crate::web::{Failure, Page, Posted, Section, Visitor, html, to};

#[derive(Template)]
#[template(path = "updates/cancel.html")]
struct Ask {
    page: Page,
    update_id: UpdateId,
    group: String,
    kind: String,
    /// The one gateway.
    gateway: Option<(Eui, String)>,
    /// Commands that were never sent, and will not be.
    waiting: u32,
    /// Commands that a gateway has, or may have: it is asked to stop.
    under_way: u32,
    /// Commands that have ended.
    ended: u32,
}

pub(super) async fn ask(
    State(api): State<Api>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let update_id = update_id(&id)?;
    let update = api.center().update_summary(&visitor.caller, update_id, unix_now()).await?;
    visitor.caller.require(Action::CancelUpdates, &update.customer_id)?;
    let all: u32 = update.deliveries.values().sum();
    let waiting = update.deliveries.get("waiting").copied().unwrap_or_default();
    html(&Ask {
        page: Page::new(&visitor, Section::Updates, "Cancel update"),
        update_id,
        kind: kind_name(&update.kind).to_owned(),
        gateway: None,
        waiting,
        under_way: update.open.saturating_sub(waiting),
        ended: all.saturating_sub(update.open),
        group: update.group,
    })
}

pub(super) async fn ask_one(
    State(api): State<Api>,
    visitor: Visitor,
    Path((id, gateway)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let (update_id, eui) = (update_id(&id)?, eui(&gateway)?);
    let update = api.center().update_summary(&visitor.caller, update_id, unix_now()).await?;
    visitor.caller.require(Action::CancelUpdates, &update.customer_id)?;
    let line = super::dashboard::Line::new(
        &api.center().line(&visitor.caller, update_id, eui, unix_now()).await?.delivery,
    );
    let waiting = u32::from(line.can_be_cancelled && line.delivery.name == "waiting");
    let under_way = u32::from(line.can_be_cancelled || line.is_asked) - waiting;
    html(&Ask {
        page: Page::new(&visitor, Section::Updates, "Cancel update"),
        update_id,
        kind: kind_name(&update.kind).to_owned(),
        gateway: Some((eui, line.name)),
        waiting,
        under_way,
        ended: 1 - waiting - under_way,
        group: update.group,
    })
}

/// The form has nothing but its guard.
#[derive(Debug, Deserialize)]
pub(super) struct Nothing {}

pub(super) async fn cancel(
    State(api): State<Api>,
    Path(id): Path<String>,
    Posted { visitor, form: Nothing {} }: Posted<Nothing>,
) -> Result<Response, Failure> {
    let update_id = update_id(&id)?;
    done(&api, &visitor, update_id, None).await
}

pub(super) async fn cancel_one(
    State(api): State<Api>,
    Path((id, gateway)): Path<(String, String)>,
    Posted { visitor, form: Nothing {} }: Posted<Nothing>,
) -> Result<Response, Failure> {
    let (update_id, eui) = (update_id(&id)?, eui(&gateway)?);
    done(&api, &visitor, update_id, Some(eui)).await
}

async fn done(
    api: &Api,
    visitor: &Visitor,
    update_id: UpdateId,
    eui: Option<Eui>,
) -> Result<Response, Failure> {
    let answer = api.center().cancel(&visitor.caller, update_id, eui, unix_now()).await?;
    Ok(to(&format!("/updates/{update_id}"), &said(&answer)))
}

/// What cancelling came to, in a line.
fn said(answer: &CancelView) -> String {
    let count = |name: &str| answer.answers.get(name).copied().unwrap_or_default();
    let parts = [
        (count("never_delivered"), "will never be sent"),
        (count("asked"), "asked to stop"),
        (count("too_late"), "had ended already"),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, words)| format!("{count} {words}"))
        .collect();
    format!("cancelled: {}", parts.join(", "))
}
