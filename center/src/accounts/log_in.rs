//! Logging in and out, and who somebody is by what a request carries.

use keros_protocol::UnixSeconds;
use sqlx::AnyConnection;

use super::rules::login_of;
use super::secrets::{self, digest_of};
use super::shell::{Accounts, lock};
use super::{passwords, views};
use crate::access::{Caller, Grant, TokenScopes, UserId};
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
    /// By what he is known.
    pub(crate) proof: Proof,
}

/// By what somebody is known; digests, as they are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The center's own token.
    Root,
    /// A session.
    Session(String),
    /// An API token.
    Token(String),
}

impl Known {
    /// Whoever has the center's own token.
    pub(crate) fn root() -> Self {
        Self { caller: Caller::root(), csrf: None, must_change: false, proof: Proof::Root }
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
        self.succeeded(&login, address.as_deref(), now);
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
        self.succeeded(&row.login, caller.address.as_deref(), now);
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
        let digest = digest_of(secret);
        let found = of_session(&mut *self.store.read().await?, digest.clone(), now).await?;
        let Some((known, seen_at)) = found else { return Ok(None) };
        if now >= seen_at.saturating_add(SEEN_EVERY_S) {
            let mut transaction = self.store.begin().await?;
            sessions::seen(&mut transaction, &digest, now).await?;
            transaction.commit().await.map_err(StoreError::from)?;
        }
        Ok(Some(known))
    }

    /// Who has this API token.
    pub(crate) async fn by_token(&self, token: &str, now: UnixSeconds) -> Result<Option<Known>, OrderError> {
        let Some(secret) = token.strip_prefix(TOKEN_PREFIX) else { return Ok(None) };
        let digest = digest_of(secret);
        let found = of_token(&mut *self.store.read().await?, digest.clone(), now).await?;
        let Some((known, used_at)) = found else { return Ok(None) };
        if used_at.is_none_or(|at| now >= at.saturating_add(SEEN_EVERY_S)) {
            let mut transaction = self.store.begin().await?;
            tokens::used(&mut transaction, &digest, now).await?;
            transaction.commit().await.map_err(StoreError::from)?;
        }
        Ok(Some(known))
    }

    /// Whether somebody who was known a while ago still is, and may what he could then: he has not logged out, is not disabled, his roles are
    /// the same. It counts as no use of a log-in: a page that is left open does not keep it alive.
    pub(crate) async fn is_still(&self, known: &Known, now: UnixSeconds) -> Result<bool, OrderError> {
        let mut connection = self.store.read().await?;
        let found = match known.proof.clone() {
            Proof::Root => return Ok(true),
            Proof::Session(digest) => of_session(&mut connection, digest, now).await?.map(|(known, _)| known),
            Proof::Token(digest) => of_token(&mut connection, digest, now).await?.map(|(known, _)| known),
        };
        Ok(found.is_some_and(|found| found.caller.grants() == known.caller.grants()))
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
        let network = network(address.unwrap_or_default());
        lock(&self.addresses).attempt(&network, now).map_err(wait)?;
        // Set-up links have no account yet.
        if login.is_empty() {
            return Ok(());
        }
        let counted_as = lock(&self.usual).counted_as(login, &network);
        lock(&self.logins).attempt(&counted_as, now).map_err(wait)
    }

    /// A password was right: the attempt does not count, and the next ones from there count for themselves.
    fn succeeded(&self, login: &str, address: Option<&str>, now: UnixSeconds) {
        let network = network(address.unwrap_or_default());
        let mut usual = lock(&self.usual);
        lock(&self.logins).succeeded(&usual.counted_as(login, &network));
        usual.keep(login, &network, now);
    }
}

/// Who has the session of this digest, and when it was last used.
async fn of_session(
    connection: &mut AnyConnection,
    digest: String,
    now: UnixSeconds,
) -> Result<Option<(Known, UnixSeconds)>, StoreError> {
    let is_good = |row: &SessionRow| {
        now < row.seen_at.saturating_add(SESSION_IDLE_S) && now < row.created_at.saturating_add(SESSION_AGE_S)
    };
    let Some(session) = sessions::find(connection, &digest).await?.filter(is_good) else { return Ok(None) };
    let Some((user, grants)) = active(connection, session.user_id).await? else { return Ok(None) };
    // Who has to change his password may do nothing else.
    let grants = if user.must_change { Vec::new() } else { grants };
    let caller = Caller::user(user.user_id, user.login, grants, TokenScopes::ALL);
    let (csrf, proof) = (Some(session.csrf), Proof::Session(digest));
    Ok(Some((Known { caller, csrf, must_change: user.must_change, proof }, session.seen_at)))
}

/// Who has the token of this digest, and when it was last used.
async fn of_token(
    connection: &mut AnyConnection,
    digest: String,
    now: UnixSeconds,
) -> Result<Option<(Known, Option<UnixSeconds>)>, StoreError> {
    let found = tokens::find(connection, &digest).await?;
    let Some(row) = found.filter(|row| now < row.expires_at) else { return Ok(None) };
    let Some((user, grants)) = active(connection, row.user_id).await? else { return Ok(None) };
    let caller = Caller::user(user.user_id, user.login, grants, row.scopes);
    let known = Known { caller, csrf: None, must_change: false, proof: Proof::Token(digest) };
    Ok(Some((known, row.last_used_at)))
}

/// A user who is not disabled, with his roles.
async fn active(
    connection: &mut AnyConnection,
    user: UserId,
) -> Result<Option<(UserRow, Vec<Grant>)>, StoreError> {
    let found = users::find(connection, user).await?;
    let Some(user) = found.filter(|user| user.disabled_at.is_none()) else { return Ok(None) };
    let grants = users::grants(connection, user.user_id).await?;
    Ok(Some((user, grants)))
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
    let (csrf, proof) = (Some(row.csrf), Proof::Session(row.digest));
    let known = Known { caller, csrf, must_change: user.must_change, proof };
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
    OrderError::Conflict("the center's own token has no account: log in as a user at the pages, or ask with a user's token, which `keros-center token create --login LOGIN` makes"
            .to_owned(),
    )
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
