//! Random histories with crashes at every point. In each of them: a command that is past its start is never run again, no
//! report number is given twice, no two jobs run at once, telemetry is never sent more often than allowed, every command
//! ends in exactly one terminal outcome at the center, and that outcome is the executor's truth.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod world;

use world::World;

/// More of them: `KEROS_HISTORIES=5000 cargo test -p keros-machine`.
const HISTORIES: u64 = 40;
const TICKS: u32 = 200;

#[test]
fn every_history_ends_in_the_truth() {
    let (mut orders, mut crashes) = (0, 0);
    let asked = std::env::var("KEROS_HISTORIES").ok().and_then(|text| text.parse().ok());
    for seed in 1..=asked.unwrap_or(HISTORIES) {
        let mut world = World::new(seed);
        for _ in 0..TICKS {
            world.tick();
        }
        world.settle();
        world.check();
        orders += world.orders();
        crashes += world.crashes;
    }
    assert!(orders > 300 && crashes > 100, "the histories are too tame: {orders} orders, {crashes} crashes");
}
