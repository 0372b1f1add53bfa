//! The tables of users and of their roles.

use std::collections::BTreeMap;

use keros_protocol::UnixSeconds;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::among::Among;
use super::{Result, number, optional_number, parsed, to_big};
use crate::access::{Grant, Reach, Role, UserId, Visible};

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserRow {
    /// The user.
    pub(crate) user_id: UserId,
    /// The log-in name, in lower case.
    pub(crate) login: String,
    /// What people call him.
    pub(crate) full_name: String,
    /// What is kept of his password; `None` until he has chosen one.
    pub(crate) password: Option<String>,
    /// He has to choose another one first.
    pub(crate) must_change: bool,
    /// From then on his set-up link is no longer good.
    pub(crate) setup_expires_at: Option<UnixSeconds>,
    /// Since when he may not log in.
    pub(crate) disabled_at: Option<UnixSeconds>,
    /// When he was made.
    pub(crate) created_at: UnixSeconds,
    /// When he last logged in.
    pub(crate) last_login_at: Option<UnixSeconds>,
}

macro_rules! users {
    ($rest:literal) => {
        concat!(
            "SELECT u.user_id AS user_id, u.login AS login, u.full_name AS full_name, u.password AS password, \
             u.must_change AS must_change, u.setup_expires_at AS setup_expires_at, u.disabled_at AS disabled_at, \
             u.created_at AS created_at, u.last_login_at AS last_login_at FROM users u ",
            $rest
        )
    };
}

fn user_row(row: &AnyRow) -> Result<UserRow> {
    Ok(UserRow {
        user_id: parsed(row, "user_id")?,
        login: row.try_get("login")?,
        full_name: row.try_get("full_name")?,
        password: row.try_get("password")?,
        must_change: number(row, "must_change")? != 0,
        setup_expires_at: optional_number(row, "setup_expires_at")?,
        disabled_at: optional_number(row, "disabled_at")?,
        created_at: number(row, "created_at")?,
        last_login_at: optional_number(row, "last_login_at")?,
    })
}

/// One user.
pub(crate) async fn find(connection: &mut AnyConnection, user: UserId) -> Result<Option<UserRow>> {
    let row =
        sqlx::query(users!("WHERE u.user_id = $1")).bind(user.to_string()).fetch_optional(connection).await?;
    row.as_ref().map(user_row).transpose()
}

/// The user of this log-in name.
pub(crate) async fn by_login(connection: &mut AnyConnection, login: &str) -> Result<Option<UserRow>> {
    let row =
        sqlx::query(users!("WHERE u.login = $1")).bind(login.to_owned()).fetch_optional(connection).await?;
    row.as_ref().map(user_row).transpose()
}

/// The user whose set-up link has this digest.
pub(crate) async fn by_setup(connection: &mut AnyConnection, digest: &str) -> Result<Option<UserRow>> {
    let row = sqlx::query(users!("WHERE u.setup_digest = $1"))
        .bind(digest.to_owned())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(user_row).transpose()
}

/// Those with a role on a visible customer; all of them, when all customers are visible.
pub(crate) async fn list(connection: &mut AnyConnection, visible: &Visible) -> Result<Vec<UserRow>> {
    let among = Among::new("r.customer_id", visible, 1);
    let sql = match visible {
        Visible::All => among.within(users!("ORDER BY u.login")),
        Visible::Only(_) => among.within(users!(
            "WHERE EXISTS (SELECT 1 FROM user_roles r WHERE r.user_id = u.user_id AND {among}) ORDER BY u.login"
        )),
    };
    let rows = among.bind(sqlx::query(sql)).fetch_all(connection).await?;
    rows.iter().map(user_row).collect()
}

/// How many there are.
pub(crate) async fn count(connection: &mut AnyConnection) -> Result<u32> {
    let row = sqlx::query("SELECT COUNT(*) AS n FROM users").fetch_one(connection).await?;
    super::count(&row, "n")
}

/// Keeps a new user, without a password.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    user: UserId,
    login: &str,
    full_name: &str,
    now: UnixSeconds,
) -> Result<()> {
    sqlx::query("INSERT INTO users (user_id, login, full_name, created_at) VALUES ($1, $2, $3, $4)")
        .bind(user.to_string())
        .bind(login.to_owned())
        .bind(full_name.to_owned())
        .bind(to_big(now))
        .execute(connection)
        .await?;
    Ok(())
}

/// Keeps a password; a set-up link is no longer good.
pub(crate) async fn keep_password(
    connection: &mut AnyConnection,
    user: UserId,
    password: &str,
    must_change: bool,
) -> Result<()> {
    sqlx::query(
        "UPDATE users SET password = $2, must_change = $3, setup_digest = NULL, setup_expires_at = NULL WHERE user_id = $1",
    )
    .bind(user.to_string())
    .bind(password.to_owned())
    .bind(i64::from(must_change))
    .execute(connection)
    .await?;
    Ok(())
}

/// Keeps a set-up link; the password is no longer good.
pub(crate) async fn keep_setup(
    connection: &mut AnyConnection,
    user: UserId,
    digest: &str,
    expires_at: UnixSeconds,
) -> Result<()> {
    sqlx::query(
        "UPDATE users SET password = NULL, must_change = 0, setup_digest = $2, setup_expires_at = $3 WHERE user_id = $1",
    )
    .bind(user.to_string())
    .bind(digest.to_owned())
    .bind(to_big(expires_at))
    .execute(connection)
    .await?;
    Ok(())
}

/// Keeps what a user is called, and since when he may not log in.
pub(crate) async fn keep(
    connection: &mut AnyConnection,
    user: UserId,
    full_name: &str,
    disabled_at: Option<UnixSeconds>,
) -> Result<()> {
    sqlx::query("UPDATE users SET full_name = $2, disabled_at = $3 WHERE user_id = $1")
        .bind(user.to_string())
        .bind(full_name.to_owned())
        .bind(disabled_at.map(to_big))
        .execute(connection)
        .await?;
    Ok(())
}

/// He has logged in.
pub(crate) async fn logged_in(connection: &mut AnyConnection, user: UserId, now: UnixSeconds) -> Result<()> {
    sqlx::query("UPDATE users SET last_login_at = $2 WHERE user_id = $1")
        .bind(user.to_string())
        .bind(to_big(now))
        .execute(connection)
        .await?;
    Ok(())
}

fn grant(row: &AnyRow) -> Result<Grant> {
    Ok(Grant { reach: parsed::<Reach>(row, "customer_id")?, role: parsed::<Role>(row, "role")? })
}

/// A user's roles.
pub(crate) async fn grants(connection: &mut AnyConnection, user: UserId) -> Result<Vec<Grant>> {
    let rows =
        sqlx::query("SELECT customer_id, role FROM user_roles WHERE user_id = $1 ORDER BY customer_id, role")
            .bind(user.to_string())
            .fetch_all(connection)
            .await?;
    rows.iter().map(grant).collect()
}

/// The roles of all users.
pub(crate) async fn all_grants(connection: &mut AnyConnection) -> Result<BTreeMap<UserId, Vec<Grant>>> {
    let rows = sqlx::query("SELECT user_id, customer_id, role FROM user_roles ORDER BY customer_id, role")
        .fetch_all(connection)
        .await?;
    let mut all: BTreeMap<UserId, Vec<Grant>> = BTreeMap::new();
    for row in &rows {
        all.entry(parsed(row, "user_id")?).or_default().push(grant(row)?);
    }
    Ok(all)
}

/// Gives a role; whether he did not have it.
pub(crate) async fn give(connection: &mut AnyConnection, user: UserId, grant: Grant) -> Result<bool> {
    let done = sqlx::query(
        "INSERT INTO user_roles (user_id, customer_id, role) VALUES ($1, $2, $3) \
         ON CONFLICT (user_id, customer_id, role) DO NOTHING",
    )
    .bind(user.to_string())
    .bind(grant.reach.to_string())
    .bind(grant.role.as_str())
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Takes a role; whether he had it.
pub(crate) async fn take(connection: &mut AnyConnection, user: UserId, grant: Grant) -> Result<bool> {
    let done = sqlx::query("DELETE FROM user_roles WHERE user_id = $1 AND customer_id = $2 AND role = $3")
        .bind(user.to_string())
        .bind(grant.reach.to_string())
        .bind(grant.role.as_str())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// How many who may log in have this role.
pub(crate) async fn holders(connection: &mut AnyConnection, grant: Grant) -> Result<u32> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS n FROM user_roles r JOIN users u ON u.user_id = r.user_id \
         WHERE r.customer_id = $1 AND r.role = $2 AND u.disabled_at IS NULL",
    )
    .bind(grant.reach.to_string())
    .bind(grant.role.as_str())
    .fetch_one(connection)
    .await?;
    super::count(&row, "n")
}
