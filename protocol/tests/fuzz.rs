//! Fuzzing on a stable compiler: no manifest, config or text of a Magic Link panics or hangs, and what is read holds its properties.

#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

mod properties;

use std::path::Path;

use keros_fuzzing::{files_in, fuzz, in_a_limited_process};

#[test]
fn a_manifest_that_is_read_stays_in_its_folder_and_is_written_the_same() {
    in_a_limited_process("a_manifest_that_is_read_stays_in_its_folder_and_is_written_the_same", || {
        fuzz(&corpus("manifest"), MANIFEST_WORDS, &mut |input| properties::manifest(&input));
    });
}

#[test]
fn a_config_that_is_read_declares_somebody_and_is_written_the_same() {
    in_a_limited_process("a_config_that_is_read_declares_somebody_and_is_written_the_same", || {
        fuzz(&corpus("config"), CONFIG_WORDS, &mut |input| properties::config(&input));
    });
}

#[test]
fn a_title_source_range_or_pattern_has_one_spelling_that_says_what_it_means() {
    in_a_limited_process("a_title_source_range_or_pattern_has_one_spelling_that_says_what_it_means", || {
        fuzz(&corpus("text"), TEXT_WORDS, &mut |input| {
            properties::text(&String::from_utf8_lossy(&input));
        });
    });
}

#[test]
fn an_enrolment_line_answer_or_certificate_is_read_or_refused() {
    in_a_limited_process("an_enrolment_line_answer_or_certificate_is_read_or_refused", || {
        let mut seeds = files_in(Path::new("tests/corpus/enrolment"));
        for name in [
            "enrol_line.txt",
            "enrol_issued_password.json",
            "enrol_issued_certificate.json",
            "enrol_renewed.json",
        ] {
            seeds.push(std::fs::read(Path::new("tests/wire/v1").join(name)).unwrap());
        }
        fuzz(&seeds, ENROLMENT_WORDS, &mut |input| properties::enrolment(&input));
    });
}

const ENROLMENT_WORDS: &[&str] = &[
    "KEROS1/",
    "KEROS2/",
    "/",
    ":",
    "::1",
    "\n",
    " ",
    "U",
    "\"",
    "{",
    "}",
    "[",
    "]",
    "null",
    "65536",
    "-----BEGIN CERTIFICATE-----\\n",
    "-----END CERTIFICATE-----\\n",
    "-----BEGIN PRIVATE KEY-----\\n",
    "\"kind\":\"password\"",
    "\u{30}\u{82}",
    "\u{2}\u{1}",
    "\u{7f}",
    "é",
];

const MANIFEST_WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "../",
    "/",
    "a/",
    "\\u0000",
    "\\\\",
    "é",
    "\"size\":0",
    "536870912",
    "-1",
    "1e3",
    "18446744073709551615",
    "null",
    "\"true\"",
    "sha256:",
    "\"mediaType\":\"\",",
    "\"manifests\":[],",
    "\"layers\":[],",
];

const CONFIG_WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "../",
    "/",
    "\\n",
    "\\u001b",
    "é",
    "\"70*\"",
    "*",
    "\"gateways\":[]",
    "null",
    "-1",
    "1.5",
    "18446744073709551615",
    "||",
    ">=",
    "<",
    "4294967295",
    "\"models\":[\"a\"]",
    "\"description\":\"\\u0001\",",
];

const TEXT_WORDS: &[&str] = &[
    "..",
    "/",
    ".",
    "*",
    "||",
    ",",
    ">=",
    "<",
    "=",
    " ",
    "6",
    "4294967295",
    "https://",
    "http://",
    "/v2/",
    "[::1]",
    ":443",
    "@",
    "?",
    "#",
    "%2e",
    "__",
    "--",
    "\\",
    "\0",
    "\u{85}",
    "é",
    "7",
    "F",
    "sha256:",
    "\t",
];

fn corpus(target: &str) -> Vec<Vec<u8>> {
    files_in(&Path::new("tests/corpus").join(target))
}
