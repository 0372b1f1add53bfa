//! Ports for the servers of a test, which nobody takes between the choice and the server's start.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::Mutex;

/// Below those that the kernel gives to connections (ip(7): from 32,768 on), of which a browser alone makes hundreds.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

/// The UDP ports of the same numbers are held as long as this program runs: by that other test programs see what is given away.
static GIVEN: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// A port that nobody listens on, and that is given to nobody else while this program runs.
///
/// # Errors
/// When the loopback interface has none.
pub fn free_port() -> io::Result<u16> {
    let random = RandomState::new().build_hasher().finish();
    let begin = (random % u64::from(COUNT)) as u16;
    for step in 0..COUNT {
        let port = FIRST + (begin + step) % COUNT;
        let place = (Ipv4Addr::LOCALHOST, port);
        let Ok(held) = UdpSocket::bind(place) else { continue };
        if TcpListener::bind(place).is_ok() {
            GIVEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(held);
            return Ok(port);
        }
    }
    let last = FIRST + COUNT - 1;
    Err(io::Error::new(io::ErrorKind::AddrInUse, format!("no port from {FIRST} to {last} is free")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_not_given_again_though_nobody_listens_on_it() {
        let given: std::collections::BTreeSet<u16> = (0..500).map(|_| free_port().unwrap()).collect();
        assert_eq!(given.len(), 500);
        assert!(given.iter().all(|port| UdpSocket::bind((Ipv4Addr::LOCALHOST, *port)).is_err()));
    }
}
