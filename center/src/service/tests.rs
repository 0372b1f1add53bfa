//! The rules, without a broker: the pure ones alone, then whole histories on a real SQLite file.

mod alerts;
mod bounds;
mod by_chance;
mod by_hand;
mod cancelling;
mod conflicts;
mod dry_runs;
mod early;
mod fleet;
mod fuzz;
mod histories;
mod links;
mod lost;
mod members;
mod once;
mod orders;
mod presence;
mod restored;
mod retention;
mod rules;
mod silence;
mod world;
