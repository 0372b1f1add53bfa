//! When a message that was not taken is tried again. Pure.

use keros_protocol::UnixSeconds;

/// Waits after each attempt, seconds: as the Standard Webhooks specification suggests, three days together.
const WAITS_S: [u64; 9] = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// Attempts at most.
#[cfg(test)]
pub(crate) const ATTEMPTS: u32 = WAITS_S.len() as u32 + 1;

/// When the next attempt is made, after so many (from 1); `None`: it is given up.
pub(crate) fn retry_at(attempts: u32, now: UnixSeconds) -> Option<UnixSeconds> {
    let wait = WAITS_S.get(attempts.checked_sub(1)? as usize)?;
    Some(now.saturating_add(*wait))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_longer_and_the_last_attempt_is_the_last() {
        let times: Vec<u64> = (1..ATTEMPTS).map(|attempts| retry_at(attempts, 100).unwrap()).collect();
        assert!(times.is_sorted());
        assert_eq!((times[0], retry_at(ATTEMPTS, 100), retry_at(u32::MAX, 100)), (105, None, None));
        let together: u64 = WAITS_S.iter().sum();
        assert!((3 * 86_400..4 * 86_400).contains(&together));
    }
}
