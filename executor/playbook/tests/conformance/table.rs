//! The table of all cases for `docs/conformance.md`.

use std::fmt::Write as _;

use crate::case::{Case, Follows};
use crate::judge::{followed, words_of};
use crate::recordings::{Recordings, of};
use crate::seen::{End, Recording};

const INTRODUCTION: &str = "\
# Conformance with jetp, case by case

The tests run every case through our engine, and, where `JETP_BIN` names a `jetp` 0.1.1, through that too. This page is
made from the cases and the recordings in `executor/playbook/tests/conformance` (see the README there); the tests fail
when it is out of date, and `KEROS_BLESS=1` writes it anew.

The statuses of the tasks stand in their order, of several runs after a `/`. `refused` means that nothing was run.
**follows** says whose result is ours: jetp (0.1.1, the release), head (its last commit), or ours, for a reason.
";

pub(crate) fn table(cases: &[Case], recordings: &Recordings) -> String {
    let mut page = INTRODUCTION.to_owned();
    let count = |follows: Follows| cases.iter().filter(|case| case.follows == follows).count();
    let _ = writeln!(
        page,
        "\n{} cases: {} follow jetp, {} head, {} are ours.",
        cases.len(),
        count(Follows::Jetp),
        count(Follows::Head),
        count(Follows::Ours),
    );
    match cases.iter().filter(|case| case.not_yet.is_some()).count() {
        0 => {}
        waiting => page.push_str(&format!("{waiting} wait for a part that is not there yet.\n")),
    }
    let mut topic = "";
    for case in cases {
        if case.topic != topic {
            topic = &case.topic;
            let _ = writeln!(page, "\n## {}\n", topic.replace('-', " "));
            page.push_str("| case | what it shows | jetp 0.1.1 | ours | follows | why |\n");
            page.push_str("| --- | --- | --- | --- | --- | --- |\n");
        }
        page.push_str(&row(case, of(case, recordings)));
    }
    page
}

fn row(case: &Case, jetp: Option<&Recording>) -> String {
    let theirs = jetp.map_or_else(|| "not asked".to_owned(), shown);
    let ours = followed(case, jetp).map_or_else(|| promised(case), shown);
    let follows = match case.follows {
        Follows::Jetp => "jetp",
        Follows::Head => "head",
        Follows::Ours => "**ours**",
    };
    let reasons = [case.not_yet.as_ref().map(|part| format!("not yet: {part}")), Some(case.why.clone())];
    let reasons: Vec<String> = reasons.into_iter().flatten().filter(|reason| !reason.is_empty()).collect();
    let cells = [case.name.as_str(), &case.what, &theirs, &ours, follows, &reasons.join("; ")];
    let cells: Vec<String> = cells.iter().map(|cell| cell.trim().replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

fn promised(case: &Case) -> String {
    let runs: Vec<String> = case.gives.runs().iter().map(|words| in_short(words)).collect();
    runs.join(" / ")
}

fn shown(recording: &Recording) -> String {
    let runs: Vec<String> = recording
        .runs
        .iter()
        .map(|run| {
            let seen = run.seen();
            let mut words = words_of(&seen);
            if seen.end == End::Crashed {
                words.pop();
                words.push("crash".to_owned());
            } else if words.is_empty() {
                words.push("nothing to do".to_owned());
            }
            in_short(&words)
        })
        .collect();
    runs.join(" / ")
}

/// `created ×3, failed`.
fn in_short<S: AsRef<str>>(words: &[S]) -> String {
    let parts = words.chunk_by(|a, b| a.as_ref() == b.as_ref()).map(|same| match same.len() {
        1 => same[0].as_ref().to_owned(),
        more => format!("{} ×{more}", same[0].as_ref()),
    });
    parts.collect::<Vec<_>>().join(", ")
}
