//! A text is compiled and rendered as a template, and asked as a condition.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| keros_playbook::fuzzing::template(text));
