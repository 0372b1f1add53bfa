//! The vendor's five roles. A user has them on customers, one by one, or on all of them.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Role {
    /// Observes.
    ServiceViewer,
    /// Monitors.
    ServiceOperator,
    /// Creates, updates, deletes elements.
    ServiceAdministrator,
    /// The customer's users.
    CustomerAdministrator,
    /// Several customers and their administrators.
    ChannelAdministrator,
}

impl Role {
    /// All of them, in the vendor's order.
    pub(crate) const ALL: [Self; 5] = [
        Self::ServiceViewer,
        Self::ServiceOperator,
        Self::ServiceAdministrator,
        Self::CustomerAdministrator,
        Self::ChannelAdministrator,
    ];

    /// The vendor's name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ServiceViewer => "SERVICE_VIEWER",
            Self::ServiceOperator => "SERVICE_OPERATOR",
            Self::ServiceAdministrator => "SERVICE_ADMINISTRATOR",
            Self::CustomerAdministrator => "CUSTOMER_ADMINISTRATOR",
            Self::ChannelAdministrator => "CHANNEL_ADMINISTRATOR",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A role of this name is not known.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no role {0:?}: the roles are SERVICE_VIEWER, SERVICE_OPERATOR, SERVICE_ADMINISTRATOR, CUSTOMER_ADMINISTRATOR and CHANNEL_ADMINISTRATOR"
)]
pub(crate) struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownRole(text.to_owned()))
    }
}
