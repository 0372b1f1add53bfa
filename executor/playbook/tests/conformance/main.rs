//! Runs the same playbooks through the real jetp (recorded, or live where `JETP_BIN` names it) and through our engine, and
//! compares: statuses, order, changes, retries, events, messages, exit codes, files. README.md tells how cases look.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod bench;
mod case;
mod jetp;
mod judge;
mod ours;
mod recordings;
mod seen;
mod table;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use bench::{Bench, Ground};
use case::{Case, Follows, SearchPath};
use jetp::Jetp;
use judge::{Done, faults};
use seen::{End, Recording, Seen, Tree};

/// Set to write what the tests compare with: recordings (`JETP_BIN` must be set too), or the table.
const RECORD: &str = "JETP_RECORD";
const BLESS: &str = "KEROS_BLESS";

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn done(case: &Case, bench: &Bench) -> Done {
    let runs = (0..case.runs).map(|_| ours::run(case, bench)).collect();
    Done { runs, tree: bench.tree(), commands: bench.commands() }
}

/// All cases, each with its ground; those whose tools are not here are skipped by name.
fn each(mut take: impl FnMut(&Case, &Ground)) {
    let machine = Ground::machine();
    let busybox = bench::has_busybox().then(Ground::busybox);
    for case in case::all() {
        let ground = if case.path == SearchPath::Bb { busybox.as_ref() } else { Some(&machine) };
        match ground.filter(|_| bench::has_tools_for(&case)) {
            Some(ground) => take(&case, ground),
            None => keros_skip::skipped(&format!("{}: BusyBox or {:?} is missing", case.name, case.needs)),
        }
    }
}

#[test]
fn every_case_gives_what_jetp_gave_or_what_we_promise_instead() {
    if !is_root() {
        keros_skip::skipped("the recordings were made by root");
        return;
    }
    let recordings = recordings::read();
    let mut wrong = Vec::new();
    each(|case, ground| {
        let done = done(case, &Bench::new(case, ground));
        let found = faults(case, &done, recordings::of(case, &recordings));
        match &case.not_yet {
            None => wrong.extend(found),
            Some(part) if found.is_empty() => {
                wrong.push(format!("{}: it works now, though it is marked not_yet: {part}", case.name));
            }
            Some(_) => {}
        }
    });
    assert!(wrong.is_empty(), "{} faults\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_real_program_does_what_was_recorded() {
    let Some(jetp) = Jetp::find() else {
        keros_skip::skipped("JETP_BIN is not set: the real jetp 0.1.1 is not asked, only its recordings");
        return;
    };
    if !is_root() {
        keros_skip::skipped("the recordings were made by root");
        return;
    }
    let mut recordings = recordings::read();
    let records = std::env::var_os(RECORD).is_some();
    let mut wrong = Vec::new();
    each(|case, ground| {
        if case.not_recorded.is_some() {
            return;
        }
        let live = jetp.record(case, ground);
        match recordings::of(case, &recordings) {
            _ if records && case.came_with.is_none() => {
                recordings.insert(case.name.clone(), live);
            }
            Some(kept) if comparable_live(live.clone(), kept) == *kept => {}
            kept => wrong.push(format!("{}:\n  live {live:?}\n  kept {kept:?}", case.name)),
        }
    });
    if records {
        let cases = case::all();
        recordings.retain(|name, _| cases.iter().any(|case| case.name == *name));
        recordings::write(&recordings);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Leaves out what the recordings that came to us do not hold.
fn comparable_live(mut live: Recording, kept: &Recording) -> Recording {
    live.fingerprint.clone_from(&kept.fingerprint);
    for (live, kept) in live.runs.iter_mut().zip(&kept.runs) {
        for (live, kept) in live.tasks.iter_mut().zip(&kept.tasks) {
            live.said = live.said.take().filter(|_| kept.said.is_some());
        }
    }
    live
}

#[test]
fn every_case_has_a_name_of_its_own_a_purpose_and_a_recording_that_fits_it() {
    let (cases, recordings) = (case::all(), recordings::read());
    let (mut names, mut same) = (BTreeSet::new(), Vec::new());
    for case in &cases {
        assert!(names.insert(case.name.clone()), "{} is there twice", case.name);
        assert!(!case.what.is_empty(), "{}: what does it show?", case.name);
        let jetp = recordings::of(case, &recordings);
        let advice = "set JETP_BIN and JETP_RECORD=1 and run this test again";
        assert!(
            jetp.is_some() || case.not_recorded.is_some(),
            "{}: no recording fits it: {advice}",
            case.name
        );
        let differs = !case.gives.runs().is_empty();
        assert_eq!(differs, !case.why.is_empty(), "{}: `gives` and `why` belong together", case.name);
        assert_eq!(differs, judge::followed(case, jetp).is_none(), "{}: what should it give?", case.name);
        assert!(!differs || case.follows != Follows::Jetp, "{}: it does not follow jetp", case.name);
        if differs && judge::is_promised(case, jetp) {
            same.push(case.name.as_str());
        }
        assert!(!differs || case.gives.runs().len() == case.runs, "{}: `gives` for each run", case.name);
    }
    assert!(same.is_empty(), "these state a result of ours, which is jetp's: {same:?}");
    for name in recordings.keys() {
        assert!(names.contains(name), "there is a recording of {name}, but no case");
    }
}

#[test]
fn the_table_of_the_cases_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/conformance.md");
    let page = table::table(&case::all(), &recordings::read());
    if std::env::var_os(BLESS).is_some() {
        fs::write(&path, &page).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == page, "docs/conformance.md is out of date: run this test with {BLESS}=1");
}

/// What must be the same everywhere: all that was seen, and the files. Where in a line a fault stands is not part of it:
/// the names of the folders in the script differ.
fn result(done: Done) -> (Vec<Seen>, Tree) {
    let without_place = |seen: Seen| match seen.end {
        End::Refused(_) => Seen { end: End::Refused(String::new()), ..seen },
        _ => seen,
    };
    (done.runs.into_iter().map(without_place).collect(), done.tree)
}

fn same_on(other: fn() -> Ground) {
    if !is_root() || !bench::has_busybox() {
        keros_skip::skipped("it needs root, and Debian's busybox-static");
        return;
    }
    let (machine, other) = (Ground::machine(), other());
    let is_tree = other.root != Path::new("/");
    let mut wrong = Vec::new();
    for case in case::all() {
        let left_out = case.path == SearchPath::Fake || case.needs.is_some() || case.not_yet.is_some();
        if left_out || (is_tree && case.not_in_a_tree.is_some()) {
            continue;
        }
        let here = result(done(&case, &Bench::new(&case, &machine)));
        let there = result(done(&case, &Bench::new(&case, &other)));
        if here != there {
            wrong.push(format!("{}:\n  here  {here:?}\n  there {there:?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn with_the_tools_of_busybox_alone_every_case_gives_the_same() {
    same_on(Ground::busybox);
}

#[test]
fn on_a_tree_that_holds_busybox_alone_every_case_gives_the_same() {
    same_on(Ground::tree);
}
