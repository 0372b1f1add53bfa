//! A stand-in for a registry, which answers HTTP as a test tells it to, and notes what it was asked for.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The path, as it came.
    pub path: String,
    /// The header `Authorization`.
    pub authorization: Option<String>,
    /// The first byte of the header `Range`, 0 without one.
    pub from: u64,
}

/// What it answers.
#[derive(Debug, Clone)]
pub enum Answer {
    /// These bytes, or the part of them that was asked for.
    Bytes(Vec<u8>),
    /// The length of the first number, but only as many of the bytes as the second one says; then the connection breaks.
    CutOff(Vec<u8>, usize),
    /// The same, but then nothing more comes, and nobody says so.
    Stuck(Vec<u8>, usize),
    /// Bytes without an end and without a length.
    Endless,
    /// One byte now and then.
    Slow(Vec<u8>),
    /// It is elsewhere.
    Redirect(String),
    /// This status, and nothing else.
    Status(u16),
}

type Reply = Box<dyn Fn(&Asked) -> Answer + Send + Sync>;

/// It answers until it is dropped.
pub struct StandIn {
    /// Its port.
    pub port: u16,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    reply: Reply,
    asked: Mutex<Vec<Asked>>,
    closing: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

impl StandIn {
    /// Answers at a port of 127.0.0.1 as `reply` says.
    ///
    /// # Errors
    /// When there is no port.
    pub fn start(reply: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Result<Self> {
        Self::on(TcpListener::bind("127.0.0.1:0")?, reply)
    }

    /// The same at a listener that is there already.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn on(
        listener: TcpListener,
        reply: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Result<Self> {
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            reply: Box::new(reply),
            asked: Mutex::default(),
            closing: AtomicBool::new(false),
            streams: Mutex::default(),
        });
        let of_acceptor = Arc::clone(&shared);
        let acceptor = std::thread::spawn(move || of_acceptor.accept(&listener));
        Ok(Self { port, shared, acceptor: Some(acceptor) })
    }

    /// All that it was asked for, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A repository as gateways are told of it.
    #[must_use]
    pub fn source(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/v2/{name}", self.port)
    }
}

impl Drop for StandIn {
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
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        while !self.closing.load(Ordering::Relaxed) {
            let Ok((stream, _)) = listener.accept() else {
                std::thread::sleep(Duration::from_millis(10));
                continue;
            };
            if let Ok(copy) = stream.try_clone() {
                self.streams.lock().unwrap_or_else(PoisonError::into_inner).push(copy);
            }
            let shared = Arc::clone(self);
            std::thread::spawn(move || {
                // Who is asked hangs up when he likes.
                let _ = shared.serve(&stream);
                let _ = stream.shutdown(Shutdown::Both);
            });
        }
    }

    /// Answers one request after the other.
    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        let mut reader = BufReader::new(stream);
        while let Some(asked) = read(&mut reader)? {
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked.clone());
            let answer = (self.reply)(&asked);
            self.answer(stream, &asked, answer)?;
        }
        Ok(())
    }

    fn answer(&self, mut stream: &TcpStream, asked: &Asked, answer: Answer) -> io::Result<()> {
        match answer {
            Answer::Bytes(bytes) => write_part(stream, asked, &bytes, bytes.len()),
            Answer::CutOff(bytes, sent) => {
                write_part(stream, asked, &bytes, sent)?;
                Err(io::ErrorKind::ConnectionReset.into())
            }
            Answer::Stuck(bytes, sent) => {
                write_part(stream, asked, &bytes, sent)?;
                while !self.closing.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Ok(())
            }
            Answer::Endless => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
                while !self.closing.load(Ordering::Relaxed) {
                    stream.write_all(&[b' '; 65536])?;
                }
                Ok(())
            }
            Answer::Slow(bytes) => {
                stream.write_all(head(0, bytes.len()).as_bytes())?;
                for byte in bytes {
                    if self.closing.load(Ordering::Relaxed) {
                        break;
                    }
                    stream.write_all(&[byte])?;
                    std::thread::sleep(Duration::from_millis(100));
                }
                Ok(())
            }
            Answer::Redirect(location) => write!(
                stream,
                "HTTP/1.1 307 Temporary Redirect\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
            ),
            Answer::Status(status) => write!(stream, "HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n"),
        }
    }
}

/// What was asked for of these bytes, at most so many of them.
fn write_part(mut stream: &TcpStream, asked: &Asked, bytes: &[u8], most: usize) -> io::Result<()> {
    let from = usize::try_from(asked.from).unwrap_or(usize::MAX).min(bytes.len());
    stream.write_all(head(asked.from, bytes.len()).as_bytes())?;
    stream.write_all(&bytes[from..(from + most).min(bytes.len())])
}

fn head(from: u64, length: usize) -> String {
    let left = (length as u64).saturating_sub(from);
    match from {
        0 => format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"),
        _ => format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Length: {left}\r\nContent-Range: bytes {from}-{}/{length}\r\n\r\n",
            length.saturating_sub(1)
        ),
    }
}

/// One request; none when the connection was closed.
fn read(reader: &mut impl io::BufRead) -> io::Result<Option<Asked>> {
    let mut asked: Option<Asked> = None;
    for line in reader.by_ref().lines() {
        let line = line?;
        let Some(asked) = &mut asked else {
            let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            asked = Some(Asked { path, authorization: None, from: 0 });
            continue;
        };
        let Some((name, value)) = line.split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => asked.authorization = Some(value.trim().to_owned()),
            "range" => {
                let from = value.trim().trim_start_matches("bytes=").trim_end_matches('-');
                asked.from = from.parse().unwrap_or(0);
            }
            _ => {}
        }
    }
    Ok(asked)
}
