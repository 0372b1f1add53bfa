//! `admin …`, `users …`, `customers …`, `token …`, `audit`.

pub(crate) mod arguments;
mod password;

use std::io::Write;

use anyhow::Context as _;

use super::client::{Client, path_part};
use super::text::{ago, printable, table, utc};
use super::{Ended, print_json};
use crate::access::TokenScopes;
use crate::accounts::first_administrator;
use crate::api::{
    AuditView, ChangeUser, CreateToken, CreateUser, CustomerOrder, CustomerView, RoleOrder, TokenView,
    UserView,
};
use crate::service::unix_now;
use crate::store::Store;
use arguments::{
    AdminCommand, AdminCreate, AuditArguments, CustomersCommand, LogInAs, Scope, TokenCommand, UsersCommand,
};

pub(super) fn admin(command: &AdminCommand, out: &mut dyn Write) -> anyhow::Result<Ended> {
    let AdminCommand::Create(AdminCreate { login, password_file, data_folder, database }) = command;
    let url = super::database::url(database)?;
    if url.is_none() {
        crate::files::create_private_folder(data_folder)
            .with_context(|| format!("cannot make {}", data_folder.display()))?;
    }
    let password = password::read(password_file.as_deref(), true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the tasks that write the database")?;
    runtime.block_on(async {
        let store = Store::open(data_folder, url.as_deref()).await?;
        let done = first_administrator(&store, login, &password, unix_now()).await;
        store.close().await;
        anyhow::Ok(done?)
    })?;
    writeln!(out, "{} administers this center: log in at its pages.", printable(&login.to_lowercase()))?;
    Ok(Ended::Done)
}

pub(super) fn users(
    client: &Client,
    command: Option<UsersCommand>,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Ended> {
    let place = |user: &str| format!("/users/{}", path_part(user));
    let view: UserView = match command.unwrap_or(UsersCommand::List) {
        UsersCommand::List => {
            let views: Vec<UserView> = client.get("/users")?;
            return if json { print_json(out, &views) } else { list_users(&views, out) };
        }
        UsersCommand::Show { user } => client.get(&place(&user))?,
        UsersCommand::Create { login, roles, full_name } => {
            let roles = roles.into_iter().map(|(customer, role)| RoleOrder { customer, role }).collect();
            client.post("/users", &CreateUser { login, full_name, roles, password: None })?
        }
        UsersCommand::Disable { user } => client.patch(&place(&user), &disabled(true))?,
        UsersCommand::Enable { user } => client.patch(&place(&user), &disabled(false))?,
        UsersCommand::SetUp { user } => client.post(&format!("{}/set-up", place(&user)), &())?,
        UsersCommand::Give { user, role: (customer, role) } => {
            client.post(&format!("{}/roles", place(&user)), &RoleOrder { customer, role })?
        }
        UsersCommand::Take { user, role: (customer, role) } => {
            client.delete(&format!("{}/roles/{}/{role}", place(&user), path_part(&customer)))?;
            client.get(&place(&user))?
        }
    };
    if json { print_json(out, &view) } else { show_user(client, &view, out) }
}

fn disabled(disabled: bool) -> ChangeUser {
    ChangeUser { full_name: None, disabled: Some(disabled) }
}

fn roles(view: &UserView) -> String {
    let each = view.roles.iter().map(|role| format!("{}:{}", role.customer, role.role));
    printable(&each.collect::<Vec<_>>().join(" "))
}

fn list_users(views: &[UserView], out: &mut dyn Write) -> anyhow::Result<Ended> {
    let rows: Vec<[String; 4]> = views
        .iter()
        .map(|view| [printable(&view.login), view.state.clone(), ago(view.last_login_at_unix_s), roles(view)])
        .collect();
    write!(out, "{}", table(["USER", "STATE", "LAST LOG-IN", "ROLES"], &rows))?;
    Ok(Ended::Done)
}

fn show_user(client: &Client, view: &UserView, out: &mut dyn Write) -> anyhow::Result<Ended> {
    writeln!(out, "{} {} ({}): {}", view.login, printable(&view.full_name), view.state, roles(view))?;
    if let Some(path) = &view.set_up_path {
        writeln!(out, "Set-up link, good for three days, shown only now: {}{path}", client.url())?;
    }
    Ok(Ended::Done)
}

pub(super) fn customers(
    client: &Client,
    command: Option<CustomersCommand>,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Ended> {
    let place = |customer: &str| format!("/customers/{}", path_part(customer));
    let view: CustomerView = match command.unwrap_or(CustomersCommand::List) {
        CustomersCommand::List => {
            let views: Vec<CustomerView> = client.get("/customers")?;
            return if json { print_json(out, &views) } else { list_customers(&views, out) };
        }
        CustomersCommand::Create { name, description } => {
            client.post("/customers", &CustomerOrder { name: Some(name), description: Some(description) })?
        }
        CustomersCommand::Rename { customer, name } => {
            client.patch(&place(&customer), &CustomerOrder { name: Some(name), description: None })?
        }
        CustomersCommand::Delete { customer } => {
            client.delete(&place(&customer))?;
            return Ok(Ended::Done);
        }
    };
    if json { print_json(out, &view) } else { list_customers(&[view], out) }
}

fn list_customers(views: &[CustomerView], out: &mut dyn Write) -> anyhow::Result<Ended> {
    let rows: Vec<[String; 5]> = views
        .iter()
        .map(|view| {
            let (gateways, groups) = (view.gateways.to_string(), view.groups.to_string());
            let (name, description) = (printable(&view.name), printable(&view.description));
            [name, gateways, groups, view.customer_id.to_string(), description]
        })
        .collect();
    write!(out, "{}", table(["CUSTOMER", "GATEWAYS", "GROUPS", "ID", "DESCRIPTION"], &rows))?;
    Ok(Ended::Done)
}

pub(super) fn token(
    client: &Client,
    command: TokenCommand,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Ended> {
    match command {
        TokenCommand::List { log_in } => {
            let views: Vec<TokenView> = own(client, &log_in)?.get("/account/tokens")?;
            if json { print_json(out, &views) } else { list_tokens(&views, out) }
        }
        TokenCommand::Create { name, scopes, valid, log_in } => {
            let has = |scope| scopes.contains(&scope);
            let scopes = TokenScopes {
                read: has(Scope::Read),
                update: has(Scope::Update),
                administer: has(Scope::Administer),
            };
            let order = CreateToken { name, scopes, expires_in_s: Some(valid.into()) };
            let view: TokenView = own(client, &log_in)?.post("/account/tokens", &order)?;
            if json {
                return print_json(out, &view);
            }
            writeln!(out, "{}", view.token.unwrap_or_default())?;
            Ok(Ended::Done)
        }
        TokenCommand::Revoke { id, log_in } => {
            own(client, &log_in)?.delete(&format!("/account/tokens/{id}"))?;
            Ok(Ended::Done)
        }
    }
}

/// A client that asks as the user whose tokens it is about.
fn own(client: &Client, log_in: &LogInAs) -> anyhow::Result<Client> {
    let Some(login) = &log_in.login else { return Ok(client.clone()) };
    let password = password::read(log_in.password_file.as_deref(), false)?;
    Ok(client.log_in(login.clone(), password)?)
}

fn list_tokens(views: &[TokenView], out: &mut dyn Write) -> anyhow::Result<Ended> {
    let rows: Vec<[String; 5]> = views
        .iter()
        .map(|view| {
            let TokenScopes { read, update, administer } = view.scopes;
            let scopes = [(read, "read"), (update, "update"), (administer, "administer")];
            let scopes: Vec<&str> = scopes.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect();
            [
                printable(&view.name),
                scopes.join(","),
                utc(view.expires_at_unix_s),
                ago(view.last_used_at_unix_s),
                view.token_id.to_string(),
            ]
        })
        .collect();
    write!(out, "{}", table(["TOKEN", "SCOPES", "GOOD UNTIL", "LAST USED", "ID"], &rows))?;
    Ok(Ended::Done)
}

pub(super) fn audit(
    client: &Client,
    arguments: &AuditArguments,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Ended> {
    let mut query = format!("limit={}", arguments.limit.max(1));
    for (name, value) in [("user", &arguments.user), ("customer", &arguments.customer)] {
        if let Some(value) = value {
            query.push_str(&format!("&{name}={}", path_part(value)));
        }
    }
    if arguments.csv {
        write!(out, "{}", client.get_text(&format!("/audit.csv?{query}"))?)?;
        return Ok(Ended::Done);
    }
    let most = usize::try_from(arguments.limit).unwrap_or(usize::MAX);
    let views: Vec<AuditView> = client.get_some(&format!("/audit?{query}"), most)?;
    if json {
        return print_json(out, &views);
    }
    let rows: Vec<[String; 5]> = views
        .iter()
        .map(|view| {
            let what = format!("{}: {} ({})", view.action, view.subject, view.result);
            let address = view.address.clone().unwrap_or_default();
            [utc(view.at_unix_s), printable(&view.user), address, printable(&what), printable(&view.detail)]
        })
        .collect();
    write!(out, "{}", table(["WHEN", "WHO", "FROM", "WHAT", "DETAIL"], &rows))?;
    Ok(Ended::Done)
}
