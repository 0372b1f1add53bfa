//! HTTP entrances: each takes connections, so many at a time, and ends those on which no request comes or whose client does not read.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

use crate::bounds::{HTTP_BUFFER_BYTES, HTTP_CONNECTIONS, HTTP_HEAD_LIMIT, HTTP_WRITE_LIMIT};

/// A pause when no connection can be taken: there may be no file descriptors left.
const PAUSE: Duration = Duration::from_secs(1);

/// One entrance.
pub(crate) struct Entrance {
    /// What it is called in the log.
    pub(crate) name: &'static str,
    /// Where connections come in.
    pub(crate) listener: TcpListener,
    /// `None`: plain.
    pub(crate) tls: Option<TlsAcceptor>,
}

/// Whose request it is: an extension of each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// For the TLS handshake, and for the head of each request.
    head: Duration,
    /// Without reading anything of what is sent.
    write: Duration,
}

/// Serves until `stop` holds true; then requests that were begun are ended.
pub(crate) async fn serve(entrance: Entrance, router: Router, stop: watch::Receiver<bool>) {
    let patience = Patience { head: HTTP_HEAD_LIMIT, write: HTTP_WRITE_LIMIT };
    serve_within(patience, entrance, router, stop).await;
}

async fn serve_within(
    patience: Patience,
    entrance: Entrance,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let Entrance { name, listener, tls } = entrance;
    let places = Arc::new(Semaphore::new(HTTP_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    // What is left of them when this ends is cut off.
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>((place, accept(&listener).await?))
        };
        let taken = tokio::select! {
            taken = next => taken,
            Some(_) = connections.join_next() => continue,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match taken {
            Ok((place, stream)) => {
                let (router, tls, watcher) = (router.clone(), tls.clone(), graceful.watcher());
                connections.spawn(async move {
                    // A client that goes away, or sends no HTTP, is its own affair.
                    if let Err(error) = connection(patience, stream, tls, router, watcher).await {
                        tracing::debug!(%error, entrance = name, "a connection ended early");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, entrance = name, "cannot take a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn connection(
    patience: Patience,
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    router: Router,
    watcher: Watcher,
) -> io::Result<()> {
    // A listener on `[::]` says `::ffff:192.0.2.1` of 192.0.2.1.
    let peer = Peer(stream.peer_addr()?.ip().to_canonical());
    let Some(tls) = tls else { return converse(patience, stream, peer, router, watcher).await };
    let stream = tokio::time::timeout(patience.head, tls.accept(stream))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long"))??;
    converse(patience, stream, peer, router, watcher).await
}

async fn converse(
    patience: Patience,
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    peer: Peer,
    router: Router,
    watcher: Watcher,
) -> io::Result<()> {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(patience.head).max_buf_size(HTTP_BUFFER_BYTES);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(patience.write));
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.call(request)
    });
    let connection = http.serve_connection(TokioIo::new(Box::pin(stream)), service);
    watcher.watch(connection).await.map_err(io::Error::other)
}

async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use axum::routing::get;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_client_that_never_ends_its_request_is_cut_off_and_others_are_served() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let router = Router::new().route("/", get(|| async { "hello" }));
        let entrance = Entrance { name: "a test", listener, tls: None };
        let patience = Patience { head: Duration::from_millis(300), write: LIMIT };
        let server = tokio::spawn(serve_within(patience, entrance, router, stopped));
        let connect = move || {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            stream
        };
        let client = tokio::task::spawn_blocking(move || {
            let mut slow = connect();
            slow.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ").unwrap();
            let mut good = connect();
            good.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            good.read_to_string(&mut answer).unwrap();
            // It ends by the server's hand: else reading would fail at the limit.
            let mut rest = Vec::new();
            slow.read_to_end(&mut rest).unwrap();
            answer
        });
        assert!(client.await.unwrap().ends_with("hello"));
        stop.send(true).unwrap();
        tokio::time::timeout(LIMIT, server).await.unwrap().unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_comes_by_ipv4_has_an_ipv4_address_whatever_the_listener() {
        let Ok(listener) = TcpListener::bind("[::]:0").await else {
            return keros_skip::skipped("this machine has no IPv6");
        };
        let port = listener.local_addr().unwrap().port();
        let (stop, stopped) = watch::channel(false);
        let say = |axum::Extension(Peer(address)): axum::Extension<Peer>| async move { address.to_string() };
        let router = Router::new().route("/", get(say));
        let entrance = Entrance { name: "a test", listener, tls: None };
        let server = tokio::spawn(serve(entrance, router, stopped));
        let client = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        let answer = client.await.unwrap();
        assert!(answer.ends_with("\r\n127.0.0.1"), "{answer}");
        stop.send(true).unwrap();
        tokio::time::timeout(LIMIT, server).await.unwrap().unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_client_that_does_not_read_its_answer_is_cut_off() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        // It is gone when the answer is.
        let (held, mut gone) = tokio::sync::mpsc::channel::<()>(1);
        let endless = move || {
            let held = held.clone();
            let parts = futures_util::stream::unfold(held, |held| async {
                Some((Ok::<_, io::Error>(vec![0_u8; 64 * 1024]), held))
            });
            async { axum::body::Body::from_stream(parts) }
        };
        let router = Router::new().route("/", get(endless));
        let patience = Patience { head: LIMIT, write: Duration::from_millis(300) };
        let entrance = Entrance { name: "a test", listener, tls: None };
        let server = tokio::spawn(serve_within(patience, entrance, router, stopped));
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let begun = tokio::task::spawn_blocking(move || {
            client.read_exact(&mut [0; 12]).unwrap();
            client
        });
        let client = begun.await.unwrap();
        stop.send(true).unwrap();
        // The router with the first sender goes with the server; the answer's goes only when the connection ends.
        assert_eq!(tokio::time::timeout(LIMIT, gone.recv()).await.unwrap(), None);
        tokio::time::timeout(LIMIT, server).await.unwrap().unwrap();
        drop(client);
    }
}
