//! Who is connected: so many of each user at once, and so often, that one user of the group keeps neither the others out nor root, nor the
//! processor busy. Who is over it is told so and let go, rather than made to wait where others wait too.
//!
//! Arithmetic: 16 of root and 24 of all others, each with some 20 KiB of buffers and a large answer of 64 KiB, are less than 4 MiB.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const ROOT: u32 = 0;

/// Of one user at once; a technician has one or two.
const MAX_OF_USER: usize = 8;
const MAX_OF_ROOT: usize = 16;
/// Of all users but root together.
const MAX_OF_OTHERS: usize = 24;

/// A user but root has a request in each such time, after so many at once.
const REQUEST_EVERY: Duration = Duration::from_millis(50);
const REQUESTS_AT_ONCE: u32 = 40;

/// A line about users but root in each such time, after so many at once: they must not fill the journal.
const LINE_EVERY: Duration = Duration::from_secs(6);
const LINES_AT_ONCE: u32 = 20;

/// Users that are remembered when none of their connections is left.
const MAX_REMEMBERED: usize = 32;

/// Lets so many through at once, and then one in each interval.
#[derive(Debug, Clone, Copy)]
struct Budget {
    /// All that was let through is paid for then.
    paid_at: Instant,
}

impl Budget {
    fn take(&mut self, now: Instant, every: Duration, at_once: u32) -> bool {
        let paid_at = self.paid_at.max(now);
        let allowed = paid_at.saturating_duration_since(now) < every * at_once;
        if allowed {
            self.paid_at = paid_at + every;
        }
        allowed
    }
}

#[derive(Debug)]
struct Guest {
    open: usize,
    requests: Budget,
}

#[derive(Debug)]
struct Book {
    guests: HashMap<u32, Guest>,
    lines: Budget,
    lines_left_out: u64,
}

/// Keeps count of them, for both sockets.
#[derive(Debug, Clone)]
pub(super) struct Guests(Arc<Mutex<Book>>);

/// Why somebody is let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turned {
    /// Too many connections are open.
    TooMany,
    /// Too many came in a short time.
    TooOften,
}

/// A place; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    guests: Guests,
    uid: u32,
}

impl Guests {
    pub(super) fn new(now: Instant) -> Self {
        let book = Book { guests: HashMap::new(), lines: Budget { paid_at: now }, lines_left_out: 0 };
        Self(Arc::new(Mutex::new(book)))
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection of this user.
    pub(super) fn admit(&self, uid: u32, now: Instant) -> Result<Seat, Turned> {
        let mut book = self.book();
        if book.guests.len() > MAX_REMEMBERED {
            book.guests.retain(|_, guest| guest.open > 0 || guest.requests.paid_at > now);
        }
        let others: usize =
            book.guests.iter().filter(|(uid, _)| **uid != ROOT).map(|(_, guest)| guest.open).sum();
        let guest = book.guests.entry(uid).or_insert(Guest { open: 0, requests: Budget { paid_at: now } });
        let full = match uid {
            ROOT => guest.open >= MAX_OF_ROOT,
            _ => guest.open >= MAX_OF_USER || others >= MAX_OF_OTHERS,
        };
        if full {
            return Err(Turned::TooMany);
        }
        if uid != ROOT && !guest.requests.take(now, REQUEST_EVERY, REQUESTS_AT_ONCE) {
            return Err(Turned::TooOften);
        }
        guest.open += 1;
        Ok(Seat { guests: self.clone(), uid })
    }

    /// Whether a line about this user may be logged, with the number of those that were left out before it.
    pub(super) fn may_log(&self, uid: Option<u32>, now: Instant) -> Option<u64> {
        let mut book = self.book();
        if uid == Some(ROOT) || book.lines.take(now, LINE_EVERY, LINES_AT_ONCE) {
            return Some(std::mem::take(&mut book.lines_left_out));
        }
        book.lines_left_out = book.lines_left_out.saturating_add(1);
        None
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(guest) = self.guests.book().guests.get_mut(&self.uid) {
            guest.open = guest.open.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_leaves_room_for_the_others_and_all_of_them_for_root() {
        let now = Instant::now();
        let guests = Guests::new(now);
        let mut seats = Vec::new();
        for uid in 1000..1004 {
            seats.extend((0..10).map_while(|_| guests.admit(uid, now).ok()));
        }
        assert_eq!(seats.len(), MAX_OF_OTHERS);
        assert_eq!(guests.admit(2000, now).unwrap_err(), Turned::TooMany);
        seats.extend((0..20).map_while(|_| guests.admit(ROOT, now).ok()));
        assert_eq!(seats.len(), MAX_OF_OTHERS + MAX_OF_ROOT);
        // A place that is left is free again, for whoever comes.
        seats.remove(0);
        assert!(guests.admit(1000, now).is_ok());
        assert_eq!(guests.admit(ROOT, now).unwrap_err(), Turned::TooMany);
    }

    #[test]
    fn a_flood_is_held_to_its_rate_and_root_is_not() {
        let mut now = Instant::now();
        let guests = Guests::new(now);
        let flood = |now| (0..1000).filter(|_| guests.admit(1000, now).is_ok()).count();
        assert_eq!(flood(now), 40);
        now += Duration::from_secs(1);
        assert_eq!(flood(now), 20);
        assert!((0..1000).all(|_| guests.admit(ROOT, now).is_ok()));
        assert!(guests.admit(1001, now).is_ok(), "another one has a rate of his own");
    }

    #[test]
    fn many_users_are_not_remembered_for_ever() {
        let mut now = Instant::now();
        let guests = Guests::new(now);
        for uid in 1..10_000 {
            now += Duration::from_millis(10);
            assert!(guests.admit(uid, now).is_ok());
        }
        assert!(guests.book().guests.len() <= MAX_REMEMBERED + 8);
    }

    #[test]
    fn the_journal_is_not_filled_and_what_is_left_out_is_counted() {
        let now = Instant::now();
        let guests = Guests::new(now);
        let lines = (0..100).filter(|_| guests.may_log(Some(1000), now).is_some()).count();
        assert_eq!(lines, 20);
        assert_eq!(guests.may_log(Some(ROOT), now), Some(80), "root's requests are always there");
        assert_eq!(guests.may_log(None, now + LINE_EVERY), Some(0));
    }
}
