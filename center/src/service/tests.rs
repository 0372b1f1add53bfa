//! The rules, without a broker: the pure ones alone, then whole histories on a real SQLite file.

mod bounds;
mod by_chance;
mod cancelling;
mod histories;
mod lost;
mod rules;
mod silence;
mod world;
