//! The client against a registry that asks for a token, and one that sends it elsewhere: spoken by hand, since no registry here does.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use keros_protocol::magic_link::{Descriptor, Digest};

use super::*;

/// A request: its first line, what it authorises itself with, and its body.
type Asked = (String, String, Vec<u8>);

fn read(stream: &TcpStream) -> Asked {
    let mut reader = BufReader::new(stream);
    let (mut first, mut authorization, mut bytes) = (String::new(), String::new(), 0);
    reader.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => value.clone_into(&mut authorization),
            "content-length" => bytes = value.parse().unwrap(),
            _ => {}
        }
    }
    let mut body = vec![0; bytes];
    reader.read_exact(&mut body).unwrap();
    (first.trim_end_matches(" HTTP/1.1\r\n").to_owned(), authorization, body)
}

/// Gives these answers, one a connection, and then what was asked. `PORT` in them is its own.
fn serve(answers: Vec<String>) -> (u16, JoinHandle<Vec<Asked>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = std::thread::spawn(move || {
        let answer = |answer: String| {
            let (mut stream, _) = listener.accept().unwrap();
            let asked = read(&stream);
            stream.write_all(answer.replace("PORT", &port.to_string()).as_bytes()).unwrap();
            asked
        };
        answers.into_iter().map(answer).collect()
    });
    (port, serving)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

fn repository(port: u16, login: Option<Login>) -> Repository {
    let reference: Reference = format!("127.0.0.1:{port}/a/b").parse().unwrap();
    Repository::new(&reference, Trust { plain_http: true, ca_file: None }, login).unwrap()
}

fn challenge() -> String {
    let header = "WWW-Authenticate: Bearer realm=\"http://127.0.0.1:PORT/token\",service=\"r\",scope=\"repository:a/b:pull,push\"\r\n";
    answer("401 Unauthorized", header, "")
}

#[test]
fn a_token_is_asked_for_once_and_used_from_then_on() {
    let login = Login { user: "ci".to_owned(), password: "x".to_owned() };
    let place = "Location: /v2/a/b/blobs/uploads/1?state=2\r\n";
    let (port, serving) = serve(vec![
        challenge(),
        answer("200 OK", "", r#"{"token":"t1","access_token":"t1"}"#),
        answer("404 Not Found", "", ""),
        answer("202 Accepted", place, ""),
        answer("201 Created", "", ""),
    ]);
    let repository = repository(port, Some(login.clone()));
    let blob = Descriptor { digest: Digest::of(b"hello"), size: 5 };
    assert!(!repository.has(blob.digest).unwrap());
    repository.put_blob(blob, &mut &b"hello"[..]).unwrap();
    let asked = serving.join().unwrap();
    let lines: Vec<&str> = asked.iter().map(|(line, _, _)| line.as_str()).collect();
    assert_eq!(lines[1], "GET /token?service=r&scope=repository:a/b:pull%2Cpush");
    assert_eq!(lines[4], format!("PUT /v2/a/b/blobs/uploads/1?state=2&digest={}", blob.digest));
    let authorizations: Vec<&str> =
        asked.iter().map(|(_, authorization, _)| authorization.as_str()).collect();
    assert_eq!(authorizations, ["", &login.basic(), "Bearer t1", "Bearer t1", "Bearer t1"]);
    assert_eq!(asked[4].2, b"hello");
}

#[test]
fn an_upload_elsewhere_is_not_given_the_log_in() {
    let (elsewhere, uploaded) = serve(vec![answer("201 Created", "", "")]);
    let place = format!("Location: http://127.0.0.1:{elsewhere}/x\r\n");
    let (port, serving) = serve(vec![
        challenge(),
        answer("200 OK", "", r#"{"access_token":"t1"}"#),
        answer("202 Accepted", &place, ""),
    ]);
    let blob = Descriptor { digest: Digest::of(b"hello"), size: 5 };
    repository(port, None).put_blob(blob, &mut &b"hello"[..]).unwrap();
    serving.join().unwrap();
    let asked = uploaded.join().unwrap();
    assert_eq!((asked[0].1.as_str(), asked[0].2.as_slice()), ("", &b"hello"[..]));
}

#[test]
fn what_a_registry_refuses_is_named() {
    let errors = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#;
    for (answers, words) in [
        (vec![challenge(), answer("401 Unauthorized", "", "")], "does not allow it without a log-in"),
        (vec![challenge(), answer("200 OK", "", "{}")], "to a log-in with no token"),
        (
            vec![answer("401 Unauthorized", "WWW-Authenticate: Digest realm=x\r\n", "")],
            "not known here: \"Digest",
        ),
        (vec![answer("404 Not Found", "", "")], "does not have a/b:1"),
        (vec![answer("429 Too Many Requests", "", errors)], "HTTP status 429 (TOOMANYREQUESTS: slow down)"),
    ] {
        let (port, serving) = serve(answers);
        let error =
            repository(port, None).manifest_of(&Version::Tag("1".to_owned())).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
        serving.join().unwrap();
    }
    let blob = Descriptor { digest: Digest::of(b"hello"), size: 5 };
    for place in ["", "Location: ftp://host/x\r\n", "Location: //host/x\r\n"] {
        let (port, serving) = serve(vec![answer("202 Accepted", place, "")]);
        let error = repository(port, None).put_blob(blob, &mut &b"hello"[..]).unwrap_err().to_string();
        assert!(error.contains("with no place for an upload"), "{error}");
        serving.join().unwrap();
    }
}

#[test]
fn a_registry_without_tls_is_told_apart_from_one_that_does_not_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let plain = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(answer("400 Bad Request", "", "").as_bytes()).unwrap();
    });
    let ask = || {
        let reference: Reference = format!("127.0.0.1:{port}/a/b").parse().unwrap();
        let repository = Repository::new(&reference, Trust::default(), None).unwrap();
        repository.has(Digest::of(b"x")).unwrap_err().to_string()
    };
    let error = ask();
    assert!(error.contains("by TLS (--ca names") && error.contains("--plain-http"), "{error}");
    plain.join().unwrap();
    assert!(!ask().contains("--plain-http"));
}
