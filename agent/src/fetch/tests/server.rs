//! A server over a real socket that answers as a test wants, and counts what it is asked and what it gives.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
}

impl Asked {
    /// The first byte that is asked for.
    pub(crate) fn from(&self) -> u64 {
        let range =
            self.headers.get("range").map(|range| range.trim_start_matches("bytes=").trim_end_matches('-'));
        range.map_or(0, |from| from.parse().unwrap())
    }
}

/// Counts, shared with the connections.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) asked: Mutex<Vec<Asked>>,
    /// Bytes of bodies given.
    pub(crate) given: AtomicU64,
}

pub(crate) trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// Ends with the test.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) counts: Arc<Counts>,
}

impl Server {
    pub(crate) fn start(
        answer: impl Fn(&Asked, &mut dyn Stream, &Counts) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::wrapped(answer, |stream| Some(Box::new(stream)))
    }

    /// With something around each connection.
    pub(crate) fn wrapped(
        answer: impl Fn(&Asked, &mut dyn Stream, &Counts) -> std::io::Result<()> + Send + Sync + 'static,
        wrap: impl Fn(TcpStream) -> Option<Box<dyn Stream>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::new(Counts::default());
        let (shared, answer, wrap) = (Arc::clone(&counts), Arc::new(answer), Arc::new(wrap));
        std::thread::spawn(move || {
            for stream in listener.incoming().filter_map(Result::ok) {
                let (counts, answer, wrap) = (Arc::clone(&shared), Arc::clone(&answer), Arc::clone(&wrap));
                std::thread::spawn(move || {
                    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
                    let Some(stream) = wrap(stream) else { return };
                    let mut stream = BufReader::new(stream);
                    while let Some(asked) = read_request(&mut stream) {
                        counts.asked.lock().unwrap().push(asked.clone());
                        if answer(&asked, stream.get_mut(), &counts).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, counts }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.counts.asked.lock().unwrap().clone()
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.path).collect()
    }

    pub(crate) fn given(&self) -> u64 {
        self.counts.given.load(Ordering::SeqCst)
    }
}

fn read_request(stream: &mut BufReader<Box<dyn Stream>>) -> Option<Asked> {
    let mut line = || {
        let mut text = String::new();
        (stream.read_line(&mut text).ok()? > 0).then(|| text.trim_end().to_owned())
    };
    let path = line()?.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let text = line()?;
        let Some((name, value)) = text.split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    // A body that nobody has read makes the end of the connection a reset, and the answer may be lost by it.
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    std::io::copy(&mut stream.take(length), &mut std::io::sink()).ok()?;
    Some(Asked { path, headers })
}

/// A whole answer.
pub(crate) fn say(stream: &mut dyn Stream, status: &str, headers: &str, body: &[u8]) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len())?;
    stream.write_all(body)?;
    stream.flush()
}

/// Part of a body.
pub(crate) fn give(stream: &mut dyn Stream, counts: &Counts, body: &[u8]) -> std::io::Result<()> {
    stream.write_all(body)?;
    stream.flush()?;
    counts.given.fetch_add(body.len() as u64, Ordering::SeqCst);
    Ok(())
}

/// To end a connection.
pub(crate) fn cut<T>() -> std::io::Result<T> {
    Err(std::io::Error::other("cut"))
}
