//! Who may do what: the five roles, the actions, the one table of permissions, and who asks.
//!
//! Pure: it reads no database and no request. The shell makes a [`Caller`] of what it knows, and every service asks it.

mod as_seen;
mod attempt;
mod caller;
mod ids;
pub(crate) mod permissions;
mod role;

pub(crate) use as_seen::AsSeen;
pub(crate) use attempt::Attempt;
pub(crate) use caller::{Caller, Grant, Reach, TokenScopes, Visible};
pub(crate) use ids::{CustomerId, GroupId, UserId};
pub(crate) use permissions::Action;
pub(crate) use role::Role;
