//! Random histories with a crash between any two effects, lost power, clocks that are wrong by fifty years, lost, late and
//! repeated messages, a full disk, an executor and bundles that cannot be reached. `INVARIANTS.md` names what must hold in each of them.

use crate::world::{Counts, World};

/// One of them alone: `KEROS_SEED=17`. More of them: `KEROS_HISTORIES=5000 cargo test -p keros-machine histories -- --nocapture`.
const HISTORIES: u64 = 60;
const TICKS: u32 = 310;

#[test]
fn every_history_ends_in_the_truth() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let histories: u64 = number("KEROS_HISTORIES").unwrap_or(HISTORIES);
    let only: Option<u64> = number("KEROS_SEED");
    let mut all = Counts::default();
    for seed in only.map_or(1..=histories, |seed| seed..=seed) {
        let mut world = World::new(seed);
        for _ in 0..TICKS {
            world.tick();
        }
        world.settle();
        world.check();
        all.add(world.counts);
    }
    println!("{histories} histories: {all:?}");
    let least = all.least();
    assert!(only.is_some() || least * 8 >= histories, "the histories are too tame: {all:?}");
}
