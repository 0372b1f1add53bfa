//! Bytes are read as an enrolment line, as a center's answer, as a certificate and as a certificate request.

#![no_main]

#[path = "../../protocol/tests/properties/mod.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::enrolment(bytes));
