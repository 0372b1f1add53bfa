//! TLS towards the broker and the sources of Magic Links: the authorities of one file and no others, and the judged time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

use crate::clock::SharedTime;
use crate::config::TlsSettings;

/// The certificates that a machine trusts by itself: Debian and OpenWrt, Red Hat, Alpine.
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A PEM file cannot be read.
    #[error("cannot read the PEM file {}", .0.display())]
    Pem(PathBuf, #[source] pem::Error),
    /// No certificate in it.
    #[error("the file {} has no certificate", .0.display())]
    NoCertificate(PathBuf),
    /// A certificate, or the key that should fit it, cannot be used.
    #[error("the certificate or key of {} cannot be used", .0.display())]
    Unusable(PathBuf, #[source] rustls::Error),
    /// The library refuses the set-up.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

/// The clock by which certificates are judged.
#[derive(Debug)]
struct JudgedClock {
    time: SharedTime,
    attempt: u64,
}

impl TimeProvider for JudgedClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.time.for_certificates(self.attempt))))
    }
}

/// The client's set-up: TLS 1.2 and 1.3.
///
/// # Errors
/// [`TlsError`] names the file.
pub(crate) fn client_config(
    settings: &TlsSettings,
    time: &SharedTime,
    attempt: u64,
) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&settings.ca_file)? {
        roots.add(certificate).map_err(|error| TlsError::Unusable(settings.ca_file.clone(), error))?;
    }
    with_roots(roots, settings.client.as_ref(), time, attempt)
}

/// The same with the authorities that this machine trusts by itself. One of them that cannot be used is left out.
///
/// # Errors
/// When the machine has none.
pub(crate) fn client_config_of_system(time: &SharedTime, attempt: u64) -> Result<ClientConfig, TlsError> {
    let path = SYSTEM_ROOTS.iter().map(Path::new).find(|path| path.exists());
    let path = path.unwrap_or(Path::new(SYSTEM_ROOTS[0]));
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(path)?);
    with_roots(roots, None, time, attempt)
}

/// The same with a judgement of the server of one's own, which is given the judged time.
///
/// # Errors
/// When the library refuses.
pub(crate) fn config_by_verifier(
    verifier: Arc<dyn ServerCertVerifier>,
    time: &SharedTime,
) -> Result<ClientConfig, TlsError> {
    let builder = builder(time, 0)?.dangerous().with_custom_certificate_verifier(verifier);
    Ok(small(builder.with_no_client_auth()))
}

fn with_roots(
    roots: RootCertStore,
    client: Option<&(PathBuf, PathBuf)>,
    time: &SharedTime,
    attempt: u64,
) -> Result<ClientConfig, TlsError> {
    let builder = builder(time, attempt)?.with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::Pem(key.clone(), error))?;
            builder
                .with_client_auth_cert(certificates(chain)?, key)
                .map_err(|error| TlsError::Unusable(chain.to_owned(), error))?
        }
    };
    Ok(small(config))
}

fn builder(time: &SharedTime, attempt: u64) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clock = Arc::new(JudgedClock { time: time.clone(), attempt });
    ClientConfig::builder_with_details(provider, clock)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)
}

/// One server: a cache for hundreds of servers' sessions would only take memory.
fn small(mut config: ClientConfig) -> ClientConfig {
    config.resumption = rustls::client::Resumption::in_memory_sessions(2);
    config
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let error = |error| TlsError::Pem(path.to_owned(), error);
    let found = CertificateDer::pem_file_iter(path).map_err(error)?;
    let found = found.collect::<Result<Vec<_>, _>>().map_err(error)?;
    if found.is_empty() { Err(TlsError::NoCertificate(path.to_owned())) } else { Ok(found) }
}
