//! Who fetches blobs right now: so many at the same time, and no gateway more than its share. Else one that reads a byte a minute over many
//! connections would keep the blobs from the whole fleet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keros_protocol::Eui;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::bounds::PULLS_OF_ONE;

/// All places.
#[derive(Clone)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    of_gateways: Arc<Mutex<HashMap<Eui, usize>>>,
}

/// One place; free again when it is dropped.
pub(super) struct Place {
    places: Places,
    whose: Option<Eui>,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub(super) fn new(count: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(count)), of_gateways: Arc::default() }
    }

    /// A place for this gateway, or for an operator; `None`: too many fetch, or this one too much.
    pub(super) fn take(&self, whose: Option<Eui>) -> Option<Place> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        if let Some(eui) = whose {
            let mut taken = self.taken();
            let count = taken.entry(eui).or_default();
            if *count >= PULLS_OF_ONE {
                return None;
            }
            *count += 1;
        }
        Some(Place { places: self.clone(), whose, _permit: permit })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Eui, usize>> {
        self.of_gateways.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(eui) = self.whose else { return };
        let mut taken = self.places.taken();
        let left = taken.remove(&eui).unwrap_or_default().saturating_sub(1);
        if left > 0 {
            taken.insert(eui, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_gateway_takes_no_more_than_its_share_and_gives_it_back() {
        let (places, greedy, other) = (Places::new(PULLS_OF_ONE + 2), Eui::from_u64(1), Eui::from_u64(2));
        let mut held: Vec<Place> = std::iter::from_fn(|| places.take(Some(greedy))).collect();
        assert_eq!(held.len(), PULLS_OF_ONE);
        let others = (places.take(Some(other)), places.take(None));
        assert!(others.0.is_some() && others.1.is_some() && places.take(None).is_none());
        drop(others);
        held.pop();
        assert!(places.take(Some(greedy)).is_some());
        held.clear();
        assert!(places.taken().is_empty());
    }
}
