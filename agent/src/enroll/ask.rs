//! Asks the center's entrance: one POST of JSON, one bounded answer. The client is the one of Magic Links.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use keros_protocol::enroll::{ANSWER_BYTES, EnrolProblem, HostPort, Pin};
use rustls::{CertificateError, Error as TlsError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::Agent;
use ureq::http::header;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector as _, TcpConnector};

use super::error::EnrolError;
use super::pinned::Pinned;
use crate::clock::SharedTime;
use crate::config::TlsSettings;
use crate::fetch::{SecureConnector, SetUp};
use crate::tls;

/// How long an exchange may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// For a name to be resolved, for a connection to be made, for each part of an exchange.
    pub(super) patience: Duration,
    /// For all of it.
    pub(super) whole: Duration,
}

/// A slow cellular link needs some seconds.
const LIMITS: Limits = Limits { patience: Duration::from_secs(30), whole: Duration::from_secs(120) };
/// Headers of an answer; ours has some 200 bytes.
const MAX_HEADERS_BYTES: usize = 16 * 1024;

/// The entrance.
pub(super) struct Center {
    agent: Agent,
    entrance: HostPort,
}

impl Center {
    /// One that is known by the digest of its authority.
    pub(super) fn pinned(entrance: &HostPort, pin: Pin, time: &SharedTime) -> Self {
        Self::pinned_within(entrance, pin, time, LIMITS)
    }

    /// The same within other limits.
    pub(super) fn pinned_within(entrance: &HostPort, pin: Pin, time: &SharedTime, limits: Limits) -> Self {
        let time = time.clone();
        let set_up: SetUp = Box::new(move || {
            let config = tls::config_by_verifier(Arc::new(Pinned::new(pin)), &time);
            config.map(Arc::new).map_err(|error| crate::mqtt::chain(&error))
        });
        Self::new(entrance, set_up, limits)
    }

    /// One whose certificate these authorities have signed.
    pub(super) fn trusted(entrance: &HostPort, authorities: TlsSettings, time: &SharedTime) -> Self {
        let time = time.clone();
        let set_up: SetUp = Box::new(move || {
            let config = tls::client_config(&authorities, &time, 0);
            config.map(Arc::new).map_err(|error| crate::mqtt::chain(&error))
        });
        Self::new(entrance, set_up, LIMITS)
    }

    fn new(entrance: &HostPort, set_up: SetUp, limits: Limits) -> Self {
        let patience = Some(limits.patience);
        let config = Agent::config_builder()
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .max_response_header_size(MAX_HEADERS_BYTES)
            .timeout_resolve(patience)
            .timeout_connect(patience)
            .timeout_send_request(patience)
            .timeout_recv_response(patience)
            .timeout_per_read(patience)
            .timeout_global(Some(limits.whole))
            .user_agent(concat!("keros-agent/", env!("CARGO_PKG_VERSION")));
        let connector = ().chain(TcpConnector::default()).chain(SecureConnector::new(set_up));
        let agent = Agent::with_parts(config.build(), connector, DefaultResolver::default());
        Self { agent, entrance: entrance.clone() }
    }

    /// Asks, and reads the answer.
    ///
    /// # Errors
    /// Who or what is in the way.
    pub(super) fn post<A: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        ask: &A,
    ) -> Result<T, EnrolError> {
        let body = serde_json::to_vec(ask).map_err(|error| EnrolError::Answer(error.to_string()))?;
        let url = format!("https://{}{path}", self.entrance.authority());
        let request = self.agent.post(&url).header(header::CONTENT_TYPE, "application/json");
        let request = request.header(header::ACCEPT_ENCODING, "identity");
        let response = request.send(&body[..]).map_err(|error| self.explain(&error))?;
        let status = response.status();
        let mut answer = Vec::new();
        let read = response.into_body().into_reader().take(ANSWER_BYTES as u64 + 1).read_to_end(&mut answer);
        read.map_err(|error| EnrolError::Unreachable(self.entrance.clone(), error.to_string()))?;
        if answer.len() > ANSWER_BYTES {
            return Err(EnrolError::Answer(format!("it has more than {ANSWER_BYTES} bytes")));
        }
        if status.is_success() {
            return serde_json::from_slice(&answer).map_err(|error| EnrolError::Answer(error.to_string()));
        }
        match serde_json::from_slice::<EnrolProblem>(&answer) {
            Ok(problem) => Err(EnrolError::Refused(problem)),
            Err(_) => {
                Err(EnrolError::Answer(format!("it is {status}, which a keros-center does not say here")))
            }
        }
    }

    fn explain(&self, error: &ureq::Error) -> EnrolError {
        let entrance = self.entrance.clone();
        let tls = match error {
            ureq::Error::Io(error) => error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()),
            _ => None,
        };
        match tls {
            Some(TlsError::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                EnrolError::OtherAuthority(entrance)
            }
            Some(TlsError::InvalidMessage(_)) => EnrolError::NoTls(entrance),
            Some(error) => EnrolError::Tls(entrance, error.to_string()),
            None if matches!(error, ureq::Error::HostNotFound) => {
                EnrolError::Unreachable(entrance, "the name of the host is not known".to_owned())
            }
            None => EnrolError::Unreachable(entrance, error.to_string()),
        }
    }
}
