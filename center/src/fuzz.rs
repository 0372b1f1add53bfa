//! What people write and bring, changed at random: it is read or refused, never a panic or a hang, and what is read holds its properties.
//! What only some module sees is fuzzed there: requests in `rest::fuzz`, messages of gateways in `service::tests::fuzz`.

use std::path::Path;

use keros_fuzzing::{fuzz, in_a_limited_process};
use keros_protocol::Eui;

use crate::cli::text::{parse_duration_s, parse_utc, utc};
use crate::gateway::rule::{Facts, MAX_RULE_BYTES, Rule};
use crate::gateway::{file, label};
use crate::plan::{Stage, Window};
use crate::service::fleet::{place_from, place_text, sort_from};
use crate::store::fleet::Sort;
use crate::webhooks::{Reach, check_url};

fn seeds(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// A text is taken for a rule, a window, a stage, times, a cursor, an address.
fn small(text: &str) {
    if let Ok(rule) = text.parse::<Rule>() {
        assert!(text.len() <= MAX_RULE_BYTES);
        // Whoever tells nothing of himself meets no condition, and so only the rule that has none.
        let unknown = Facts { model: None, keros: None, labels: &[] };
        let asks_for_labels = text.contains("label");
        assert!(asks_for_labels || rule.is_met_by(unknown) == rule.conditions.is_empty(), "{text:?}");
    }
    if let Ok(window) = text.parse::<Window>() {
        assert_eq!(window.to_string().parse(), Ok(window), "{text:?}");
        for now in [0, 951_782_399, 1_767_225_600, 4_102_444_800] {
            let opening = window.next_opening(now);
            assert!(opening >= now && opening <= now + 8 * 86_400, "{text:?} at {now}: {opening}");
            assert!(window.open_until(opening).is_some_and(|end| end > opening), "{text:?} at {now}");
        }
    }
    if let Ok(stage) = text.parse::<Stage>() {
        assert_eq!(stage.to_string().parse(), Ok(stage), "{text:?}");
    }
    if let Ok(at) = parse_utc(text) {
        assert!(!utc(at).is_empty());
    }
    let _ = parse_duration_s(text);
    if let Ok((sort, _)) = sort_from(Some(text)) {
        let word = text.trim().trim_start_matches('-');
        assert!(["", "eui", "name", "telemetry", "keros", "status"].contains(&word), "{text:?} {sort:?}");
    }
    for sort in [Sort::Eui, Sort::Name, Sort::Telemetry, Sort::Keros, Sort::Status] {
        if let Ok(place) = place_from(text, sort) {
            assert_eq!(place_from(&place_text(&place), sort).ok(), Some(place), "{text:?}");
        }
    }
    if check_url(text, Reach::Public).is_ok() {
        let (scheme, rest) = text.split_once("://").unwrap();
        let authority = rest.split(['/', '?', '#']).next().unwrap();
        assert!(scheme.eq_ignore_ascii_case("https") && !authority.contains('@'), "{text:?}");
        for inside in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]"] {
            assert_ne!(authority, inside, "{text:?}");
        }
    }
    let _ = text.parse::<Eui>();
}

#[test]
fn a_rule_window_stage_time_cursor_or_address_is_read_or_refused() {
    in_a_limited_process("fuzz::a_rule_window_stage_time_cursor_or_address_is_read_or_refused", || {
        let seeds = seeds(&[
            "model = wiis, fevo and keros >= 6.3 and label != test",
            "mon-fri 22:00-04:00+01:00",
            "22:00-04:00",
            "5%",
            "2026-11-27T20:00Z",
            "90d",
            "1767225600.7076FF0056070123",
            "6e6f727468.7076FF0056070123",
            "-telemetry",
            "https://hooks.example:8443/keros?a=b",
            "https://[2001:db8::1]/",
        ]);
        fuzz(&seeds, SMALL_WORDS, &mut |input| small(&String::from_utf8_lossy(&input)));
    });
}

#[test]
fn a_file_of_gateways_is_read_or_told_by_line() {
    in_a_limited_process("fuzz::a_file_of_gateways_is_read_or_told_by_line", || {
        let seeds = seeds(&[
            "eui,name,description,labels\n7076FF0056070123,North roof,\"Key at the desk, floor 2\",site:north roof\n",
            "\u{feff}eui;name\r\n70-76-ff-00-56-07-01-24;mast\r\n",
            "eui\n7076FF0056070125\n",
        ]);
        fuzz(&seeds, CSV_WORDS, &mut |input| {
            let lines_of_input = input.iter().filter(|byte| **byte == b'\n').count() as u64 + 2;
            let (lines, errors) = file::read(&input, |_, _| None);
            assert!(lines.len() <= file::MAX_LINES && errors.len() <= file::MAX_ERRORS + 1);
            // What is said of all of the file is of no line.
            let of_lines =
                errors.iter().filter(|error| !error.message.starts_with("the file is read no further"));
            let numbers = lines.iter().map(|line| line.line).chain(of_lines.map(|error| error.line));
            for number in numbers {
                assert!((1..=lines_of_input).contains(&number), "line {number} of {lines_of_input}");
            }
            for line in &lines {
                let labels = line.labels.as_deref().unwrap_or_default();
                assert_eq!(label::refusal(labels), None, "{line:?}");
            }
        });
    });
}

#[test]
fn no_changed_backup_is_taken_for_whole() {
    in_a_limited_process("fuzz::no_changed_backup_is_taken_for_whole", || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (made, data) = (folder.path().join("made.tar"), folder.path().join("data"));
        std::fs::create_dir(&data).unwrap();
        runtime.block_on(async {
            let store = crate::store::Store::open(&data, None).await.unwrap();
            crate::backup::write(&store, &folder.path().join("blobs"), &made).await.unwrap();
            store.close().await;
        });
        let seed = std::fs::read(&made).unwrap();
        let (_, whole) = runtime.block_on(crate::backup::check(&made)).unwrap();
        let changed = folder.path().join("changed.tar");
        fuzz(&[seed], BACKUP_WORDS, &mut |input| {
            std::fs::write(&changed, input).unwrap();
            // It is whole only when all that the digest covers is there.
            if let Ok((_, end)) = runtime.block_on(crate::backup::check(Path::new(&changed))) {
                assert_eq!(end, whole);
            }
        });
    });
}

const SMALL_WORDS: &[&str] = &[
    " and ",
    "model",
    "label",
    "keros",
    " = ",
    "!=",
    ">=",
    "<=",
    "<",
    ",",
    ".",
    "6.3",
    "4294967296",
    "\"",
    "é",
    "\0",
    "%",
    "0",
    "100%",
    "mon",
    "sun",
    "-",
    "24:00",
    "00:00",
    "23:59",
    "+14:00",
    "-12:00",
    "Z",
    "T",
    "2026",
    "d",
    "s",
    "7076FF0056070123",
    "18446744073709551616",
    "https://",
    "http://",
    "@",
    "[::1]",
    "127.0.0.1",
    "169.254.169.254",
    "[::ffff:10.0.0.1]",
    "/",
    "#",
    "\\",
    "\n",
];

const CSV_WORDS: &[&str] = &[
    ",",
    ";",
    "\"",
    "\"\"",
    "\n",
    "\r\n",
    "\r",
    "eui",
    "name",
    "labels",
    "retired",
    "7076FF0056070123",
    "\0",
    "\u{feff}",
    "é",
    " ",
    "\t",
    "=1+1",
    "@",
    "site:north",
];

const BACKUP_WORDS: &[&str] = &[
    "\0",
    "ustar",
    "rows/",
    "blobs/",
    "end.json",
    "backup.json",
    "../",
    "77777777777",
    "00000000000",
    "{",
    "}",
    "[",
    "]",
    "\"",
    ",",
    "null",
    "\"format\":1",
    "\"table\":\"gateways\"",
    "L",
    "x",
    "g",
];
