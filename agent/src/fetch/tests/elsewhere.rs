//! Sources that send on, ask for a log-in, or are behind a proxy or TLS; and who gets to hear a secret.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use super::bundle::Bundle;
use super::server::{Asked, Server, say};
use super::*;
use crate::config::RegistryLogin;

const TOKEN: &str = "Bearer of.the.command";

fn good(bundle: &Bundle) -> Server {
    let bundle = bundle.clone();
    Server::start(move |asked, stream, counts| bundle.serve(asked, stream, counts))
}

/// Sends on to the same path of another server.
fn sending_on(to: String) -> Server {
    Server::start(move |asked, stream, _| {
        say(stream, "307 Temporary Redirect", &format!("Location: {to}{}\r\n", asked.path), b"")
    })
}

fn with_token(gateway: &mut Gateway, bundle: &Bundle, server: &Server) -> Order {
    Order { token: Some("of.the.command".to_owned()), ..gateway.order(bundle, server) }
}

fn authorization(asked: &Asked) -> Option<&str> {
    asked.headers.get("authorization").map(String::as_str)
}

/// Fails until it is refused; the words of the refusal.
fn in_the_end(gateway: &mut Gateway, order: Order) -> (RefusalReason, String) {
    for _ in 1..STUBBORN_ATTEMPTS {
        failed(gateway.attempt(order.clone()));
    }
    refused(gateway.attempt(order))
}

#[test]
fn a_source_sends_on_only_to_hosts_that_were_named_and_the_token_stays() {
    let bundle = Bundle::of_length(1000);
    let elsewhere = good(&bundle);
    let source = sending_on(format!("http://{}", elsewhere.address));
    let mut gateway = Gateway::new();
    let order = with_token(&mut gateway, &bundle, &source);
    let (reason, detail) = in_the_end(&mut gateway, order);
    assert_eq!(reason, RefusalReason::FetchFailed);
    assert!(detail.contains("redirect_hosts"), "{detail}");
    assert_eq!(elsewhere.paths(), [] as [String; 0]);

    let host = elsewhere.address.to_string();
    let mut gateway = Gateway::with(|means| means.settings.redirect_hosts = vec![host]);
    let order = with_token(&mut gateway, &bundle, &source);
    assert_eq!(gateway.attempt(order), FetchEnd::Complete);
    assert!(source.asked().iter().all(|asked| authorization(asked) == Some(TOKEN)));
    assert!(elsewhere.asked().iter().all(|asked| authorization(asked).is_none()));
}

#[test]
fn a_source_that_sends_on_for_ever_or_nowhere_is_given_up() {
    let bundle = Bundle::of_length(1000);
    for location in
        ["", "Location: /v2/again\r\n", "Location: again\r\n", "Location: ftp://x/\r\n", "Location: \r\n"]
    {
        let source = Server::start(move |_, stream, _| say(stream, "302 Found", location, b""));
        let mut gateway = Gateway::new();
        let order = gateway.order(&bundle, &source);
        assert_eq!(in_the_end(&mut gateway, order).0, RefusalReason::FetchFailed, "{location}");
        assert!(source.paths().len() <= 6 * STUBBORN_ATTEMPTS as usize);
    }
}

#[test]
fn a_source_without_tls_is_asked_only_where_that_is_allowed() {
    let bundle = Bundle::of_length(1000);
    let server = good(&bundle);
    let mut gateway = Gateway::with(|means| means.settings.allow_http = false);
    let (reason, detail) = refused(gateway.fetch(&bundle, &server));
    assert_eq!(reason, RefusalReason::FetchFailed);
    assert!(detail.contains("allow_http"), "{detail}");
    assert_eq!(server.paths(), [] as [String; 0]);
}

/// A registry that gives nothing without this `Authorization`, and says `challenge`.
fn locked(bundle: &Bundle, key: &'static str, challenge: String) -> Server {
    let bundle = bundle.clone();
    Server::start(move |asked, stream, counts| match authorization(asked) == Some(key) {
        true => bundle.serve(asked, stream, counts),
        false => say(stream, "401 Unauthorized", &format!("WWW-Authenticate: {challenge}\r\n"), b"{}"),
    })
}

fn logging_in(folder: &Path, registry: &Server, hosts: Vec<String>) -> Gateway {
    let file = folder.join("password");
    std::fs::write(&file, "geheim\n").unwrap();
    Gateway::with(|means| {
        means.settings.registry_login = Some(RegistryLogin {
            host: registry.address.to_string(),
            username: "gateways".to_owned(),
            password_file: file,
        });
        means.settings.redirect_hosts = hosts;
    })
}

/// `gateways:geheim`
const LOGIN: &str = "Basic Z2F0ZXdheXM6Z2VoZWlt";

#[test]
fn a_registry_gets_the_log_in_that_it_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = Bundle::of_length(1000);
    let source = locked(&bundle, LOGIN, "Basic realm=\"x\"".to_owned());
    let mut gateway = logging_in(folder.path(), &source, Vec::new());
    assert_eq!(gateway.fetch(&bundle, &source), FetchEnd::Complete);
    assert_eq!(source.paths().len(), 5, "it is asked for the log-in once");

    // Another one that asks for it does not.
    let other = locked(&bundle, LOGIN, "Basic realm=\"x\"".to_owned());
    let mut gateway = logging_in(folder.path(), &source, Vec::new());
    let order = gateway.order(&bundle, &other);
    let (_, detail) = in_the_end(&mut gateway, order);
    assert!(detail.contains("registry_username"), "{detail}");
    assert!(other.asked().iter().all(|asked| authorization(asked).is_none()));
}

#[test]
fn a_token_service_gets_the_log_in_and_the_registry_its_token() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = Bundle::of_length(1000);
    let service = Server::start(|asked, stream, _| match authorization(asked) {
        Some(LOGIN) => say(stream, "200 OK", "", br#"{"token":"of.the.service"}"#),
        _ => say(stream, "401 Unauthorized", "", b"{}"),
    });
    let challenge = |service: &Server| {
        format!(
            r#"Bearer realm="http://{}/token",service="reg",scope="repository:links:pull""#,
            service.address
        )
    };
    let source = locked(&bundle, "Bearer of.the.service", challenge(&service));
    let mut gateway = logging_in(folder.path(), &source, vec![service.address.to_string()]);
    assert_eq!(gateway.fetch(&bundle, &source), FetchEnd::Complete);
    assert_eq!(service.paths(), ["/token?service=reg&scope=repository:links:pull"]);
    assert!(source.asked().iter().all(|asked| authorization(asked) != Some(LOGIN)));

    // A service that nobody has named hears no secret.
    let stranger = Server::start(|_, stream, _| say(stream, "200 OK", "", br#"{"token":"x"}"#));
    let source = locked(&bundle, "Bearer x", challenge(&stranger));
    let mut gateway = logging_in(folder.path(), &source, vec![service.address.to_string()]);
    let order = gateway.order(&bundle, &source);
    in_the_end(&mut gateway, order);
    assert_eq!(stranger.paths(), [] as [String; 0]);
}

#[test]
fn a_command_that_brings_a_token_uses_no_other_log_in() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = Bundle::of_length(1000);
    let source = locked(&bundle, LOGIN, "Basic realm=\"x\"".to_owned());
    let mut gateway = logging_in(folder.path(), &source, Vec::new());
    let order = with_token(&mut gateway, &bundle, &source);
    assert_eq!(in_the_end(&mut gateway, order).0, RefusalReason::FetchFailed);
    assert!(source.asked().iter().all(|asked| authorization(asked) == Some(TOKEN)));
}

/// A proxy that passes connections on, and tells where to.
fn proxy() -> (String, Arc<std::sync::Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let targets = Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = Arc::clone(&targets);
    std::thread::spawn(move || {
        for mut client in listener.incoming().filter_map(Result::ok) {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                client.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            let target =
                head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
            let mut server = TcpStream::connect(&target).unwrap();
            told.lock().unwrap().push(target);
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            std::thread::spawn(move || std::io::copy(&mut server, &mut client));
        }
    });
    (address, targets)
}

#[test]
fn a_proxy_passes_on_to_the_source() {
    let bundle = Bundle::of_length(1000);
    let server = good(&bundle);
    let (address, targets) = proxy();
    let mut gateway = Gateway::with(|means| means.settings.proxy = Some(address));
    assert_eq!(gateway.fetch(&bundle, &server), FetchEnd::Complete);
    assert_eq!(*targets.lock().unwrap(), [server.address.to_string()]);
}

#[test]
fn what_fails_at_a_proxy_names_the_proxy() {
    let bundle = Bundle::of_length(1000);
    let server = good(&bundle);
    // Nobody listens there any more.
    let address = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let mut gateway = Gateway::with(|means| means.settings.proxy = Some(address.clone()));
    let (message, _) = failed(gateway.fetch(&bundle, &server));
    assert!(message.contains(&format!(" by way of {address}: ")), "{message}");
    assert_eq!(server.paths(), [] as [String; 0]);
}
