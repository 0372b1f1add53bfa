//! Who asks, and what he may.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::permissions::{Needs, allows};
use super::{Action, AsSeen, Attempt, CustomerId, Role, UserId};
use crate::service::OrderError;

/// Where a role holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// On all customers, also those that are made later.
    All,
    /// On one.
    One(CustomerId),
}

impl Reach {
    /// Whether the customer is in it.
    pub(crate) fn holds(self, customer: &CustomerId) -> bool {
        match self {
            Self::All => true,
            Self::One(one) => one == *customer,
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::One(customer) => customer.fmt(f),
        }
    }
}

impl FromStr for Reach {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        if text == "*" { Ok(Self::All) } else { text.parse().map(Self::One) }
    }
}

/// A role that a user has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Grant {
    /// Where.
    pub(crate) reach: Reach,
    /// Which.
    pub(crate) role: Role,
}

/// What an API token may be used for, of what its user may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct TokenScopes {
    /// Looks.
    #[serde(default)]
    pub(crate) read: bool,
    /// Changes gateways, groups and links, sends and cancels.
    #[serde(default)]
    pub(crate) update: bool,
    /// Changes users, customers, enrolments.
    #[serde(default)]
    pub(crate) administer: bool,
}

impl TokenScopes {
    /// Everything: a log-in at the pages.
    pub(crate) const ALL: Self = Self { read: true, update: true, administer: true };

    /// Whether all of the other is in it.
    pub(crate) fn contain(self, other: Self) -> bool {
        let all = |has: bool, wants: bool| has || !wants;
        all(self.read, other.read) && all(self.update, other.update) && all(self.administer, other.administer)
    }

    fn hold(self, needs: Needs) -> bool {
        match needs {
            Needs::Read => self.read,
            Needs::Update => self.update,
            Needs::Administer => self.administer,
        }
    }
}

/// The customers that somebody has to do with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Visible {
    /// All of them.
    All,
    /// These; may be none.
    Only(Vec<CustomerId>),
}

impl Visible {
    /// Whether the customer is among them.
    pub(crate) fn has(&self, customer: &CustomerId) -> bool {
        match self {
            Self::All => true,
            Self::Only(list) => list.contains(customer),
        }
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The user; `None`: whoever has the file `api-token`, or the center itself.
    pub(crate) user: Option<UserId>,
    /// The user's log-in name, `api-token` for the file's token.
    pub(crate) name: String,
    /// From where he asks.
    pub(crate) address: Option<String>,
    /// The try of a request that is to be done once.
    pub(crate) attempt: Option<Attempt>,
    /// What he saw of what he changes, when he says so.
    pub(crate) seen: Option<AsSeen>,
    grants: Vec<Grant>,
    scopes: TokenScopes,
}

impl Caller {
    /// Who may do everything: whoever has the token of the center's data folder.
    pub(crate) fn root() -> Self {
        let everything = Grant { reach: Reach::All, role: Role::ChannelAdministrator };
        Self {
            user: None,
            name: "api-token".to_owned(),
            address: None,
            attempt: None,
            seen: None,
            grants: vec![everything],
            scopes: TokenScopes::ALL,
        }
    }

    /// Somebody at the command line of the center's own machine.
    pub(crate) fn command_line() -> Self {
        Self { name: "command line".to_owned(), ..Self::root() }
    }

    /// Somebody who says that this is his log-in name: he may nothing.
    pub(crate) fn unknown(name: &str) -> Self {
        Self { name: name.to_owned(), grants: Vec::new(), ..Self::root() }
    }

    /// A user with his roles.
    pub(crate) fn user(user: UserId, name: String, grants: Vec<Grant>, scopes: TokenScopes) -> Self {
        Self { user: Some(user), name, address: None, attempt: None, seen: None, grants, scopes }
    }

    /// The same, asking from this address.
    pub(crate) fn at(mut self, address: Option<String>) -> Self {
        self.address = address;
        self
    }

    /// What his token may be used for.
    pub(crate) fn scopes(&self) -> TokenScopes {
        self.scopes
    }

    /// The same, in a try of a request that is to be done once.
    pub(crate) fn trying(mut self, attempt: Attempt) -> Self {
        self.attempt = Some(attempt);
        self
    }

    /// The same, changing only what is still as he saw it.
    pub(crate) fn having_seen(mut self, seen: AsSeen) -> Self {
        self.seen = Some(seen);
        self
    }

    /// His roles.
    pub(crate) fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// Whether he may do it on this customer.
    pub(crate) fn may(&self, action: Action, customer: &CustomerId) -> bool {
        let allowed = |grant: &Grant| grant.reach.holds(customer) && allows(grant.role, action);
        self.scopes.hold(action.needs()) && self.grants.iter().any(allowed)
    }

    /// Whether he may do it on at least one customer.
    pub(crate) fn may_somewhere(&self, action: Action) -> bool {
        self.scopes.hold(action.needs()) && self.grants.iter().any(|grant| allows(grant.role, action))
    }

    /// Whether he may do it on all customers: what belongs to the center and to no customer.
    pub(crate) fn may_everywhere(&self, action: Action) -> bool {
        let allowed = |grant: &Grant| grant.reach == Reach::All && allows(grant.role, action);
        self.scopes.hold(action.needs()) && self.grants.iter().any(allowed)
    }

    /// Whether he has to do with the customer at all: what is another's is not there for him.
    pub(crate) fn sees(&self, customer: &CustomerId) -> bool {
        self.grants.iter().any(|grant| grant.reach.holds(customer))
    }

    /// Refuses what he may not do on a customer that he sees.
    pub(crate) fn require(&self, action: Action, customer: &CustomerId) -> Result<(), OrderError> {
        if self.may(action, customer) { Ok(()) } else { Err(self.refusal(action)) }
    }

    /// Refuses what he may do on no customer.
    pub(crate) fn require_somewhere(&self, action: Action) -> Result<(), OrderError> {
        if self.may_somewhere(action) { Ok(()) } else { Err(self.refusal(action)) }
    }

    /// Refuses what he may not do on all customers.
    pub(crate) fn require_everywhere(&self, action: Action) -> Result<(), OrderError> {
        if self.may_everywhere(action) { Ok(()) } else { Err(self.refusal(action)) }
    }

    fn refusal(&self, action: Action) -> OrderError {
        let why = if self.scopes.hold(action.needs()) { "the role" } else { "the scope of the API token" };
        OrderError::Forbidden(format!("{why} of {:?} does not allow to {}", self.name, action.as_str()))
    }

    /// The customers that he has to do with.
    pub(crate) fn visible(&self) -> Visible {
        self.customers(|_| true)
    }

    /// The customers on which he may do it.
    pub(crate) fn where_may(&self, action: Action) -> Visible {
        if !self.scopes.hold(action.needs()) {
            return Visible::Only(Vec::new());
        }
        self.customers(|role| allows(role, action))
    }

    fn customers(&self, counts: impl Fn(Role) -> bool) -> Visible {
        let mut only = BTreeSet::new();
        for grant in self.grants.iter().filter(|grant| counts(grant.role)) {
            match grant.reach {
                Reach::All => return Visible::All,
                Reach::One(customer) => {
                    only.insert(customer);
                }
            }
        }
        Visible::Only(only.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(grants: &[(Reach, Role)], scopes: TokenScopes) -> Caller {
        let grants = grants.iter().map(|(reach, role)| Grant { reach: *reach, role: *role }).collect();
        Caller::user(UserId::new(), "ada".to_owned(), grants, scopes)
    }

    #[test]
    fn a_role_on_one_customer_gives_nothing_on_another() {
        let (mine, other) = (CustomerId::new(), CustomerId::new());
        let ada = user(&[(Reach::One(mine), Role::ServiceAdministrator)], TokenScopes::ALL);
        assert!(ada.may(Action::SendUpdates, &mine) && !ada.may(Action::SendUpdates, &other));
        assert!(ada.sees(&mine) && !ada.sees(&other));
        assert_eq!(ada.visible(), Visible::Only(vec![mine]));
    }

    #[test]
    fn roles_on_different_customers_do_not_mix() {
        let (first, second) = (CustomerId::new(), CustomerId::new());
        let grants =
            [(Reach::One(first), Role::ServiceViewer), (Reach::One(second), Role::ServiceAdministrator)];
        let ada = user(&grants, TokenScopes::ALL);
        assert!(!ada.may(Action::SendUpdates, &first) && ada.may(Action::SendUpdates, &second));
        assert!(ada.may_somewhere(Action::SendUpdates) && !ada.may_everywhere(Action::SendUpdates));
        assert_eq!(ada.where_may(Action::SendUpdates), Visible::Only(vec![second]));
    }

    #[test]
    fn a_tokens_scope_takes_away_and_never_gives() {
        let main = CustomerId::MAIN;
        let read = TokenScopes { read: true, update: false, administer: false };
        let reader = user(&[(Reach::All, Role::ChannelAdministrator)], read);
        let may = |caller: &Caller| {
            Action::ALL.into_iter().filter(|action| caller.may(*action, &main)).collect::<Vec<_>>()
        };
        assert!(may(&reader).iter().all(|action| action.needs() == Needs::Read) && !may(&reader).is_empty());
        let viewer = user(&[(Reach::All, Role::ServiceViewer)], TokenScopes::ALL);
        assert!(!viewer.may(Action::SendUpdates, &main));
    }

    #[test]
    fn only_the_vendors_two_administrators_may_update_or_cancel() {
        for role in Role::ALL {
            let expected = matches!(role, Role::ServiceAdministrator | Role::ChannelAdministrator);
            for action in [Action::SendUpdates, Action::CancelUpdates] {
                assert_eq!(allows(role, action), expected, "{role} {action:?}");
            }
        }
    }
}
