//! Links that break, processes that are lost, and power that is cut.

use super::bundle::Bundle;
use super::server::{Server, cut, give, say};
use super::*;

/// Breaks off each answer about the data after so many bytes.
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

#[test]
fn a_link_that_is_cut_ten_times_brings_nothing_twice() {
    let length = 11_000_000;
    let bundle = Bundle::of_length(length);
    let server = breaking(&bundle, 1_000_000);
    let mut gateway = Gateway::new();
    let order = gateway.order(&bundle, &server);
    for _ in 0..10 {
        let (message, progressed) = failed(gateway.attempt(order.clone()));
        assert!(progressed && message.contains("broken off"), "{message}");
    }
    assert!(gateway.part(bundle.data()).exists());
    assert_eq!(gateway.attempt(order), FetchEnd::Complete);
    let all = bundle.manifest.len() + bundle.blobs.values().map(Vec::len).sum::<usize>();
    assert_eq!(server.given(), all as u64);
}
