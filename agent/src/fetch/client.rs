//! Asks a registry. Redirects, log-ins and the rules about who may be told what are here; what an answer means for a bundle
//! is not.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use keros_protocol::RefusalReason;
use keros_protocol::magic_link::{Challenge, Source, basic_authorization, bearer_authorization};
use ureq::http::{HeaderMap, Response, header};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector as _, TcpConnector};
use ureq::{Agent, Body, Proxy};

use super::address::{Address, Origin, Rules};
use super::pace::PaceConnector;
use super::secure::{SecureConnector, SetUp};
use super::stop::Stop;
use super::store::BUFFER_BYTES;
use super::traffic::Traffic;
use super::trouble::Trouble;
use crate::config::{MagicLinkSettings, RegistryLogin};

/// Times that a server may send on elsewhere.
const MAX_REDIRECTS: usize = 5;
/// For a name to be resolved, and for a connection to be made.
const CONNECT_TIME: Duration = Duration::from_secs(30);
/// Headers of one answer; registries send some 1 KiB.
const MAX_HEADERS_BYTES: usize = 16 * 1024;
/// The answer of a token service: tokens have some 2 KiB.
const MAX_TOKEN_ANSWER_BYTES: u64 = 64 * 1024;
const MAX_PASSWORD_BYTES: u64 = 4096;

/// One attempt's way to its source.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    source: Origin,
    rules: Rules,
    login: Option<RegistryLogin>,
    /// For people: over which proxy.
    way: String,
    /// What is said to the source, and to nobody else.
    authorization: Option<String>,
    /// The command has brought a token: no other log-in is tried.
    has_token: bool,
    has_asked: bool,
}

/// What is needed to ask.
pub(super) struct Access<'a> {
    pub(super) source: &'a Source,
    pub(super) token: Option<&'a str>,
    pub(super) settings: &'a MagicLinkSettings,
    pub(super) tls: SetUp,
    pub(super) silence: Duration,
    pub(super) traffic: Arc<Traffic>,
}

impl Client {
    pub(super) fn new(access: Access<'_>, stop: &Stop) -> Result<Self, Trouble> {
        let settings = access.settings;
        let address =
            Address::parse(&access.source.to_string()).ok_or_else(|| not_to_be_asked(access.source))?;
        let pace = PaceConnector { silence: access.silence, traffic: access.traffic };
        let agent = agent(settings, access.tls, pace)?;
        stop.watch(agent.clone());
        let source = address.origin();
        let rules = Rules {
            source: source.clone(),
            hosts: settings.redirect_hosts.clone(),
            allow_http: settings.allow_http,
        };
        if rules.check(&address, &address).is_err() {
            let detail = format!(
                "{address} is not encrypted: the center serves with TLS by --registry-tls, or set magic_links.allow_http \
                 on this gateway"
            );
            return Err(Trouble::refused(RefusalReason::FetchFailed, detail));
        }
        // It is for that one alone: a source of another host would just have to ask for it.
        let login = settings.registry_login.clone().filter(|login| source.is_named(&login.host));
        Ok(Self {
            agent,
            source,
            rules,
            login,
            way: settings.proxy.as_ref().map(|proxy| format!(" by way of {proxy}")).unwrap_or_default(),
            authorization: access.token.map(|token| format!("Bearer {token}")),
            has_token: access.token.is_some(),
            has_asked: false,
        })
    }

    /// Asks for something, from a byte on, and goes where the source sends us on to.
    pub(super) fn get(&mut self, url: &str, accept: &str, from: u64) -> Result<Response<Body>, Trouble> {
        let start = Address::parse(url)
            .ok_or_else(|| Trouble::refused(RefusalReason::FetchFailed, format!("{url:?} is no URL")))?;
        let mut has_logged_in = self.has_token;
        'anew: loop {
            let mut address = start.clone();
            for _ in 0..=MAX_REDIRECTS {
                let response = self.ask(&address, accept, from)?;
                let status = response.status().as_u16();
                if status == 401 && !has_logged_in && address.origin() == self.source {
                    has_logged_in = true;
                    self.log_in(&address, response.headers())?;
                    continue 'anew;
                }
                if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                    return plain(&address, response);
                }
                address = self.next(&address, response.headers())?;
            }
            let detail = format!("{start} sends on more than {MAX_REDIRECTS} times");
            return Err(Trouble::stubborn(RefusalReason::FetchFailed, detail));
        }
    }

    fn next(&self, from: &Address, headers: &HeaderMap) -> Result<Address, Trouble> {
        let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
        let to = location.and_then(|location| from.join(location));
        let to = to.ok_or_else(|| format!("{from} sends on to something that is no URL"));
        let checked = to.and_then(|to| self.rules.check(from, &to).map(|()| to));
        checked.map_err(|why| Trouble::stubborn(RefusalReason::FetchFailed, why))
    }

    /// One request. A connection that was kept open may be closed by the server just when it is used again: then it is asked
    /// once more.
    fn ask(&mut self, address: &Address, accept: &str, from: u64) -> Result<Response<Body>, Trouble> {
        let authorization = self.authorization.as_deref().filter(|_| address.origin() == self.source);
        let ask = || {
            let mut request = self.agent.get(address.uri()).header(header::ACCEPT, accept);
            request = request.header(header::ACCEPT_ENCODING, "identity");
            if from > 0 {
                request = request.header(header::RANGE, format!("bytes={from}-"));
            }
            if let Some(value) = authorization {
                request = request.header(header::AUTHORIZATION, value);
            }
            request.call()
        };
        let answer = match ask() {
            Err(ureq::Error::Io(_)) if self.has_asked => ask(),
            answer => answer,
        };
        self.has_asked = true;
        answer.map_err(|error| Trouble::Passing(format!("{address}{}: {}", self.way, words(&error))))
    }

    /// Gets what the source asks for with its `401`.
    fn log_in(&mut self, address: &Address, headers: &HeaderMap) -> Result<(), Trouble> {
        let login = self.read_login()?;
        let asked = headers.get_all(header::WWW_AUTHENTICATE).iter();
        let asked: Vec<&str> = asked.filter_map(|value| value.to_str().ok()).collect();
        match Challenge::of(&asked) {
            Some(Challenge::Token(url)) => self.fetch_token(address, &url, login.as_deref()),
            Some(Challenge::Basic) if login.is_some() => {
                self.authorization = login;
                Ok(())
            }
            _ => {
                let advice = "set magic_links.registry_host, registry_username and registry_password_file";
                Err(denied(format!("{address} asks for a log-in: {advice}")))
            }
        }
    }

    /// Read at each attempt, so that a new password needs no restart.
    fn read_login(&self) -> Result<Option<String>, Trouble> {
        let Some(RegistryLogin { username, password_file: file, .. }) = &self.login else { return Ok(None) };
        let text = keros_platform::read_small(file, MAX_PASSWORD_BYTES)
            .ok_or_else(|| Trouble::Passing(format!("cannot read the password file {}", file.display())))?;
        Ok(Some(basic_authorization(username, text.lines().next().unwrap_or_default())))
    }

    /// The source names its token service, which gets the log-in: so it must be one that the source may send on to.
    fn fetch_token(&mut self, source: &Address, url: &str, login: Option<&str>) -> Result<(), Trouble> {
        let service =
            Address::parse(url).ok_or_else(|| denied(format!("{source} names no token service")))?;
        self.rules.check(source, &service).map_err(denied)?;
        let mut request = self.agent.get(service.uri()).header(header::ACCEPT_ENCODING, "identity");
        if let Some(login) = login {
            request = request.header(header::AUTHORIZATION, login);
        }
        let passing = |error: String| Trouble::Passing(format!("{service}: {error}"));
        let response = request.call().map_err(|error| passing(words(&error)))?;
        match response.status().as_u16() {
            200 => {}
            401 | 403 => return Err(denied(format!("{service} refuses the log-in"))),
            other => return Err(passing(format!("the token service answers {other}"))),
        }
        let mut answer = Vec::new();
        let body = response.into_body().into_reader();
        body.take(MAX_TOKEN_ANSWER_BYTES)
            .read_to_end(&mut answer)
            .map_err(|error| passing(error.to_string()))?;
        let token = bearer_authorization(&answer).ok_or_else(|| passing("it gives no token".to_owned()))?;
        self.authorization = Some(token);
        Ok(())
    }
}

/// We ask for bytes as they are. What comes packed all the same would have to be unpacked before it can be counted.
fn plain(address: &Address, response: Response<Body>) -> Result<Response<Body>, Trouble> {
    match response.headers().get(header::CONTENT_ENCODING) {
        Some(coding) if response.status().is_success() && coding != "identity" => {
            let detail =
                format!("{address} sends its answer packed ({coding:?}), which it was asked not to do");
            Err(Trouble::stubborn(RefusalReason::FetchFailed, detail))
        }
        _ => Ok(response),
    }
}

fn denied(detail: String) -> Trouble {
    Trouble::stubborn(RefusalReason::FetchFailed, detail)
}

fn not_to_be_asked(source: &Source) -> Trouble {
    Trouble::refused(RefusalReason::FetchFailed, format!("{source} cannot be asked"))
}

fn agent(settings: &MagicLinkSettings, tls: SetUp, pace: PaceConnector) -> Result<Agent, Trouble> {
    let silence = pace.silence;
    let proxy = settings.proxy.as_deref().map(Proxy::new).transpose();
    let proxy = proxy.map_err(|error| Trouble::Passing(format!("magic_links.proxy: {error}")))?;
    let config = Agent::config_builder()
        .proxy(proxy)
        .max_idle_connections(1)
        .max_idle_connections_per_host(1)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .max_response_header_size(MAX_HEADERS_BYTES)
        .input_buffer_size(BUFFER_BYTES)
        .output_buffer_size(MAX_HEADERS_BYTES)
        .timeout_resolve(Some(CONNECT_TIME))
        .timeout_connect(Some(CONNECT_TIME))
        .timeout_send_request(Some(silence))
        .timeout_recv_response(Some(silence))
        .timeout_per_read(Some(silence))
        .timeout_per_write(Some(silence))
        .user_agent(concat!("keros-agent/", env!("CARGO_PKG_VERSION")));
    let connector =
        ().chain(ConnectProxyConnector::default())
            .chain(TcpConnector::default())
            .chain(pace)
            .chain(SecureConnector::new(tls));
    Ok(Agent::with_parts(config.build(), connector, DefaultResolver::default()))
}

/// An error of a request, for people.
fn words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::HostNotFound => "the name of the host is not known".to_owned(),
        ureq::Error::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
            format!("TLS: {error}")
        }
        other => other.to_string(),
    }
}
