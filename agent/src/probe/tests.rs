//! What answers on the port is none of what it should be. Real brokers are in `tests/e2e/doctor`.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use keros_machine::TimeJudge;
use keros_protocol::topics::Prefix;

use super::*;
use crate::clock::{BUILT_AT_UNIX_S, Clock};
use crate::config::TlsSettings;

const EUI: Eui = Eui::from_u64(0x7076_FF00_5607_0123);
const LIMIT: Duration = Duration::from_secs(20);

fn settings(host: &str, port: u16) -> BrokerSettings {
    BrokerSettings {
        host: host.to_owned(),
        port,
        tls: None,
        username: None,
        password_file: None,
        topic_prefix: Prefix::default(),
        keep_alive: Duration::from_secs(300),
        reconnect_max: Duration::from_secs(300),
    }
}

fn trouble(broker: &BrokerSettings, limit: Duration) -> (Step, TroubleKind) {
    let time = SharedTime::new(Clock::new(), TimeJudge::new(BUILT_AT_UNIX_S));
    let results = probe(&Target { broker, eui: EUI, time: &time, login: Login::AsAgent }, limit);
    let steps: Vec<Step> = results.iter().map(|result| result.step).collect();
    assert_eq!(steps, [Step::Name, Step::Tcp, Step::Tls, Step::LogIn, Step::Topic], "{results:?}");
    let (step, trouble) = failure(&results).unwrap();
    let advice = trouble.kind.advice(broker, "EUI") + &trouble.kind.says(broker);
    assert!(!advice.contains("  "), "no indentation of the source in it: {advice}");
    (step, trouble.kind)
}

/// A server that sends this to the first one who connects, whatever it says.
fn says(answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = [0; 1024];
        let _ = stream.read(&mut bytes);
        stream.write_all(answer).unwrap();
    });
    port
}

#[test]
fn nobody_listens() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_eq!(trouble(&settings("127.0.0.1", port), LIMIT), (Step::Tcp, TroubleKind::Refused));
}

#[test]
fn a_name_that_does_not_exist() {
    // RFC 6761: never a name of anybody. Without a name server the other kind is right too.
    let (step, kind) = trouble(&settings("broker.invalid", 1), LIMIT);
    assert_eq!(step, Step::Name);
    assert!(matches!(kind, TroubleKind::NameUnknown | TroubleKind::NameServers), "{kind:?}");
}

#[test]
fn what_answers_is_no_mqtt_5_broker() {
    for (answer, kind) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], TroubleKind::OtherProtocol),
        (b"\x15\x03\x03\x00\x02\x02\x46", TroubleKind::OtherProtocol),
        // MQTT 3.1.1: unacceptable protocol version.
        (b"\x20\x02\x00\x01", TroubleKind::OtherProtocol),
        (b"\x20\x03\x00\x84\x00", TroubleKind::OtherProtocol),
        (b"\x20\xff\xff\xff\x7f", TroubleKind::OtherProtocol),
        (b"\x20\x03\x00\x86\x00", TroubleKind::WrongPassword),
        (b"\x20\x03\x00\x87\x00", TroubleKind::NotAuthorised),
        (b"\x20\x03\x00\x85\x00", TroubleKind::ClientId),
        (b"\x20\x03\x00\x89\x00", TroubleKind::Busy),
        (b"\x20\x03\x00\x80\x00", TroubleKind::LogInRefused),
        (b"\xe0\x02\x8b\x00", TroubleKind::LogInRefused),
        (b"", TroubleKind::Closed),
    ] {
        let found = trouble(&settings("127.0.0.1", says(answer)), LIMIT);
        assert_eq!(found, (Step::LogIn, kind), "{answer:?}");
    }
}

#[test]
fn a_password_file_that_is_missing() {
    let mut broker = settings("127.0.0.1", says(b""));
    broker.password_file = Some("/nonexistent/password".into());
    assert_eq!(trouble(&broker, LIMIT), (Step::LogIn, TroubleKind::PasswordFile));
}

#[test]
fn tls_is_not_spoken_or_its_files_are_missing() {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    let mut broker = settings("127.0.0.1", says(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    broker.tls = Some(TlsSettings { ca_file: ca_file.clone(), client: None });
    assert_eq!(trouble(&broker, LIMIT), (Step::Tls, TroubleKind::TlsFiles));

    std::fs::write(&ca_file, include_str!("../../../packaging/config.yaml")).unwrap();
    broker.port = says(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_eq!(trouble(&broker, LIMIT), (Step::Tls, TroubleKind::TlsFiles), "no certificate in it");
}

#[test]
fn a_broker_that_says_nothing_takes_no_longer_than_the_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let broker = settings("127.0.0.1", listener.local_addr().unwrap().port());
    let begin = Instant::now();
    assert_eq!(trouble(&broker, Duration::from_millis(300)), (Step::LogIn, TroubleKind::NoAnswer));
    assert!(begin.elapsed() < LIMIT);
}
