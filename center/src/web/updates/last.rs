//! Last updates: a table on the pages of groups and gateways, and the list of all of them.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use keros_protocol::UpdateId;
use serde::Deserialize;

use super::update_id;
use crate::access::Action;
use crate::api::UpdateView;
use crate::rest::Api;
use crate::service::{kind_name, unix_now};
use crate::store::UpdatesOf;
use crate::web::status::{self, Part, Shown};
use crate::web::text::At;
use crate::web::{Failure, Page, Section, Visitor, html};

/// Updates on one page.
const PAGE: u32 = 20;

/// The table of the last updates, for `{{ last|safe }}`: it is a template of its own, which escapes.
#[derive(Template)]
#[template(path = "updates/last.html")]
pub(crate) struct LastUpdates {
    rows: Vec<Row>,
    /// Whether its rows name their group: not on the group's own page.
    with_group: bool,
}

/// One update.
struct Row {
    update_id: UpdateId,
    group: String,
    by_hand: bool,
    sent: At,
    who: String,
    kind: String,
    value: String,
    state: Shown,
    parts: Vec<Part>,
    /// Gateways of which the end is known, and all.
    ended: u32,
    all: u32,
    /// Whether something is left to cancel, and this visitor may.
    can_be_cancelled: bool,
}

impl LastUpdates {
    /// A table of these updates, newest first.
    pub(crate) fn new(visitor: &Visitor, updates: Vec<UpdateView>, with_group: bool) -> Self {
        Self { rows: updates.into_iter().map(|update| Row::new(visitor, update)).collect(), with_group }
    }
}

/// Updates in the table of a group or a gateway.
const SHOWN: u32 = 10;

impl LastUpdates {
    /// The last updates of a group or a gateway.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn of(api: &Api, visitor: &Visitor, of: UpdatesOf<'_>) -> Result<Self, Failure> {
        let updates = api.center().updates(&visitor.caller, of, None, SHOWN, unix_now()).await?;
        Ok(Self::new(visitor, updates, matches!(of, UpdatesOf::Gateway(_))))
    }
}

impl Row {
    fn new(visitor: &Visitor, view: UpdateView) -> Self {
        let all = view.outcomes.values().sum();
        Self {
            update_id: view.update_id,
            by_hand: view.by_hand,
            sent: At::new(view.created_at_unix_s),
            kind: kind_name(&view.kind).to_owned(),
            value: value(&view),
            state: status::state(&view.state),
            parts: status::progress_bar(&view.outcomes, &view.deliveries),
            ended: all - view.open.min(all),
            all,
            can_be_cancelled: !view.ended && visitor.caller.may(Action::CancelUpdates, &view.customer_id),
            who: view.created_by,
            group: view.gateway.map_or(view.group, |eui| format!("gateway {eui}")),
        }
    }
}

/// What was sent, in short.
fn value(view: &UpdateView) -> String {
    match (view.magic_link, &view.title) {
        (Some(digest), _) => digest.to_string(),
        (None, Some(title)) => format!("YAML: {title}"),
        (None, None) => "YAML".to_owned(),
    }
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Older {
    before: Option<String>,
}

#[derive(Template)]
#[template(path = "updates/list.html")]
struct List {
    page: Page,
    last: LastUpdates,
    /// The last one that is shown, when there may be older ones.
    before: Option<UpdateId>,
    is_first: bool,
}

pub(super) async fn list(
    State(api): State<Api>,
    visitor: Visitor,
    Query(part): Query<Older>,
) -> Result<Response, Failure> {
    let before = part.before.as_deref().map(update_id).transpose()?;
    let of = UpdatesOf::All;
    let updates = api.center().updates(&visitor.caller, of, before, PAGE, unix_now()).await?;
    let next = updates.last().map(|update| update.update_id).filter(|_| updates.len() >= PAGE as usize);
    let page = Page::new(&visitor, Section::Updates, "Last updates");
    html(&List {
        page,
        last: LastUpdates::new(&visitor, updates, true),
        before: next,
        is_first: before.is_none(),
    })
}
