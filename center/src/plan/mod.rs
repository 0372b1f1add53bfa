//! When the commands of an update may be handed out: not before a time, inside a window, stage by stage. Pure: no store, no clock.
//!
//! All of it stays at the center. The signed command carries only the update's expiry: what a gateway has got, it does when it can,
//! also after the window has closed or the roll-out was stopped (a cancellation is what reaches it then).

mod hold;
mod rollout;
mod stages;
mod window;

use keros_protocol::UnixSeconds;
use serde::{Deserialize, Serialize};

pub(crate) use hold::{Gate, Hold, hold};
pub(crate) use rollout::{Action, Progress, StageCounts, go_on, step};
pub(crate) use stages::{Rollout, Stage};
pub(crate) use window::Window;

/// What an order says of the times at which its commands are handed out; kept with the update as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Plan {
    /// Not before this; 90 days ahead at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) not_before_unix_s: Option<UnixSeconds>,
    /// Only inside of this: `mon-fri 22:00-04:00+01:00`. Days on which it begins (every day when none is named), from, until, distance
    /// from UTC (none when nothing is said).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub(crate) window: Option<Window>,
    /// To a few gateways first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rollout: Option<Rollout>,
}

impl Plan {
    /// Whether it says anything.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// When the first command may be handed out, for an update that is sent at `now`.
    pub(crate) fn first_at(&self, now: UnixSeconds) -> UnixSeconds {
        let from = self.not_before_unix_s.unwrap_or(now).max(now);
        self.window.as_ref().map_or(from, |window| window.next_opening(from))
    }
}
