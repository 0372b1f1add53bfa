//! Ends a connection that gives next to nothing: a server that sends one byte a minute, in its headers or in a record of
//! TLS, would hold an attempt for ever. And one that gives more than the command may cost.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};
use ureq::{Error, Timeout};

use super::traffic::Traffic;

/// A server has so long to send something, and to send [`LEAST_BYTES`]; what is not spent waiting for it does not count.
pub(super) const SILENCE: Duration = Duration::from_secs(60);
/// The slowest link that we know gives 1 KiB a second.
const LEAST_BYTES: usize = 6 * 1024;

/// Watches all connections.
#[derive(Debug, Default)]
pub(super) struct PaceConnector {
    pub(super) silence: Duration,
    pub(super) traffic: Arc<Traffic>,
}

/// A watched connection.
#[derive(Debug)]
pub(super) struct Paced<T> {
    inner: T,
    silence: Duration,
    traffic: Arc<Traffic>,
    waited: Duration,
    bytes: usize,
}

impl<In: Transport> Connector<In> for PaceConnector {
    type Out = Paced<In>;

    fn connect(&self, _: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Paced<In>>, Error> {
        let (silence, waited) = (self.silence, Duration::ZERO);
        let traffic = || Arc::clone(&self.traffic);
        Ok(chained.map(|inner| Paced { inner, silence, traffic: traffic(), waited, bytes: 0 }))
    }
}

impl<T> Paced<T> {
    fn begin(&mut self) {
        (self.waited, self.bytes) = (Duration::ZERO, 0);
    }
}

impl<T: Transport> Transport for Paced<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.begin();
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let since = Instant::now();
        let before = self.inner.buffers().input().len();
        let more = self.inner.await_input(timeout)?;
        self.waited += since.elapsed();
        let came = self.inner.buffers().input().len().saturating_sub(before);
        if !self.traffic.came(came) {
            return Err(io::Error::other("more came than the command may cost").into());
        }
        self.bytes += came;
        if self.waited >= self.silence {
            if self.bytes < LEAST_BYTES {
                return Err(Error::Timeout(Timeout::PerRead));
            }
            self.begin();
        }
        Ok(more)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}
