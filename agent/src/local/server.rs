//! The sockets themselves: made, guarded, and every connection bounded in size and time. One request a connection.

use std::convert::Infallible;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::unix::UCred;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::answer::{self, Answer, Sources, Timeouts, problem};
use super::control::{self, Control, content_length};
use crate::numbers::Numbers;

/// A technician has one or two at a time.
const MAX_CONNECTIONS: usize = 8;

pub(super) const TIMEOUTS: Timeouts =
    Timeouts { connection: Duration::from_secs(10), main_loop: Duration::from_secs(5) };

/// Request line and headers, the least that hyper accepts as a limit; also a piece of a body.
const MAX_BUFFER_BYTES: usize = 8192;

/// No request of the status socket needs a body; a small one is not read, a larger one refused.
const MAX_BODY_BYTES: u64 = 4096;

/// After accepting failed, e.g. for lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The group that may read, when the system has it.
const GROUP: &str = "keros";

/// What a socket answers, and so who may use it.
#[derive(Debug, Clone)]
pub(super) enum Routes {
    /// Reading, and telemetry now: for the group.
    Status(Sources),
    /// Bringing commands: for root, and for the agent's own user, who could do as much to its files.
    Control(Control),
}

impl Routes {
    const fn timeouts(&self) -> Timeouts {
        match self {
            Self::Status(sources) => sources.timeouts,
            Self::Control(control) => control.timeouts,
        }
    }

    fn numbers(&self) -> &Numbers {
        match self {
            Self::Status(sources) => &sources.shown.numbers,
            Self::Control(control) => &control.numbers,
        }
    }

    fn admits(&self, peer: Option<&UCred>) -> bool {
        match self {
            // The file's mode has decided.
            Self::Status(_) => true,
            // A program with the right to pass over modes is not root by that.
            Self::Control(_) => {
                peer.is_some_and(|peer| peer.uid() == 0 || peer.uid() == nix::unistd::geteuid().as_raw())
            }
        }
    }
}

/// Makes the socket `path` and serves on it until it is dropped.
///
/// # Errors
/// When the socket can't be made, or another agent serves it already (`AddrInUse`).
pub(super) async fn serve(path: &Path, routes: Routes) -> io::Result<()> {
    let listener = bind(path, &routes)?;
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // Further clients wait in the listener's queue. The semaphore is never closed.
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return Ok(()) };
        match listener.accept().await {
            Ok((stream, _)) => {
                let routes = routes.clone();
                tokio::spawn(async move {
                    serve_connection(stream, routes).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Replaces a socket that nobody serves any more, and refuses to replace one that somebody does.
pub(super) fn bind(path: &Path, routes: &Routes) -> io::Result<UnixListener> {
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
    let mode = match routes {
        Routes::Status(_) => {
            give_to_group(path);
            0o660
        }
        Routes::Control(_) => 0o600,
    };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(listener)
}

/// Before the mode is set: until then the umask lets nobody else write, which is what connecting needs.
fn give_to_group(path: &Path) {
    if let Ok(Some(group)) = nix::unistd::Group::from_name(GROUP)
        && let Err(error) = std::os::unix::fs::chown(path, None, Some(group.gid.as_raw()))
    {
        tracing::info!(%error, group = GROUP, "the status socket stays with the agent's own group");
    }
}

async fn serve_connection(stream: UnixStream, routes: Routes) {
    let peer = stream.peer_cred().ok();
    let limit = routes.timeouts().connection;
    let service = service_fn(|request: Request<Incoming>| {
        let routes = routes.clone();
        async move { Ok::<_, Infallible>(answer_peer(&routes, peer.as_ref(), request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(MAX_BUFFER_BYTES)
        .timer(TokioTimer::new())
        .header_read_timeout(limit)
        .serve_connection(TokioIo::new(stream), service);
    let ended = match routes {
        Routes::Status(_) => tokio::time::timeout(limit, connection).await,
        // A blob takes its time, and is bounded where it is taken.
        Routes::Control(_) => Ok(connection.await),
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "local connection ended early"),
        Err(_) => {
            routes.numbers().too_slow.count();
            tracing::info!(uid = peer.map(|peer| peer.uid()), "dropped a local client that was too slow")
        }
    }
}

async fn answer_peer(routes: &Routes, peer: Option<&UCred>, request: Request<Incoming>) -> Answer {
    let (method, path) = (request.method(), request.uri().path());
    let (uid, pid) = (peer.map(UCred::uid), peer.and_then(UCred::pid));
    let numbers = routes.numbers();
    numbers.local_requests.count();
    if !routes.admits(peer) {
        numbers.not_root.count();
        tracing::warn!(uid, pid, %method, path, "refused: only root may use the control socket");
        return problem(StatusCode::FORBIDDEN, "only root may use this socket");
    }
    if matches!(*method, Method::GET | Method::HEAD) {
        tracing::debug!(uid, pid, %method, path, "local request");
    } else {
        tracing::info!(uid, pid, %method, path, "local request");
    }
    match routes {
        Routes::Status(_) if content_length(request.headers()).unwrap_or(0) > MAX_BODY_BYTES => {
            problem(StatusCode::PAYLOAD_TOO_LARGE, "no request here has a body")
        }
        Routes::Status(sources) => answer::answer(sources, &request.into_parts().0).await,
        Routes::Control(control) => control::answer(control, request).await,
    }
}
