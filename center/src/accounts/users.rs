//! Users and their roles.

use keros_protocol::UnixSeconds;
use sqlx::AnyConnection;

use super::log_in::user_id;
use super::rules::{login_of, may_change, may_give};
use super::secrets::{self, digest_of};
use super::shell::Accounts;
use super::{passwords, views};
use crate::access::{Action, Caller, Grant, Reach, Role, UserId};
use crate::api::{ChangeUser, CreateUser, RoleOrder, UserView};
use crate::bounds::{MAX_ROLES, MAX_USERS, SETUP_S};
use crate::service::{OrderError, What, audit, check_name, no_customer, still_as_seen};
use crate::store::users::UserRow;
use crate::store::{Store, StoreError, Transaction, customers, sessions, users};

/// Who administers the center.
const CENTERS: Grant = Grant { reach: Reach::All, role: Role::ChannelAdministrator };

impl Accounts {
    /// The users of the customers whose users the caller may see.
    pub(crate) async fn users(&self, caller: &Caller, now: UnixSeconds) -> Result<Vec<UserView>, OrderError> {
        caller.require_somewhere(Action::SeeUsers)?;
        let mut connection = self.store.read().await?;
        let rows = users::list(&mut connection, &caller.where_may(Action::SeeUsers)).await?;
        let mut grants = users::all_grants(&mut connection).await?;
        let names = customers::names(&mut connection).await?;
        let view = |row: UserRow| {
            let of_it = shown(caller, grants.remove(&row.user_id).unwrap_or_default());
            views::user(row, views::roles(&of_it, &names), now)
        };
        Ok(rows.into_iter().map(view).collect())
    }

    /// One user, by id or log-in name.
    pub(crate) async fn user(
        &self,
        caller: &Caller,
        name: &str,
        now: UnixSeconds,
    ) -> Result<UserView, OrderError> {
        let mut connection = self.store.read().await?;
        let (row, grants) = find(&mut connection, caller, name).await?;
        view_of(&mut connection, caller, row, grants, now).await
    }

    /// Makes a user, with a first password or a set-up link.
    pub(crate) async fn create_user(
        &self,
        caller: &Caller,
        order: CreateUser,
        now: UnixSeconds,
    ) -> Result<UserView, OrderError> {
        caller.require_somewhere(Action::EditUsers)?;
        let login = login_of(&order.login).ok_or_else(bad_login)?;
        check_full_name(&order.full_name)?;
        if order.roles.is_empty() || order.roles.len() > MAX_ROLES {
            return Err(OrderError::Invalid(format!("a user has 1 to {MAX_ROLES} roles")));
        }
        let kept = match order.password {
            Some(password) => {
                passwords::check(&password, &login)?;
                Some(self.hash(password).await?)
            }
            None => None,
        };
        let mut transaction = self.store.begin().await?;
        let sees_all = caller.may_everywhere(Action::SeeUsers);
        let is_taken = async { Ok(users::by_login(&mut transaction, &login).await?.is_some()) };
        if self.is_taken(caller, sees_all, is_taken, now).await? {
            return Err(OrderError::Conflict(format!("there is a user {login:?} already")));
        }
        if users::count(&mut transaction).await? >= MAX_USERS {
            return Err(OrderError::Conflict(format!("there are {MAX_USERS} users already")));
        }
        let user = UserId::new();
        users::insert(&mut transaction, user, &login, &order.full_name, now).await?;
        for role in &order.roles {
            let grant = grant_of(&mut transaction, caller, role).await?;
            users::give(&mut transaction, user, grant).await?;
            record(&mut transaction, caller, &login, grant, "made, with the role").await?;
        }
        let path = match kept {
            Some(kept) => {
                users::keep_password(&mut transaction, user, &kept, true).await?;
                None
            }
            None => Some(invite(&mut transaction, user, now).await?),
        };
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(UserView { set_up_path: path, ..self.user(caller, &login, now).await? })
    }

    /// Changes what a user is called, and whether he may log in.
    pub(crate) async fn change_user(
        &self,
        caller: &Caller,
        name: &str,
        order: &ChangeUser,
        now: UnixSeconds,
    ) -> Result<UserView, OrderError> {
        let mut transaction = self.store.begin().await?;
        let (row, grants) = find_changeable(&mut transaction, caller, name).await?;
        let present = view_of(&mut transaction, caller, row.clone(), grants.clone(), now).await?;
        still_as_seen(caller, &present)?;
        let full_name = order.full_name.as_ref().unwrap_or(&row.full_name);
        check_full_name(full_name)?;
        let disabled_at = match order.disabled {
            None => row.disabled_at,
            Some(false) => None,
            Some(true) => Some(row.disabled_at.unwrap_or(now)),
        };
        users::keep(&mut transaction, row.user_id, full_name, disabled_at).await?;
        if disabled_at.is_some() {
            sessions::remove_all(&mut transaction, row.user_id).await?;
            keep_one_administrator(&mut transaction, &grants).await?;
        }
        let detail = match order.disabled {
            Some(true) => "disabled, all log-ins ended",
            Some(false) => "enabled",
            None => "changed",
        };
        record_user(&mut transaction, caller, &row.login, &grants, detail).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        self.user(caller, &row.login, now).await
    }

    /// Makes a new set-up link; the password is no longer good, and all log-ins end.
    pub(crate) async fn invite_user(
        &self,
        caller: &Caller,
        name: &str,
        now: UnixSeconds,
    ) -> Result<UserView, OrderError> {
        let mut transaction = self.store.begin().await?;
        let (row, grants) = find_changeable(&mut transaction, caller, name).await?;
        if caller.user == Some(row.user_id) {
            return Err(OrderError::Conflict("change your own password instead".to_owned()));
        }
        let path = invite(&mut transaction, row.user_id, now).await?;
        sessions::remove_all(&mut transaction, row.user_id).await?;
        record_user(&mut transaction, caller, &row.login, &grants, "a set-up link was made").await?;
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(UserView { set_up_path: Some(path), ..self.user(caller, &row.login, now).await? })
    }

    /// Gives a user a role.
    pub(crate) async fn give_role(
        &self,
        caller: &Caller,
        name: &str,
        order: &RoleOrder,
        now: UnixSeconds,
    ) -> Result<UserView, OrderError> {
        let mut transaction = self.store.begin().await?;
        let row = any(&mut transaction, caller, name).await?;
        let grants = users::grants(&mut transaction, row.user_id).await?;
        // One of whom only other customers know is theirs: with a role here his administrator could no longer disable him. One without any
        // role is nobody's.
        if !grants.is_empty() && !sees(caller, &grants) {
            return Err(no_such(name));
        }
        let grant = grant_of(&mut transaction, caller, order).await?;
        if grants.len() >= MAX_ROLES {
            return Err(OrderError::Conflict(format!("a user has {MAX_ROLES} roles at most")));
        }
        if users::give(&mut transaction, row.user_id, grant).await? {
            record(&mut transaction, caller, &row.login, grant, "given the role").await?;
        }
        transaction.commit().await.map_err(StoreError::from)?;
        self.user(caller, &row.login, now).await
    }

    /// Takes a role from a user. The user stays, also without any.
    pub(crate) async fn take_role(
        &self,
        caller: &Caller,
        name: &str,
        order: &RoleOrder,
    ) -> Result<(), OrderError> {
        let mut transaction = self.store.begin().await?;
        let (row, _) = find(&mut transaction, caller, name).await?;
        let grant = grant_of(&mut transaction, caller, order).await?;
        if !users::take(&mut transaction, row.user_id, grant).await? {
            return Err(OrderError::NotFound(format!("{:?} does not have this role", row.login)));
        }
        keep_one_administrator(&mut transaction, &[grant]).await?;
        record(&mut transaction, caller, &row.login, grant, "no longer with the role").await?;
        Ok(transaction.commit().await.map_err(StoreError::from)?)
    }
}

/// Makes an administrator of the center in its store, or makes him one: by whoever may write the store itself.
pub(crate) async fn first_administrator(
    store: &Store,
    login: &str,
    password: &str,
    now: UnixSeconds,
) -> Result<(), OrderError> {
    let login = login_of(login).ok_or_else(bad_login)?;
    passwords::check(password, &login)?;
    let kept = passwords::hash(password)?;
    let mut transaction = store.begin().await?;
    let user = match users::by_login(&mut transaction, &login).await? {
        Some(row) => row.user_id,
        None => {
            let user = UserId::new();
            users::insert(&mut transaction, user, &login, "", now).await?;
            user
        }
    };
    users::keep_password(&mut transaction, user, &kept, false).await?;
    sessions::remove_all(&mut transaction, user).await?;
    let row = users::find(&mut transaction, user).await?;
    let full_name = row.map(|row| row.full_name).unwrap_or_default();
    users::keep(&mut transaction, user, &full_name, None).await?;
    users::give(&mut transaction, user, CENTERS).await?;
    let caller = Caller::command_line();
    record(&mut transaction, &caller, &login, CENTERS, "password set, given the role").await?;
    Ok(transaction.commit().await.map_err(StoreError::from)?)
}

/// The roles that the caller has to do with.
fn shown(caller: &Caller, grants: Vec<Grant>) -> Vec<Grant> {
    let visible = caller.where_may(Action::SeeUsers);
    let is_shown = |grant: &Grant| match grant.reach {
        Reach::All => caller.may_everywhere(Action::SeeUsers),
        Reach::One(customer) => visible.has(&customer),
    };
    grants.into_iter().filter(is_shown).collect()
}

async fn any(connection: &mut AnyConnection, caller: &Caller, name: &str) -> Result<UserRow, OrderError> {
    caller.require_somewhere(Action::SeeUsers)?;
    let found = match user_id(name) {
        Some(id) => users::find(connection, id).await?,
        None => users::by_login(connection, &login_of(name).unwrap_or_default()).await?,
    };
    found.ok_or_else(|| no_such(name))
}

/// A user that the caller sees, with all his roles.
async fn find(
    connection: &mut AnyConnection,
    caller: &Caller,
    name: &str,
) -> Result<(UserRow, Vec<Grant>), OrderError> {
    let row = any(connection, caller, name).await?;
    let grants = users::grants(connection, row.user_id).await?;
    if sees(caller, &grants) { Ok((row, grants)) } else { Err(no_such(name)) }
}

/// Whether the caller sees a user with these roles.
fn sees(caller: &Caller, grants: &[Grant]) -> bool {
    caller.may_everywhere(Action::SeeUsers) || !shown(caller, grants.to_vec()).is_empty()
}

async fn view_of(
    connection: &mut AnyConnection,
    caller: &Caller,
    row: UserRow,
    grants: Vec<Grant>,
    now: UnixSeconds,
) -> Result<UserView, OrderError> {
    let names = customers::names(connection).await?;
    Ok(views::user(row, views::roles(&shown(caller, grants), &names), now))
}

/// A user that the caller may change.
async fn find_changeable(
    connection: &mut AnyConnection,
    caller: &Caller,
    name: &str,
) -> Result<(UserRow, Vec<Grant>), OrderError> {
    let (row, grants) = find(connection, caller, name).await?;
    if may_change(caller, &grants) {
        return Ok((row, grants));
    }
    Err(OrderError::Forbidden(format!(
        "{:?} has roles that you may not give: ask an administrator who may",
        row.login
    )))
}

/// A role that the caller may give and take.
async fn grant_of(
    connection: &mut AnyConnection,
    caller: &Caller,
    order: &RoleOrder,
) -> Result<Grant, OrderError> {
    let reach = if order.customer == "*" {
        Reach::All
    } else {
        let found = customers::named(connection, &order.customer, &caller.visible()).await?;
        Reach::One(found.ok_or_else(|| no_customer(&order.customer))?.id)
    };
    let grant = Grant { reach, role: order.role };
    if may_give(caller, grant) {
        return Ok(grant);
    }
    Err(OrderError::Forbidden(format!(
        "you may not give or take the role {} there: nobody gives more than he has",
        order.role
    )))
}

async fn invite(transaction: &mut Transaction, user: UserId, now: UnixSeconds) -> Result<String, OrderError> {
    let secret = secrets::new()?;
    users::keep_setup(transaction, user, &digest_of(&secret), now.saturating_add(SETUP_S)).await?;
    Ok(format!("/set-up/{secret}"))
}

/// Refuses what would leave the center without an administrator. It is asked after the change, in its transaction.
async fn keep_one_administrator(transaction: &mut Transaction, touched: &[Grant]) -> Result<(), OrderError> {
    if touched.contains(&CENTERS) && users::holders(transaction, CENTERS).await? == 0 {
        return Err(OrderError::Conflict(
            "this is the last administrator of the center: give another user CHANNEL_ADMINISTRATOR on * first".to_owned(),
        ));
    }
    Ok(())
}

async fn record(
    transaction: &mut Transaction,
    caller: &Caller,
    login: &str,
    grant: Grant,
    what: &str,
) -> Result<(), OrderError> {
    let customer = match grant.reach {
        Reach::All => None,
        Reach::One(customer) => Some(customer),
    };
    let place = if customer.is_none() { " on all customers" } else { "" };
    let detail = format!("{what} {}{place}", grant.role);
    let what = What { customer, subject: format!("user {login:?}"), detail };
    audit(transaction, caller, Action::EditUsers, what).await
}

/// One line for each customer that the user has to do with: each sees its own lines only.
async fn record_user(
    transaction: &mut Transaction,
    caller: &Caller,
    login: &str,
    grants: &[Grant],
    detail: &str,
) -> Result<(), OrderError> {
    let mut reaches: Vec<_> = grants
        .iter()
        .map(|grant| match grant.reach {
            Reach::All => None,
            Reach::One(customer) => Some(customer),
        })
        .collect();
    reaches.dedup();
    if reaches.is_empty() {
        reaches.push(None);
    }
    for customer in reaches {
        let what = What { customer, subject: format!("user {login:?}"), detail: detail.to_owned() };
        audit(transaction, caller, Action::EditUsers, what).await?;
    }
    Ok(())
}

fn check_full_name(name: &str) -> Result<(), OrderError> {
    if name.is_empty() { Ok(()) } else { check_name("a user's full name", name) }
}

fn bad_login() -> OrderError {
    OrderError::Invalid(
        "a log-in name has 1 to 64 of the characters a to z, 0 to 9, '.', '_', '-', '@', '+'".to_owned(),
    )
}

fn no_such(name: &str) -> OrderError {
    OrderError::NotFound(format!("there is no user {name:?}: `keros-center users` lists them"))
}
