//! Takes connections, so many at a time, and ends those on which no request comes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::bounds::{REST_BUFFER_BYTES, REST_CONNECTIONS, REST_HEAD_LIMIT};

/// A pause when no connection can be taken: there may be no file descriptors left.
const PAUSE: Duration = Duration::from_secs(1);

/// Serves until `stop` holds true; then requests that were begun are ended.
pub(crate) async fn serve(listener: TcpListener, router: Router, stop: watch::Receiver<bool>) {
    serve_within(REST_HEAD_LIMIT, listener, router, stop).await;
}

async fn serve_within(
    head_limit: Duration,
    listener: TcpListener,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head_limit).max_buf_size(REST_BUFFER_BYTES);
    let places = Arc::new(Semaphore::new(REST_CONNECTIONS));
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
                let service = TowerToHyperService::new(router.clone());
                let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
                connections.spawn(async move {
                    // A client that goes away, or sends no HTTP, is its own affair.
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "a connection to the REST API ended early");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot take a connection to the REST API");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    graceful.shutdown().await;
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
        let server = tokio::spawn(serve_within(Duration::from_millis(300), listener, router, stopped));
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
}
