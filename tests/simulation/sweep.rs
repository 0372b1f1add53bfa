//! Not by chance but one after the other: each operation of a short history is the last one of its process or of the gateway's
//! power, each fails once and for a while, each file is damaged at each place.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::disk::{Damage, Fault};
use crate::plan::Plan;
use crate::setting;
use crate::world::{Episode, episode};

/// The episode is the same each time, but for what goes wrong.
const SEED: u64 = 1;
/// A file is damaged every so many bytes; `KEROS_SIM_STEP=1`: at each.
const STEP: u64 = 41;

/// Lives through all of them, on all processors.
fn all_hold(what: &str, episodes: &[Episode]) {
    let next = AtomicU64::new(0);
    let wrong = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(chosen) = episodes.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    if let Err(found) = episode(SEED, false, chosen.clone()) {
                        wrong.lock().unwrap().push((chosen.clone(), found.text));
                    }
                }
            });
        }
    });
    println!("{} episodes: {what}", episodes.len());
    let wrong = wrong.into_inner().unwrap();
    if let Some((chosen, text)) = wrong.first() {
        let again = episode(SEED, true, chosen.clone()).err();
        let lines = setting("KEROS_SIM_TRACE").unwrap_or(60) as usize;
        for line in again.iter().flat_map(|again| again.trace.iter().rev().take(lines).rev()) {
            println!("{line}");
        }
        for (chosen, text) in &wrong {
            println!("{chosen:?}: {text}");
        }
        panic!("{} of them are wrong, first {chosen:?}: {text}", wrong.len());
    }
}

/// All of them, or in a quick run one of many.
fn some_of(episodes: impl Iterator<Item = Episode>) -> Vec<Episode> {
    let every = if setting("KEROS_SIM_STEP").is_some() { 1 } else { 40 };
    episodes.step_by(every).collect()
}

/// Operations of the episode.
fn length() -> u64 {
    let (counts, _) = episode(SEED, false, Episode::default()).map_err(|wrong| wrong.text).unwrap();
    counts.operations
}

#[test]
fn each_operation_is_the_last_one_of_its_process_and_of_the_power() {
    let plans = (1..=length()).flat_map(|at| [false, true].map(|power| (at, power)));
    let plans = plans.map(|lost| Plan { lost: Some(lost), ..Plan::default() });
    let episodes = some_of(plans.map(|plan| Episode { plan, damage: None }));
    all_hold("a crash at each operation, of the process and of the power", &episodes);
}

#[test]
fn each_operation_fails_once_and_for_a_while() {
    let faults = (1..=length()).flat_map(|at| Fault::ALL.map(|fault| (at, fault)));
    let fails = faults.flat_map(|(at, fault)| [1, 30].map(|many| Some((at, many, fault))));
    let plans = fails.map(|fails| Plan { fails, ..Plan::default() });
    let episodes = some_of(plans.map(|plan| Episode { plan, damage: None }));
    all_hold("each operation fails, alone or with the 29 after it: full, read-only, broken", &episodes);
}

#[test]
fn each_file_is_damaged_at_each_place_and_nothing_starts_twice() {
    let all = length();
    let step = setting("KEROS_SIM_STEP").unwrap_or(STEP) as usize;
    let mut episodes = Vec::new();
    for share in [3, 5, 10] {
        let after = all * share / 10;
        let cut = Episode { damage: Some((after, String::new(), Damage::CutAt(0))), ..Episode::default() };
        let (_, files) = episode(SEED, false, cut).map_err(|wrong| wrong.text).unwrap();
        for (path, length) in files.into_iter().filter(|(path, _)| !path.ends_with("/lock")) {
            for at in (0..length).step_by(step) {
                for damage in [Damage::Bit(at, (at % 7) as u8), Damage::CutAt(at)] {
                    episodes
                        .push(Episode { damage: Some((after, path.clone(), damage)), ..Episode::default() });
                }
            }
        }
    }
    all_hold("each file damaged at each place", &some_of(episodes.into_iter()));
}
