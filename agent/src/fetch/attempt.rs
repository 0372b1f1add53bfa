//! One attempt to bring a bundle: the manifest, the config, may this gateway run it, is there room; only then its files.

use std::io::Read as _;
use std::sync::Arc;

use keros_protocol::RefusalReason;
use keros_protocol::limits::{MAX_LINK_CONFIG_BYTES, MAX_MANIFEST_BYTES};
use keros_protocol::magic_link::{
    Descriptor, Digest, LinkConfig, LinkGateway, MANIFEST_MEDIA_TYPE, MagicLink, Manifest, Source,
};
use keros_protocol::{CommandId, UnixSeconds};
use ureq::Body;
use ureq::http::{Response, header};

use super::Means;
use super::client::{Access, Client};
use super::part::Part;
use super::progress::Progress;
use super::rate::RateLimit;
use super::stop::Stop;
use super::store::BUFFER_BYTES;
use super::traffic::Traffic;
use super::trouble::Trouble;
use crate::config::TlsSettings;
use crate::tls;

/// Room that stays free beside both copies of a bundle: for journals, backups of what the job replaces, and reports.
pub(super) const MARGIN_BYTES: u64 = 16 * 1024 * 1024;

const ANY: &str = "*/*";

/// What is to be brought.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// For this command.
    pub(crate) command_id: CommandId,
    /// The bundle.
    pub(crate) digest: Digest,
    /// From here; `None`: a technician brings it.
    pub(crate) source: Option<Source>,
    /// What opens the source.
    pub(crate) token: Option<String>,
    /// The best guess of the time.
    pub(crate) now_unix_s: UnixSeconds,
    /// The bundles of all open jobs: they stay.
    pub(crate) open: Vec<Digest>,
    /// What is on the disk is not believed any more.
    pub(crate) rehash: bool,
}

/// One attempt.
pub(super) struct Attempt<'a> {
    pub(super) order: &'a Order,
    pub(super) means: &'a Means,
    pub(super) stop: &'a Stop,
    pub(super) progress: &'a mut Progress,
    pub(super) limit: RateLimit,
    /// Of the command.
    pub(super) traffic: Arc<Traffic>,
    pub(super) client: Option<Client>,
    /// Counts attempts.
    pub(super) number: u64,
}

/// What a server has given.
enum Given {
    /// As many bytes as there should be.
    All,
    /// This cannot be the blob.
    Wrong(String),
}

impl Attempt<'_> {
    /// Brings what is missing.
    pub(super) fn run(&mut self) -> Result<(), Trouble> {
        self.means.store.prepare()?;
        let manifest = self.manifest()?;
        self.bring(manifest.config)?;
        let link = self.judged(manifest)?;
        self.make_room(&link.manifest)?;
        link.manifest.blobs().into_iter().try_for_each(|blob| self.bring(blob))
    }

    /// The manifest, from the disk or from the source. It is on the disk when this returns, so that what it names is kept.
    fn manifest(&mut self) -> Result<Manifest, Trouble> {
        let digest = self.order.digest;
        if let Some(bytes) = self.means.store.read_small(digest, MAX_MANIFEST_BYTES) {
            return Ok(Manifest::parse(&bytes)?);
        }
        let url = self.source()?.manifest_url(digest);
        let response = self.client()?.get(&url, MANIFEST_MEDIA_TYPE, 0)?;
        let response = available(&url, response)?;
        let mut bytes = Vec::new();
        let body = response.into_body().into_reader().take(MAX_MANIFEST_BYTES as u64 + 1);
        self.limit.taken(read_all(body, &mut bytes).map_err(|error| broken_off(&url, &error))?, self.stop);
        if bytes.len() <= MAX_MANIFEST_BYTES && Digest::of(&bytes) != digest {
            let found = Digest::of(&bytes);
            let detail = format!("the source gives a manifest with the digest {found} for {digest}");
            return Err(Trouble::refused(RefusalReason::DigestMismatch, detail));
        }
        let manifest = Manifest::parse(&bytes)?;
        let blob = Descriptor { digest, size: bytes.len() as u64 };
        let mut part = self.means.store.part(blob, self.stop)?;
        part.clear()?;
        part.add(&bytes)?;
        part.finish()?;
        Ok(manifest)
    }

    fn judged(&self, manifest: Manifest) -> Result<MagicLink, Trouble> {
        let config = self.means.store.read_small(manifest.config.digest, MAX_LINK_CONFIG_BYTES);
        let config = config.ok_or_else(|| Trouble::Passing("the config cannot be read again".to_owned()))?;
        let link = MagicLink::new(manifest, LinkConfig::parse(&config)?)?;
        let identity = &self.means.identity;
        link.check(&LinkGateway {
            eui: identity.eui,
            keros: identity.keros_version.as_ref(),
            model: identity.codename.as_deref(),
            now_unix_s: self.order.now_unix_s,
        })?;
        Ok(link)
    }

    /// Nothing is fetched that there is no room for: our copy, the executor's, and a margin.
    fn make_room(&mut self, manifest: &Manifest) -> Result<(), Trouble> {
        let store = &self.means.store;
        let (blobs, total) = (manifest.blobs(), manifest.total_bytes());
        let max_mib = self.means.settings.max_mib;
        if total > max_mib * 1024 * 1024 {
            let detail = format!("the bundle has {total} bytes, magic_links.max_mib allows {max_mib} MiB");
            return Err(Trouble::refused(RefusalReason::TooLarge, detail));
        }
        let have: u64 = blobs.iter().map(|blob| store.have(*blob)).sum();
        let all: u64 = blobs.iter().map(|blob| blob.size).sum();
        self.progress.begin(have, all);
        self.traffic.is_for(all);
        let taken: u64 = blobs.iter().map(|blob| store.taken(*blob)).sum();
        let needed = all - taken + total + MARGIN_BYTES;
        if self.free_bytes()? < needed {
            store.collect(&self.order.open, 0);
            let free = self.free_bytes()?;
            if free < needed {
                let detail = format!("the bundle needs {needed} bytes on the disk, {free} are free");
                return Err(Trouble::refused(RefusalReason::NoSpace, detail));
            }
        }
        // A disk that is full all the same is found out before the first byte is paid for.
        for blob in blobs.into_iter().filter(|blob| store.have(*blob) < blob.size) {
            store.part(blob, self.stop)?.reserve()?;
        }
        Ok(())
    }

    fn free_bytes(&self) -> Result<u64, Trouble> {
        let free = self.means.store.free_bytes();
        free.map_err(|error| Trouble::Passing(format!("the free room on the disk is not known: {error}")))
    }

    /// One blob. What was left by an earlier attempt may turn out to be wrong: then it is fetched once anew.
    fn bring(&mut self, blob: Descriptor) -> Result<(), Trouble> {
        if self.means.store.is_good(blob, self.stop)? {
            return Ok(());
        }
        self.source()?;
        let means = self.means;
        let mut part = means.store.part(blob, self.stop)?;
        let mut is_fresh = part.length() == 0;
        loop {
            let given = if part.length() < blob.size { self.fill(&mut part) } else { Ok(Given::All) };
            let wrong = match given {
                Ok(Given::All) if part.finish()? => return Ok(()),
                Ok(Given::All) => format!("what the source gives for {} has another digest", blob.digest),
                Ok(Given::Wrong(why)) => why,
                Err(trouble) => {
                    part.pause();
                    return Err(trouble);
                }
            };
            self.progress.lost(part.length());
            if is_fresh {
                part.discard();
                return Err(Trouble::refused(RefusalReason::DigestMismatch, wrong));
            }
            tracing::warn!("a part of a bundle is fetched anew: {wrong}");
            part.clear()?;
            is_fresh = true;
        }
    }

    /// Asks for what is missing of a part, and adds it.
    fn fill(&mut self, part: &mut Part<'_>) -> Result<Given, Trouble> {
        let url = self.source()?.blob_url(part.blob().digest);
        let from = part.length();
        let mut response = self.client()?.get(&url, ANY, from)?;
        if response.status() == 206 && !is_range(&response, from, part.blob().size) {
            // Not what was asked for: then all of it.
            response = self.client()?.get(&url, ANY, 0)?;
        }
        match response.status().as_u16() {
            206 if from > 0 => self.take(response, 0, part, &url),
            416 if from > 0 => Ok(Given::Wrong(format!("{url} has no more than {from} bytes"))),
            _ => self.take(available(&url, response)?, from, part, &url),
        }
    }

    /// Adds an answer's bytes to a part, but for the first ones, which are there already: a server that does not know ranges
    /// gives them again, and should it break off among them, nothing is lost.
    fn take(
        &mut self,
        response: Response<Body>,
        mut passed_over: u64,
        part: &mut Part<'_>,
        url: &str,
    ) -> Result<Given, Trouble> {
        let size = part.blob().size;
        let expected = size - part.length() + passed_over;
        let wrong = |what: &str| Ok(Given::Wrong(format!("{url} has {what} than {size} bytes")));
        match response.body().content_length() {
            Some(length) if length > expected => return wrong("more"),
            Some(length) if length < expected => return wrong("less"),
            _ => {}
        }
        let is_chunked = response.headers().contains_key(header::TRANSFER_ENCODING);
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; self.limit.at_once(BUFFER_BYTES)];
        loop {
            if self.stop.is_set() {
                return Err(Trouble::Passing("stopped".to_owned()));
            }
            let length = match body.read(&mut buffer) {
                Ok(0) if part.length() == size => return Ok(Given::All),
                // The server has said that this is the end.
                Ok(0) if is_chunked => return wrong("less"),
                Ok(0) => return Err(broken_off(url, &"the connection was closed")),
                Ok(length) => length,
                Err(error) => return Err(broken_off(url, &error)),
            };
            self.limit.taken(length, self.stop);
            let old = passed_over.min(length as u64);
            passed_over -= old;
            let new = &buffer[usize::try_from(old).unwrap_or(length)..length];
            if part.length() + new.len() as u64 > size {
                return wrong("more");
            }
            part.add(new)?;
            self.progress.came(new.len() as u64);
        }
    }

    fn source(&self) -> Result<&Source, Trouble> {
        let missing = "it has no source, and not all of it has been brought to this gateway";
        self.order.source.as_ref().ok_or_else(|| Trouble::refused(RefusalReason::NotFound, missing))
    }

    fn client(&mut self) -> Result<&mut Client, Trouble> {
        let client = match self.client.take() {
            Some(client) => client,
            None => self.new_client()?,
        };
        Ok(self.client.insert(client))
    }

    fn new_client(&self) -> Result<Client, Trouble> {
        let (settings, time, number) = (&self.means.settings, self.means.time.clone(), self.number);
        let roots = settings.ca_file.clone().map(|ca_file| TlsSettings { ca_file, client: None });
        let tls = move || {
            let config = match &roots {
                Some(roots) => tls::client_config(roots, &time, number),
                None => tls::client_config_of_system(&time, number),
            };
            config.map(Arc::new).map_err(|error| crate::mqtt::chain(&error))
        };
        let access = Access {
            source: self.source()?,
            token: self.order.token.as_deref(),
            settings,
            tls: Box::new(tls),
            silence: self.means.silence,
            traffic: Arc::clone(&self.traffic),
        };
        Client::new(access, self.stop)
    }
}

/// An answer that has what was asked for.
fn available(url: &str, response: Response<Body>) -> Result<Response<Body>, Trouble> {
    match response.status().as_u16() {
        200 => Ok(response),
        404 | 410 => {
            Err(Trouble::stubborn(RefusalReason::NotFound, format!("the source does not have {url}")))
        }
        status @ (401 | 403) => {
            let detail = format!("the source does not give {url} to this gateway: it answers {status}");
            Err(Trouble::stubborn(RefusalReason::FetchFailed, detail))
        }
        other => Err(Trouble::Passing(format!("{url}: the source answers {other}"))),
    }
}

/// Whether an answer says that it has the bytes from here to the end.
fn is_range(response: &Response<Body>, from: u64, size: u64) -> bool {
    let range = response.headers().get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
    range.is_some_and(|range| {
        [size.to_string().as_str(), "*"]
            .iter()
            .any(|total| range == format!("bytes {from}-{}/{total}", size - 1))
    })
}

fn broken_off(url: &str, error: &dyn std::fmt::Display) -> Trouble {
    Trouble::Passing(format!("{url}: broken off, what came is kept: {error}"))
}

fn read_all(mut body: impl std::io::Read, bytes: &mut Vec<u8>) -> std::io::Result<usize> {
    body.read_to_end(bytes)
}
