//! Between an agent and its broker: it delays, counts, and keeps back packets of MQTT by their kind.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;

/// Kinds of packets of MQTT, as the first four bits of each say.
mod kind {
    pub(super) const PUBLISH: u8 = 3;
    pub(super) const PUBACK: u8 = 4;
}

/// What the broker seems to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Manner {
    /// As it is.
    #[default]
    Honest,
    /// It takes messages and never acknowledges one.
    NeverAcknowledges,
    /// It lets clients in and answers their pings; messages go nowhere.
    AnswersPingsOnly,
}

/// Passes connections on until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    manner: Mutex<Manner>,
    delay_ms: AtomicU64,
    bytes: AtomicU64,
    closing: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToBroker,
    ToAgent,
}

impl Proxy {
    /// Passes what comes to the listener on to a port of the loopback interface.
    ///
    /// # Errors
    /// When the listener cannot be used.
    pub fn start(listener: TcpListener, broker: u16) -> Result<Self> {
        listener.set_nonblocking(true)?;
        let shared = Arc::new(Shared::default());
        let of_acceptor = Arc::clone(&shared);
        let acceptor = std::thread::spawn(move || of_acceptor.accept(&listener, broker));
        Ok(Self { shared, acceptor: Some(acceptor) })
    }

    /// How the broker seems from now on.
    pub fn set_manner(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap_or_else(PoisonError::into_inner) = manner;
    }

    /// How much later everything arrives, in each direction.
    pub fn set_delay(&self, delay: Duration) {
        let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.shared.delay_ms.store(delay_ms, Ordering::Relaxed);
    }

    /// Bytes of MQTT that came, in both directions, whether they were passed on or not.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        for stream in self.shared.streams.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener, broker: u16) {
        while !self.closing.load(Ordering::Relaxed) {
            match listener.accept() {
                Ok((agent, _)) => {
                    let _ = self.join(agent, broker);
                }
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    fn join(self: &Arc<Self>, agent: TcpStream, broker: u16) -> io::Result<()> {
        let broker = TcpStream::connect(("127.0.0.1", broker))?;
        agent.set_nonblocking(false)?;
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.extend([agent.try_clone()?, broker.try_clone()?]);
        self.pump(agent.try_clone()?, broker.try_clone()?, Direction::ToBroker);
        self.pump(broker, agent, Direction::ToAgent);
        Ok(())
    }

    /// One thread reads, one writes when it is time; either end ends both connections.
    fn pump(self: &Arc<Self>, mut from: TcpStream, mut to: TcpStream, direction: Direction) {
        let (send, due) = mpsc::channel::<(Instant, Vec<u8>)>();
        let shared = Arc::clone(self);
        std::thread::spawn(move || {
            while let Ok(packet) = read_packet(&mut from) {
                shared.bytes.fetch_add(packet.len() as u64, Ordering::Relaxed);
                if !shared.passes(packet[0] >> 4, direction) {
                    continue;
                }
                let delay = Duration::from_millis(shared.delay_ms.load(Ordering::Relaxed));
                if send.send((Instant::now() + delay, packet)).is_err() {
                    break;
                }
            }
            let _ = from.shutdown(Shutdown::Both);
        });
        std::thread::spawn(move || {
            for (moment, packet) in due {
                std::thread::sleep(moment.saturating_duration_since(Instant::now()));
                if to.write_all(&packet).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Both);
        });
    }

    fn passes(&self, packet: u8, direction: Direction) -> bool {
        match *self.manner.lock().unwrap_or_else(PoisonError::into_inner) {
            Manner::Honest => true,
            Manner::NeverAcknowledges => direction == Direction::ToBroker || packet != kind::PUBACK,
            Manner::AnswersPingsOnly => packet != kind::PUBLISH && packet != kind::PUBACK,
        }
    }
}

/// One packet: its kind, the length of the rest in up to four bytes of seven bits each, the rest.
fn read_packet(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut packet = vec![0];
    from.read_exact(&mut packet)?;
    let mut length = 0_usize;
    for position in 0..4 {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        packet.push(byte[0]);
        length |= usize::from(byte[0] & 0x7f) << (7 * position);
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let header = packet.len();
    packet.resize(header + length, 0);
    from.read_exact(&mut packet[header..])?;
    Ok(packet)
}
