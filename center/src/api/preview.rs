//! What an update would come to, before it is sent.

use keros_protocol::{Eui, RefusalReason};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LinkView;

/// The answer to `POST /updates/preview`, whose body is that of `POST /updates`: nothing is sent and nothing kept. By what the gateways
/// have last told of themselves; each judges for itself when it has the command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PreviewView {
    /// How many gateways would get the command.
    pub(crate) gateways: u32,
    /// How many of them would run it.
    pub(crate) fit: u32,
    /// Those that would refuse it, by reason.
    pub(crate) refusals: Vec<RefusingView>,
    /// Those of which nothing is known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unknown: Option<RefusingView>,
    /// The Magic Link that it names, when it is in the center's store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) link: Option<LinkView>,
}

/// Gateways that have the same to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RefusingView {
    /// Why they refuse; absent where nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<RefusalReason>,
    /// How many they are.
    pub(crate) count: u32,
    /// The first of them, 100 at most.
    pub(crate) some: Vec<NamedGateway>,
}

/// A gateway and what people call it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NamedGateway {
    /// The gateway.
    pub(crate) eui: Eui,
    /// Its name.
    pub(crate) name: String,
}

impl RefusingView {
    /// How many are not named.
    pub(crate) fn more(&self) -> usize {
        usize::try_from(self.count).unwrap_or(usize::MAX).saturating_sub(self.some.len())
    }
}
