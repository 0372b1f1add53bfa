//! The store of Magic Links and the entrances of the registry, from the settings.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use keros_protocol::magic_link::Source;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::enrolment::{self, EnrolSettings};
use super::others::Shared;
use crate::bounds::PULLS;
use crate::broker::TlsFiles;
use crate::links::{Blobs, Links, REPOSITORY, TokenKey};
use crate::listen::Entrance;
use crate::mqtt::certificates;
use crate::settings::DataFolder;

/// The store of Magic Links, and how gateways fetch from it.
#[derive(Debug, Clone)]
pub(crate) struct RegistrySettings {
    /// Where the registry listens without TLS; port 0 chooses a free one.
    pub(crate) plain: Option<SocketAddr>,
    /// Where it listens with TLS.
    pub(crate) tls: Option<(SocketAddr, TlsFiles)>,
    /// What gateways are told; `None`: what follows from the above, if it does.
    pub(crate) source: Option<Source>,
    /// Where the blobs are; `None`: in the data folder.
    pub(crate) folder: Option<PathBuf>,
    /// All blobs together.
    pub(crate) limit_bytes: u64,
    /// Blobs on their way out at the same time.
    pub(crate) pulls: usize,
}

impl Default for RegistrySettings {
    /// No entrance; a store of 10 GiB.
    fn default() -> Self {
        Self { plain: None, tls: None, source: None, folder: None, limit_bytes: 10 << 30, pulls: PULLS }
    }
}

/// Opens the entrances.
pub(super) async fn open(
    settings: &RegistrySettings,
    enrol: &EnrolSettings,
) -> anyhow::Result<Vec<(SocketAddr, Entrance)>> {
    let mut entrances = Vec::new();
    if let Some(address) = settings.plain {
        entrances.push(bind(address, None).await?);
    }
    if let Some((address, files)) = &settings.tls {
        let tls = tls_acceptor(files, enrolment::authorities(enrol, files)?)?;
        entrances.push(bind(*address, Some(tls)).await?);
    }
    Ok(entrances)
}

async fn bind(address: SocketAddr, tls: Option<TlsAcceptor>) -> anyhow::Result<(SocketAddr, Entrance)> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} for the registry"))?;
    let address = listener.local_addr().context("cannot find out the registry's port")?;
    Ok((address, Entrance { name: "registry", listener, tls }))
}

/// Not the broker's own: that one speaks MQTT alone, and says so in the handshake. The authority is shown with the chain: a gateway that
/// enrols knows no more of it than its digest.
fn tls_acceptor(files: &TlsFiles, authorities: Vec<CertificateDer<'static>>) -> anyhow::Result<TlsAcceptor> {
    let TlsFiles { cert, key, .. } = files;
    let private = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("cannot read a private key from {}", key.display()))?;
    let mut chain = certificates(cert)?;
    for authority in authorities {
        if !chain.contains(&authority) {
            chain.push(authority);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS has no protocol version")?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .with_context(|| format!("cannot use {} with {}", cert.display(), key.display()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Where the blobs are.
pub(super) fn blobs_folder(settings: &RegistrySettings, folder: &DataFolder) -> PathBuf {
    settings.folder.clone().unwrap_or_else(|| folder.path().join("blobs"))
}

/// Opens the store.
pub(super) fn links(
    settings: &RegistrySettings,
    folder: &DataFolder,
    shared: Option<&Shared>,
    entrances: &[(SocketAddr, Entrance)],
) -> anyhow::Result<Links> {
    let blobs = blobs_folder(settings, folder);
    let blobs = match shared {
        None => Blobs::open(blobs, settings.limit_bytes),
        Some(shared) => Blobs::open_shared(blobs, settings.limit_bytes, &shared.center_id),
    };
    let blobs = blobs.context("cannot open the store of Magic Links")?;
    let secret =
        shared.map_or_else(|| folder.registry_secret(), |shared| Ok(shared.registry_secret.clone()))?;
    let tokens = TokenKey::new(&secret);
    let source = settings.source.clone().or_else(|| derived(entrances));
    match &source {
        Some(source) => {
            tracing::info!(%source, "gateways fetch Magic Links of this center's store from here");
            if entrances.is_empty() {
                tracing::warn!(
                    "nothing of this center answers there: name --registry or --registry-tls, too"
                );
            }
        }
        None if entrances.is_empty() => {}
        None => tracing::warn!(
            "the registry listens on every address, so it is not known which one gateways reach: say it with --registry-url"
        ),
    }
    Ok(Links { blobs, tokens, source })
}

/// The entrance as gateways are told: with TLS rather than without. One on every address says nothing.
fn derived(entrances: &[(SocketAddr, Entrance)]) -> Option<Source> {
    let (address, entrance) = entrances.last()?;
    let scheme = if entrance.tls.is_some() { "https" } else { "http" };
    let text = format!("{scheme}://{address}/v2/{REPOSITORY}");
    text.parse().ok().filter(|_| !address.ip().is_unspecified())
}
