//! Rows as the REST API shows them. Pure.

use std::collections::BTreeMap;

use keros_protocol::UnixSeconds;

use crate::access::{CustomerId, Grant, Reach};
use crate::api::{RoleView, TokenView, UserView};
use crate::store::tokens::TokenRow;
use crate::store::users::UserRow;

/// Roles with the names of their customers.
pub(super) fn roles(grants: &[Grant], names: &BTreeMap<CustomerId, String>) -> Vec<RoleView> {
    let view = |grant: &Grant| match grant.reach {
        Reach::All => RoleView { customer: "*".to_owned(), customer_id: None, role: grant.role },
        Reach::One(id) => RoleView {
            customer: names.get(&id).cloned().unwrap_or_else(|| id.to_string()),
            customer_id: Some(id),
            role: grant.role,
        },
    };
    grants.iter().map(view).collect()
}

/// A user with his roles.
pub(super) fn user(row: UserRow, roles: Vec<RoleView>, now: UnixSeconds) -> UserView {
    let state = match (row.disabled_at, &row.password, row.setup_expires_at) {
        (Some(_), _, _) => "disabled",
        (None, Some(_), _) => "active",
        (None, None, Some(at)) if now < at => "invited",
        (None, None, _) => "invitation_expired",
    };
    UserView {
        user_id: row.user_id,
        login: row.login,
        full_name: row.full_name,
        roles,
        state: state.to_owned(),
        created_at_unix_s: row.created_at,
        last_login_at_unix_s: row.last_login_at,
        set_up_path: None,
    }
}

/// A token without the token.
pub(super) fn token(row: TokenRow) -> TokenView {
    TokenView {
        token_id: row.token_id,
        name: row.name,
        scopes: row.scopes,
        created_at_unix_s: row.created_at,
        expires_at_unix_s: row.expires_at,
        last_used_at_unix_s: row.last_used_at,
        token: None,
    }
}
