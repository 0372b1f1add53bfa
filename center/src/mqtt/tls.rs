//! TLS towards the broker: rustls on ring, PEM files.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::server::BrokerTls;
use crate::settings::read_secret;

/// Reads the files.
pub(crate) fn client_config(tls: &BrokerTls) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&tls.ca_file)? {
        roots
            .add(certificate)
            .with_context(|| format!("cannot use a certificate of {}", tls.ca_file.display()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS has no protocol version")?
        .with_root_certificates(roots);
    let config = match &tls.client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let pem = read_secret(key)?;
            let private = PrivateKeyDer::from_pem_slice(pem.as_bytes())
                .with_context(|| format!("no private key in {}", key.display()))?;
            builder
                .with_client_auth_cert(certificates(certificate)?, private)
                .with_context(|| format!("cannot use {} with {}", certificate.display(), key.display()))?
        }
    };
    Ok(Arc::new(config))
}

/// The certificates of a PEM file: one at least.
pub(crate) fn certificates(path: &std::path::Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("cannot read certificates from {}", path.display()))?;
    if certificates.is_empty() {
        bail!("no certificate in {}", path.display());
    }
    Ok(certificates)
}
