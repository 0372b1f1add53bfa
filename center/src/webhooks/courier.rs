//! Sends one message. It blocks: it is called in a thread of its own.

use std::sync::Arc;
use std::time::Duration;

use keros_protocol::UnixSeconds;
use keros_protocol::limits::shorten;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::DefaultConnector;

use super::Secret;
use super::address::{Guarded, Reach};

/// From the look-up of the name to the head of the answer. The specification asks for 15 to 30 seconds.
const LIMIT: Duration = Duration::from_secs(15);

/// Of what went wrong this much is kept.
const MAX_ERROR_BYTES: usize = 300;

/// A message on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parcel {
    /// Names the message: the same each time that it is tried.
    pub(crate) id: String,
    /// Where to.
    pub(crate) url: String,
    /// Signs it.
    pub(crate) secret: Secret,
    /// JSON.
    pub(crate) body: String,
}

/// Sends messages.
#[derive(Debug, Clone)]
pub(crate) struct Courier {
    agent: ureq::Agent,
}

impl Courier {
    /// One that goes as far as is allowed.
    pub(crate) fn new(reach: Reach) -> Self {
        let native = rustls_native_certs::load_native_certs().certs;
        let roots = native.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(LIMIT))
            .http_status_as_error(false)
            // Another place than the one that was looked at.
            .max_redirects(0)
            .proxy(None)
            .max_idle_connections(0)
            .https_only(reach == Reach::Public)
            .user_agent(concat!("keros-center/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build();
        let resolver = Guarded { reach, inner: DefaultResolver::default() };
        Self { agent: ureq::Agent::with_parts(config, DefaultConnector::default(), resolver) }
    }

    /// Sends a message; whether it was taken: HTTP 2xx. What the receiver writes is not read.
    ///
    /// # Errors
    /// The HTTP status, if there was an answer, and what went wrong in words.
    pub(crate) fn send(&self, parcel: &Parcel, now: UnixSeconds) -> Result<u16, (Option<u16>, String)> {
        let answer = self
            .agent
            .post(&parcel.url)
            .header("content-type", "application/json")
            .header("webhook-id", &parcel.id)
            .header("webhook-timestamp", now.to_string())
            .header("webhook-signature", parcel.secret.sign(&parcel.id, now, &parcel.body))
            .send(&parcel.body);
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(answer.status().as_u16()),
            Ok(answer) if answer.status().is_redirection() => {
                let status = answer.status().as_u16();
                Err((
                    Some(status),
                    format!("it answered {status}: redirections are not followed, write the right address"),
                ))
            }
            Ok(answer) => Err((Some(answer.status().as_u16()), format!("it answered {}", answer.status()))),
            Err(error) => Err((None, shorten(&error.to_string(), MAX_ERROR_BYTES))),
        }
    }
}
