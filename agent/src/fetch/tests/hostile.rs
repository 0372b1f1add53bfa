//! Servers that mean no good, or are broken. Each ends with a name; nothing is left half-written.

use std::time::Duration;

use super::bundle::{Bundle, bytes};
use super::server::{Asked, Counts, Server, Stream, cut, give, say};
use super::*;

/// A good registry but for what `answer` says of the data.
fn bad_data(
    bundle: &Bundle,
    answer: impl Fn(&[u8], &Asked, &mut dyn Stream, &Counts) -> std::io::Result<()> + Send + Sync + 'static,
) -> Server {
    let bundle = bundle.clone();
    let path = format!("/v2/links/blobs/{}", bundle.data());
    Server::start(move |asked, stream, counts| match bundle.content(&asked.path) {
        Some(content) if asked.path == path => answer(content, asked, stream, counts),
        _ => bundle.serve(asked, stream, counts),
    })
}

fn nothing_is_left(gateway: &Gateway, bundle: &Bundle) {
    assert!(!gateway.has(bundle.data()));
    assert_eq!(gateway.parts(), [] as [String; 0]);
}

#[test]
fn a_gateway_that_may_not_run_it_asks_for_no_file() {
    let files = [("site.yml", bytes(1000, 1))];
    let condition = |fields: &str| {
        let text = format!(r#"{{"name":"test","gateways":["7076FF*"],"playbook":"site.yml"{fields}}}"#);
        Bundle::with_config(text.as_bytes(), &files)
    };
    for (bundle, expected) in [
        (Bundle::new("7276FF*", &files), RefusalReason::NotDeclared),
        (condition(r#","models":["fevo"]"#), RefusalReason::NotCompatible),
        (condition(r#","keros":"5""#), RefusalReason::NotCompatible),
        (condition(&format!(r#","expires_at_unix_s":{NOW_UNIX_S}"#)), RefusalReason::Expired),
        (condition(r#","colour":"red""#), RefusalReason::Unsupported),
        (Bundle::with_config(b"{}", &files), RefusalReason::Unparsable),
        (
            Bundle::with_config(br#"{"name":"x","gateways":[],"playbook":"site.yml"}"#, &files),
            RefusalReason::NotDeclared,
        ),
        (
            Bundle::with_config(br#"{"name":"x","gateways":["70*"],"playbook":"else.yml"}"#, &files),
            RefusalReason::Unparsable,
        ),
    ] {
        let served = bundle.clone();
        let server = Server::start(move |asked, stream, counts| served.serve(asked, stream, counts));
        let mut gateway = Gateway::new();
        let (reason, detail) = refused(gateway.fetch(&bundle, &server));
        assert_eq!(reason, expected, "{detail}");
        let paths =
            [format!("/v2/links/manifests/{}", bundle.digest), format!("/v2/links/blobs/{}", bundle.config)];
        assert_eq!(server.paths(), paths, "{detail}");
        nothing_is_left(&gateway, &bundle);
    }
}

#[test]
fn a_manifest_that_is_none_is_named() {
    let index =
        br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    let annotations = format!(r#"{{"schemaVersion":2,"annotations":{{"a":"{}"}}}}"#, "x".repeat(1_000_000));
    for (manifest, expected) in [
        (index.to_vec(), RefusalReason::Unsupported),
        (b"{}".to_vec(), RefusalReason::Unsupported),
        (b"<html>".to_vec(), RefusalReason::Unparsable),
        (annotations.into_bytes(), RefusalReason::TooLarge),
        (vec![b'['; 200_000], RefusalReason::Unparsable),
    ] {
        let mut bundle = Bundle::of_length(1000);
        (bundle.digest, bundle.manifest) = (Digest::of(&manifest), manifest);
        let served = bundle.clone();
        let server = Server::start(move |asked, stream, counts| served.serve(asked, stream, counts));
        let mut gateway = Gateway::new();
        assert_eq!(refused(gateway.fetch(&bundle, &server)).0, expected);
        assert_eq!(server.paths().len(), 1);
        nothing_is_left(&gateway, &bundle);
        // Another one than the hash names.
        let other = Bundle { digest: Digest::of(b"other"), ..bundle.clone() };
        let server = Server::start(move |_, stream, _| say(stream, "200 OK", "", &bundle.manifest));
        let end = refused(gateway.fetch(&other, &server)).0;
        assert!(end == RefusalReason::DigestMismatch || expected == RefusalReason::TooLarge);
    }
}

#[test]
fn wrong_content_of_any_length_is_a_digest_mismatch_and_not_kept() {
    let bundle = Bundle::of_length(200_000);
    type Answer = fn(&[u8], &Asked, &mut dyn Stream, &Counts) -> std::io::Result<()>;
    let wrong: [Answer; 5] = [
        |content, _, stream, _| say(stream, "200 OK", "", &bytes(content.len(), 99)),
        |content, _, stream, _| say(stream, "200 OK", "", &content[..content.len() - 1]),
        |content, _, stream, _| say(stream, "200 OK", "", &[content, b"x"].concat()),
        // Without a length, and without an end.
        |content, _, stream, counts| {
            write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            loop {
                give(stream, counts, content)?;
            }
        },
        // In chunks, which end too early.
        |content, _, stream, _| {
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
                content.len() - 5
            )?;
            stream.write_all(&content[5..])?;
            write!(stream, "\r\n0\r\n\r\n")
        },
    ];
    for answer in wrong {
        let server = bad_data(&bundle, answer);
        let mut gateway = Gateway::new();
        let (reason, detail) = refused(gateway.fetch(&bundle, &server));
        assert_eq!(reason, RefusalReason::DigestMismatch, "{detail}");
        nothing_is_left(&gateway, &bundle);
        assert!(server.given() < 50_000_000, "sockets hold some of what is not taken");
    }
}

#[test]
fn what_was_resumed_and_is_wrong_is_fetched_once_anew() {
    let bundle = Bundle::of_length(200_000);
    let server = bad_data(&bundle, |content, asked, stream, counts| {
        let (from, whole) = (asked.from() as usize, content.len());
        let first = counts.asked.lock().unwrap().iter().filter(|a| a.path == asked.path).count() == 1;
        let content = if first { bytes(whole, 99) } else { content.to_vec() };
        let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n", whole - from)?;
        write!(stream, "Content-Range: bytes {from}-{}/{whole}\r\n\r\n", whole - 1)?;
        give(stream, counts, &content[from..if first { 100_000 } else { whole }])?;
        if first { cut() } else { Ok(()) }
    });
    let mut gateway = Gateway::new();
    let order = gateway.order(&bundle, &server);
    assert!(failed(gateway.attempt(order.clone())).1);
    assert_eq!(gateway.attempt(order), FetchEnd::Complete);
    let asked = server.asked();
    let from: Vec<u64> =
        asked.iter().filter(|a| a.path.ends_with(&bundle.data().hex())).map(Asked::from).collect();
    assert_eq!(from, [0, 100_000, 0]);
}

#[test]
fn refusals_of_the_source_are_final_only_after_some_attempts() {
    let bundle = Bundle::of_length(1000);
    for (status, expected) in [
        ("404 Not Found", RefusalReason::NotFound),
        ("401 Unauthorized", RefusalReason::FetchFailed),
        ("403 Forbidden", RefusalReason::FetchFailed),
    ] {
        let server = Server::start(move |_, stream, _| say(stream, status, "", b"{}"));
        let mut gateway = Gateway::new();
        let order = gateway.order(&bundle, &server);
        for _ in 1..STUBBORN_ATTEMPTS {
            assert!(!failed(gateway.attempt(order.clone())).1);
        }
        assert_eq!(refused(gateway.attempt(order)).0, expected, "{status}");
    }
}

#[test]
fn a_registry_that_has_it_a_little_later_is_waited_for() {
    let bundle = Bundle::of_length(1000);
    let served = bundle.clone();
    let server = Server::start(move |asked, stream, counts| match counts.asked.lock().unwrap().len() {
        1..4 => say(stream, "404 Not Found", "", b"{}"),
        4 => say(stream, "503 Service Unavailable", "", b"{}"),
        _ => served.serve(asked, stream, counts),
    });
    let mut gateway = Gateway::new();
    let order = gateway.order(&bundle, &server);
    for _ in 0..4 {
        failed(gateway.attempt(order.clone()));
    }
    assert_eq!(gateway.attempt(order), FetchEnd::Complete);
}

#[test]
fn packed_answers_are_not_unpacked() {
    let bundle = Bundle::of_length(1000);
    let server = bad_data(&bundle, |content, _, stream, _| {
        say(stream, "200 OK", "Content-Encoding: gzip\r\n", content)
    });
    let mut gateway = Gateway::new();
    let order = gateway.order(&bundle, &server);
    for _ in 1..STUBBORN_ATTEMPTS {
        assert!(failed(gateway.attempt(order.clone())).0.contains("gzip"));
    }
    assert_eq!(refused(gateway.attempt(order)).0, RefusalReason::FetchFailed);
    assert!(!gateway.has(bundle.data()));
}

#[test]
fn servers_that_drip_or_say_nothing_do_not_hold_an_attempt() {
    let bundle = Bundle::of_length(100_000);
    let drip = |stream: &mut dyn Stream, byte: &[u8]| -> std::io::Result<()> {
        loop {
            stream.write_all(byte)?;
            stream.flush()?;
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let ways: [fn(&mut dyn Stream) -> std::io::Result<()>; 5] = [
        |_| Ok(()),
        |stream| write!(stream, "HTTP/1.1 200 OK\r\n"),
        |stream| write!(stream, "HTTP/1.1 200 OK\r\nX: "),
        |stream| write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"),
        |stream| write!(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;"),
    ];
    for (number, begin) in ways.into_iter().enumerate() {
        let server = bad_data(&bundle, move |_, _, stream, _| {
            begin(stream)?;
            // The first two say nothing more.
            if number > 1 { drip(stream, b"x") } else { Ok(()) }
        });
        let mut gateway = Gateway::with(|means| means.silence = Duration::from_millis(500));
        let (message, _) = failed(gateway.fetch(&bundle, &server));
        assert!(message.contains("timeout"), "{number}: {message}");
    }
}

#[test]
fn headers_without_end_are_not_read_to_their_end() {
    let bundle = Bundle::of_length(1000);
    let server = bad_data(&bundle, |_, _, stream, counts| {
        write!(stream, "HTTP/1.1 200 OK\r\n")?;
        loop {
            give(stream, counts, format!("X: {}\r\n", "y".repeat(1000)).as_bytes())?;
        }
    });
    let mut gateway = Gateway::new();
    let (message, _) = failed(gateway.fetch(&bundle, &server));
    assert!(message.contains("header"), "{message}");
    assert!(server.given() < 50_000_000);
}

#[test]
fn an_attempt_ends_at_once_also_while_the_server_says_nothing() {
    let bundle = Bundle::of_length(100_000);
    let silent = bad_data(&bundle, |content, _, stream, counts| {
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len())?;
        give(stream, counts, &content[..1000])
    });
    let served = bundle.clone();
    let good = Server::start(move |asked, stream, counts| served.serve(asked, stream, counts));
    let mut gateway = Gateway::with(|means| means.silence = Duration::from_secs(1000));
    let order = gateway.order(&bundle, &silent);
    let command_id = order.command_id;
    assert_eq!(gateway.fetcher.start(order), None);
    let begin = std::time::Instant::now();
    while silent.given() < 1000 {
        assert!(begin.elapsed() < Duration::from_secs(20), "the data is asked for");
        std::thread::yield_now();
    }
    gateway.fetcher.stop(command_id);
    // The next attempt waits for the end of that one.
    assert_eq!(gateway.fetch(&bundle, &good), FetchEnd::Complete);
}

#[test]
fn a_bundle_that_is_greater_than_allowed_is_refused_before_its_files() {
    let bundle = Bundle::of_length(3 * 1024 * 1024);
    let served = bundle.clone();
    let server = Server::start(move |asked, stream, counts| served.serve(asked, stream, counts));
    let mut gateway = Gateway::with(|means| means.settings.max_mib = 2);
    assert_eq!(refused(gateway.fetch(&bundle, &server)).0, RefusalReason::TooLarge);
    assert_eq!(server.paths().len(), 2);
    nothing_is_left(&gateway, &bundle);
}
