//! Bytes are read as the config of a Magic Link.

#![no_main]

#[path = "../../protocol/tests/properties/mod.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::config(bytes));
