//! Every reader of outside data against mutated frozen messages: it may refuse, it may not panic. Deterministic; the number of
//! rounds is raised by `KEROS_FUZZ_ROUNDS`.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use keros_protocol::executor::{Event, Request};
use keros_protocol::{
    Command, Downlink, Envelope, Eui, KeyRing, Report, SigningKey, Statement, Telemetry, TrustedKey,
};
use keros_protocol::{eligibility, topics};

/// xorshift64*: a stream of numbers that is the same everywhere.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap_or(0) % limit.max(1)
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/v1");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn mutate(seed: &[u8], other: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len() + 1);
        match numbers.below(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, u8::try_from(numbers.below(256)).unwrap()),
            2 if at < bytes.len() => bytes[at] ^= 1 << numbers.below(8),
            3 if at < bytes.len() => drop(bytes.remove(at)),
            4 => {
                let from = numbers.below(other.len());
                let part = &other[from..(from + numbers.below(64)).min(other.len())];
                bytes.splice(at..at, part.iter().copied());
            }
            _ => bytes.splice(at..at, *b"99999999999999999999").for_each(drop),
        }
    }
    bytes
}

fn read_all(bytes: &[u8], ring: &KeyRing) {
    let _ = serde_json::from_slice::<Statement>(bytes);
    let _ = serde_json::from_slice::<Report>(bytes).map(|report| report.outcome.to_string());
    let _ = serde_json::from_slice::<Telemetry>(bytes);
    let _ = serde_json::from_slice::<Command>(bytes);
    let _ = serde_json::from_slice::<Request>(bytes);
    let _ = serde_json::from_slice::<Event>(bytes);
    let gateway =
        eligibility::Gateway { eui: Eui::from_u64(1), keros: None, command_keys: ring, now_unix_s: 0 };
    let envelopes = serde_json::from_slice::<Downlink>(bytes).map(|d| d.commands).unwrap_or_default();
    for envelope in envelopes.into_iter().chain(serde_json::from_slice::<Envelope>(bytes)) {
        let _ = eligibility::claimed_ids(&envelope);
        assert!(eligibility::check(&envelope, &gateway).is_err(), "a mutated command is never accepted here");
    }
    let text = String::from_utf8_lossy(bytes);
    let _ = TrustedKey::from_pem(&text);
    let _ = topics::Prefix::default().parse(&text);
    let _ = text.parse::<Eui>();
    let _ = text.parse::<keros_protocol::KerosVersion>();
}

#[test]
fn no_mutation_of_a_message_panics() {
    let rounds = std::env::var("KEROS_FUZZ_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let ring =
        KeyRing::new(vec![SigningKey::from_pem(&SigningKey::pem_from_seed(&[1; 32])).unwrap().public()]);
    let seeds = seeds();
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
    for _ in 0..rounds {
        let (seed, other) = (&seeds[numbers.below(seeds.len())], &seeds[numbers.below(seeds.len())]);
        read_all(&mutate(seed, other, &mut numbers), &ring);
    }
}
