//! How often something may be tried: a bucket for each name, that fills with attempts and empties with time. Pure.

use std::collections::HashMap;

/// How much is allowed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    /// Attempts at once.
    pub(super) burst: u64,
    /// Seconds until one more is allowed.
    pub(super) one_every_s: u64,
    /// Names that are kept. Beyond it the one that is furthest from its bound is forgotten.
    pub(super) names: usize,
}

/// Buckets by name.
#[derive(Debug)]
pub(super) struct Throttle {
    allowance: Allowance,
    /// When the bucket of a name will be empty.
    empty_at: HashMap<String, u64>,
}

impl Throttle {
    pub(super) fn new(allowance: Allowance) -> Self {
        Self { allowance, empty_at: HashMap::new() }
    }

    /// Counts an attempt; or says after how many seconds one will be allowed, and counts nothing.
    pub(super) fn attempt(&mut self, name: &str, now_s: u64) -> Result<(), u64> {
        let Allowance { burst, one_every_s, names } = self.allowance;
        let full_by = now_s + burst * one_every_s;
        let kept = self.empty_at.get(name).copied().unwrap_or(0);
        // No bucket is fuller than full: beyond it the clock was ahead when it was filled, and nobody waits until then.
        let empty_at = kept.clamp(now_s, full_by);
        let next = empty_at + one_every_s;
        if next > full_by {
            if kept > full_by {
                self.empty_at.insert(name.to_owned(), full_by);
            }
            return Err(next - full_by);
        }
        if !self.empty_at.contains_key(name) && self.empty_at.len() >= names {
            self.forget(now_s);
        }
        self.empty_at.insert(name.to_owned(), next);
        Ok(())
    }

    /// The attempt was a good one: it does not count.
    pub(super) fn succeeded(&mut self, name: &str) {
        self.empty_at.remove(name);
    }

    /// The attempt that was just counted was none.
    pub(super) fn take_back(&mut self, name: &str) {
        let one_every_s = self.allowance.one_every_s;
        if let Some(empty_at) = self.empty_at.get_mut(name) {
            *empty_at = empty_at.saturating_sub(one_every_s);
        }
    }

    fn forget(&mut self, now_s: u64) {
        self.empty_at.retain(|_, empty_at| *empty_at > now_s);
        if self.empty_at.len() < self.allowance.names {
            return;
        }
        let least = self.empty_at.iter().min_by_key(|(_, empty_at)| **empty_at).map(|(name, _)| name.clone());
        if let Some(name) = least {
            self.empty_at.remove(&name);
        }
    }
}

/// From which networks somebody has logged in: there he is held up by his own attempts alone, so that nobody keeps him out with wrong passwords
/// from elsewhere.
#[derive(Debug)]
pub(super) struct Usual {
    most: usize,
    seen_at: HashMap<String, u64>,
}

impl Usual {
    pub(super) fn new(most: usize) -> Self {
        Self { most, seen_at: HashMap::new() }
    }

    /// The name under which attempts are counted.
    pub(super) fn counted_as(&self, login: &str, network: &str) -> String {
        let both = format!("{login} {network}");
        if self.seen_at.contains_key(&both) { both } else { login.to_owned() }
    }

    /// He has logged in from there.
    pub(super) fn keep(&mut self, login: &str, network: &str, now_s: u64) {
        self.seen_at.insert(format!("{login} {network}"), now_s);
        if self.seen_at.len() > self.most {
            let oldest = self.seen_at.iter().min_by_key(|(_, at)| **at).map(|(name, _)| name.clone());
            oldest.and_then(|name| self.seen_at.remove(&name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWANCE: Allowance = Allowance { burst: 3, one_every_s: 10, names: 2 };

    #[test]
    fn after_a_burst_one_is_allowed_every_while() {
        let mut throttle = Throttle::new(ALLOWANCE);
        for _ in 0..3 {
            assert_eq!(throttle.attempt("a", 100), Ok(()));
        }
        assert_eq!(throttle.attempt("a", 100), Err(10));
        assert_eq!(throttle.attempt("a", 109), Err(1));
        assert_eq!(throttle.attempt("b", 109), Ok(()), "another name is not held up");
        assert_eq!(throttle.attempt("a", 110), Ok(()));
        assert_eq!(throttle.attempt("a", 110), Err(10));
        throttle.succeeded("a");
        assert_eq!(throttle.attempt("a", 110), Ok(()));
    }

    #[test]
    fn what_is_taken_back_does_not_count_and_what_was_before_it_does() {
        let mut throttle = Throttle::new(ALLOWANCE);
        throttle.attempt("a", 100).unwrap();
        for _ in 0..100 {
            throttle.attempt("a", 100).unwrap();
            throttle.take_back("a");
        }
        assert_eq!(throttle.attempt("a", 100), Ok(()));
        assert_eq!(throttle.attempt("a", 100), Ok(()));
        assert_eq!(throttle.attempt("a", 100), Err(10));
    }

    #[test]
    fn a_clock_that_was_ahead_makes_nobody_wait_until_then() {
        let mut throttle = Throttle::new(ALLOWANCE);
        throttle.attempt("a", 1_000_000).unwrap();
        assert_eq!(throttle.attempt("a", 100), Err(10), "it is as if the bucket were full");
        assert_eq!(throttle.attempt("a", 110), Ok(()));
        assert_eq!(throttle.attempt("a", 110), Err(10));
        assert_eq!(throttle.attempt("a", 140), Ok(()));
    }

    #[test]
    fn where_somebody_has_logged_in_he_is_held_up_by_nobody_else() {
        let (mut throttle, mut usual) = (Throttle::new(ALLOWANCE), Usual::new(2));
        usual.keep("ada", "192.0.2.1", 100);
        while throttle.attempt(&usual.counted_as("ada", "203.0.113.9"), 100).is_ok() {}
        assert_eq!(throttle.attempt(&usual.counted_as("ada", "192.0.2.1"), 100), Ok(()));
        assert!(throttle.attempt(&usual.counted_as("ada", "192.0.2.2"), 100).is_err());
        // It is bounded, and what was longest ago goes.
        usual.keep("bob", "192.0.2.1", 101);
        usual.keep("eve", "192.0.2.1", 102);
        assert_eq!(usual.counted_as("ada", "192.0.2.1"), "ada");
        assert_ne!(usual.counted_as("eve", "192.0.2.1"), "eve");
    }

    #[test]
    fn names_are_bounded_and_who_is_at_the_bound_is_not_forgotten() {
        let mut throttle = Throttle::new(ALLOWANCE);
        for _ in 0..3 {
            throttle.attempt("guesser", 100).unwrap();
        }
        for other in 0..1000 {
            throttle.attempt(&format!("other {other}"), 100).unwrap();
            assert!(throttle.empty_at.len() <= 2);
        }
        assert!(throttle.attempt("guesser", 100).is_err());
    }
}
