//! Statuses as pages show them: a word, a mark, a tone, and a part of the progress bar for each. Pure.

use std::collections::BTreeMap;

/// What a status is for people who do not read every word: also a mark and a pattern, never the colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing has happened yet.
    None,
    /// Something is happening.
    Active,
    /// All is well.
    Good,
    /// Somebody should look.
    Warn,
    /// It went wrong.
    Bad,
    /// It will not happen.
    Off,
}

impl Tone {
    /// The class in `app.css`, and the name of the pattern.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Active => "active",
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Off => "off",
        }
    }
}

/// Each name of the REST API with its word and its tone, deliveries and outcomes in the order in which they come about.
const STATES: [(&str, &str, Tone); 5] = [
    ("in_progress", "In progress", Tone::Active),
    ("sent", "Sent", Tone::Good),
    ("partially_sent", "Partially sent", Tone::Warn),
    ("cancelled", "Cancelled", Tone::Off),
    ("expired", "Expired", Tone::Bad),
];
const DELIVERIES: [(&str, &str, Tone); 5] = [
    ("waiting", "Waiting", Tone::None),
    ("sent", "Sent", Tone::Active),
    ("received", "Received", Tone::Good),
    ("cancelled", "Cancelled", Tone::Off),
    ("expired", "Expired", Tone::Bad),
];
const OUTCOMES: [(&str, &str, Tone); 12] = [
    ("none", "None", Tone::None),
    ("received", "Received", Tone::Active),
    ("accepted", "Accepted", Tone::Active),
    ("running", "Running", Tone::Active),
    ("confirming", "Waits for confirmation", Tone::Warn),
    ("succeeded", "Succeeded", Tone::Good),
    ("failed", "Failed", Tone::Bad),
    ("refused", "Refused", Tone::Bad),
    ("cancelled", "Cancelled", Tone::Off),
    ("timed_out", "Timed out", Tone::Bad),
    ("interrupted", "Interrupted", Tone::Bad),
    ("rolled_back", "Rolled back", Tone::Warn),
];

/// A status in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Its name in the REST API.
    pub(crate) name: String,
    /// For people.
    pub(crate) word: String,
    /// The class of its mark.
    pub(crate) class: &'static str,
}

fn shown(table: &[(&str, &'static str, Tone)], name: &str) -> Shown {
    let known = table.iter().find(|(known, _, _)| *known == name);
    let (word, tone) = known.map_or((name, Tone::None), |(_, word, tone)| (*word, *tone));
    Shown { name: name.to_owned(), word: word.to_owned(), class: tone.class() }
}

/// The state of an update.
pub(crate) fn state(name: &str) -> Shown {
    shown(&STATES, name)
}

/// A delivery.
pub(crate) fn delivery(name: &str) -> Shown {
    shown(&DELIVERIES, name)
}

/// An outcome; `none` where there is none.
pub(crate) fn outcome(name: &str) -> Shown {
    shown(&OUTCOMES, name)
}

/// A part of a progress bar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// Which status.
    pub(crate) status: Shown,
    /// How many gateways have it.
    pub(crate) count: u32,
    /// Where it begins, percent, as SVG has it.
    pub(crate) from: String,
    /// How wide it is, percent.
    pub(crate) width: String,
}

/// The parts of a progress bar of deliveries.
pub(crate) fn delivery_bar(counts: &BTreeMap<String, u32>) -> Vec<Part> {
    bar(&DELIVERIES, counts)
}

/// The parts of a progress bar of outcomes.
pub(crate) fn outcome_bar(counts: &BTreeMap<String, u32>) -> Vec<Part> {
    bar(&OUTCOMES, counts)
}

/// The parts of the one bar of a line in the list of updates: outcomes, and what was cancelled before it was sent as cancelled, since it
/// has no outcome and will have none.
pub(crate) fn progress_bar(
    outcomes: &BTreeMap<String, u32>,
    deliveries: &BTreeMap<String, u32>,
) -> Vec<Part> {
    let mut counts = outcomes.clone();
    if let Some(none) = counts.get_mut("none") {
        let never_sent = deliveries.get("cancelled").copied().unwrap_or(0).min(*none);
        *none -= never_sent;
        *counts.entry("cancelled".to_owned()).or_default() += never_sent;
    }
    bar(&OUTCOMES, &counts)
}

/// The least width of a part, tenths of a percent: one gateway of 100,000 has to be seen.
const LEAST: u64 = 15;

fn bar(table: &[(&str, &'static str, Tone)], counts: &BTreeMap<String, u32>) -> Vec<Part> {
    let there: Vec<(&str, u32)> = table
        .iter()
        .filter_map(|(name, _, _)| Some((*name, counts.get(*name).copied().filter(|count| *count > 0)?)))
        .collect();
    let all: u64 = there.iter().map(|(_, count)| u64::from(*count)).sum();
    let free = 1000 - LEAST * there.len() as u64;
    let mut from = 0;
    let mut sum = 0;
    let parts = there.iter().zip(1..).map(|((name, count), number)| {
        sum += u64::from(*count);
        // By the sum, so that the last part ends at the end.
        let to = LEAST * number + free * sum / all.max(1);
        let part = Part {
            status: shown(table, name),
            count: *count,
            from: percent(from),
            width: percent(to - from),
        };
        from = to;
        part
    });
    parts.collect()
}

fn percent(tenths: u64) -> String {
    format!("{}.{}%", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use keros_protocol::Delivery;

    use super::*;

    #[test]
    fn every_status_has_a_word() {
        for delivery in Delivery::ALL {
            assert_ne!(super::delivery(delivery.as_str()).word, delivery.as_str());
        }
        for name in ["none", "received", "accepted", "running", "confirming", "succeeded", "failed"]
            .into_iter()
            .chain(["refused", "cancelled", "timed_out", "interrupted", "rolled_back"])
        {
            assert_ne!(outcome(name).word, name);
        }
        assert_eq!(outcome("from_the_future").word, "from_the_future");
    }

    #[test]
    fn the_parts_of_a_bar_fill_it_and_none_is_too_small_to_be_seen() {
        for counts in [
            vec![("waiting", 1)],
            vec![("waiting", 99_999), ("received", 1)],
            vec![("waiting", 0), ("sent", 3), ("received", 3), ("cancelled", 1), ("expired", 7)],
        ] {
            let counts = counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
            let parts = delivery_bar(&counts);
            let tenths = |text: &str| text.replace(['.', '%'], "").parse::<u64>().unwrap();
            let mut end = 0;
            for part in &parts {
                assert_eq!(tenths(&part.from), end);
                assert!(tenths(&part.width) >= LEAST && part.count > 0, "{parts:?}");
                end += tenths(&part.width);
            }
            assert_eq!(end, 1000, "{parts:?}");
        }
        assert_eq!(delivery_bar(&BTreeMap::new()), []);
    }

    #[test]
    fn what_was_cancelled_before_it_was_sent_does_not_look_as_if_it_could_still_come() {
        let counts =
            |pairs: &[(&str, u32)]| pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        for (outcomes, deliveries, expected) in [
            (vec![("none", 2)], vec![("cancelled", 2)], vec![("cancelled", 2)]),
            (
                vec![("none", 3), ("succeeded", 1)],
                vec![("cancelled", 1), ("waiting", 2), ("received", 1)],
                vec![("none", 2), ("succeeded", 1), ("cancelled", 1)],
            ),
            (
                vec![("cancelled", 1), ("none", 1)],
                vec![("received", 1), ("cancelled", 1)],
                vec![("cancelled", 2)],
            ),
            (vec![("none", 1)], vec![("expired", 1)], vec![("none", 1)]),
            (vec![], vec![], vec![]),
        ] {
            let parts = progress_bar(&counts(&outcomes), &counts(&deliveries));
            let found: Vec<(&str, u32)> =
                parts.iter().map(|part| (part.status.name.as_str(), part.count)).collect();
            assert_eq!(found, expected, "{outcomes:?} {deliveries:?}");
        }
    }
}
