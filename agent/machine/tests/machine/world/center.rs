//! The center of the world: its clock is right, and it repeats what it has to say until it has heard the end.

use std::collections::{BTreeMap, VecDeque};

use keros_protocol::{Cancellation, CommandId, Outcome, Report, ReportPosition, Statement};

use super::EUI;
use super::bundles::Source;
use super::random::Random;

#[derive(Default)]
pub(crate) struct Center {
    pub(crate) orders: BTreeMap<CommandId, Order>,
    last: Option<ReportPosition>,
    /// Nonces of the telemetry that came last.
    pub(crate) nonces: Vec<String>,
    /// Messages that were sent before; the network may bring them again, or late.
    sent: VecDeque<Message>,
}

pub(crate) struct Order {
    pub(crate) expires_at_unix_s: u64,
    pub(crate) refused: bool,
    /// Of a Magic Link.
    pub(crate) source: Option<Source>,
    /// A technician brings it.
    pub(crate) by_hand: bool,
    pub(crate) cancelled: bool,
    /// It was cancelled before it was ever sent.
    pub(crate) never_to_start: bool,
    sent: bool,
    received: bool,
    pub(crate) terminal: Option<Outcome>,
}

/// What the dice say about a new order.
pub(crate) struct OrderNature {
    pub(crate) expires_at_unix_s: u64,
    pub(crate) refused: bool,
    pub(crate) source: Option<Source>,
    pub(crate) by_hand: bool,
}

#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) statement: Statement,
    pub(crate) commands: Vec<CommandId>,
}

impl Center {
    pub(crate) fn order(&mut self, id: CommandId, nature: OrderNature) {
        let OrderNature { expires_at_unix_s, refused, source, by_hand } = nature;
        let order = Order {
            expires_at_unix_s,
            refused,
            source,
            by_hand,
            cancelled: false,
            never_to_start: false,
            sent: false,
            received: false,
            terminal: None,
        };
        self.orders.insert(id, order);
    }

    /// The operator cancels a command that has no end yet.
    pub(crate) fn cancel(&mut self, random: &mut Random) -> bool {
        let mut open: Vec<_> = self.orders.values_mut().filter(|order| order.terminal.is_none()).collect();
        if open.is_empty() {
            return false;
        }
        let chosen = random.below(open.len() as u64) as usize;
        open[chosen].cancelled = true;
        open[chosen].never_to_start = !open[chosen].sent;
        true
    }

    /// The answer of this moment: acknowledgement, cancellations, all commands without `received`.
    pub(crate) fn answer(&mut self, true_unix_s: u64) -> Message {
        let cancelled = self.orders.iter().filter(|(_, order)| order.cancelled && order.terminal.is_none());
        let cancellations = cancelled.map(|(id, _)| Cancellation { command_id: *id }).collect();
        let unreceived = self.orders.iter_mut().filter(|(_, order)| !order.received).take(16);
        let commands = unreceived.map(|(id, order)| {
            order.sent = true;
            *id
        });
        let message = Message {
            commands: commands.collect(),
            statement: Statement {
                eui: EUI,
                time_unix_s: true_unix_s,
                last_report: self.last,
                cancellations,
                nonces: std::mem::take(&mut self.nonces),
            },
        };
        self.sent.push_back(message.clone());
        if self.sent.len() > 5 {
            self.sent.pop_front();
        }
        message
    }

    /// A message that was sent before.
    pub(crate) fn old_message(&self, random: &mut Random) -> Option<Message> {
        let chosen = random.below(5) as usize;
        self.sent.get(chosen).cloned()
    }

    /// A report has come.
    pub(crate) fn report(&mut self, report: &Report) {
        let last = self.last.map_or(0, |last| last.number);
        if report.position.number <= last || report.after > last {
            return;
        }
        self.last = Some(report.position);
        let order = self.orders.get_mut(&report.command_id).expect("a report about a command never sent");
        order.received = true;
        if report.outcome.is_terminal() {
            let before = order.terminal.replace(report.outcome.clone());
            let same = before.is_none_or(|before| before == report.outcome);
            assert!(same, "one_terminal_outcome: a second one for {}", report.command_id);
        } else if order.terminal.is_some() {
            // A command that comes again is answered with both of its reports.
            let repeated = report.outcome == Outcome::Received {};
            assert!(repeated, "status_never_goes_back: {} after the end", report.outcome);
        }
    }
}
