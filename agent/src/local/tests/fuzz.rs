//! Requests changed at random, on both sockets: each gets one answer or none, nothing becomes an error of the agent's own, and the agent
//! goes on.

use keros_fuzzing::{fuzz, in_a_limited_process};

use super::control::envelope;
use super::*;

const WORDS: &[&str] = &[
    "\r\n",
    "\r\n\r\n",
    "\n",
    " ",
    "\0",
    ":",
    "GET ",
    "HEAD ",
    "PUT ",
    "POST ",
    "CONNECT ",
    "HTTP/1.0",
    "HTTP/2.0",
    "/v1/jobs/",
    "/cancel",
    "/metrics",
    "../",
    "%2e%2e",
    "Content-Length: 0\r\n",
    "Content-Length: 18446744073709551615\r\n",
    "Transfer-Encoding: chunked\r\n",
    "ffffffffffffffff\r\n",
    "0\r\n\r\n",
    "Expect: 100-continue\r\n",
    "Upgrade: h2c\r\n",
    "Connection: keep-alive\r\n",
    "Accept: text/plain;q=",
];

fn exchange(socket: &Path, input: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    // The server may have answered and left before all of it was sent.
    let _ = stream.write_all(input);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn whatever_comes_gets_one_answer_or_none() {
    in_a_limited_process("local::tests::fuzz::whatever_comes_gets_one_answer_or_none", || {
        let server = Server::start(Some(TelemetryAnswer::Due { at_unix_s: 7 }));
        let json = serde_json::to_string(&envelope("x")).unwrap();
        let digest = keros_protocol::magic_link::Digest::of(b"right");
        let seeds = [
            "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: text/plain;version=0.0.4;q=0.3,*/*;q=0.2\r\n\r\n".to_owned(),
            "GET /v1/jobs/00000000-0000-0000-0000-000000000001 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            "POST /v1/telemetry HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "POST /v1/jobs/00000000-0000-0000-0000-000000000001/cancel HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            format!("POST /v1/commands HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{json}", json.len()),
            format!("PUT /v1/blobs/{digest} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nright"),
            "POST /v1/commands/check HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n".to_owned(),
        ];
        let sockets = [server.socket(), server.control()];
        fuzz(&seeds.map(String::into_bytes), WORDS, &mut |input| {
            for socket in &sockets {
                let answer = exchange(socket, &input);
                assert!(answer.is_empty() || answer.starts_with("HTTP/1."), "{answer}");
                assert!(!answer.starts_with("HTTP/1.1 500"), "{answer}");
                assert!(answer.matches("\r\ncontent-type: ").count() <= 1, "{answer}");
            }
        });
        assert!(server.client().get::<StatusView>("/v1/status").is_ok());
    });
}
