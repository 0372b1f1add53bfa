//! Messages of gateways changed at random: each is understood or left out by name, and is of the gateway whose topic it came by.

use keros_fuzzing::{fuzz, in_a_limited_process};
use keros_protocol::Eui;
use keros_protocol::topics::{Leaf, Prefix};

use super::super::incoming;

const EUI: Eui = Eui::from_u64(0x7076_FF00_5607_0123);

fn take(prefix: &Prefix, input: &[u8]) {
    for leaf in [Leaf::Telemetry, Leaf::Report, Leaf::Presence] {
        if let Ok(message) = incoming::read(prefix, &prefix.topic(EUI, leaf), input) {
            assert_eq!(message.eui(), EUI);
        }
    }
    let topic = String::from_utf8_lossy(input);
    if let Ok(message) = incoming::read(prefix, &topic, b"online") {
        assert!(topic.contains(&message.eui().to_string()), "{topic:?}");
    }
}

#[test]
fn a_message_of_a_gateway_is_understood_or_left_out() {
    in_a_limited_process("service::tests::fuzz::a_message_of_a_gateway_is_understood_or_left_out", || {
        let wire = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/tests/wire/v1");
        // Small things of every kind, as the protocol's own tests hold them.
        let mut seeds: Vec<Vec<u8>> =
            keros_fuzzing::files_in(&wire).into_iter().filter(|seed| seed.len() < 64 * 1024).collect();
        seeds.push(b"keros/v1/7076FF0056070123/telemetry".to_vec());
        let prefix = Prefix::default();
        fuzz(&seeds, WORDS, &mut |input| take(&prefix, &input));
    });
}

const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "null",
    "-1",
    "1e999",
    "18446744073709551616",
    "\\u0000",
    "\0",
    "é",
    "/",
    "+",
    "#",
    "keros/v1/",
    "\"eui\":\"7076FF0056070123\",",
    "\"status\":\"succeeded\",",
    "\"status\":\"from the future\",",
    "\"tasks\":[],",
    "\"output\":{},",
    "online",
    "offline",
];
