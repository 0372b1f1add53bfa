//! What listeners are told: that something changed, never what. They read the store again, so a missed word costs nothing.

use keros_protocol::{Eui, UpdateId};

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// One delivery of an update.
    Delivery {
        /// The update.
        update_id: UpdateId,
        /// The gateway.
        eui: Eui,
    },
    /// Several deliveries of an update.
    Update(UpdateId),
    /// A gateway: its telemetry came, or an operator changed it.
    Gateway(Eui),
}

impl Change {
    /// The update that changed.
    pub(crate) fn update_id(self) -> Option<UpdateId> {
        match self {
            Self::Delivery { update_id, .. } | Self::Update(update_id) => Some(update_id),
            Self::Gateway(_) => None,
        }
    }
}
