//! Root's socket: blobs and commands.

use keros_protocol::magic_link::Digest;
use keros_protocol::{Envelope, SigningKey};

use super::*;

impl Server {
    fn raw_control(&self, request: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.control()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // The server may have answered and left before all of it was sent.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub(super) fn bundles(&self) -> PathBuf {
        self.folder.path().join("bundles")
    }

    fn blob(&self, digest: Digest) -> PathBuf {
        self.bundles().join("blobs/sha256").join(digest.hex())
    }

    /// All files of the folder of blobs.
    pub(super) fn files(&self) -> Vec<String> {
        let list = |name: &str| self.bundles().join(name).read_dir().into_iter().flatten();
        let all = list("blobs/sha256").chain(list("partial"));
        all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn path(digest: Digest) -> String {
    format!("/v1/blobs/{digest}")
}

pub(super) fn envelope(payload: &str) -> Envelope {
    let key = SigningKey::from_pem(&SigningKey::pem_from_seed(&[1; 32])).unwrap();
    Envelope { payload: payload.to_owned(), ..Envelope::sign(Envelope::COMMAND, b"x", &key) }
}

#[test]
fn a_blob_is_stored_under_its_digest_and_once() {
    let server = Server::start(None);
    let client = Client::new(server.control());
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
    let digest = Digest::of(&content);
    assert!(!client.exists(&path(digest)).unwrap());
    let mut told = 0;
    client
        .put(&path(digest), content.len() as u64, &mut content.as_slice(), &mut |sent| told = sent)
        .unwrap();
    assert_eq!(told, content.len() as u64);
    assert_eq!(std::fs::read(server.blob(digest)).unwrap(), content);
    assert!(client.exists(&path(digest)).unwrap());
    // What is here is not read again: the answer comes before a body that never does.
    let again = format!("PUT {} HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n", path(digest));
    assert!(server.raw_control(again.as_bytes()).starts_with("HTTP/1.1 200 "));
    let empty = Digest::of(b"");
    client.put(&path(empty), 0, &mut &b""[..], &mut |_| {}).unwrap();
    assert_eq!(server.files().len(), 2, "{:?}", server.files());
}

#[test]
fn a_blob_that_is_wrong_or_cut_is_named_and_leaves_nothing() {
    let server = Server::start(None);
    let client = Client::new(server.control());
    let digest = Digest::of(b"right");
    let refused = client.put(&path(digest), 5, &mut &b"wrong"[..], &mut |_| {}).unwrap_err();
    assert!(
        matches!(&refused, ClientError::Refused { status: 422, detail } if detail.contains("digest")),
        "{refused:?}"
    );
    // The stick is pulled.
    let gone = client.put(&path(digest), 5, &mut &b"rig"[..], &mut |_| {}).unwrap_err();
    assert!(matches!(gone, ClientError::Source(_)), "{gone:?}");
    for (head, body, status) in [
        ("Content-Length: 5", "rig", "408"),
        ("X: y", "", "411"),
        ("Transfer-Encoding: chunked", "5\r\nright\r\n0\r\n\r\n", "411"),
        ("Content-Length: 536870913", "", "413"),
    ] {
        let request = format!("PUT {} HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n{body}", path(digest));
        let answer = server.raw_control(request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {answer}");
    }
    assert!(server.files().is_empty(), "{:?}", server.files());
    client.put(&path(digest), 5, &mut &b"right"[..], &mut |_| {}).unwrap();
    assert_eq!(server.files().len(), 1);
}

#[test]
fn one_blob_is_taken_at_a_time() {
    let server = Server::start(None);
    let digest = Digest::of(b"right");
    let mut slow = UnixStream::connect(server.control()).unwrap();
    let head = format!("PUT {} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nri", path(digest));
    slow.write_all(head.as_bytes()).unwrap();
    let limit = Instant::now() + Duration::from_secs(10);
    while server.files().is_empty() {
        assert!(Instant::now() < limit, "the first one was not begun");
        std::thread::yield_now();
    }
    let other = Digest::of(b"other");
    let client = Client::new(server.control());
    let busy = client.put(&path(other), 5, &mut &b"other"[..], &mut |_| {}).unwrap_err();
    assert!(matches!(busy, ClientError::Refused { status: 503, .. }), "{busy:?}");
    slow.write_all(b"ght").unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    client.put(&path(other), 5, &mut &b"other"[..], &mut |_| {}).unwrap();
}

#[test]
fn a_command_is_handed_to_the_main_loop_and_its_judgement_comes_back() {
    let server = Server::start(None);
    let client = Client::new(server.control());
    let taken: Value = client.post_json("/v1/commands", &envelope("x")).unwrap();
    let expected = serde_json::json!({
        "command_id": "00000000-0000-0000-0000-000000000007", "status": "accepted"
    });
    assert_eq!(taken, expected);
    let checked: JudgedCommand = client.post_json("/v1/commands/check", &envelope("x")).unwrap();
    assert_eq!(checked.judgement, Judgement::Duplicate { outcome: Some(Outcome::Accepted {}) });
    for (payload, expected) in [("full", 503), ("nameless", 400)] {
        let refused = client.post_json::<Value>("/v1/commands", &envelope(payload)).unwrap_err();
        assert!(matches!(refused, ClientError::Refused { status, .. } if status == expected), "{refused:?}");
    }
}

#[test]
fn wrong_requests_of_root_get_problem_details() {
    let server = Server::start(None);
    let long = format!(
        "POST /v1/commands HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n{}",
        "x".repeat(10_000_000)
    );
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "404"),
        ("GET /v1/status HTTP/1.1\r\nHost: a\r\n\r\n", "404"),
        ("PUT /v1/blobs/x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "400"),
        ("PUT /v1/blobs/../../etc HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "404"),
        ("GET /v1/commands HTTP/1.1\r\nHost: a\r\n\r\n", "405"),
        ("POST /v1/commands HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}", "400"),
        ("POST /v1/commands HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{}", "408"),
        (&long, "413"),
    ] {
        let answer = server.raw_control(request.as_bytes());
        let request = &request[..request.len().min(100)];
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
    }
    let mut silent = UnixStream::connect(server.control()).unwrap();
    let mut answer = Vec::new();
    let _ = silent.read_to_end(&mut answer);
}
