//! Requests that are no HTTP, or that two readers could take for different ones: refused, and the next client is served.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::*;

/// The first line that comes back to these bytes.
fn answer(rest: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(rest).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    // It may be refused before all of it is sent.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut part = [0; 1024];
    while !answer.contains(&b'\n') {
        match stream.read(&mut part) {
            Ok(0) | Err(_) => break,
            Ok(length) => answer.extend_from_slice(&part[..length]),
        }
    }
    String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_http_or_could_be_read_in_two_ways_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let (rest, token) = (center.rest, center.token.clone());
    let asked = tokio::task::spawn_blocking(move || {
        let post = |headers: &str, body: &str| {
            let head = "POST /api/v1/groups HTTP/1.1\r\nHost: x\r\nContent-Type: application/json";
            format!("{head}\r\nAuthorization: Bearer {token}\r\n{headers}\r\n\r\n{body}")
        };
        let body = r#"{"name":"a"}"#;
        let many = "X-A: 1\r\n".repeat(200);
        for (what, request) in [
            ("two lengths", post("Content-Length: 12\r\nContent-Length: 5", body)),
            ("a list of lengths", post("Content-Length: 12, 5", body)),
            ("a length with a sign", post("Content-Length: +12", body)),
            ("a negative length", post("Content-Length: -1", body)),
            ("a length beyond any number", post("Content-Length: 99999999999999999999999", body)),
            ("an unknown transfer encoding", post("Transfer-Encoding: xchunked", body)),
            ("a header with a NUL", post("X-A: a\0b", body)),
            ("a header name with a blank", post("Content-Length : 12", body)),
            ("a header that is folded", post("X-A: a\r\n b", body)),
            ("200 headers", post(&format!("{many}Content-Length: 12"), body)),
            ("a header of 100 KiB", post(&format!("X-A: {}", "a".repeat(100 * 1024)), body)),
            ("a path of 100 KiB", format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(100 * 1024))),
            ("no HTTP", "\u{16}\u{3}\u{1}hello\r\n\r\n".to_owned()),
        ] {
            let first = answer(rest, request.as_bytes());
            let is_refused = ["HTTP/1.1 400", "HTTP/1.1 414", "HTTP/1.1 431", "HTTP/1.1 501"]
                .iter()
                .any(|status| first.starts_with(status));
            assert!(is_refused || first.is_empty(), "{what}: {first}");
        }
    });
    asked.await.unwrap();
    assert_eq!(center.ask("GET", "/groups", Value::Null).await, (200, json!([])));
    center.stop().await;
}
