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
        let empty_at = self.empty_at.get(name).copied().unwrap_or(0).max(now_s);
        let full_by = now_s + burst * one_every_s;
        let next = empty_at + one_every_s;
        if next > full_by {
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
