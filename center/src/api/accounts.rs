//! Users, log-ins, API tokens, customers, the audit log.

use keros_protocol::UnixSeconds;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::access::{CustomerId, Role, TokenScopes, UserId};

/// `POST /session`: log in. It needs no token.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct LogIn {
    /// The log-in name.
    pub(crate) login: String,
    /// The password.
    pub(crate) password: String,
}

/// `POST /session/set-up`: choose the first password, by a set-up link. It needs no token.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SetUp {
    /// The last part of the link.
    pub(crate) secret: String,
    /// The password.
    pub(crate) password: String,
}

/// `GET /session`, and the answer to `POST /session`. `DELETE /session` logs out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SessionView {
    /// Who it is; absent for the center's own token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user_id: Option<UserId>,
    /// The log-in name.
    pub(crate) login: String,
    /// His roles.
    pub(crate) roles: Vec<RoleView>,
    /// What requests that change something carry in the header `X-CSRF-Token`; absent with a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) csrf: Option<String>,
    /// Nothing else can be done before another password is chosen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) must_change_password: bool,
}

/// `PUT /account/password`. It ends all log-ins of the user.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ChangePassword {
    /// The one up to now.
    pub(crate) old: String,
    /// The one from now on.
    pub(crate) new: String,
}

/// A role of a user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RoleView {
    /// On which customer, by name; `*` for all of them, also those that are made later.
    pub(crate) customer: String,
    /// That customer; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) customer_id: Option<CustomerId>,
    /// Which.
    pub(crate) role: Role,
}

/// The elements of `roles` in `POST /users`, and the bodies of `POST` and `DELETE /users/{user}/roles`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RoleOrder {
    /// On which customer, by id or name; `*` for all of them.
    pub(crate) customer: String,
    /// Which.
    pub(crate) role: Role,
}

/// `POST /users`.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CreateUser {
    /// The log-in name: 1 to 64 of the characters a to z, 0 to 9, `.`, `_`, `-`, `@`, `+`.
    pub(crate) login: String,
    /// What people call him.
    #[serde(default)]
    pub(crate) full_name: String,
    /// His roles, one at least.
    pub(crate) roles: Vec<RoleOrder>,
    /// A first password, which he has to change; without it there is a set-up link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<String>,
}

/// `PATCH /users/{user}`: what is not stated stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ChangeUser {
    /// What people call him.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) full_name: Option<String>,
    /// He may not log in, and his tokens are not good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) disabled: Option<bool>,
}

/// `GET /users/{user}`, where the user is named by id or log-in name, and the elements of `GET /users`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct UserView {
    /// The user.
    pub(crate) user_id: UserId,
    /// The log-in name.
    pub(crate) login: String,
    /// What people call him.
    pub(crate) full_name: String,
    /// His roles, as far as who asks has to do with those customers.
    pub(crate) roles: Vec<RoleView>,
    /// `active`, `disabled`, `invited` (a set-up link is out), `invitation_expired`.
    pub(crate) state: String,
    /// When he was made.
    pub(crate) created_at_unix_s: UnixSeconds,
    /// When he last logged in.
    pub(crate) last_login_at_unix_s: Option<UnixSeconds>,
    /// A path of the center's pages where he chooses his password; shown only once, after `POST /users` and `POST /users/{user}/set-up`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) set_up_path: Option<String>,
}

/// `POST /account/tokens`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CreateToken {
    /// What it is for.
    pub(crate) name: String,
    /// What it may be used for, of what its user may.
    pub(crate) scopes: TokenScopes,
    /// Seconds until it is no longer good; 90 days when nothing is said, a year at most.
    #[serde(default)]
    pub(crate) expires_in_s: Option<u64>,
}

/// The elements of `GET /account/tokens`, and the answer to `POST /account/tokens`. `DELETE /account/tokens/{id}` revokes one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct TokenView {
    /// Its id: not the token.
    pub(crate) token_id: Uuid,
    /// What it is for.
    pub(crate) name: String,
    /// What it may be used for.
    pub(crate) scopes: TokenScopes,
    /// When it was made.
    pub(crate) created_at_unix_s: UnixSeconds,
    /// From then on it is no longer good.
    pub(crate) expires_at_unix_s: UnixSeconds,
    /// When it was last used; up to a minute old.
    pub(crate) last_used_at_unix_s: Option<UnixSeconds>,
    /// The token: shown only once, when it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
}

/// `POST /customers`; `PATCH /customers/{customer}` with both fields optional.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CustomerOrder {
    /// The name; needed for a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
}

/// `GET /customers/{customer}`, where the customer is named by id or name, and the elements of `GET /customers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CustomerView {
    /// The customer.
    pub(crate) customer_id: CustomerId,
    /// Its name.
    pub(crate) name: String,
    /// Free text.
    pub(crate) description: String,
    /// How many gateways it has.
    pub(crate) gateways: u32,
    /// How many groups.
    pub(crate) groups: u32,
    /// When it was made.
    pub(crate) created_at_unix_s: UnixSeconds,
}

/// The elements of `GET /audit`, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct AuditView {
    /// Sorts by time.
    pub(crate) audit_id: Uuid,
    /// When.
    pub(crate) at_unix_s: UnixSeconds,
    /// Who; absent for the center's own token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user_id: Option<UserId>,
    /// His log-in name then.
    pub(crate) user: String,
    /// From where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<String>,
    /// What kind of thing.
    pub(crate) action: String,
    /// Whose; absent for the center's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) customer_id: Option<CustomerId>,
    /// On what.
    pub(crate) subject: String,
    /// `done` or `refused`.
    pub(crate) result: String,
    /// More about it.
    pub(crate) detail: String,
}
