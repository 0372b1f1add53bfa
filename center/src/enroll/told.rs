//! What gateways are told of this center, and whether that is known at all.

use keros_protocol::enroll::{HostPort, Pin};
use ring::digest::{SHA256, digest};

/// Where gateways enrol, and whom they trust there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    /// The entrance.
    pub(crate) entrance: HostPort,
    /// Of its authority.
    pub(crate) pin: Pin,
    /// The broker.
    pub(crate) broker: HostPort,
    /// PEM: whom gateways trust at entrance, registry and broker.
    pub(crate) authorities: Vec<String>,
}

/// What gateways are told.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// `Err`: nobody can enrol, and what to do, in words.
    pub(crate) way: Result<Way, String>,
    /// First levels of all topics.
    pub(crate) topic_prefix: String,
}

/// SHA-256 of a certificate.
pub(crate) fn pin(der: &[u8]) -> Pin {
    let mut pin = [0; 32];
    pin.copy_from_slice(digest(&SHA256, der).as_ref());
    pin
}
