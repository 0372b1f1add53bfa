//! Who is locked out although a certificate or password is good, and whose connection is to be ended.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use keros_protocol::Eui;
use tokio::sync::broadcast;

/// Shared by the broker and those who lock gateways out.
#[derive(Debug, Default)]
pub(crate) struct Gate(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Serial numbers of certificates.
    revoked: HashSet<String>,
    /// By which a gateway's connection is ended: the last one's, for each new one ends the one before.
    connections: HashMap<Eui, broadcast::Sender<()>>,
}

impl Gate {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These certificates, and no others, are revoked.
    pub(crate) fn revoke(&self, serials: Vec<String>) {
        self.inner().revoked = serials.into_iter().collect();
    }

    /// Ends a gateway's connection; whether it had one.
    pub(crate) fn end(&self, eui: Eui) -> bool {
        self.inner().connections.remove(&eui).is_some_and(|connection| connection.send(()).is_ok())
    }

    /// Lets a connection in, unless its certificate is revoked. One step: whoever is locked out later is ended.
    pub(super) fn admit(&self, eui: Eui, serial: Option<&str>, connection: &broadcast::Sender<()>) -> bool {
        let mut inner = self.inner();
        if serial.is_some_and(|serial| inner.revoked.contains(serial)) {
            return false;
        }
        inner.connections.insert(eui, connection.clone());
        true
    }

    /// A connection has ended by itself.
    pub(super) fn left(&self, connection: &broadcast::Sender<()>, eui: Eui) {
        let mut inner = self.inner();
        if inner.connections.get(&eui).is_some_and(|last| last.same_channel(connection)) {
            inner.connections.remove(&eui);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revoked_certificate_is_kept_out_and_a_connection_is_ended_once() {
        let (gate, eui) = (Gate::default(), Eui::from_u64(1));
        let [(first, _first_end), (second, mut end)] = [broadcast::channel(1), broadcast::channel(1)];
        assert!(gate.admit(eui, Some("AB"), &first) && gate.admit(eui, None, &second));
        gate.left(&first, eui);
        gate.revoke(vec!["AB".to_owned()]);
        assert!(!gate.admit(eui, Some("AB"), &first));
        assert!(gate.end(eui) && end.try_recv().is_ok());
        assert!(!gate.end(eui));
    }
}
