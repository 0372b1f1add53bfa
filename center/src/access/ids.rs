//! Ids of customers, users and groups.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The customer that is always there: gateways first heard of belong to it, and all that was there before there were customers.
const MAIN: Uuid = Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0001);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub(crate) struct $name(Uuid);

        impl $name {
            /// A new one.
            pub(crate) fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_id!(
    /// A customer (tenant).
    CustomerId
);
uuid_id!(
    /// A user.
    UserId
);

impl CustomerId {
    /// The customer `main`, made by the migration.
    pub(crate) const MAIN: Self = Self(MAIN);
}

/// A group. Opaque text: groups that were there before customers were have their old name in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct GroupId(String);

impl GroupId {
    /// A new one.
    pub(crate) fn new() -> Self {
        Self(Uuid::now_v7().to_string())
    }

    /// Its text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for GroupId {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
