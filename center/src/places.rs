//! So many at the same time, and nobody more than his share: of gateways that fetch blobs, of users who follow updates or upload. Else one that
//! reads a byte a minute over many connections would keep it from all others.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All places.
#[derive(Clone)]
pub(crate) struct Places<K: Eq + Hash> {
    free: Arc<Semaphore>,
    share: usize,
    taken: Arc<Mutex<HashMap<K, usize>>>,
}

/// One place; free again when it is dropped.
pub(crate) struct Place<K: Eq + Hash> {
    taken: Arc<Mutex<HashMap<K, usize>>>,
    whose: Option<K>,
    _permit: OwnedSemaphorePermit,
}

impl<K: Eq + Hash + Clone> Places<K> {
    /// So many, of which nobody takes more than `share`.
    pub(crate) fn new(count: usize, share: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(count)), share, taken: Arc::default() }
    }

    /// A place for this one, or for somebody who has no share; `None`: all are taken, or this one has his share.
    pub(crate) fn take(&self, whose: Option<K>) -> Option<Place<K>> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        if let Some(whose) = &whose {
            let mut taken = lock(&self.taken);
            let count = taken.entry(whose.clone()).or_default();
            if *count >= self.share {
                return None;
            }
            *count += 1;
        }
        Some(Place { taken: Arc::clone(&self.taken), whose, _permit: permit })
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let Some(whose) = self.whose.take() else { return };
        let mut taken = lock(&self.taken);
        let left = taken.remove(&whose).unwrap_or_default().saturating_sub(1);
        if left > 0 {
            taken.insert(whose, left);
        }
    }
}

fn lock<K>(taken: &Mutex<HashMap<K, usize>>) -> MutexGuard<'_, HashMap<K, usize>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_more_than_his_share_and_what_he_took_he_gives_back() {
        let (places, greedy, other) = (Places::new(5, 3), 1, 2);
        let mut held: Vec<Place<u8>> = std::iter::from_fn(|| places.take(Some(greedy))).collect();
        assert_eq!(held.len(), 3);
        let others = (places.take(Some(other)), places.take(None));
        assert!(others.0.is_some() && others.1.is_some() && places.take(None).is_none());
        drop(others);
        held.pop();
        assert!(places.take(Some(greedy)).is_some());
        held.clear();
        assert!(lock(&places.taken).is_empty());
    }
}
