//! Fetches a file over HTTP, going on where an earlier attempt ended.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::libc;
use sha2::{Digest as _, Sha256};
use ureq::http::{Response, StatusCode, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use super::digest::Digest;
use super::place::Place;
use crate::modules::Time;
use crate::system::{System, SystemError};

/// Times that servers may send on elsewhere.
const MAX_REDIRECTS: usize = 5;
/// For one connection to be made.
const CONNECT_TIME: Duration = Duration::from_secs(30);
/// For a server to say more.
const SILENCE_TIME: Duration = Duration::from_secs(60);
const BUFFER_BYTES: usize = 64 * 1024;
/// The certificates that this machine trusts: Debian and OpenWrt, Red Hat, Alpine.
const ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
const MAX_ROOTS_BYTES: u64 = 4 * 1024 * 1024;

/// Why a file could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// A further attempt may go on from here.
    #[error("{0}")]
    Passing(String),
    /// What was collected is of no use.
    #[error("{0}")]
    Final(String),
}

impl Trouble {
    pub(super) const fn is_final(&self) -> bool {
        matches!(self, Self::Final(_))
    }
}

/// What is to be fetched, and how far it may go.
pub(super) struct Fetch<'a> {
    pub(super) place: &'a Place,
    pub(super) dest: &'a Path,
    pub(super) digest: Digest,
    pub(super) limit_bytes: u64,
    pub(super) time: Time,
    pub(super) roots: Vec<Certificate<'static>>,
}

/// What is collected so far.
struct Part {
    file: File,
    length: u64,
    hash: Sha256,
}

impl Part {
    fn open(mut file: File) -> io::Result<Self> {
        let (mut hash, mut length, mut buffer) = (Sha256::new(), 0, vec![0; BUFFER_BYTES]);
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(Self { file, length, hash }),
                read => {
                    hash.update(&buffer[..read]);
                    length += read as u64;
                }
            }
        }
    }

    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn empty(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        (self.hash, self.length) = (Sha256::new(), 0);
        Ok(())
    }
}

impl Fetch<'_> {
    /// Collects all bytes in a part.
    ///
    /// # Errors
    /// When they did not come, or are not the right ones.
    pub(super) fn collect(&self, file: File) -> Result<(), Trouble> {
        let mut part = Part::open(file).map_err(|error| self.on_disk(&error))?;
        if part.length > self.limit_bytes {
            part.empty().map_err(|error| self.on_disk(&error))?;
        }
        let agent = self.agent();
        loop {
            let goes_on = part.length > 0 && self.ask(&agent, &mut part)?;
            if part.length == 0 {
                self.ask(&agent, &mut part)?;
            }
            let digest = Digest::of(&part.hash);
            if digest == self.digest {
                return Ok(());
            }
            if !goes_on {
                let place = self.place;
                return Err(Trouble::Final(format!(
                    "{place} has the digest {digest}, not {}: it was not kept",
                    self.digest
                )));
            }
            // The old part and the new rest do not fit together.
            part.empty().map_err(|error| self.on_disk(&error))?;
        }
    }

    /// Asks for what is missing and adds it to the part. True when it went on with what was there; a part that is of no use
    /// is empty afterwards.
    fn ask(&self, agent: &Agent, part: &mut Part) -> Result<bool, Trouble> {
        let response = self.response(agent, part.length)?;
        let goes_on = part.length > 0 && response.status() == StatusCode::PARTIAL_CONTENT;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if goes_on && begins_at(&response) == Some(part.length) => {}
            StatusCode::OK => part.empty().map_err(|error| self.on_disk(&error))?,
            // There is no more than that, or it has become shorter: the digest tells.
            StatusCode::RANGE_NOT_SATISFIABLE if part.length > 0 => return Ok(true),
            StatusCode::PARTIAL_CONTENT => {
                part.empty().map_err(|error| self.on_disk(&error))?;
                return Ok(false);
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                return Err(Trouble::Final(format!("{}: the server has no such file", self.place)));
            }
            other => return Err(Trouble::Passing(format!("{}: the server answers {other}", self.place))),
        }
        self.add(response, part)?;
        Ok(goes_on)
    }

    fn add(&self, response: Response<Body>, part: &mut Part) -> Result<(), Trouble> {
        if response
            .body()
            .content_length()
            .is_some_and(|more| part.length.saturating_add(more) > self.limit_bytes)
        {
            return Err(self.too_long());
        }
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            if self.time.is_over() {
                return Err(Trouble::Passing(format!("{}: its time is over", self.place)));
            }
            let length = match body.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let (place, have) = (self.place, part.length);
                    let why = format!("{place}: broken off after {have} bytes, which are kept: {error}");
                    return Err(Trouble::Passing(why));
                }
            };
            if part.length + length as u64 > self.limit_bytes {
                return Err(self.too_long());
            }
            part.add(&buffer[..length]).map_err(|error| self.on_disk(&error))?;
        }
    }

    fn too_long(&self) -> Trouble {
        Trouble::Final(format!("{} is longer than the limit of {} bytes", self.place, self.limit_bytes))
    }

    /// A part on a full disk is in the way of everything else.
    fn on_disk(&self, error: &io::Error) -> Trouble {
        let message = SystemError::new("write", self.dest, error).to_string();
        match error.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG) => Trouble::Final(message),
            _ => Trouble::Passing(message),
        }
    }

    /// The answer to a request for all bytes from one on, after at most a few redirects.
    fn response(&self, agent: &Agent, from: u64) -> Result<Response<Body>, Trouble> {
        let mut place = self.place.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = agent.get(place.uri()).header(header::ACCEPT_ENCODING, "identity");
            if from > 0 {
                request = request.header(header::RANGE, format!("bytes={from}-"));
            }
            let response =
                request.call().map_err(|error| Trouble::Passing(format!("{place}: {}", words(&error))))?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            place = place.join(location.unwrap_or_default()).map_err(Trouble::Final)?;
        }
        Err(Trouble::Final(format!("{}: sent on more than {MAX_REDIRECTS} times", self.place)))
    }

    fn agent(&self) -> Agent {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&self.roots))
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .proxy(None)
            // A connection kept open may be closed by the server just when it is used again.
            .max_idle_connections(0)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_global(Some(self.time.left()))
            .timeout_per_read(Some(SILENCE_TIME))
            .timeout_connect(Some(CONNECT_TIME))
            .user_agent("keros-executor");
        config.build().new_agent()
    }
}

/// The first byte of a part of a file that a server sends: of `bytes 100-199/200`.
fn begins_at(response: &Response<Body>) -> Option<u64> {
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

fn words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::HostNotFound => "the name of the host is not known".to_owned(),
        ureq::Error::Rustls(error) => format!("TLS: {error}"),
        ureq::Error::Tls(error) => format!("TLS: {error}"),
        ureq::Error::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
            format!("TLS: {error}")
        }
        other => other.to_string(),
    }
}

/// The certificates that the machine itself trusts.
///
/// # Errors
/// When it has none: nothing can be trusted then.
pub(super) fn read_roots(system: &mut dyn System) -> Result<Vec<Certificate<'static>>, SystemError> {
    for path in ROOTS.map(Path::new) {
        if system.metadata(path)?.is_none() {
            continue;
        }
        let bytes = system.read(path, MAX_ROOTS_BYTES)?;
        return Ok(parse_pem(&bytes)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            })
            .collect());
    }
    Err(SystemError::text(format!("TLS: there are no certificates to trust here, such as {}", ROOTS[0])))
}
