//! The page that changes a group: what it is called, whom its rule would have, who is put into it.

use std::collections::BTreeSet;

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use keros_protocol::Eui;
use serde::Deserialize;

use super::{Failure, Page, Posted, Section, Visitor, html, place, to};
use crate::access::{Action, AsSeen};
use crate::api::{EditGroup, GroupView};
use crate::rest::Api;
use crate::service::fleet::Wanted;
use crate::service::{OrderError, tag_of_view, unix_now};
use crate::store::fleet::{Part, Sort};

/// Gateways that a preview, or a search, lists.
const LISTED: u32 = 50;

/// Gateways put into the group that are listed: the others are found by searching.
const MOST_PUT_IN: usize = 200;

/// Characters of a search, as the field takes them.
const MOST_SEARCHED: usize = 100;

/// Its part of the pages.
pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/groups/{group}/edit", get(show).post(edit))
        .route("/groups/{group}/put-in", post(put_in))
        .route("/groups/{group}/take-out", post(take_out))
}

#[derive(Template)]
#[template(path = "groups/edit.html")]
struct Edit {
    page: Page,
    group: GroupView,
    fields: Fields,
    /// Why it could not be done.
    refused: Option<String>,
    preview: Option<Listed>,
    put_in: Vec<Found>,
    /// Put in, and not listed.
    more: usize,
    search: String,
    found: Option<Listed>,
}

/// Gateways of a list: the first ones, and how many there are.
struct Listed {
    gateways: Vec<Found>,
    total: Option<u32>,
}

/// A gateway of a list.
struct Found {
    eui: Eui,
    name: String,
    /// It was put into the group.
    is_in: bool,
}

/// What the form says. A box that is not checked is not sent.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Fields {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    rule: String,
    #[serde(default)]
    alerting: Option<String>,
    #[serde(default)]
    action: String,
    /// The tag of what the form was made of; empty when a program sends it.
    #[serde(default)]
    seen: String,
}

/// What is searched for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    search: String,
}

/// Which gateway is put in or taken out, and the search it was found by.
#[derive(Debug, Deserialize)]
pub(super) struct Chosen {
    eui: String,
    #[serde(default)]
    search: String,
}

pub(super) async fn show(
    State(api): State<Api>,
    visitor: Visitor,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let group = group_to_edit(&api, &visitor, &name).await?;
    let fields = Fields {
        name: group.name.clone(),
        description: group.description.clone(),
        rule: group.rule.clone().unwrap_or_default(),
        alerting: group.alerting.then(|| "yes".to_owned()),
        action: String::new(),
        seen: String::new(),
    };
    page(&api, &visitor, group, fields, asked.search, None, None).await
}

pub(super) async fn edit(
    State(api): State<Api>,
    Path(name): Path<String>,
    Posted { visitor, form: fields }: Posted<Fields>,
) -> Result<Response, Failure> {
    let group = group_to_edit(&api, &visitor, &name).await?;
    if fields.action == "preview" {
        let wanted = Wanted { rule: Some(fields.rule.clone()), ..of_customer(&group) };
        return match listed(&api, &visitor, &group, &wanted).await {
            Ok(preview) => page(&api, &visitor, group, fields, String::new(), None, Some(preview)).await,
            Err(refusal) => again(&api, &visitor, group, fields, refusal).await,
        };
    }
    let mut caller = visitor.caller.clone();
    if !fields.seen.is_empty() {
        caller = caller.having_seen(AsSeen::new(fields.seen.clone()));
    }
    let order = EditGroup {
        name: Some(fields.name.clone()),
        description: Some(fields.description.clone()),
        rule: Some(fields.rule.clone()),
        alerting: Some(fields.alerting.is_some()),
    };
    match api.center().edit_group(&caller, group.group_id.as_str(), &order).await {
        Ok(group) => Ok(to(&place("/groups", group.group_id.as_str()), "the group is changed")),
        Err(OrderError::Changed) => {
            let group = group_to_edit(&api, &visitor, &name).await?;
            let refusal = changed_meanwhile(&group);
            again(&api, &visitor, group, fields, refusal).await
        }
        Err(error) => again(&api, &visitor, group, fields, error.into()).await,
    }
}

/// The form is shown again with what its visitor wrote: he decides, now that he knows.
fn changed_meanwhile(group: &GroupView) -> Failure {
    let detail = format!(
        "somebody has changed it since this page was shown: its name is {:?} now, its description {:?}, its rule {:?}, alerting is {}. SAVE puts \
         what is below in the place of that.",
        group.name,
        group.description,
        group.rule.as_deref().unwrap_or_default(),
        if group.alerting { "on" } else { "off" }
    );
    Failure::new(StatusCode::PRECONDITION_FAILED, detail)
}

pub(super) async fn put_in(
    State(api): State<Api>,
    Path(name): Path<String>,
    Posted { visitor, form: chosen }: Posted<Chosen>,
) -> Result<Response, Failure> {
    let group = api.center().add_member(&visitor.caller, &name, eui(&chosen)?).await?;
    Ok(back(&group, &chosen, "is put in"))
}

pub(super) async fn take_out(
    State(api): State<Api>,
    Path(name): Path<String>,
    Posted { visitor, form: chosen }: Posted<Chosen>,
) -> Result<Response, Failure> {
    let group = api.center().remove_member(&visitor.caller, &name, eui(&chosen)?).await?;
    Ok(back(&group, &chosen, "is taken out"))
}

fn eui(chosen: &Chosen) -> Result<Eui, Failure> {
    // It goes into the address that the answer leads to.
    if chosen.search.chars().count() > MOST_SEARCHED {
        return Err(Failure::bad_request(format!("A search has at most {MOST_SEARCHED} characters.")));
    }
    chosen
        .eui
        .parse()
        .map_err(|_| Failure::bad_request("This is no EUI of a gateway: go back and choose one."))
}

/// Leads back to the search that the gateway was found by.
fn back(group: &GroupView, chosen: &Chosen, done: &str) -> Response {
    let edit = place("/groups", group.group_id.as_str()) + "/edit";
    let query = match chosen.search.as_str() {
        "" => String::new(),
        search => format!("?search={}", super::part_of_place(search)),
    };
    to(&format!("{edit}{query}#members"), &format!("{} {done}", chosen.eui))
}

async fn group_to_edit(api: &Api, visitor: &Visitor, name: &str) -> Result<GroupView, Failure> {
    let group = api.center().group(&visitor.caller, name).await?;
    visitor.caller.require(Action::EditGroups, &group.customer_id)?;
    Ok(group)
}

/// Gateways that can be in the group.
fn of_customer(group: &GroupView) -> Wanted {
    Wanted { customer: Some(group.customer_id.to_string()), ..Wanted::default() }
}

async fn listed(api: &Api, visitor: &Visitor, group: &GroupView, wanted: &Wanted) -> Result<Listed, Failure> {
    let part = Part { sort: Sort::Eui, descending: false, after: None, limit: LISTED };
    let found = api.center().fleet(&visitor.caller, wanted, &part, unix_now()).await?;
    let is_in: BTreeSet<Eui> = group.put_in.iter().copied().collect();
    let gateways = found.gateways.into_iter();
    let gateways =
        gateways.map(|view| Found { eui: view.eui, name: view.name, is_in: is_in.contains(&view.eui) });
    Ok(Listed { gateways: gateways.collect(), total: found.total })
}

/// The same form again, with what was wrong.
async fn again(
    api: &Api,
    visitor: &Visitor,
    group: GroupView,
    fields: Fields,
    refusal: Failure,
) -> Result<Response, Failure> {
    let answer = page(api, visitor, group, fields, String::new(), Some(refusal.detail), None).await?;
    Ok((refusal.status, answer).into_response())
}

async fn page(
    api: &Api,
    visitor: &Visitor,
    group: GroupView,
    fields: Fields,
    search: String,
    refused: Option<String>,
    preview: Option<Listed>,
) -> Result<Response, Failure> {
    let put_in = group.put_in.get(..MOST_PUT_IN).unwrap_or(&group.put_in);
    let names = api.center().names(&visitor.caller, put_in).await?;
    let named = |eui: &Eui| names.get(eui).cloned().unwrap_or_else(|| eui.to_string());
    let found = if search.is_empty() {
        None
    } else {
        let wanted = Wanted { search: Some(search.clone()), ..of_customer(&group) };
        Some(listed(api, visitor, &group, &wanted).await?)
    };
    let fields = Fields { seen: tag_of_view(&group.properties())?, ..fields };
    html(&Edit {
        page: Page::new(visitor, Section::Groups, "Edit group"),
        put_in: put_in.iter().map(|eui| Found { eui: *eui, name: named(eui), is_in: true }).collect(),
        more: group.put_in.len().saturating_sub(MOST_PUT_IN),
        group,
        fields,
        refused,
        preview,
        search,
        found,
    })
}
