//! One repository of a registry.

use std::cell::RefCell;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keros_protocol::limits::{MAX_MANIFEST_BYTES, shorten};
use keros_protocol::magic_link::{Challenge, Descriptor, Digest, MANIFEST_MEDIA_TYPE, bearer_authorization};
use serde::Deserialize;
use ureq::http::{Method, Request, Response};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, SendBody};

use super::login::Login;
use super::{Reference, Version};
use crate::bundle::{BundleError, Remote};

/// Connecting, and waiting for an answer: a registry may copy a large blob before it gives one.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);
const ANSWER_LIMIT: Duration = Duration::from_secs(300);

/// Why a registry could not be asked, or did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    /// Nobody answers, or not over TLS, or not by HTTP.
    #[error("cannot talk to the registry at {url}{}", tls_advice(.url, .source))]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
    /// HTTP 401 or 403.
    #[error("the registry {registry} does not allow it{}", match .user {
        Some(user) => format!(" to {user}: is the password right, and may this user do that there?"),
        None => " without a log-in: name one with --username and --password-file".to_owned(),
    })]
    Denied {
        /// Which.
        registry: String,
        /// Who asked.
        user: Option<String>,
    },
    /// HTTP 404.
    #[error("the registry {registry} does not have {what}")]
    Missing {
        /// Which.
        registry: String,
        /// What was asked for.
        what: String,
    },
    /// Another answer than the specification has.
    #[error("the registry {registry} answered {what}")]
    Odd {
        /// Which.
        registry: String,
        /// What.
        what: String,
    },
    /// Certificates.
    #[error("cannot use the certificates of {}", .0.display())]
    Certificates(PathBuf, #[source] io::Error),
    /// What was to be sent.
    #[error("what was to be pushed is damaged")]
    Content(#[source] io::Error),
}

/// What may be behind a failure of TLS.
fn tls_advice(url: &str, error: &ureq::Error) -> &'static str {
    let is_unreadable = |error: &io::Error| error.kind() == io::ErrorKind::InvalidData;
    match error {
        ureq::Error::Io(error) if is_unreadable(error) && url.starts_with("https:") => {
            " by TLS (--ca names the authority of its certificate; --plain-http is for one without TLS)"
        }
        _ => "",
    }
}

/// How a registry is believed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trust {
    /// The authority of its certificate; the system's ones when nothing is said.
    pub(crate) ca_file: Option<PathBuf>,
    /// No TLS at all.
    pub(crate) plain_http: bool,
}

/// A repository, and how far the log-in has come.
#[derive(Debug)]
pub(crate) struct Repository {
    registry: String,
    name: String,
    origin: String,
    trust: Trust,
    login: Option<Login>,
    /// What the last log-in gave.
    authorization: RefCell<Option<String>>,
    agent: Agent,
}

impl Repository {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// When the certificates cannot be read.
    pub(crate) fn new(
        reference: &Reference,
        trust: Trust,
        login: Option<Login>,
    ) -> Result<Self, RegistryError> {
        let mut config = Agent::config_builder()
            .timeout_connect(Some(CONNECT_LIMIT))
            .timeout_recv_response(Some(ANSWER_LIMIT))
            .http_status_as_error(false)
            .https_only(!trust.plain_http);
        if !trust.plain_http {
            config = config.tls_config(tls(trust.ca_file.as_deref())?);
        }
        let scheme = if trust.plain_http { "http" } else { "https" };
        Ok(Self {
            registry: reference.registry.clone(),
            name: reference.name.clone(),
            origin: format!("{scheme}://{}", reference.registry),
            trust,
            login,
            authorization: RefCell::new(None),
            agent: config.build().into(),
        })
    }

    /// The manifest of a version.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub(crate) fn manifest_of(&self, version: &Version) -> Result<Vec<u8>, RegistryError> {
        let content = self.get(&format!("manifests/{version}"), &format!("{}:{version}", self.name))?;
        let mut bytes = Vec::new();
        let limit = MAX_MANIFEST_BYTES as u64 + 1;
        content.take(limit).read_to_end(&mut bytes).map_err(|error| self.odd(error.to_string()))?;
        Ok(bytes)
    }

    /// Whether a blob is there.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub(crate) fn has(&self, digest: Digest) -> Result<bool, RegistryError> {
        let answer = self.ask(&Method::HEAD, &self.url(&format!("blobs/{digest}")), None)?;
        match answer.status().as_u16() {
            200 => Ok(true),
            404 => Ok(false),
            _ => Err(self.refused(answer, &digest.to_string())),
        }
    }

    /// Pushes a blob in one piece (end-4a, end-6).
    ///
    /// # Errors
    /// [`RegistryError`].
    pub(crate) fn put_blob(&self, blob: Descriptor, content: &mut dyn Read) -> Result<(), RegistryError> {
        let answer = self.ask(&Method::POST, &self.url("blobs/uploads/"), Some(&[]))?;
        if answer.status() != 202 {
            return Err(self.refused(answer, "the repository"));
        }
        let location = answer.headers().get("location").and_then(|value| value.to_str().ok());
        let url = self.upload_url(location.unwrap_or_default(), blob.digest)?;
        let mut request = self.agent.put(&url).header("Content-Length", blob.size);
        // The place may be another machine, which the log-in is none of the business of.
        if let Some(value) = self.authorization.borrow().as_ref().filter(|_| self.is_own(&url)) {
            request = request.header("Authorization", value);
        }
        let answer =
            match request.content_type("application/octet-stream").send(SendBody::from_reader(content)) {
                Err(ureq::Error::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(RegistryError::Content(error));
                }
                answer => answer.map_err(|error| self.unreachable(error))?,
            };
        if answer.status() == 201 { Ok(()) } else { Err(self.refused(answer, "the upload")) }
    }

    /// Pushes a manifest whose blobs are there.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub(crate) fn put_manifest(&self, version: &Version, manifest: &[u8]) -> Result<(), RegistryError> {
        let url = self.url(&format!("manifests/{version}"));
        let answer = self.ask(&Method::PUT, &url, Some(manifest))?;
        if answer.status() == 201 { Ok(()) } else { Err(self.refused(answer, "the repository")) }
    }

    fn get(&self, path: &str, what: &str) -> Result<Box<dyn Read>, RegistryError> {
        let answer = self.ask(&Method::GET, &self.url(path), None)?;
        match answer.status().as_u16() {
            200 => Ok(Box::new(answer.into_body().into_reader())),
            _ => Err(self.refused(answer, what)),
        }
    }

    /// Asks, and once more after a log-in when that is what the registry wants.
    fn ask(&self, method: &Method, url: &str, body: Option<&[u8]>) -> Result<Response<Body>, RegistryError> {
        let answer = self.ask_once(method, url, body)?;
        if answer.status() != 401 {
            return Ok(answer);
        }
        let wanted = answer.headers().get_all("www-authenticate").iter();
        let wanted: Vec<&str> = wanted.filter_map(|value| value.to_str().ok()).collect();
        let challenge = Challenge::of(&wanted).ok_or_else(|| {
            self.odd(format!("with a log-in that is not known here: {:?}", shorten(&wanted.join(", "), 128)))
        })?;
        let authorization = self.log_in(challenge)?;
        self.authorization.replace(Some(authorization));
        self.ask_once(method, url, body)
    }

    fn ask_once(
        &self,
        method: &Method,
        url: &str,
        body: Option<&[u8]>,
    ) -> Result<Response<Body>, RegistryError> {
        let mut request = Request::builder().method(method).uri(url).header("Accept", MANIFEST_MEDIA_TYPE);
        if let Some(value) = self.authorization.borrow().as_ref() {
            request = request.header("Authorization", value);
        }
        if body.is_some_and(|body| !body.is_empty()) {
            request = request.header("Content-Type", MANIFEST_MEDIA_TYPE);
        }
        let odd = |error: ureq::http::Error| self.odd(format!("what makes no request: {error}"));
        let answer = match body {
            None => self.agent.run(request.body(()).map_err(odd)?),
            Some(body) => self.agent.run(request.body(body).map_err(odd)?),
        };
        answer.map_err(|error| self.unreachable(error))
    }

    fn log_in(&self, challenge: Challenge) -> Result<String, RegistryError> {
        let url = match challenge {
            Challenge::Basic => return Ok(self.login.as_ref().ok_or_else(|| self.denied())?.basic()),
            Challenge::Token(url) => url,
        };
        let mut request = self.agent.get(&url);
        if let Some(login) = &self.login {
            request = request.header("Authorization", login.basic());
        }
        let mut answer = request.call().map_err(|error| self.unreachable(error))?;
        if matches!(answer.status().as_u16(), 400..=403) {
            return Err(self.denied());
        }
        let token = answer.body_mut().read_to_vec().ok().and_then(|answer| bearer_authorization(&answer));
        token.ok_or_else(|| self.odd(format!("to a log-in with no token ({url})")))
    }

    fn url(&self, path: &str) -> String {
        format!("{}/v2/{}/{path}", self.origin, self.name)
    }

    fn is_own(&self, url: &str) -> bool {
        url.strip_prefix(&self.origin).is_some_and(|path| path.starts_with('/'))
    }

    fn upload_url(&self, location: &str, digest: Digest) -> Result<String, RegistryError> {
        let url = match location {
            path if path.starts_with('/') && !path.starts_with("//") => format!("{}{path}", self.origin),
            url if url.starts_with("https://") => url.to_owned(),
            url if url.starts_with("http://") && self.trust.plain_http => url.to_owned(),
            other => return Err(self.odd(format!("with no place for an upload: {:?}", shorten(other, 128)))),
        };
        let separator = if url.contains('?') { '&' } else { '?' };
        Ok(format!("{url}{separator}digest={digest}"))
    }

    fn unreachable(&self, source: ureq::Error) -> RegistryError {
        RegistryError::Unreachable { url: self.origin.clone(), source: Box::new(source) }
    }

    fn denied(&self) -> RegistryError {
        let user = self.login.as_ref().map(|login| login.user.clone());
        RegistryError::Denied { registry: self.registry.clone(), user }
    }

    fn odd(&self, what: String) -> RegistryError {
        RegistryError::Odd { registry: self.registry.clone(), what }
    }

    /// What an answer comes to that is not the one that was hoped for.
    fn refused(&self, mut answer: Response<Body>, what: &str) -> RegistryError {
        #[derive(Deserialize)]
        struct Errors {
            errors: Vec<Detail>,
        }
        #[derive(Deserialize)]
        struct Detail {
            code: String,
            #[serde(default)]
            message: String,
        }
        match answer.status().as_u16() {
            401 | 403 => self.denied(),
            404 => RegistryError::Missing { registry: self.registry.clone(), what: what.to_owned() },
            status => {
                let errors = answer.body_mut().read_json::<Errors>().ok();
                let first = errors.and_then(|list| list.errors.into_iter().next());
                let detail = first.map_or_else(String::new, |first| {
                    shorten(&format!(" ({}: {})", first.code, first.message), 512)
                });
                self.odd(format!("HTTP status {status}{detail}"))
            }
        }
    }
}

impl Remote for Repository {
    fn name(&self) -> String {
        format!("{}/{}", self.registry, self.name)
    }

    fn manifest(&self, digest: Digest) -> Result<Box<dyn Read>, BundleError> {
        self.open("manifests", digest)
    }

    fn blob(&self, digest: Digest) -> Result<Box<dyn Read>, BundleError> {
        self.open("blobs", digest)
    }
}

impl Repository {
    fn open(&self, kind: &str, digest: Digest) -> Result<Box<dyn Read>, BundleError> {
        let content = self.get(&format!("{kind}/{digest}"), &format!("{}@{digest}", self.name));
        let what = || format!("{digest} from {}", self.name());
        content.map_err(|error| BundleError::Remote { what: what(), source: Box::new(error) })
    }
}

fn tls(ca_file: Option<&Path>) -> Result<TlsConfig, RegistryError> {
    let roots = match ca_file {
        Some(path) => {
            certificates(path).map_err(|error| RegistryError::Certificates(path.to_owned(), error))?
        }
        None => {
            let native = rustls_native_certs::load_native_certs().certs;
            native.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
        }
    };
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build())
}

fn certificates(path: &Path) -> io::Result<Vec<Certificate<'static>>> {
    let pem = std::fs::read(path)?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(io::Error::other)? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(io::Error::other("there is none in it"));
    }
    Ok(certificates)
}
