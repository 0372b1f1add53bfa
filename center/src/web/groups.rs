//! The pages of groups.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use keros_protocol::{Eui, UnixSeconds};
use serde::Deserialize;

use super::gateways::look;
use super::text::At;
use super::updates::LastUpdates;
use super::{Failure, Page, Posted, Section, Visitor, html, place, to};
use crate::access::Action;
use crate::api::{CreateGroup, GroupView};
use crate::rest::Api;
use crate::service::{OrderError, Pending, unix_now};
use crate::store::{GatewayRow, UpdatesOf};

/// Gateways of a group that its page lists: the list of gateways shows all of them, in parts.
const MOST_MEMBERS: u32 = 200;

#[derive(Template)]
#[template(path = "groups/list.html")]
struct List {
    page: Page,
    groups: Vec<GroupView>,
    /// They are those of one name, which several customers have given.
    named: Option<String>,
    /// They are of more than one customer.
    of_several: bool,
    may_edit: bool,
}

pub(super) async fn list(State(api): State<Api>, visitor: Visitor) -> Result<Response, Failure> {
    let groups = api.center().groups(&visitor.caller).await?;
    list_of(&visitor, groups, None)
}

fn list_of(visitor: &Visitor, groups: Vec<GroupView>, named: Option<String>) -> Result<Response, Failure> {
    let of_several = groups.windows(2).any(|pair| pair[0].customer_id != pair[1].customer_id);
    let may_edit = visitor.caller.may_somewhere(Action::EditGroups);
    html(&List { page: Page::new(visitor, Section::Groups, "Groups"), groups, named, of_several, may_edit })
}

/// Links from where only the name is known: a gateway's page, the audit log.
async fn choose(api: &Api, visitor: &Visitor, name: String) -> Result<Response, Failure> {
    let mut groups = api.center().groups(&visitor.caller).await?;
    groups.retain(|group| group.name == name);
    list_of(visitor, groups, Some(name))
}

/// A gateway of a group, as its page lists it.
struct Member {
    eui: Eui,
    name: String,
    status: &'static str,
    look: &'static str,
    online: bool,
    keros: Option<String>,
    telemetry: Option<At>,
}

#[derive(Template)]
#[template(path = "groups/show.html")]
struct Show {
    page: Page,
    group: GroupView,
    members: Vec<Member>,
    /// Members that are not listed.
    more: usize,
    last: LastUpdates,
    /// The command that an update in progress waits with.
    pending: Option<Pending>,
    may_send: bool,
    may_edit: bool,
}

pub(super) async fn show(
    State(api): State<Api>,
    visitor: Visitor,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let caller = &visitor.caller;
    let now = unix_now();
    let group = match api.center().group_summary(caller, &name).await {
        Err(OrderError::Conflict(_)) => return choose(&api, &visitor, name).await,
        group => group?,
    };
    let found = api.center().first_members(caller, group.group_id.as_str(), MOST_MEMBERS, now).await?;
    let pending = api.center().pending_for_group(caller, group.group_id.as_str()).await?;
    let more = (group.gateway_count as usize).saturating_sub(found.len());
    let members = found.into_iter().map(|row| Member::new(row, now)).collect();
    let page = Page::new(&visitor, Section::Groups, group.name.clone());
    let may = |action| caller.may(action, &group.customer_id);
    let (may_send, may_edit) = (may(Action::SendUpdates), may(Action::EditGroups));
    let of = UpdatesOf::Group(&group.group_id);
    let last = LastUpdates::of(&api, &visitor, of).await?;
    html(&Show { page, group, members, more, last, pending, may_send, may_edit })
}

impl Member {
    fn new(row: GatewayRow, now: UnixSeconds) -> Self {
        let status = row.connection_status(now);
        Self {
            status: status.as_str(),
            look: look(status),
            online: row.online,
            eui: row.eui,
            name: row.shown_name(),
            telemetry: row.last_telemetry_at.map(At::new),
            keros: row.keros_version,
        }
    }
}

/// What the form of a group says.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Fields {
    name: String,
    #[serde(default)]
    description: String,
    /// Id of the customer; empty: as the center chooses.
    #[serde(default)]
    customer: String,
    /// A box that is not checked is not sent.
    alerting: Option<String>,
}

#[derive(Template)]
#[template(path = "groups/new.html")]
struct New {
    page: Page,
    fields: Fields,
    /// The customers that the visitor may make groups of: id and name.
    customers: Vec<(String, String)>,
    /// Why it could not be made.
    refused: Option<String>,
}

pub(super) async fn new(State(api): State<Api>, visitor: Visitor) -> Result<Response, Failure> {
    visitor.caller.require_somewhere(Action::EditGroups)?;
    form(&api, &visitor, Fields::default(), None).await
}

async fn form(
    api: &Api,
    visitor: &Visitor,
    fields: Fields,
    refused: Option<String>,
) -> Result<Response, Failure> {
    let caller = &visitor.caller;
    let customers = api.accounts().customers(caller).await?.into_iter();
    let own = customers.filter(|customer| caller.may(Action::EditGroups, &customer.customer_id));
    let customers = own.map(|customer| (customer.customer_id.to_string(), customer.name)).collect();
    html(&New { page: Page::new(visitor, Section::Groups, "New group"), fields, customers, refused })
}

pub(super) async fn create(
    State(api): State<Api>,
    Posted { visitor, form: fields }: Posted<Fields>,
) -> Result<Response, Failure> {
    let order = CreateGroup {
        name: fields.name.clone(),
        description: fields.description.clone(),
        customer: Some(fields.customer.clone()).filter(|customer| !customer.is_empty()),
        alerting: fields.alerting.is_some(),
        ..CreateGroup::default()
    };
    match api.center().create_group(&visitor.caller, &order, unix_now()).await {
        Ok(group) => Ok(to(&place("/groups", group.group_id.as_str()), "the group is made")),
        Err(error) => {
            let refusal = Failure::from(error);
            let mut answer = form(&api, &visitor, fields, Some(refusal.detail)).await?;
            *answer.status_mut() = refusal.status;
            Ok(answer)
        }
    }
}
