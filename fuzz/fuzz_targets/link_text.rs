//! A text is read as each of a Magic Link's small forms: title, digest, KerOS range, source, declared gateways.

#![no_main]

#[path = "../../protocol/tests/properties/mod.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|text: &str| properties::text(text));
