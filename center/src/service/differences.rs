//! What a dry run would change, grouped: 480 gateways with the same difference are one line. Pure, but for the reading.

use std::collections::BTreeMap;

use keros_protocol::limits::shorten;
use keros_protocol::{Eui, Outcome};

use crate::api::DifferenceGroup;

/// Groups that are shown, the greatest first; the gateways of the others are counted.
pub(super) const MAX_GROUPS: usize = 100;

/// Gateways that are named of each group.
const MAX_NAMED: usize = 100;

/// Of a summary for a group this much is shown.
const MAX_SUMMARY_BYTES: usize = 400;

/// Collects outcomes one by one, so that only what differs is held.
#[derive(Debug, Default)]
pub(super) struct Grouping {
    groups: BTreeMap<Key, (u32, Vec<Eui>)>,
}

/// Two gateways are alike when all of this is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    summary: String,
    diff: String,
}

impl Grouping {
    /// Takes one gateway's outcome; `None`: it has none yet.
    pub(super) fn add(&mut self, eui: Eui, outcome: Option<&Outcome>) {
        let (count, named) = self.groups.entry(key(outcome)).or_default();
        *count += 1;
        if named.len() < MAX_NAMED {
            named.push(eui);
        }
    }

    /// The groups, greatest first.
    pub(super) fn finish(self) -> Vec<DifferenceGroup> {
        let mut groups: Vec<DifferenceGroup> = self
            .groups
            .into_iter()
            .map(|(Key { summary, diff }, (count, gateways))| DifferenceGroup {
                count,
                summary,
                diff,
                gateways,
            })
            .collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        groups.truncate(MAX_GROUPS);
        groups
    }
}

fn key(outcome: Option<&Outcome>) -> Key {
    let (summary, diff) = match outcome {
        None => ("no report yet".to_owned(), String::new()),
        Some(Outcome::Succeeded { summary, .. }) => {
            let text =
                if summary.changed() == 0 { "nothing would change".to_owned() } else { summary.to_string() };
            (text, String::new())
        }
        Some(Outcome::Failed { message, .. }) => (format!("{}: {message}", short(outcome)), String::new()),
        Some(Outcome::Refused { detail, .. }) => (format!("{}: {detail}", short(outcome)), String::new()),
        // Where each gateway is just now would tell them apart.
        Some(outcome) if !outcome.is_terminal() => ("under way".to_owned(), String::new()),
        Some(_) => (short(outcome), String::new()),
    };
    Key { summary: shorten(&summary, MAX_SUMMARY_BYTES), diff }
}

fn short(outcome: Option<&Outcome>) -> String {
    outcome.map(ToString::to_string).unwrap_or_default()
}
