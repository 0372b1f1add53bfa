//! Ends a connection that gives next to nothing: a server that sends one byte a minute, in its headers or in a record of
//! TLS, would hold an attempt for ever.

use std::time::{Duration, Instant};

use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};
use ureq::{Error, Timeout};

/// A server has so long to send something, and to send [`LEAST_BYTES`]; what is not spent waiting for it does not count.
pub(super) const SILENCE: Duration = Duration::from_secs(60);
/// The slowest link that we know gives 1 KiB a second.
const LEAST_BYTES: usize = 6 * 1024;

/// Watches all connections.
#[derive(Debug, Default)]
pub(super) struct PaceConnector {
    pub(super) silence: Duration,
}

/// A watched connection.
#[derive(Debug)]
pub(super) struct Paced<T> {
    inner: T,
    silence: Duration,
    waited: Duration,
    bytes: usize,
}

impl<In: Transport> Connector<In> for PaceConnector {
    type Out = Paced<In>;

    fn connect(&self, _: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Paced<In>>, Error> {
        let silence = self.silence;
        Ok(chained.map(|inner| Paced { inner, silence, waited: Duration::ZERO, bytes: 0 }))
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
        self.bytes += self.inner.buffers().input().len().saturating_sub(before);
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
