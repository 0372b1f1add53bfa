//! The broker's entrances: accept, shake hands, hand over to the `mqtt5` crate. A client that is slow here costs nobody
//! else anything: each has a task and a time limit of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use keros_protocol::certificate::Certificate;
use mqtt5::broker::DynamicStorage;
use mqtt5::broker::auth::AuthProvider;
use mqtt5::broker::client_handler::ClientHandler;
use mqtt5::broker::config::BrokerConfig;
use mqtt5::broker::resource_monitor::ResourceMonitor;
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::sys_topics::BrokerStats;
use mqtt5::broker::tls_acceptor::{TlsAcceptorConfig, TlsStreamWrapper, accept_tls_connection};
use mqtt5::broker::transport::BrokerTransport;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc};
use tokio_rustls::TlsAcceptor;

use super::TlsFiles;
use super::login::{ClientCertificate, Entrance, Guard, Login};

/// From the TCP connection to the end of the TLS handshake: slow cellular links need some seconds.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(30);

/// After an error of `accept` (no file descriptor left, mostly): do not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all connections share.
pub(super) struct Core {
    pub(super) guard: Arc<Guard>,
    pub(super) config: Arc<BrokerConfig>,
    pub(super) router: Arc<MessageRouter>,
    pub(super) storage: Arc<DynamicStorage>,
    pub(super) stats: Arc<BrokerStats>,
    pub(super) monitor: Arc<ResourceMonitor>,
    /// One permit per connection.
    pub(super) places: Arc<Semaphore>,
    pub(super) shutdown: broadcast::Sender<()>,
    /// Cloned into each connection: when all are gone, so are the connections.
    pub(super) open: mpsc::Sender<()>,
}

/// One entrance.
pub(super) struct Door {
    pub(super) socket: TcpListener,
    pub(super) entrance: Entrance,
    pub(super) tls: Option<TlsAcceptor>,
}

impl Door {
    /// Where it is, with the port that was given.
    pub(super) fn address(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Lets clients in until the broker stops.
    pub(super) async fn serve(self, core: Arc<Core>) {
        let mut shutdown = core.shutdown.subscribe();
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                _ = shutdown.recv() => return,
            };
            match accepted {
                Ok((stream, address)) => self.admit(&core, stream, address),
                Err(error) => {
                    tracing::warn!("the broker cannot accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, core: &Arc<Core>, stream: TcpStream, address: SocketAddr) {
        let Ok(place) = Arc::clone(&core.places).try_acquire_owned() else {
            tracing::warn!(%address, "connection refused: the broker is full");
            return;
        };
        let core = Arc::clone(core);
        let entrance = self.entrance.clone();
        let tls = self.tls.clone();
        tokio::spawn(async move {
            if let Err(error) = connection(core, stream, address, entrance, tls, place).await {
                tracing::debug!(%address, "connection ended: {error:#}");
            }
        });
    }
}

async fn connection(
    core: Arc<Core>,
    stream: TcpStream,
    address: SocketAddr,
    entrance: Entrance,
    tls: Option<TlsAcceptor>,
    place: OwnedSemaphorePermit,
) -> anyhow::Result<()> {
    // Subscribed before anything is awaited, so that no stop is missed.
    let mut shutdown = core.shutdown.subscribe();
    let open = core.open.clone();
    stream.set_nodelay(true)?;
    let (transport, entrance) = match tls {
        None => (BrokerTransport::tcp(stream), entrance),
        Some(acceptor) => tokio::select! {
            shaken = tls_handshake(&acceptor, stream, address) => shaken?,
            _ = shutdown.recv() => return Ok(()),
        },
    };
    // Of this connection alone: the broker's end, and a gateway that is locked out, are told by it.
    let (end, ended) = broadcast::channel(1);
    let login = Arc::new(Login::new(Arc::clone(&core.guard), entrance, end.clone()));
    let handler = ClientHandler::new(
        transport,
        address,
        Arc::clone(&core.config),
        Arc::clone(&core.router),
        Arc::clone(&login) as Arc<dyn AuthProvider>,
        Some(Arc::clone(&core.storage)),
        Arc::clone(&core.stats),
        Arc::clone(&core.monitor),
        ended,
    );
    drop(core);
    let mut run = std::pin::pin!(handler.run());
    let ended = tokio::select! {
        ended = &mut run => ended,
        _ = shutdown.recv() => {
            let _ = end.send(());
            run.await
        }
    };
    login.left();
    drop((open, place));
    Ok(ended?)
}

async fn tls_handshake(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    address: SocketAddr,
) -> anyhow::Result<(BrokerTransport, Entrance)> {
    let handshake = accept_tls_connection(acceptor, stream, address);
    let stream = tokio::time::timeout(HANDSHAKE_LIMIT, handshake)
        .await
        .context("the TLS handshake took too long")??;
    let certificate = client_certificate(&stream)?;
    Ok((BrokerTransport::tls(stream), Entrance::Gateways { certificate }))
}

fn client_certificate(stream: &TlsStreamWrapper) -> anyhow::Result<Option<ClientCertificate>> {
    let Some(chain) = stream.client_cert_chain() else { return Ok(None) };
    let der = chain.first().context("the client's certificate chain is empty")?;
    let certificate = Certificate::parse(der).context("the client's certificate cannot be read")?;
    let name = certificate.common_name.context("the client's certificate has no single common name")?;
    Ok(Some(ClientCertificate { name, serial: certificate.serial }))
}

/// Reads certificate, key and authorities. A client certificate may be left out: then a password is asked for.
///
/// # Errors
/// When a file cannot be read or used.
pub(super) async fn tls_acceptor(files: &TlsFiles) -> anyhow::Result<TlsAcceptor> {
    // The only provider that is compiled in; another module may have installed it before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let chain = TlsAcceptorConfig::load_cert_chain_from_file(&files.cert)
        .await
        .with_context(|| format!("cannot read the broker's certificate {}", files.cert.display()))?;
    let key = TlsAcceptorConfig::load_private_key_from_file(&files.key)
        .await
        .with_context(|| format!("cannot read the broker's private key {}", files.key.display()))?;
    let mut config = TlsAcceptorConfig::new(chain, key);
    let mut authorities = Vec::new();
    for path in &files.client_cas {
        let more = TlsAcceptorConfig::load_cert_chain_from_file(path).await;
        authorities.extend(more.with_context(|| {
            format!("cannot read the authorities of client certificates {}", path.display())
        })?);
    }
    if !authorities.is_empty() {
        config = config.with_client_ca_certs(authorities);
    }
    config.build_acceptor().context("the broker's TLS files do not fit together")
}
