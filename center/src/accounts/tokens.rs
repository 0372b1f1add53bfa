//! API tokens: each of a user, with some of what he may, for some time.

use keros_protocol::UnixSeconds;
use uuid::Uuid;

use super::log_in::{TOKEN_PREFIX, no_user};
use super::secrets::{self, digest_of};
use super::shell::Accounts;
use super::views;
use crate::access::{Caller, UserId};
use crate::api::{CreateToken, TokenView};
use crate::bounds::MAX_TOKENS;
use crate::service::{OrderError, What, audit_done, check_name};
use crate::store::tokens::TokenRow;
use crate::store::{StoreError, tokens};

/// A token is good for 90 days, unless something else is said, and for a year at most.
const DEFAULT_LIFE_S: u64 = 90 * 86_400;
const MAX_LIFE_S: u64 = 366 * 86_400;

impl Accounts {
    /// The caller's tokens, newest first, also those whose time is over.
    pub(crate) async fn tokens(&self, caller: &Caller) -> Result<Vec<TokenView>, OrderError> {
        let user = caller.user.ok_or_else(no_user)?;
        let rows = tokens::of_user(&mut *self.store.read().await?, user).await?;
        Ok(rows.into_iter().map(views::token).collect())
    }

    /// Makes a token, and shows it this once.
    pub(crate) async fn create_token(
        &self,
        caller: &Caller,
        order: CreateToken,
        now: UnixSeconds,
    ) -> Result<TokenView, OrderError> {
        let user = own_account(caller)?;
        check_name("a token's name", &order.name)?;
        let life_s = order.expires_in_s.unwrap_or(DEFAULT_LIFE_S);
        if !(1..=MAX_LIFE_S).contains(&life_s) {
            return Err(OrderError::Invalid(format!(
                "expires_in_s is 1 to {MAX_LIFE_S} seconds, found {life_s}"
            )));
        }
        if !(order.scopes.read || order.scopes.update || order.scopes.administer) {
            return Err(OrderError::Invalid("a token has a scope: read, update, administer".to_owned()));
        }
        if !caller.scopes().contain(order.scopes) {
            return Err(OrderError::Forbidden("a token makes no token that may more than itself".to_owned()));
        }
        let secret = secrets::new()?;
        let row = TokenRow {
            token_id: Uuid::now_v7(),
            digest: digest_of(&secret),
            user_id: user,
            name: order.name,
            scopes: order.scopes,
            created_at: now,
            expires_at: now.saturating_add(life_s),
            last_used_at: None,
        };
        let mut transaction = self.store.begin().await?;
        if tokens::of_user(&mut transaction, user).await?.len() >= MAX_TOKENS {
            return Err(OrderError::Conflict(format!("you have {MAX_TOKENS} tokens: revoke one first")));
        }
        tokens::insert(&mut transaction, &row).await?;
        let what = What::of_center(format!("token {:?}", row.name), "made");
        audit_done(&mut transaction, caller, "make token", what).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(TokenView { token: Some(format!("{TOKEN_PREFIX}{secret}")), ..views::token(row) })
    }

    /// Revokes one of the caller's tokens.
    pub(crate) async fn revoke_token(&self, caller: &Caller, token_id: Uuid) -> Result<(), OrderError> {
        let user = own_account(caller)?;
        let mut transaction = self.store.begin().await?;
        if !tokens::remove(&mut transaction, user, token_id).await? {
            return Err(OrderError::NotFound(format!("you have no token {token_id}")));
        }
        let what = What::of_center(format!("token {token_id}"), "revoked");
        audit_done(&mut transaction, caller, "revoke token", what).await?;
        Ok(transaction.commit().await.map_err(StoreError::from)?)
    }
}

/// The user whose tokens the caller may change. Not by his roles: whoever has none has an account all the same.
fn own_account(caller: &Caller) -> Result<UserId, OrderError> {
    let user = caller.user.ok_or_else(no_user)?;
    if caller.scopes().administer {
        return Ok(user);
    }
    Err(OrderError::Forbidden(
        "an API token makes and revokes tokens only with the scope `administer`: log in instead".to_owned(),
    ))
}
