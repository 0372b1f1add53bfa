//! A gateway that keeps to the protocol: it stores, reports until acknowledged, ends what it is asked to end.

use std::collections::{BTreeMap, BTreeSet};

use keros_protocol::topics::Leaf;
use keros_protocol::{CommandId, Eui, Outcome, RefusalReason, Summary};

use uuid::Uuid;

use super::super::world::{cancelled, commands, report_in, statement, succeeded, telemetry_in};
use crate::service::Outgoing;

/// Reports that are sent without an acknowledgement.
const WINDOW: usize = 8;

pub(super) struct Gateway {
    eui: Eui,
    jobs: BTreeMap<CommandId, Job>,
    reports: Vec<(u64, CommandId, Outcome)>,
    number: u64,
    /// How often its state was lost.
    losses: u128,
    /// What only its executor knows since then.
    forgotten: BTreeMap<CommandId, Job>,
}

struct Job {
    outcome: Outcome,
    expires_at: u64,
}

impl Gateway {
    pub(super) fn new(eui: Eui) -> Self {
        Self {
            eui,
            jobs: BTreeMap::new(),
            reports: Vec::new(),
            number: 0,
            losses: 0,
            forgotten: BTreeMap::new(),
        }
    }

    /// Its state is damaged, and it begins a new one. The executor goes on.
    pub(super) fn lose_state(&mut self) {
        self.losses += 1;
        self.number = 0;
        self.reports.clear();
        self.forgotten.append(&mut self.jobs);
    }

    pub(super) fn has_forgotten(&self, id: CommandId) -> bool {
        self.forgotten.contains_key(&id)
    }

    fn stream(&self) -> Uuid {
        Uuid::from_u128(1 + self.losses)
    }

    pub(super) fn telemetry(&self) -> (Eui, Leaf, Vec<u8>) {
        telemetry_in(self.eui, self.stream())
    }

    /// Those that are not acknowledged, as many as may be on their way.
    pub(super) fn reports(&self) -> Vec<(Eui, Leaf, Vec<u8>)> {
        let mut before = 0;
        let mut messages = Vec::new();
        for (number, id, outcome) in self.reports.iter().take(WINDOW) {
            messages.push(report_in(self.eui, self.stream(), (*number, before), *id, outcome.clone()));
            before = *number;
        }
        messages
    }

    /// How a command ended here; `None`: it never came, or has not ended.
    pub(super) fn end_of(&self, id: CommandId) -> Option<&Outcome> {
        self.jobs
            .get(&id)
            .or_else(|| self.forgotten.get(&id))
            .map(|job| &job.outcome)
            .filter(|outcome| outcome.is_terminal())
    }

    pub(super) fn hear(&mut self, message: &Outgoing, now: u64, luck: u64) {
        if let Some(last) = statement(message).last_report {
            let stream = self.stream();
            self.reports.retain(|(number, ..)| last.stream != stream || *number > last.number);
        }
        let to_end: BTreeSet<CommandId> = cancelled(message).into_iter().collect();
        for command in commands(message) {
            let id = command.command_id;
            if self.jobs.contains_key(&id) {
                continue;
            }
            // What has begun, the executor knows; the rest is judged anew.
            if let Some(job) = self.forgotten.remove(&id).filter(|job| job.outcome.rank() > 2) {
                let outcome = job.outcome.clone();
                self.jobs.insert(id, job);
                self.reports.push((self.number + 1, id, Outcome::Received {}));
                self.number += 1;
                self.tell(id, outcome);
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
    Outcome::Cancelled { task: None, summary: Summary::default(), by_root: false }
}

fn rolled_back() -> Outcome {
    Outcome::RolledBack { reason: "cancelled".to_owned(), complete: true, remains: Vec::new() }
}
