//! The reports that the center has not acknowledged. It must not lose a terminal one, nor give a number twice.

use std::collections::VecDeque;

use keros_protocol::{CommandId, Eui, Outcome, Report, ReportPosition, UnixSeconds, UpdateId};
use serde::{Deserialize, Serialize};

use crate::effect::Effect;
use crate::output::{output_of, shorten_output};

/// Reports under way at the same time.
const WINDOW: usize = 8;
/// Sent again when not acknowledged after this long, at first.
const FIRST_TIMEOUT_MS: u64 = 30_000;
/// And at most after this long: a center that is away for a week must not cost a week of bytes.
const MAX_TIMEOUT_MS: u64 = 3_600_000;

/// What programs printed, in all reports together; beyond it a further output is kept in short. It is the greatest part
/// of the state, in memory and in each write to the flash.
const MAX_OUTPUTS_BYTES: usize = 256 * 1024;
const SHORT_OUTPUT_BYTES: usize = 4096;

/// The reports that are owed, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outbox {
    /// Stream and the last number given.
    last: ReportPosition,
    entries: VecDeque<Entry>,
}

/// One report that is owed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub(crate) number: u64,
    pub(crate) command_id: CommandId,
    pub(crate) update_id: Option<UpdateId>,
    pub(crate) time_unix_s: UnixSeconds,
    pub(crate) outcome: Outcome,
}

/// How far sending has come on this connection.
#[derive(Debug, Clone)]
pub(crate) struct Sending {
    pub(crate) connected: bool,
    sent_up_to: u64,
    deadline_ms: Option<u64>,
    timeout_ms: u64,
}

impl Default for Sending {
    fn default() -> Self {
        Self { connected: false, sent_up_to: 0, deadline_ms: None, timeout_ms: FIRST_TIMEOUT_MS }
    }
}

impl Outbox {
    /// Empty, in this stream.
    #[must_use]
    pub fn new(last: ReportPosition) -> Self {
        Self { last, entries: VecDeque::new() }
    }

    /// The stream, and the last number given in it.
    #[must_use]
    pub const fn last(&self) -> ReportPosition {
        self.last
    }

    /// How many are owed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is owed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether something is owed about this command.
    pub(crate) fn has(&self, id: CommandId) -> bool {
        self.entries.iter().any(|entry| entry.command_id == id)
    }

    /// Adds a report. A later one about the same command replaces its `running` and `confirming`: progress may be dropped.
    pub(crate) fn push(
        &mut self,
        command_id: CommandId,
        update_id: Option<UpdateId>,
        time_unix_s: UnixSeconds,
        mut outcome: Outcome,
    ) {
        let kept_bytes: usize = self.entries.iter_mut().map(|entry| output_bytes(&mut entry.outcome)).sum();
        if kept_bytes + output_bytes(&mut outcome) > MAX_OUTPUTS_BYTES
            && let Some(output) = output_of(&mut outcome)
        {
            shorten_output(output, SHORT_OUTPUT_BYTES);
        }
        self.entries.retain(|entry| {
            let progress = matches!(entry.outcome, Outcome::Running { .. } | Outcome::Confirming { .. });
            entry.command_id != command_id || !progress
        });
        self.last.number += 1;
        self.entries.push_back(Entry {
            number: self.last.number,
            command_id,
            update_id,
            time_unix_s,
            outcome,
        });
    }

    /// Forgets what the center has stored. `false` when it names what was never made.
    fn acknowledge(&mut self, position: ReportPosition) -> bool {
        if position.stream != self.last.stream || position.number > self.last.number {
            return false;
        }
        self.entries.retain(|entry| entry.number > position.number);
        true
    }

    fn report(&self, index: usize, eui: Eui) -> Option<Report> {
        let entry = self.entries.get(index)?;
        let before = index.checked_sub(1).and_then(|index| self.entries.get(index));
        Some(Report {
            eui,
            position: ReportPosition { stream: self.last.stream, number: entry.number },
            after: before.map_or(0, |entry| entry.number),
            command_id: entry.command_id,
            update_id: entry.update_id,
            time_unix_s: entry.time_unix_s,
            outcome: entry.outcome.clone(),
        })
    }
}

impl Sending {
    /// The connection is there, or all must be sent again on it.
    pub(crate) fn restart(&mut self, connected: bool) {
        *self = Self { connected, ..Self::default() };
    }

    /// The center has stored up to here. `false` when it names what was never made.
    pub(crate) fn acknowledged(&mut self, outbox: &mut Outbox, position: ReportPosition) -> bool {
        let before = outbox.len();
        let fits = outbox.acknowledge(position);
        if outbox.len() < before {
            self.timeout_ms = FIRST_TIMEOUT_MS;
            self.deadline_ms = None;
        }
        fits
    }

    /// Sends what the window allows. True when nothing was acknowledged for too long, so that all is sent again.
    pub(crate) fn pump(&mut self, outbox: &Outbox, now_ms: u64, eui: Eui, effects: &mut Vec<Effect>) -> bool {
        if !self.connected || outbox.is_empty() {
            self.deadline_ms = None;
            return false;
        }
        let overdue = self.deadline_ms.is_some_and(|deadline| now_ms >= deadline);
        if overdue {
            self.sent_up_to = 0;
            self.deadline_ms = None;
            self.timeout_ms = (self.timeout_ms * 2).min(MAX_TIMEOUT_MS);
        }
        for index in 0..outbox.len().min(WINDOW) {
            let number = outbox.entries[index].number;
            if number > self.sent_up_to {
                effects.extend(outbox.report(index, eui).map(|report| Effect::Publish(Box::new(report))));
                self.sent_up_to = number;
            }
        }
        self.deadline_ms.get_or_insert(now_ms + self.timeout_ms);
        overdue
    }

    /// When the next look is needed.
    pub(crate) const fn deadline_ms(&self) -> Option<u64> {
        self.deadline_ms
    }
}

fn output_bytes(outcome: &mut Outcome) -> usize {
    output_of(outcome).map_or(0, |output| output.head.len() + output.tail.len())
}
