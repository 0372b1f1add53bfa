//! The recordings of our own cases: one line of `recorded.json` each.

use std::collections::BTreeMap;
use std::fs;

use crate::case::{Case, folder};
use crate::seen::Recording;

/// By the case's name.
pub(crate) type Recordings = BTreeMap<String, Recording>;

pub(crate) fn read() -> Recordings {
    let text = fs::read_to_string(folder().join("recorded.json")).unwrap_or_else(|_| "{}".to_owned());
    serde_json::from_str(&text).unwrap()
}

pub(crate) fn write(recordings: &Recordings) {
    let line = |(name, recording): (&String, &Recording)| {
        format!("{}: {}", serde_json::to_string(name).unwrap(), serde_json::to_string(recording).unwrap())
    };
    let lines: Vec<String> = recordings.iter().map(line).collect();
    fs::write(folder().join("recorded.json"), format!("{{\n{}\n}}\n", lines.join(",\n"))).unwrap();
}

/// What jetp 0.1.1 did with a case.
pub(crate) fn of<'r>(case: &'r Case, recordings: &'r Recordings) -> Option<&'r Recording> {
    match &case.came_with {
        Some(came) => Some(&came.jetp_0_1_1),
        None => recordings.get(&case.name).filter(|recording| recording.fingerprint == case.fingerprint()),
    }
}
