//! The sockets themselves: made, guarded, and every connection bounded in size and time. One request a connection.

use std::convert::Infallible;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use keros_protocol::limits::shorten;
use keros_service::{Named, log};
use serde_json::json;
use tokio::net::{UnixListener, UnixStream};

use super::answer::{self, Answer, Sources, Timeouts, problem};
use super::control::{self, Control, content_length};
use super::guests::{Guests, Turned};
use super::peer::Peer;
use crate::numbers::Numbers;

pub(super) const TIMEOUTS: Timeouts =
    Timeouts { connection: Duration::from_secs(10), main_loop: Duration::from_secs(5) };

/// Request line and headers, the least that hyper accepts as a limit; also a piece of a body.
const MAX_BUFFER_BYTES: usize = 8192;

/// No request of the status socket needs a body; a small one is not read, a larger one refused.
const MAX_BODY_BYTES: u64 = 4096;

/// After accepting failed, e.g. for lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Connections that are let go at once between two pauses.
const TURNED_AT_ONCE: u32 = 64;
const TURNED_PAUSE: Duration = Duration::from_millis(50);

/// Of a path in the log; it may have 8 KiB.
const MAX_LOGGED_PATH_BYTES: usize = 128;

/// The group that may read, when the system has it.
const GROUP: &str = "keros";

/// No gateway has more groups.
const MAX_GROUPS_BYTES: u64 = 256 * 1024;

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

    fn admits(&self, uid: Option<u32>) -> bool {
        match self {
            // The file's mode has decided.
            Self::Status(_) => true,
            // A program with the right to pass over modes is not root by that.
            Self::Control(_) => uid.is_some_and(|uid| uid == 0 || uid == nix::unistd::geteuid().as_raw()),
        }
    }
}

/// Makes the socket `path` and serves on it until it is dropped.
///
/// # Errors
/// When the socket can't be made, or another agent serves it already (`AddrInUse`).
pub(super) async fn serve(path: &Path, routes: Routes) -> io::Result<()> {
    let listener = bind(path, &routes)?;
    let guests = Guests::new(Instant::now());
    let mut turned_away = 0_u32;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if !receive(stream, &routes, &guests) {
                    turned_away = turned_away.wrapping_add(1);
                    if turned_away.is_multiple_of(TURNED_AT_ONCE) {
                        // Whoever floods the queue has the agent's time only so far; root waits behind it for moments.
                        tokio::time::sleep(TURNED_PAUSE).await;
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves a connection in a task of its own; false when it is let go at once.
fn receive(stream: UnixStream, routes: &Routes, guests: &Guests) -> bool {
    let peer = Peer::of(&stream);
    // Somebody unknown shares the room of nobody.
    let uid = peer.uid.unwrap_or(u32::MAX);
    match guests.admit(uid, Instant::now()) {
        Ok(seat) => {
            let (routes, guests) = (routes.clone(), guests.clone());
            tokio::spawn(async move {
                serve_connection(stream, peer, routes, guests).await;
                drop(seat);
            });
            true
        }
        Err(turned) => {
            let (counter, why) = match turned {
                Turned::TooMany => (&routes.numbers().too_many, "too many connections of this user are open"),
                Turned::TooOften => (&routes.numbers().too_often, "this user asks too often"),
            };
            counter.count();
            if let Some(left_out) = guests.may_log(peer.uid, Instant::now()) {
                tracing::warn!(left_out, "turned away: {why}: {peer}");
            }
            // Its buffer is empty: this is all in it at once, or nobody reads.
            let _ = stream.try_write(turned_away_answer(why).as_bytes());
            false
        }
    }
}

/// Made by hand: no connection of hyper's is worth it.
fn turned_away_answer(why: &str) -> String {
    let status = StatusCode::TOO_MANY_REQUESTS;
    let body = json!({ "title": "Too Many Requests", "status": status.as_u16(), "detail": why }).to_string();
    format!(
        "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
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
    let groups = keros_platform::read_small(Path::new("/etc/group"), MAX_GROUPS_BYTES).unwrap_or_default();
    if let Some(number) = group_number(&groups)
        && let Err(error) = std::os::unix::fs::chown(path, None, Some(number))
    {
        tracing::info!(%error, group = GROUP, "the status socket stays with the agent's own group");
    }
}

/// Of [`GROUP`], which installing makes in `/etc/group`. Not asked of the C library: on a system with systemd it loads libraries of
/// 0.3 MiB to answer, and they stay.
fn group_number(groups: &str) -> Option<u32> {
    groups
        .lines()
        .find_map(|line| line.strip_prefix(GROUP)?.strip_prefix(':')?.split(':').nth(1)?.parse().ok())
}

async fn serve_connection(stream: UnixStream, peer: Peer, routes: Routes, guests: Guests) {
    let limit = routes.timeouts().connection;
    let service = service_fn(|request: Request<Incoming>| {
        let (routes, guests) = (routes.clone(), guests.clone());
        async move { Ok::<_, Infallible>(answer_peer(&routes, &guests, peer, request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        // Who has said all may close that half (`socat`, `nc -N`), and still wants the answer.
        .half_close(true)
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
            if let Some(left_out) = guests.may_log(peer.uid, Instant::now()) {
                tracing::info!(left_out, "dropped a local client that was too slow: {peer}");
            }
        }
    }
}

async fn answer_peer(routes: &Routes, guests: &Guests, peer: Peer, request: Request<Incoming>) -> Answer {
    let (method, path) = (request.method(), request.uri().path());
    let numbers = routes.numbers();
    numbers.local_requests.count();
    let admitted = routes.admits(peer.uid);
    let changes = !matches!(*method, Method::GET | Method::HEAD);
    if (changes || !admitted)
        && let Some(left_out) = guests.may_log(peer.uid, Instant::now())
    {
        let path = shorten(path, MAX_LOGGED_PATH_BYTES);
        if admitted {
            tracing::info!(%method, path, left_out, "local request: {peer}");
        } else {
            let text = format!(
                "refused: only root may use the control socket: {peer}: {method} {path}, {left_out} left out"
            );
            log::tell(Named::LocalRefused, &text);
        }
    }
    if !admitted {
        numbers.not_root.count();
        return problem(StatusCode::FORBIDDEN, "only root may use this socket");
    }
    match routes {
        Routes::Status(_) if content_length(request.headers()).unwrap_or(0) > MAX_BODY_BYTES => {
            problem(StatusCode::PAYLOAD_TOO_LARGE, "no request here has a body")
        }
        Routes::Status(sources) => answer::answer(sources, &request.into_parts().0).await,
        Routes::Control(control) => control::answer(control, request).await,
    }
}

#[cfg(test)]
mod tests {
    use super::group_number;

    #[test]
    fn the_number_of_the_group_is_found_among_others() {
        let groups = "root:x:0:\nkeros-agent:x:998:\nkeros:x:997:technician\nkeros:x:1:\n";
        assert_eq!(group_number(groups), Some(997));
        for groups in ["", "kerosene:x:5:", "keros", "keros:x", "keros:x:many:"] {
            assert_eq!(group_number(groups), None, "{groups:?}");
        }
    }
}
