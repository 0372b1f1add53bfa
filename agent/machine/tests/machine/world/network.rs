//! The operator, and messages from the center: late, old, twice, not at all.

use keros_machine::{Arrival, Event, Heard, Verdict};
use keros_protocol::magic_link::Digest;
use keros_protocol::{CommandId, Envelope, RefusalReason};

use super::bundles::Source;
use super::center::{Message, OrderNature};
use super::{World, id};

impl World {
    pub(super) fn order(&mut self) {
        self.counts.orders += 1;
        let life_s = match self.random.below(10) {
            0 | 1 => self.random.below(60) + 1,
            2..=5 => 86_400,
            _ => 10_000_000,
        };
        let is_link = self.random.percent(40);
        let source = match self.random.below(10) {
            0 => Source::Refuses,
            1 | 2 => Source::Away,
            _ => Source::Gives,
        };
        let nature = OrderNature {
            expires_at_unix_s: self.true_s() + life_s,
            refused: self.random.percent(10),
            source: is_link.then_some(source),
            by_hand: is_link && self.random.percent(40),
        };
        self.center.order(id(self.counts.orders), nature);
        if self.random.percent(10) {
            self.cancel();
        }
    }

    /// The operator cancels a command; often the center has just the moment to say so.
    pub(super) fn cancel(&mut self) {
        if self.center.cancel(&mut self.random) {
            self.downlink();
        }
    }

    pub(super) fn downlink(&mut self) {
        if !self.connected {
            return;
        }
        let message = self.center.answer(self.true_s());
        if self.calm || self.random.percent(80) {
            self.deliver(message);
        }
    }

    /// The network brings an old message again, out of order.
    pub(super) fn old_message(&mut self) {
        if let Some(message) = self.center.old_message(&mut self.random).filter(|_| self.connected) {
            self.counts.old_messages += 1;
            self.deliver(message);
        }
    }

    fn deliver(&mut self, message: Message) {
        let crashes = self.counts.crashes;
        let payload = serde_json::to_string(&message.statement).unwrap();
        let envelope = Envelope { payload_type: "s".to_owned(), payload, signatures: Vec::new() };
        let fresh_nonce = self.fresh_nonce();
        let heard = Heard { statement: message.statement, envelope, fresh_nonce };
        self.happen(Event::StatementVerified(Box::new(heard)));
        for id in message.commands {
            if self.counts.crashes == crashes {
                let arrival = self.judge(id);
                self.happen(Event::CommandArrived(arrival));
            }
        }
        if self.counts.crashes == crashes {
            self.happen(Event::TelemetryAnswered { packages_known: None });
        }
    }

    fn judge(&self, id: CommandId) -> Arrival {
        let order = &self.center.orders[&id];
        let (seed, expires) = (self.seed, order.expires_at_unix_s);
        let refused = |reason| Verdict::Refused { reason, detail: "no".to_owned() };
        let verdict = if order.refused {
            refused(RefusalReason::NotKeros6)
        } else if expires <= self.state.judged_time(self.now()) {
            assert!(expires <= self.true_s(), "seed {seed}: nothing_expires_early: {id} as it came");
            refused(RefusalReason::Expired)
        } else {
            Verdict::Eligible {
                kind: "jetporch".to_owned(),
                expires_at_unix_s: expires,
                total_s: 3600,
                link: order.source.as_ref().map(|_| Digest::of(b"bundle")),
                by_hand: order.by_hand,
            }
        };
        Arrival { command_id: id, update_id: None, verdict }
    }

    fn fresh_nonce(&mut self) -> String {
        self.nonces += 1;
        format!("t{}", self.nonces)
    }

    fn connect(&mut self) {
        self.connected = true;
        self.reset = false;
        self.exempt.clear();
        let fresh_nonce = self.fresh_nonce();
        self.happen(Event::Connected { fresh_nonce });
    }

    pub(super) fn disconnect(&mut self) {
        self.connected = false;
        self.happen(Event::Disconnected);
    }

    /// The shell's link task: ends the connection when it was asked to, and makes a new one.
    pub(super) fn link(&mut self) {
        let crashes = self.counts.crashes;
        if self.connected && self.reset {
            self.disconnect();
        }
        if !self.connected && self.counts.crashes == crashes {
            self.connect();
        }
    }
}
