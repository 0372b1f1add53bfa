//! The connection status, in the vendor's four words.
//!
//! | last telemetry | connected | vitals | status |
//! | --- | --- | --- | --- |
//! | none yet | – | – | Unknown |
//! | more than two intervals and five minutes ago | no | – | Unreachable |
//! | more than two intervals and five minutes ago | yes | – | Warning |
//! | more than one interval and five minutes ago | – | – | Warning |
//! | later | – | something is worth a look ([`super::vitals`]) | Warning |
//! | later | – | well | Operational |
//!
//! A connection that is lost says nothing by itself: cellular links come and go. What counts is telemetry, since updates go out with it.

use keros_protocol::UnixSeconds;
use serde::{Deserialize, Serialize};

use crate::bounds::TELEMETRY_INTERVAL_S;

/// A telemetry may come this much later than its interval: the agent spreads its own by up to a minute, and connects anew in some.
const GRACE_S: u64 = 300;

/// The status.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
pub(crate) enum ConnectionStatus {
    /// Its telemetry comes, and says nothing bad.
    Operational,
    /// Its telemetry is late, or says something that is worth a look.
    Warning,
    /// Nothing has come for long.
    Unreachable,
    /// Nothing has come ever.
    Unknown,
}

impl ConnectionStatus {
    /// All of them, the worst first: in this order lists are sorted.
    pub(crate) const ALL: [Self; 4] = [Self::Unreachable, Self::Warning, Self::Unknown, Self::Operational];

    /// The vendor's word.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Operational => "Operational",
            Self::Warning => "Warning",
            Self::Unreachable => "Unreachable",
            Self::Unknown => "Unknown",
        }
    }

    /// Reads it, in any case.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(text))
    }

    /// Its place in lists: the worst is 0.
    pub(crate) const fn rank(self) -> i64 {
        match self {
            Self::Unreachable => 0,
            Self::Warning => 1,
            Self::Unknown => 2,
            Self::Operational => 3,
        }
    }
}

/// What the status follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signs {
    /// When the last telemetry came.
    pub(crate) last_telemetry_at: Option<UnixSeconds>,
    /// By its presence message.
    pub(crate) online: bool,
    /// Something in the last telemetry is worth a look.
    pub(crate) warned: bool,
}

/// The moments that divide the statuses: the SQL of lists uses the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moments {
    /// A telemetry before this is late.
    pub(crate) late_before: UnixSeconds,
    /// A gateway whose last telemetry is before this has been silent for long.
    pub(crate) silent_before: UnixSeconds,
}

impl Moments {
    /// As seen now.
    pub(crate) const fn at(now: UnixSeconds) -> Self {
        Self {
            late_before: now.saturating_sub(TELEMETRY_INTERVAL_S + GRACE_S),
            silent_before: now.saturating_sub(2 * TELEMETRY_INTERVAL_S + GRACE_S),
        }
    }
}

/// The table.
pub(crate) const fn connection_status(signs: Signs, moments: Moments) -> ConnectionStatus {
    match signs.last_telemetry_at {
        None => ConnectionStatus::Unknown,
        Some(at) if at < moments.silent_before && !signs.online => ConnectionStatus::Unreachable,
        Some(at) if at < moments.late_before || signs.warned => ConnectionStatus::Warning,
        Some(_) => ConnectionStatus::Operational,
    }
}
