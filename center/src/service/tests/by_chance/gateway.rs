//! A gateway that keeps to the protocol: it stores, reports until acknowledged, ends what it is asked to end.

use std::collections::{BTreeMap, BTreeSet};

use keros_protocol::topics::Leaf;
use keros_protocol::{CommandId, Eui, Outcome, RefusalReason, Summary};

use super::super::world::{cancelled, commands, report, statement, succeeded, telemetry};
use crate::service::Outgoing;

/// Reports that are sent without an acknowledgement.
const WINDOW: usize = 8;

pub(super) struct Gateway {
    eui: Eui,
    jobs: BTreeMap<CommandId, Job>,
    reports: Vec<(u64, CommandId, Outcome)>,
    number: u64,
}

struct Job {
    outcome: Outcome,
    expires_at: u64,
}

impl Gateway {
    pub(super) fn new(eui: Eui) -> Self {
        Self { eui, jobs: BTreeMap::new(), reports: Vec::new(), number: 0 }
    }

    pub(super) fn telemetry(&self) -> (Eui, Leaf, Vec<u8>) {
        telemetry(self.eui)
    }

    /// Those that are not acknowledged, as many as may be on their way.
    pub(super) fn reports(&self) -> Vec<(Eui, Leaf, Vec<u8>)> {
        let mut before = 0;
        let mut messages = Vec::new();
        for (number, id, outcome) in self.reports.iter().take(WINDOW) {
            messages.push(report(self.eui, *number, before, *id, outcome.clone()));
            before = *number;
        }
        messages
    }

    /// How a command ended here; `None`: it never came, or has not ended.
    pub(super) fn end_of(&self, id: CommandId) -> Option<&Outcome> {
        self.jobs.get(&id).map(|job| &job.outcome).filter(|outcome| outcome.is_terminal())
    }

    pub(super) fn hear(&mut self, message: &Outgoing, now: u64, luck: u64) {
        if let Some(last) = statement(message).last_report {
            self.reports.retain(|(number, ..)| *number > last.number);
        }
        let to_end: BTreeSet<CommandId> = cancelled(message).into_iter().collect();
        for command in commands(message) {
            let id = command.command_id;
            if self.jobs.contains_key(&id) {
                continue;
            }
            let expires_at = command.expires_at_unix_s;
            self.jobs.insert(id, Job { outcome: Outcome::Received {}, expires_at });
            self.tell(id, Outcome::Received {});
            if now >= expires_at && !to_end.contains(&id) {
                self.tell(id, Outcome::Refused { reason: RefusalReason::Expired, detail: String::new() });
            }
        }
        for id in to_end {
            let Some(job) = self.jobs.get(&id) else { continue };
            let end = match job.outcome {
                Outcome::Received {} | Outcome::Accepted {} => stopped(),
                // The task under way may be the last one.
                Outcome::Running { .. } if luck.is_multiple_of(2) => succeeded(),
                Outcome::Running { .. } => stopped(),
                Outcome::Confirming { .. } => rolled_back(),
                _ => continue,
            };
            self.tell(id, end);
        }
    }

    /// Each job goes one step further.
    pub(super) fn work(&mut self, now: u64, luck: u64) {
        let open: Vec<(CommandId, Outcome, u64)> = self
            .jobs
            .iter()
            .filter(|(_, job)| !job.outcome.is_terminal())
            .map(|(id, job)| (*id, job.outcome.clone(), job.expires_at))
            .collect();
        for (id, outcome, expires_at) in open {
            let next = match outcome {
                Outcome::Received {} => Outcome::Accepted {},
                Outcome::Accepted {} if now >= expires_at => {
                    Outcome::Refused { reason: RefusalReason::Expired, detail: String::new() }
                }
                Outcome::Accepted {} => Outcome::Running { task: None },
                Outcome::Running { .. } if luck % 3 == 1 => Outcome::Running { task: None },
                Outcome::Running { .. } => Outcome::Confirming { until_unix_s: now },
                _ if luck % 5 == 1 => rolled_back(),
                _ => succeeded(),
            };
            self.tell(id, next);
        }
    }

    fn tell(&mut self, id: CommandId, outcome: Outcome) {
        self.number += 1;
        self.reports.push((self.number, id, outcome.clone()));
        if let Some(job) = self.jobs.get_mut(&id) {
            job.outcome = outcome;
        }
    }
}

fn stopped() -> Outcome {
    Outcome::Cancelled { task: None, summary: Summary::default() }
}

fn rolled_back() -> Outcome {
    Outcome::RolledBack { reason: "cancelled".to_owned(), complete: true, remains: Vec::new() }
}
