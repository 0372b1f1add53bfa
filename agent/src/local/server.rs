//! The socket itself: made, guarded, and every connection bounded in size and time. One request a connection.

use std::convert::Infallible;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::CONTENT_LENGTH;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, watch};

use super::answer::{Sources, Timeouts, answer, problem};
use super::request::LocalRequest;
use super::view::StatusView;

/// A technician has one or two at a time.
const MAX_CONNECTIONS: usize = 8;

const TIMEOUTS: Timeouts =
    Timeouts { connection: Duration::from_secs(10), main_loop: Duration::from_secs(5) };

/// Request line and headers; the least that hyper accepts as a limit.
const MAX_HEADER_BYTES: usize = 8192;

/// No request needs a body; a small one is not read, a larger one refused.
const MAX_BODY_BYTES: u64 = 4096;

/// After accepting failed, e.g. for lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The group that may read, when the system has it.
const GROUP: &str = "keros";

/// Makes the socket and serves until it is dropped. `config_json` is what `/v1/config` shows.
///
/// # Errors
/// When the socket can't be made, or another agent serves it already (`AddrInUse`).
pub(crate) async fn serve(
    runtime_folder: &Path,
    status: watch::Receiver<Arc<StatusView>>,
    requests: mpsc::Sender<LocalRequest>,
    config_json: Arc<str>,
) -> io::Result<()> {
    let sources = Sources { status, requests, config_json, timeouts: TIMEOUTS };
    serve_sources(&super::socket_path(runtime_folder), sources).await
}

/// Serves on the socket `path`.
pub(super) async fn serve_sources(path: &Path, sources: Sources) -> io::Result<()> {
    let listener = bind(path)?;
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // Further clients wait in the listener's queue. The semaphore is never closed.
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return Ok(()) };
        match listener.accept().await {
            Ok((stream, _)) => {
                let sources = sources.clone();
                tokio::spawn(async move {
                    serve_connection(stream, sources).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection on the status socket");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Replaces a socket that nobody serves any more, and refuses to replace one that somebody does.
pub(super) fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => {
            let text = format!("another agent serves {} already", path.display());
            return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
        }
        // A plain file refuses connections too, and is not ours to remove.
        Err(error)
            if error.kind() == io::ErrorKind::ConnectionRefused
                && std::fs::symlink_metadata(path)?.file_type().is_socket() =>
        {
            std::fs::remove_file(path)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    // The group first: until the mode is set, the umask lets nobody else write, which is what connecting needs.
    if let Ok(Some(group)) = nix::unistd::Group::from_name(GROUP)
        && let Err(error) = std::os::unix::fs::chown(path, None, Some(group.gid.as_raw()))
    {
        tracing::info!(%error, group = GROUP, "the status socket stays with the agent's own group");
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

async fn serve_connection(stream: UnixStream, sources: Sources) {
    let peer = stream.peer_cred().ok();
    let timeout = sources.timeouts.connection;
    let service = service_fn(|request: Request<Incoming>| {
        let sources = sources.clone();
        async move {
            let (method, path) = (request.method(), request.uri().path());
            let (uid, pid) = (peer.map(|peer| peer.uid()), peer.and_then(|peer| peer.pid()));
            if method == Method::GET {
                tracing::debug!(uid, pid, %method, path, "local request");
            } else {
                tracing::info!(uid, pid, %method, path, "local request");
            }
            if body_bytes(&request) > MAX_BODY_BYTES {
                return Ok(problem(StatusCode::PAYLOAD_TOO_LARGE, "no request here has a body"));
            }
            Ok::<_, Infallible>(answer(&sources, method, path).await)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(timeout, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "local connection ended early"),
        Err(_) => {
            tracing::info!(uid = peer.map(|peer| peer.uid()), "dropped a local client that was too slow")
        }
    }
}

fn body_bytes(request: &Request<Incoming>) -> u64 {
    let length = request.headers().get(CONTENT_LENGTH);
    length.and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0)
}
