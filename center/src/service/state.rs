//! The state of a group update, from its deliveries. Pure.

use std::collections::BTreeMap;

use keros_protocol::Delivery;

use crate::store::CountRow;

/// The vendor's words for a whole update, and one of ours. They are about delivery only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UpdateState {
    /// A delivery is waiting.
    InProgress,
    /// Every command was sent.
    Sent,
    /// Some were sent, the others were cancelled or expired.
    PartiallySent,
    /// All were cancelled.
    Cancelled,
    /// None was sent in time, and not all were cancelled.
    Expired,
}

impl UpdateState {
    /// The name in the REST API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Sent => "sent",
            Self::PartiallySent => "partially_sent",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

/// An update's commands, counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// By delivery.
    pub(crate) deliveries: BTreeMap<String, u32>,
    /// By outcome; `none` until received.
    pub(crate) outcomes: BTreeMap<String, u32>,
    waiting: u32,
    given: u32,
    cancelled: u32,
    expired: u32,
    /// Neither a terminal outcome, nor sure never to be delivered.
    pub(crate) open: u32,
    /// Silent for longer than the command may take.
    pub(crate) overdue: u32,
}

impl Counts {
    /// Adds up the groups of alike commands.
    pub(crate) fn of(rows: &[CountRow]) -> Self {
        let mut counts = Self::default();
        for row in rows {
            counts.add(row.delivery, row.outcome.as_deref(), row.commands);
            counts.overdue += row.overdue;
        }
        counts
    }

    /// Adds commands that are alike.
    pub(crate) fn add(&mut self, delivery: Delivery, outcome: Option<&str>, commands: u32) {
        *self.deliveries.entry(delivery.as_str().to_owned()).or_default() += commands;
        *self.outcomes.entry(outcome.unwrap_or("none").to_owned()).or_default() += commands;
        match delivery {
            Delivery::Waiting => self.waiting += commands,
            Delivery::Sent | Delivery::Received => self.given += commands,
            Delivery::Cancelled => self.cancelled += commands,
            Delivery::Expired => self.expired += commands,
        }
        let never = matches!(delivery, Delivery::Cancelled | Delivery::Expired);
        if !never && !outcome.is_some_and(is_terminal) {
            self.open += commands;
        }
    }

    /// Whether an outcome can have this name.
    pub(crate) fn is_outcome(name: &str) -> bool {
        is_terminal(name) || matches!(name, "received" | "accepted" | "running" | "confirming")
    }

    /// The state of the whole update.
    pub(crate) fn state(&self) -> UpdateState {
        if self.waiting > 0 {
            UpdateState::InProgress
        } else if self.given == 0 && self.expired > 0 {
            UpdateState::Expired
        } else if self.given == 0 {
            UpdateState::Cancelled
        } else if self.cancelled + self.expired > 0 {
            UpdateState::PartiallySent
        } else {
            UpdateState::Sent
        }
    }

    /// Whether every gateway has a terminal outcome, or will not get its command. It may be taken back by a gateway that had
    /// the command all the same, and reports after the time was over.
    pub(crate) fn ended(&self) -> bool {
        self.open == 0
    }
}

/// Whether an outcome of this name is terminal. A name that is not known is not.
fn is_terminal(name: &str) -> bool {
    matches!(
        name,
        "succeeded" | "failed" | "refused" | "cancelled" | "timed_out" | "interrupted" | "rolled_back"
    )
}

#[cfg(test)]
mod tests {
    use Delivery::{Cancelled, Expired, Received, Sent, Waiting};

    use super::*;

    fn counts(rows: &[(Delivery, Option<&str>)]) -> Counts {
        let mut counts = Counts::default();
        for (delivery, outcome) in rows {
            counts.add(*delivery, *outcome, 1);
        }
        counts
    }

    #[test]
    fn the_state_follows_from_the_deliveries() {
        for (deliveries, state) in [
            (vec![Waiting], UpdateState::InProgress),
            (vec![Waiting, Sent, Received, Cancelled, Expired], UpdateState::InProgress),
            (vec![Sent], UpdateState::Sent),
            (vec![Sent, Received], UpdateState::Sent),
            (vec![Received], UpdateState::Sent),
            (vec![Received, Cancelled], UpdateState::PartiallySent),
            (vec![Sent, Expired], UpdateState::PartiallySent),
            (vec![Cancelled, Cancelled], UpdateState::Cancelled),
            (vec![Expired], UpdateState::Expired),
            (vec![Expired, Cancelled], UpdateState::Expired),
        ] {
            let rows: Vec<_> = deliveries.iter().map(|delivery| (*delivery, None)).collect();
            assert_eq!(counts(&rows).state(), state, "{deliveries:?}");
        }
    }

    #[test]
    fn an_update_ends_when_nothing_more_can_be_expected() {
        for (rows, ended) in [
            (vec![(Waiting, None)], false),
            (vec![(Sent, None)], false),
            (vec![(Received, Some("received"))], false),
            (vec![(Received, Some("running"))], false),
            (vec![(Received, Some("confirming"))], false),
            (vec![(Received, Some("succeeded"))], true),
            (vec![(Received, Some("succeeded")), (Received, Some("accepted"))], false),
            (vec![(Received, Some("refused")), (Cancelled, None), (Expired, None)], true),
        ] {
            assert_eq!(counts(&rows).ended(), ended, "{rows:?}");
        }
    }

    #[test]
    fn counts_are_by_name() {
        let counts = counts(&[(Waiting, None), (Received, Some("failed")), (Received, Some("failed"))]);
        assert_eq!(counts.deliveries, [("received".to_owned(), 2), ("waiting".to_owned(), 1)].into());
        assert_eq!(counts.outcomes, [("failed".to_owned(), 2), ("none".to_owned(), 1)].into());
    }
}
