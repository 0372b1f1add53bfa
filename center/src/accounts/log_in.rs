//! Logging in and out, and who somebody is by what a request carries.

use keros_protocol::UnixSeconds;

use super::rules::login_of;
use super::secrets::{self, digest_of};
use super::shell::{Accounts, lock};
use super::{passwords, views};
use crate::access::{Caller, TokenScopes, UserId};
use crate::api::{LogIn, SessionView, SetUp};
use crate::bounds::{MAX_SESSIONS, SEEN_EVERY_S, SESSION_AGE_S, SESSION_IDLE_S};
use crate::service::{OrderError, What, audit_done, audit_refused};
use crate::store::sessions::SessionRow;
use crate::store::users::UserRow;
use crate::store::{StoreError, Transaction, customers, sessions, tokens, users};

/// What API tokens begin with, so that people and scanners know one when they see it.
pub(super) const TOKEN_PREFIX: &str = "keros_";

/// Who it is, by a session or a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// Who, and what he may: nothing, until he has changed his password.
    pub(crate) caller: Caller,
    /// What a session's requests and forms have to carry; `None`: a token, which no browser sends by itself.
    pub(crate) csrf: Option<String>,
    /// He has to change his password first.
    pub(crate) must_change: bool,
}

impl Known {
    /// Whoever has the center's own token.
    pub(crate) fn root() -> Self {
        Self { caller: Caller::root(), csrf: None, must_change: false }
    }
}

/// A log-in that has just begun.
#[derive(Debug)]
pub(crate) struct Entered {
    /// What the cookie holds.
    pub(crate) secret: String,
    /// Who it is.
    pub(crate) known: Known,
}

/// What is said of every log-in that does not succeed: nothing of which part was wrong.
fn wrong() -> OrderError {
    OrderError::Unauthorised("the log-in name or the password is not right".to_owned())
}

impl Accounts {
    /// Logs in.
    pub(crate) async fn log_in(
        &self,
        order: LogIn,
        address: Option<String>,
        now: UnixSeconds,
    ) -> Result<Entered, OrderError> {
        let login = login_of(&order.login).unwrap_or_default();
        self.admit(&login, address.as_deref(), now)?;
        let row = users::by_login(&mut *self.store.read().await?, &login).await?;
        let kept = row.as_ref().and_then(|row| row.password.clone());
        let is_same = self.is_same(order.password, kept.clone()).await?;
        let who = Caller::unknown(&login).at(address.clone());
        let mut transaction = self.store.begin().await?;
        // Read again: it may have been changed while the password was checked.
        let row = match row {
            Some(row) => users::find(&mut transaction, row.user_id).await?,
            None => None,
        };
        let row = row.filter(|row| is_same && row.disabled_at.is_none() && row.password == kept);
        let Some(row) = row else {
            audit_refused(&mut transaction, &who, "log in", What::of_center("log-in", "")).await?;
            transaction.commit().await.map_err(StoreError::from)?;
            return Err(wrong());
        };
        let entered = enter(&mut transaction, &row, address.clone(), now).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        lock(&self.logins).succeeded(&login);
        Ok(entered)
    }

    /// Chooses the password of a set-up link, and logs in.
    pub(crate) async fn set_up(
        &self,
        order: SetUp,
        address: Option<String>,
        now: UnixSeconds,
    ) -> Result<Entered, OrderError> {
        self.admit("", address.as_deref(), now)?;
        let digest = digest_of(&order.secret);
        let found = users::by_setup(&mut *self.store.read().await?, &digest).await?;
        let row = found.filter(|row| is_set_up(row, now)).ok_or_else(no_link)?;
        passwords::check(&order.password, &row.login)?;
        let kept = self.hash(order.password).await?;
        let mut transaction = self.store.begin().await?;
        let row = users::by_setup(&mut transaction, &digest).await?.filter(|row| is_set_up(row, now));
        let row = row.ok_or_else(no_link)?;
        users::keep_password(&mut transaction, row.user_id, &kept, false).await?;
        let row = UserRow { must_change: false, ..row };
        let entered = enter(&mut transaction, &row, address, now).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(entered)
    }

    /// The log-in name of a set-up link that is good.
    pub(crate) async fn invited(&self, secret: &str, now: UnixSeconds) -> Result<String, OrderError> {
        let found = users::by_setup(&mut *self.store.read().await?, &digest_of(secret)).await?;
        Ok(found.filter(|row| is_set_up(row, now)).ok_or_else(no_link)?.login)
    }

    /// Logs out.
    pub(crate) async fn log_out(&self, secret: &str) -> Result<(), OrderError> {
        let mut transaction = self.store.begin().await?;
        sessions::remove(&mut transaction, &digest_of(secret)).await?;
        Ok(transaction.commit().await.map_err(StoreError::from)?)
    }

    /// Chooses another password; all log-ins of the user end, and this one begins anew.
    pub(crate) async fn change_password(
        &self,
        caller: &Caller,
        (old, new): (String, String),
        now: UnixSeconds,
    ) -> Result<Entered, OrderError> {
        let user = caller.user.ok_or_else(no_user)?;
        if caller.scopes() != TokenScopes::ALL {
            return Err(OrderError::Forbidden(
                "an API token does not change the password: log in".to_owned(),
            ));
        }
        let row = users::find(&mut *self.store.read().await?, user).await?.ok_or_else(no_user)?;
        self.admit(&row.login, caller.address.as_deref(), now)?;
        if !self.is_same(old.clone(), row.password.clone()).await? {
            return Err(OrderError::Invalid("the password up to now is not right".to_owned()));
        }
        lock(&self.logins).succeeded(&row.login);
        if old == new {
            return Err(OrderError::Invalid("the new password is the old one".to_owned()));
        }
        passwords::check(&new, &row.login)?;
        let kept = self.hash(new).await?;
        let mut transaction = self.store.begin().await?;
        users::keep_password(&mut transaction, user, &kept, false).await?;
        sessions::remove_all(&mut transaction, user).await?;
        let what = What::of_center(format!("user {:?}", row.login), "password changed, all log-ins ended");
        audit_done(&mut transaction, caller, "change password", what).await?;
        let row = UserRow { must_change: false, ..row };
        let entered = enter(&mut transaction, &row, caller.address.clone(), now).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(entered)
    }

    /// Who has this session.
    pub(crate) async fn by_session(
        &self,
        secret: &str,
        now: UnixSeconds,
    ) -> Result<Option<Known>, OrderError> {
        let mut connection = self.store.read().await?;
        let found = sessions::find(&mut connection, &digest_of(secret)).await?;
        let is_good = |row: &SessionRow| {
            now < row.seen_at.saturating_add(SESSION_IDLE_S)
                && now < row.created_at.saturating_add(SESSION_AGE_S)
        };
        let Some(session) = found.filter(is_good) else { return Ok(None) };
        let found = users::find(&mut connection, session.user_id).await?;
        let Some(user) = found.filter(|user| user.disabled_at.is_none()) else { return Ok(None) };
        let grants = users::grants(&mut connection, user.user_id).await?;
        drop(connection);
        if now >= session.seen_at.saturating_add(SEEN_EVERY_S) {
            let mut transaction = self.store.begin().await?;
            sessions::seen(&mut transaction, &session.digest, now).await?;
            transaction.commit().await.map_err(StoreError::from)?;
        }
        // Who has to change his password may do nothing else.
        let grants = if user.must_change { Vec::new() } else { grants };
        let caller = Caller::user(user.user_id, user.login, grants, TokenScopes::ALL);
        Ok(Some(Known { caller, csrf: Some(session.csrf), must_change: user.must_change }))
    }

    /// Who has this API token.
    pub(crate) async fn by_token(&self, token: &str, now: UnixSeconds) -> Result<Option<Known>, OrderError> {
        let Some(secret) = token.strip_prefix(TOKEN_PREFIX) else { return Ok(None) };
        let mut connection = self.store.read().await?;
        let found = tokens::find(&mut connection, &digest_of(secret)).await?;
        let Some(row) = found.filter(|row| now < row.expires_at) else { return Ok(None) };
        let found = users::find(&mut connection, row.user_id).await?;
        let Some(user) = found.filter(|user| user.disabled_at.is_none()) else { return Ok(None) };
        let grants = users::grants(&mut connection, user.user_id).await?;
        drop(connection);
        if row.last_used_at.is_none_or(|at| now >= at.saturating_add(SEEN_EVERY_S)) {
            let mut transaction = self.store.begin().await?;
            tokens::used(&mut transaction, &row.digest, now).await?;
            transaction.commit().await.map_err(StoreError::from)?;
        }
        let caller = Caller::user(user.user_id, user.login, grants, row.scopes);
        Ok(Some(Known { caller, csrf: None, must_change: false }))
    }

    /// What is shown of a log-in.
    pub(crate) async fn session(&self, known: &Known) -> Result<SessionView, OrderError> {
        let names = customers::names(&mut *self.store.read().await?).await?;
        Ok(SessionView {
            user_id: known.caller.user,
            login: known.caller.name.clone(),
            roles: views::roles(known.caller.grants(), &names),
            csrf: known.csrf.clone(),
            must_change_password: known.must_change,
        })
    }

    /// Counts an attempt at an account and from an address.
    fn admit(&self, login: &str, address: Option<&str>, now: UnixSeconds) -> Result<(), OrderError> {
        let wait = |seconds: u64| {
            OrderError::TooMany(format!("too many attempts: try again in {seconds} seconds"), seconds)
        };
        lock(&self.addresses).attempt(&network(address.unwrap_or_default()), now).map_err(wait)?;
        // Set-up links have no account yet.
        if login.is_empty() {
            return Ok(());
        }
        lock(&self.logins).attempt(login, now).map_err(wait)
    }
}

/// Begins a log-in.
async fn enter(
    transaction: &mut Transaction,
    user: &UserRow,
    address: Option<String>,
    now: UnixSeconds,
) -> Result<Entered, OrderError> {
    let secret = secrets::new()?;
    let row = SessionRow {
        digest: digest_of(&secret),
        user_id: user.user_id,
        csrf: secrets::new()?,
        address: address.clone().unwrap_or_default(),
        created_at: now,
        seen_at: now,
    };
    sessions::insert(transaction, &row).await?;
    let (seen_before, created_before) =
        (now.saturating_sub(SESSION_IDLE_S), now.saturating_sub(SESSION_AGE_S));
    sessions::prune(transaction, seen_before, created_before, (user.user_id, MAX_SESSIONS)).await?;
    users::logged_in(transaction, user.user_id, now).await?;
    let grants = users::grants(transaction, user.user_id).await?;
    let grants = if user.must_change { Vec::new() } else { grants };
    let caller = Caller::user(user.user_id, user.login.clone(), grants, TokenScopes::ALL).at(address);
    audit_done(transaction, &caller, "log in", What::of_center("log-in", "")).await?;
    let known = Known { caller, csrf: Some(row.csrf), must_change: user.must_change };
    Ok(Entered { secret, known })
}

fn is_set_up(row: &UserRow, now: UnixSeconds) -> bool {
    row.disabled_at.is_none() && row.setup_expires_at.is_some_and(|at| now < at)
}

/// Whoever has an IPv6 address has 2^64 of them.
fn network(address: &str) -> String {
    match address.parse() {
        Ok(std::net::IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_none() => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        _ => address.to_owned(),
    }
}

fn no_link() -> OrderError {
    OrderError::NotFound("this set-up link was used, or its time is over: ask for another one".to_owned())
}

pub(super) fn no_user() -> OrderError {
    OrderError::Conflict("the center's own token has no account: log in as a user".to_owned())
}

/// The user of an id, as it is written.
pub(super) fn user_id(text: &str) -> Option<UserId> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn addresses_of_one_ipv6_network_count_as_one() {
        use super::network;
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), network("2001:db8:1:2::1"));
        assert_ne!(network("2001:db8:1:3::1"), network("2001:db8:1:2::1"));
        assert_eq!(network("192.0.2.1"), "192.0.2.1");
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
