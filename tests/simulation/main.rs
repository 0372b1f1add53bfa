//! The deterministic simulation: the real machine, keeper and store of the agent and the real sessions, journal and records of the
//! executor, on a disk that loses what was not synced, under a scheduler that can end any process, or the power, at any operation.
//! A history that is wrong prints its seed; `KEROS_SIM_SEED=N cargo test -p keros-tests --test simulation -- --nocapture` lives
//! through it again and tells what happened (`KEROS_SIM_TRACE=N` lines of it).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod agent;
mod bundles;
mod center;
mod copies;
mod counts;
mod disk;
mod executor;
mod lies;
mod plan;
mod random;
mod sim;
mod sweep;
mod truth;
mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use counts::Counts;
use world::history;

/// In a build that is not optimised, unless `KEROS_SIM_HISTORIES` says more; `./run test` does.
const HISTORIES: u64 = 60;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn every_history_keeps_every_promise() {
    let first = setting("KEROS_SIM_SEED").unwrap_or(1);
    let histories = setting("KEROS_SIM_HISTORIES").unwrap_or(if first == 1 { HISTORIES } else { 1 });
    let next = AtomicU64::new(first);
    let total = Mutex::new(Counts::default());
    let wrong = Mutex::new(BTreeMap::new());
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + histories || wrong.lock().unwrap().len() >= 3 {
                        return;
                    }
                    match history(seed, false, None) {
                        Ok(counts) => total.lock().unwrap().add(&counts),
                        Err(found) => {
                            wrong.lock().unwrap().insert(seed, found.text);
                        }
                    }
                }
            });
        }
    });
    let total = total.into_inner().unwrap();
    println!("{total}");
    let wrong = wrong.into_inner().unwrap();
    if let Some((seed, text)) = wrong.iter().next() {
        let again = history(*seed, true, None).err();
        let lines = setting("KEROS_SIM_TRACE").unwrap_or(60) as usize;
        for line in again.iter().flat_map(|again| again.trace.iter().rev().take(lines).rev()) {
            println!("{line}");
        }
        for (seed, text) in wrong.iter().filter(|_| histories > 1) {
            println!("KEROS_SIM_SEED={seed}: {text}");
        }
        panic!("KEROS_SIM_SEED={seed}: {text}");
    }
}
