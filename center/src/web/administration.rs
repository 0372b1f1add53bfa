//! Customers, users, and what they did.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;

use super::text::At;
use super::{Failure, Page, Posted, Section, Visitor, html, part_of_place, place, subject, to};
use crate::access::{Action, Role};
use crate::api::{AuditView, ChangeUser, CreateUser, CustomerOrder, CustomerView, RoleOrder, UserView};
use crate::rest::Api;
use crate::service::{OrderError, unix_now};
use crate::store::audit::AuditFilter;

/// Lines of the audit log on one page.
const AUDIT_LINES: u32 = 100;

#[derive(Template)]
#[template(path = "administration/customers.html")]
struct Customers {
    page: Page,
    customers: Vec<CustomerView>,
    may_edit: bool,
    refused: Option<String>,
}

pub(super) async fn customers(State(api): State<Api>, visitor: Visitor) -> Result<Response, Failure> {
    show_customers(&api, &visitor, None).await
}

async fn show_customers(api: &Api, visitor: &Visitor, refused: Option<Failure>) -> Result<Response, Failure> {
    let page = Page::new(visitor, Section::Administration, "Customers");
    let customers = api.accounts().customers(&visitor.caller).await?;
    let may_edit = visitor.caller.may_somewhere(Action::EditCustomers);
    let (status, refused) = split(refused);
    answer(status, html(&Customers { page, customers, may_edit, refused })?)
}

/// What the form of a new customer says.
#[derive(Deserialize)]
pub(super) struct CustomerFields {
    name: String,
    #[serde(default)]
    description: String,
}

pub(super) async fn create_customer(
    State(api): State<Api>,
    Posted { visitor, form }: Posted<CustomerFields>,
) -> Result<Response, Failure> {
    let order = CustomerOrder { name: Some(form.name), description: Some(form.description) };
    match api.accounts().create_customer(&visitor.caller, order, unix_now()).await {
        Ok(_) => Ok(to("/customers", "the customer is made")),
        Err(error) => show_customers(&api, &visitor, Some(beside(error)?)).await,
    }
}

#[derive(Template)]
#[template(path = "administration/users.html")]
struct Users {
    page: Page,
    users: Vec<UserView>,
    customers: Vec<CustomerView>,
    roles: [Role; 5],
    may_edit: bool,
    may_everywhere: bool,
    refused: Option<String>,
}

pub(super) async fn users(State(api): State<Api>, visitor: Visitor) -> Result<Response, Failure> {
    show_users(&api, &visitor, None).await
}

async fn show_users(api: &Api, visitor: &Visitor, refused: Option<Failure>) -> Result<Response, Failure> {
    let caller = &visitor.caller;
    let (status, refused) = split(refused);
    let page = Users {
        page: Page::new(visitor, Section::Administration, "Users"),
        users: api.accounts().users(caller, unix_now()).await?,
        customers: api.accounts().customers(caller).await?,
        roles: Role::ALL,
        may_edit: caller.may_somewhere(Action::EditUsers),
        may_everywhere: caller.may_everywhere(Action::EditUsers),
        refused,
    };
    answer(status, html(&page)?)
}

/// What the form of a new user says.
#[derive(Deserialize)]
pub(super) struct UserFields {
    login: String,
    #[serde(default)]
    full_name: String,
    customer: String,
    role: Role,
}

pub(super) async fn create_user(
    State(api): State<Api>,
    Posted { visitor, form }: Posted<UserFields>,
) -> Result<Response, Failure> {
    let roles = vec![RoleOrder { customer: form.customer, role: form.role }];
    let order = CreateUser { login: form.login, full_name: form.full_name, roles, password: None };
    match api.accounts().create_user(&visitor.caller, order, unix_now()).await {
        // The link is shown this once: a page that is asked for again could not.
        Ok(made) => show_user(&api, &visitor, made, None).await,
        Err(error) => show_users(&api, &visitor, Some(beside(error)?)).await,
    }
}

#[derive(Template)]
#[template(path = "administration/user.html")]
struct User {
    page: Page,
    user: UserView,
    customers: Vec<CustomerView>,
    roles: [Role; 5],
    may_edit: bool,
    may_everywhere: bool,
    refused: Option<String>,
}

pub(super) async fn user(
    State(api): State<Api>,
    visitor: Visitor,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let user = api.accounts().user(&visitor.caller, &name, unix_now()).await?;
    show_user(&api, &visitor, user, None).await
}

async fn show_user(
    api: &Api,
    visitor: &Visitor,
    user: UserView,
    refused: Option<Failure>,
) -> Result<Response, Failure> {
    let caller = &visitor.caller;
    let (status, refused) = split(refused);
    let page = User {
        page: Page::new(visitor, Section::Administration, user.login.clone()),
        user,
        customers: api.accounts().customers(caller).await?,
        roles: Role::ALL,
        may_edit: caller.may_somewhere(Action::EditUsers),
        may_everywhere: caller.may_everywhere(Action::EditUsers),
        refused,
    };
    answer(status, html(&page)?)
}

/// Which button of a user's page was pressed, and with what.
#[derive(Deserialize)]
pub(super) struct UserOrder {
    order: String,
    #[serde(default)]
    customer: String,
    role: Option<Role>,
}

pub(super) async fn change_user(
    State(api): State<Api>,
    Path(name): Path<String>,
    Posted { visitor, form }: Posted<UserOrder>,
) -> Result<Response, Failure> {
    let (accounts, caller, now) = (api.accounts(), &visitor.caller, unix_now());
    let disabled = |disabled| ChangeUser { full_name: None, disabled: Some(disabled) };
    let role = form.role.map(|role| RoleOrder { customer: form.customer, role });
    let done = match (form.order.as_str(), role) {
        ("disable", _) => accounts.change_user(caller, &name, &disabled(true), now).await.map(|_| "disabled"),
        ("enable", _) => accounts.change_user(caller, &name, &disabled(false), now).await.map(|_| "enabled"),
        ("give", Some(role)) => accounts.give_role(caller, &name, &role, now).await.map(|_| "given the role"),
        ("take", Some(role)) => {
            accounts.take_role(caller, &name, &role).await.map(|()| "no longer with the role")
        }
        ("set-up", _) => match accounts.invite_user(caller, &name, now).await {
            Ok(user) => return show_user(&api, &visitor, user, None).await,
            Err(error) => Err(error),
        },
        _ => return Err(Failure::bad_request("This page has no such button.")),
    };
    match done {
        Ok(done) => {
            // Without that role he may be nobody whom the visitor sees.
            let is_seen = accounts.user(caller, &name, now).await.is_ok();
            let next = if is_seen { place("/users", &name) } else { "/users".to_owned() };
            Ok(to(&next, &format!("the user is {done}")))
        }
        Err(error) => {
            let refusal = beside(error)?;
            let user = accounts.user(caller, &name, now).await?;
            show_user(&api, &visitor, user, Some(refusal)).await
        }
    }
}

/// A line of the log as it is shown.
struct Line {
    view: AuditView,
    at: At,
    /// Where it was done to is looked at; who was refused may not have found anything there.
    page: Option<String>,
}

impl Line {
    fn new(view: AuditView) -> Self {
        let page = subject::page_of(&view.subject).filter(|_| view.result == "done");
        Self { at: At::new(view.at_unix_s), page, view }
    }
}

#[derive(Template)]
#[template(path = "administration/audit.html")]
struct Audit {
    page: Page,
    lines: Vec<Line>,
    user: String,
    customer: String,
    result: String,
    customers: Vec<CustomerView>,
    older: Option<String>,
    csv: String,
}

/// Which lines are wanted.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    user: String,
    #[serde(default)]
    customer: String,
    #[serde(default)]
    result: String,
    #[serde(default)]
    before: String,
}

pub(super) async fn audit(
    State(api): State<Api>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Failure> {
    let said = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let before = said(&wanted.before).map(|text| text.parse()).transpose();
    let filter = AuditFilter {
        before: before.map_err(|_| Failure::bad_request("The log has no such line."))?,
        user: said(&wanted.user).map(|user| user.to_lowercase()),
        result: said(&wanted.result),
        limit: AUDIT_LINES,
    };
    let customer = said(&wanted.customer);
    let lines = api.accounts().audit_log(&visitor.caller, customer.as_deref(), &filter).await?;
    let asked = [("user", &wanted.user), ("customer", &wanted.customer), ("result", &wanted.result)];
    let asked = asked.into_iter().filter(|(_, value)| !value.is_empty());
    let query: String = asked.map(|(name, value)| format!("{name}={}&", part_of_place(value))).collect();
    let last = lines.last().filter(|_| lines.len() >= AUDIT_LINES as usize);
    let older = last.map(|last| format!("/audit?{query}before={}", last.audit_id));
    html(&Audit {
        page: Page::new(&visitor, Section::Administration, "Audit log"),
        lines: lines.into_iter().map(Line::new).collect(),
        customers: api.accounts().customers(&visitor.caller).await?,
        older,
        csv: format!("/api/v1/audit.csv?{}", query.trim_end_matches('&')),
        user: wanted.user,
        customer: wanted.customer,
        result: wanted.result,
    })
}

/// What can be said beside the form; what the center cannot do is a page of its own.
fn beside(error: OrderError) -> Result<Failure, Failure> {
    let failure = Failure::from(error);
    if failure.status.is_server_error() { Err(failure) } else { Ok(failure) }
}

fn split(refused: Option<Failure>) -> (axum::http::StatusCode, Option<String>) {
    match refused {
        None => (axum::http::StatusCode::OK, None),
        Some(failure) => (failure.status, Some(failure.detail)),
    }
}

fn answer(status: axum::http::StatusCode, mut response: Response) -> Result<Response, Failure> {
    *response.status_mut() = status;
    Ok(response)
}
