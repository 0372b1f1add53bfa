//! A small HTTP server on loopback that does all that servers do, by the path that is asked for.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use sha2::Digest as _;

/// What the right file holds.
pub(crate) fn content() -> Vec<u8> {
    (0..250_000_u32).map(|number| (number * 7 / 3).to_le_bytes()[0]).collect()
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    let hash: String = sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hash}")
}

/// The server; its thread ends with the test program.
pub(crate) struct Server {
    base: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with("http://127.0.0.1", None)
    }

    /// With a certificate for `localhost`, of an authority whose certificate is left in `ca.pem`.
    pub(crate) fn start_tls(keys: &Path) -> Option<Self> {
        let script = "
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 2 &&
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out csr.pem -subj /CN=localhost &&
            printf 'subjectAltName=DNS:localhost' > ext &&
            openssl x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 2 -extfile ext";
        let made =
            Command::new("sh").args(["-c", script]).current_dir(keys).stderr(Stdio::null()).status().unwrap();
        if !made.success() {
            return None;
        }
        let certificate = CertificateDer::from_pem_file(keys.join("cert.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(keys.join("key.pem")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Some(Self::start_with("https://localhost", Some(Arc::new(config))))
    }

    fn start_with(base: &str, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("{base}:{}", listener.local_addr().unwrap().port());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (log, tls) = (log.clone(), tls.clone());
                std::thread::spawn(move || {
                    let stream: TcpStream = stream.unwrap();
                    match tls {
                        None => answer(stream, &log),
                        Some(config) => {
                            answer(StreamOwned::new(ServerConnection::new(config).unwrap(), stream), &log);
                        }
                    }
                });
            }
        });
        Self { base, asked }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Paths and ranges of all requests so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Answers one request; a client that goes away is no fault.
fn answer(stream: impl Read + Write, log: &Mutex<Vec<String>>) {
    let mut stream = BufReader::new(stream);
    let (mut path, mut range) = (String::new(), None);
    let mut line = String::new();
    while stream.read_line(&mut line).is_ok_and(|length| length > 2) {
        if let Some(rest) = line.strip_prefix("GET ") {
            path = rest.split([' ', '?']).next().unwrap().to_owned();
        } else if line.to_ascii_lowercase().starts_with("range:") {
            range = Some(line[6..].trim().to_owned());
        }
        line.clear();
    }
    if path.is_empty() {
        return;
    }
    log.lock().unwrap().push(match &range {
        Some(range) => format!("{path} {range}"),
        None => path.clone(),
    });
    let from = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let _ = respond(stream.get_mut(), &path, from.unwrap_or(0));
}

fn respond(stream: &mut impl Write, path: &str, from: usize) -> std::io::Result<()> {
    let all = content();
    match path {
        "/file" => whole(stream, &all, from, usize::MAX),
        "/cut" => whole(stream, &all, from, 100_000),
        "/norange" => whole(stream, &all, 0, usize::MAX),
        "/wrong" => whole(stream, b"wrong", 0, usize::MAX),
        "/long" => whole(stream, &[b'x'; 300_001], 0, usize::MAX),
        "/elsewhere" if from > 0 => {
            write!(
                stream,
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 7-9/10\r\nContent-Length: 3\r\n\r\nabc"
            )
        }
        "/elsewhere" => whole(stream, &all, 0, usize::MAX),
        "/stop" => {
            whole(stream, &all, from, 100_000)?;
            std::thread::sleep(std::time::Duration::from_secs(30));
            Ok(())
        }
        "/endless" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            loop {
                stream.write_all(b"1000\r\n")?;
                stream.write_all(&[b'x'; 0x1000])?;
                stream.write_all(b"\r\n")?;
            }
        }
        "/loop" => redirect(stream, "loop"),
        "/to-file" => redirect(stream, "file:///etc/passwd"),
        "/to-http" => redirect(stream, "http://127.0.0.1:1/f"),
        "/redirect/0" => redirect(stream, "/file"),
        "/broken" => stream.write_all(b"HTTP/1.1 500 Oh No\r\nContent-Length: 0\r\n\r\n"),
        "/nonsense" => stream.write_all(b"\0\xff nonsense\r\n\r\n"),
        _ => match path.strip_prefix("/redirect/").and_then(|left| left.parse::<u32>().ok()) {
            Some(1) => redirect(stream, "/file"),
            Some(left) => redirect(stream, &(left - 1).to_string()),
            None => stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        },
    }
}

fn redirect(stream: &mut impl Write, location: &str) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

/// A file from one byte on, of which only so many are sent though all are promised.
fn whole(stream: &mut impl Write, content: &[u8], from: usize, most: usize) -> std::io::Result<()> {
    let length = content.len();
    if from >= length && from > 0 {
        return write!(stream, "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n");
    }
    let rest = &content[from..];
    let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n", rest.len())?;
    if from > 0 {
        write!(stream, "Content-Range: bytes {from}-{}/{length}\r\n", length - 1)?;
    }
    stream.write_all(b"\r\n")?;
    stream.write_all(&rest[..rest.len().min(most)])?;
    stream.flush()
}
