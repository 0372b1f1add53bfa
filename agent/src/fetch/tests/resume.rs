//! Links that break, processes that are lost, and power that is cut.

use super::bundle::Bundle;
use super::server::{Asked, Server, cut, give, say};
use super::*;

/// Breaks off each answer after so many bytes.
fn breaking(bundle: &Bundle, after: usize) -> Server {
    let bundle = bundle.clone();
    Server::start(move |asked, stream, counts| {
        let Some(content) = bundle.content(&asked.path) else { return say(stream, "404 Not Found", "", b"") };
        bundle.head(asked, content, stream)?;
        let rest = &content[asked.from() as usize..];
        give(stream, counts, &rest[..rest.len().min(after)])?;
        if rest.len() > after { cut() } else { Ok(()) }
    })
}

fn total(bundle: &Bundle) -> u64 {
    (bundle.manifest.len() + bundle.blobs.values().map(Vec::len).sum::<usize>()) as u64
}

#[test]
fn a_link_that_is_cut_ten_times_brings_nothing_twice() {
    let bundle = Bundle::of_length(2_200_000);
    let server = breaking(&bundle, 200_000);
    let mut gateway = Gateway::new();
    let order = gateway.order(&bundle, &server);
    for _ in 0..10 {
        let (message, progressed) = failed(gateway.attempt(order.clone()));
        assert!(progressed && message.contains("broken off"), "{message}");
    }
    assert_eq!(gateway.attempt(order), FetchEnd::Complete);
    assert_eq!(server.given(), total(&bundle));
}

#[test]
fn a_process_that_is_lost_has_lost_nothing_that_came() {
    let bundle = Bundle::of_length(300_000);
    let server = breaking(&bundle, 100_000);
    let mut gateway = Gateway::new();
    let order = gateway.order(&bundle, &server);
    failed(gateway.attempt(order.clone()));
    // As a process that is killed leaves it: nothing of it was made durable.
    std::fs::write(gateway.note(bundle.data()), "0 boot-1\n").unwrap();
    gateway.restart();
    failed(gateway.attempt(order.clone()));
    assert_eq!(gateway.attempt(order), FetchEnd::Complete);
    assert_eq!(server.given(), total(&bundle));
}

#[test]
fn after_a_power_cut_only_what_was_durable_counts() {
    let bundle = Bundle::of_length(300_000);
    let server = breaking(&bundle, 100_000);
    let mut gateway = Gateway::new();
    let order = gateway.order(&bundle, &server);
    failed(gateway.attempt(order.clone()));
    // The rest was zeros on the disk.
    let part = gateway.part(bundle.data());
    let content = std::fs::read(&part).unwrap();
    assert_eq!(std::fs::read_to_string(gateway.note(bundle.data())).unwrap(), "100000 boot-1\n");
    std::fs::write(gateway.note(bundle.data()), "60000 boot-1\n").unwrap();
    std::fs::write(&part, [&content[..60_000], &[0; 40_000]].concat()).unwrap();
    std::fs::write(gateway.folder.path().join("root/proc/sys/kernel/random/boot_id"), "boot-2\n").unwrap();
    gateway.restart();
    failed(gateway.attempt(order.clone()));
    failed(gateway.attempt(order.clone()));
    assert_eq!(gateway.attempt(order), FetchEnd::Complete);
    assert_eq!(server.given(), total(&bundle) + 40_000);
}

#[test]
fn a_note_that_is_torn_or_absent_says_that_nothing_is_durable() {
    for note in [None, Some(""), Some("1000"), Some("\0\0\0\0"), Some("x boot-1\n"), Some("100000 boot-")] {
        let bundle = Bundle::of_length(300_000);
        let server = breaking(&bundle, 200_000);
        let mut gateway = Gateway::new();
        let order = gateway.order(&bundle, &server);
        failed(gateway.attempt(order.clone()));
        let path = gateway.note(bundle.data());
        std::fs::remove_file(&path).unwrap();
        if let Some(text) = note {
            std::fs::write(&path, text).unwrap();
        }
        std::fs::write(gateway.part(bundle.data()), [0; 200_000]).unwrap();
        gateway.restart();
        failed(gateway.attempt(order.clone()));
        assert_eq!(gateway.attempt(order), FetchEnd::Complete, "{note:?}");
    }
}

#[test]
fn a_server_that_knows_no_ranges_loses_nothing_that_is_there() {
    let bundle = Bundle::of_length(300_000);
    let served = bundle.clone();
    let server = Server::start(move |asked, stream, counts| {
        let Some(content) = served.content(&asked.path) else { return cut() };
        let number = counts.asked.lock().unwrap().iter().filter(|other| other.path == asked.path).count();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len())?;
        // The second one breaks off before the place where the first one did.
        let end = [200_000, 100_000, usize::MAX][number - 1].min(content.len());
        give(stream, counts, &content[..end])?;
        if end < content.len() { cut() } else { Ok(()) }
    });
    let mut gateway = Gateway::new();
    let order = gateway.order(&bundle, &server);
    assert!(failed(gateway.attempt(order.clone())).1);
    assert!(!failed(gateway.attempt(order.clone())).1, "what was there before is no progress");
    assert_eq!(gateway.part(bundle.data()).metadata().unwrap().len(), 200_000);
    assert_eq!(gateway.attempt(order), FetchEnd::Complete);
}

#[test]
fn ranges_that_were_not_asked_for_are_not_believed() {
    for range in
        ["bytes 0-299999/300000", "bytes 100001-299999/300000", "bytes 100000-299999/400000", "x", ""]
    {
        let bundle = Bundle::of_length(300_000);
        let served = bundle.clone();
        let server = Server::start(move |asked, stream, counts| {
            let Some(content) = served.content(&asked.path) else { return cut() };
            if asked.from() > 0 {
                let range = format!("Content-Range: {range}\r\n");
                return say(stream, "206 Partial Content", &range, &content[..200_000]);
            }
            let second = counts.asked.lock().unwrap().iter().any(|other| other.from() > 0);
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len())?;
            let end = if second { content.len() } else { content.len().min(100_000) };
            give(stream, counts, &content[..end])?;
            if end < content.len() { cut() } else { Ok(()) }
        });
        let mut gateway = Gateway::new();
        let order = gateway.order(&bundle, &server);
        failed(gateway.attempt(order.clone()));
        assert_eq!(gateway.attempt(order), FetchEnd::Complete, "{range}");
        let asked = server.asked();
        let of_data = asked.iter().filter(|asked| asked.path.ends_with(&bundle.data().hex()));
        assert_eq!(of_data.map(Asked::from).collect::<Vec<_>>(), [0, 100_000, 0]);
    }
}

#[test]
fn a_connection_that_was_closed_while_it_was_kept_open_is_made_anew() {
    let bundle = Bundle::of_length(100_000);
    let served = bundle.clone();
    let server = Server::start(move |asked, stream, counts| {
        // Just when the second request comes.
        let number = counts.asked.lock().unwrap().len();
        if number == 2 { cut() } else { served.serve(asked, stream, counts) }
    });
    let mut gateway = Gateway::new();
    assert_eq!(gateway.fetch(&bundle, &server), FetchEnd::Complete);
    assert_eq!(server.paths().len(), 5);
}
