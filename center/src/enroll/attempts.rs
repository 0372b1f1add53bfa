//! How many refused requests one address may make. A token cannot be guessed; this keeps the log and the database quiet.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Refusals at once, and the time after which one more is possible.
const BURST: u32 = 30;
const EACH: Duration = Duration::from_secs(6);
/// Addresses that are remembered; beyond it the longest quiet ones are forgotten.
const MAX_ADDRESSES: usize = 4096;

/// Refusals by address.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<HashMap<IpAddr, Instant>>);

impl Attempts {
    /// Whether one more request of this address is looked at.
    pub(super) fn may_ask(&self, address: IpAddr, now: Instant) -> bool {
        let until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.get(&network(address)).is_none_or(|until| *until < now + EACH * BURST)
    }

    /// A request of this address was refused.
    pub(super) fn refused(&self, address: IpAddr, now: Instant) {
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if until.len() >= MAX_ADDRESSES {
            until.retain(|_, until| *until > now);
        }
        if until.len() >= MAX_ADDRESSES {
            until.clear();
        }
        let paid = until.entry(network(address)).or_insert(now);
        *paid = (*paid).max(now) + EACH;
    }
}

/// Who has an IPv6 address has a network of them.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_many_refusals_an_address_waits_and_others_do_not() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let [one, other]: [IpAddr; 2] = ["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
        for _ in 0..BURST {
            assert!(attempts.may_ask(one, now));
            attempts.refused(one, now);
        }
        assert!(!attempts.may_ask(one, now) && attempts.may_ask(other, now));
        assert!(attempts.may_ask(one, now + EACH + Duration::from_millis(1)));
        for number in 0..10_000_u32 {
            attempts.refused(std::net::Ipv4Addr::from(number).into(), now);
        }
        assert!(attempts.0.lock().unwrap().len() <= MAX_ADDRESSES);
    }
}
