//! What can be told.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What happened.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
pub(crate) enum EventKind {
    /// Every gateway of an update has a terminal outcome, or will never get the command. Told once for each update.
    #[serde(rename = "update.ended")]
    UpdateEnded,
    /// The first gateway of an update did not succeed, or owes a word for too long. Told once for each update.
    #[serde(rename = "update.failed")]
    UpdateFailed,
    /// A roll-out in stages stopped by itself.
    #[serde(rename = "update.halted")]
    UpdateHalted,
    /// Nothing has come for long from gateways of a group whose alerting is on. Told once for each time.
    #[serde(rename = "gateway.unreachable")]
    GatewayUnreachable,
    /// Gateways that were told of as unreachable are heard again.
    #[serde(rename = "gateway.back")]
    GatewayBack,
    /// A test message, sent when somebody asks for it.
    #[serde(rename = "test")]
    Test,
}

impl EventKind {
    /// All that a webhook can be told of.
    pub(crate) const ALL: [Self; 6] = [
        Self::UpdateEnded,
        Self::UpdateFailed,
        Self::UpdateHalted,
        Self::GatewayUnreachable,
        Self::GatewayBack,
        Self::Test,
    ];

    /// The name in messages.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::UpdateEnded => "update.ended",
            Self::UpdateFailed => "update.failed",
            Self::UpdateHalted => "update.halted",
            Self::GatewayUnreachable => "gateway.unreachable",
            Self::GatewayBack => "gateway.back",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text names no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no event {0:?}: there are update.ended, update.failed, update.halted, gateway.unreachable, gateway.back"
)]
pub(crate) struct NoEvent(String);

impl FromStr for EventKind {
    type Err = NoEvent;

    fn from_str(text: &str) -> Result<Self, NoEvent> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| NoEvent(keros_protocol::limits::shorten(text, 64)))
    }
}
