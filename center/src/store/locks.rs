//! Who may write at the same time. SQLite has one writer. In PostgreSQL several centers write: what is about single gateways goes on side by
//! side, and everything else, an operator's order first of all, is alone, as it is in SQLite.
//!
//! A transaction for gateways takes the common lock together with others, then one lock for each gateway in the order of their numbers; one
//! that is alone takes the common lock for itself and needs no other. So nobody waits in a circle. The locks end with the transaction.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use keros_protocol::Eui;

/// The common lock: `kero`, as one number of PostgreSQL's.
const COMMON: i64 = 0x6B65_726F;

/// The locks of gateways: two numbers each, which PostgreSQL keeps apart from the one number above.
const OF_GATEWAY: i32 = 0x6B65;

/// Gateways share so many locks, so that a batch takes few of the server's 6,400 (`max_locks_per_transaction`).
const STRIPES: u64 = 4096;

/// The statement that waits until nobody else writes.
pub(super) fn alone() -> String {
    format!("SELECT pg_advisory_xact_lock({COMMON})")
}

/// The statement that waits until nobody else writes about these gateways.
pub(super) fn of_gateways(gateways: &[Eui]) -> String {
    let stripes: BTreeSet<u64> = gateways.iter().map(|eui| stripe(*eui)).collect();
    let mut sql = format!("SELECT pg_advisory_xact_lock_shared({COMMON})");
    for stripe in stripes {
        // What is selected is worked out from left to right.
        let _ = write!(sql, ", pg_advisory_xact_lock({OF_GATEWAY}, {stripe})");
    }
    sql
}

/// Numbers that follow each other, as those of gateways do, get different locks.
fn stripe(eui: Eui) -> u64 {
    let number = eui.as_u64();
    (number ^ (number >> 12) ^ (number >> 24)) % STRIPES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_gateway_is_locked_once_and_in_the_order_that_all_keep() {
        let euis = [3, 1, 2, 3].map(Eui::from_u64);
        let sql = of_gateways(&euis);
        let places: Vec<_> =
            [1, 2, 3].iter().map(|n| sql.find(&format!("({OF_GATEWAY}, {n})")).unwrap()).collect();
        assert!(places.is_sorted() && sql.matches("xact_lock(").count() == 3, "{sql}");
        assert_eq!(sql, of_gateways(&[1, 2, 3].map(Eui::from_u64)));
    }
}
