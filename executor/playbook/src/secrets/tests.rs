#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use keros_protocol::executor::{Change, TaskResult, TaskStatus};
use keros_protocol::limits::shorten;
use keros_protocol::{Interruption, Output, Summary, TaskRef, TimeLimit};
use serde_json::json;

use super::mask::{Cut, Mask, STARS};
use super::*;

fn mask(values: &[&str]) -> Mask {
    let mut mask = Mask::default();
    values.iter().for_each(|value| mask.add(value).unwrap());
    mask
}

fn hidden(mask: &Mask, text: &str) -> String {
    hidden_cut(mask, text, Cut::default())
}

fn hidden_cut(mask: &Mask, text: &str, cut: Cut) -> String {
    let mut text = text.to_owned();
    mask.hide(&mut text, cut);
    text
}

const AT_END: Cut = Cut { at_start: false, at_end: true };
const AT_START: Cut = Cut { at_start: true, at_end: false };

#[test]
fn a_value_is_hidden_in_every_form() {
    let mask = mask(&["  Hunter\"2\t "]);
    for form in ["Hunter\"2", "hunter\"2", "HUNTER\"2", "Hunter\\\"2", "  Hunter\"2\t "] {
        assert_eq!(hidden(&mask, &format!("a {form}.")).replace(' ', ""), "a***.", "{form:?}");
    }
    assert_eq!(hidden(&mask, "Hunter2"), "Hunter2");
}

#[test]
fn lines_of_a_value_are_hidden_also_apart() {
    let mask = mask(&["-----BEGIN\nabcdef\nxyz\n"]);
    assert_eq!(hidden(&mask, "> abcdef\n> xyz"), "> ***\n> xyz", "a line of three characters is everywhere");
    assert_eq!(hidden(&mask, "x-----BEGIN\\nabcdef\\nxyz\\ny"), "x***y");
}

#[test]
fn secrets_that_overlap_leave_nothing() {
    assert_eq!(hidden(&mask(&["abcdef", "defghi"]), "-abcdefghi-"), "-***-");
    assert_eq!(hidden(&mask(&["aaaa"]), "-aaaaa-aaa-"), "-***-aaa-");
    assert_eq!(hidden(&mask(&["abcd", "abcdefgh"]), "abcdefgh abcdx"), "*** ***x");
}

#[test]
fn a_secret_that_was_cut_leaves_no_part() {
    let mask = mask(&["päßword-1"]);
    assert_eq!(hidden_cut(&mask, "out: päßwo", AT_END), "out: ***");
    assert_eq!(hidden_cut(&mask, "out: p\u{fffd}", AT_END), "out: ***\u{fffd}");
    assert_eq!(hidden_cut(&mask, "out: päßwo", Cut::default()), "out: päßwo", "this is no cut");
    assert_eq!(hidden_cut(&mask, "\u{fffd}ßword-1 päßword-1", AT_START), "\u{fffd}*** ***");
    let message = shorten(&format!("{}päßword-1", "x".repeat(20)), 27);
    assert_eq!(hidden(&mask, &message), format!("{}***…", "x".repeat(20)));
}

#[test]
fn an_output_inside_a_text_is_cut_where_it_says_so() {
    let mask = mask(&["päßword-1"]);
    let output = Output { head: "ab päß".to_owned(), omitted_bytes: 9, tail: "ord-1 cd".to_owned() };
    let expected = "ab ***\n[… 9 bytes left out …]\n*** cd";
    assert_eq!(hidden(&mask, &output.to_string()), expected);
    let json = json!({ "out": output.to_string() }).to_string();
    assert_eq!(hidden(&mask, &json), json!({ "out": expected }).to_string());
}

#[test]
fn a_short_value_is_hidden_where_it_stands_alone() {
    let mask = mask(&["ab"]);
    assert_eq!((hidden(&mask, "ab").as_str(), hidden(&mask, "cab").as_str()), (STARS, "cab"));
}

fn path(text: &str) -> SecretPath {
    SecretPath { at: Position::default(), steps: text.split('.').map(str::to_owned).collect() }
}

fn secrets(paths: &[&str]) -> Secrets {
    let paths = paths.iter().map(|text| path(text)).collect();
    Secrets(Rc::new(RefCell::new(Known { paths, ..Known::default() })))
}

#[test]
fn a_path_leads_through_maps_and_lists_to_all_leaves_below() {
    let users = json!([{ "name": "ann", "key": { "a": "one", "b": [2, true, null] } }, { "key": 3 }]);
    let leaves = |text: &str| {
        path(text).leaves("users", &users).into_iter().map(|(_, value)| value).collect::<Vec<_>>()
    };
    assert_eq!(leaves("users.key"), ["one", "2", "3"]);
    assert_eq!(leaves("users.key.a"), ["one"]);
    assert_eq!(leaves("users"), ["one", "2", "ann", "3"]);
    assert!(leaves("other").is_empty() && leaves("users.no").is_empty());
}

#[test]
fn what_is_too_short_to_hide_is_told_without_its_value() {
    let secrets = secrets(&["pin", "empty"]);
    secrets.learn("empty", &json!(["", "  ", null, false]));
    assert_eq!(secrets.take_complaint(), None);
    secrets.learn("pin", &json!({ "sim": 123 }));
    let complaint = secrets.take_complaint().unwrap();
    assert!(complaint.contains("`pin.sim`") && !complaint.contains("123"), "{complaint}");
    assert_eq!(secrets.take_complaint(), None);
}

/// Every text in it is this one.
fn event_of(text: &str) -> Vec<Event> {
    let text = || text.to_owned();
    let task = || TaskRef { number: 1, count: 1, name: text() };
    let output = || Some(Output { head: text(), omitted_bytes: 9, tail: text() });
    let change = Change { property: text(), before: Some(text()), after: Some(text()), diff: Some(text()) };
    let result = TaskResult {
        status: TaskStatus::Failed,
        changes: vec![change],
        message: Some(text()),
        exit_code: Some(1),
        output: output(),
        attempts: Some(2),
    };
    let interruption =
        Interruption { task: Some(task()), last_task: Some(task()), summary: Summary::default() };
    let summary = Summary::default();
    let outcomes = [
        Outcome::Running { task: Some(task()) },
        Outcome::Failed { task: Some(task()), exit_code: None, message: text(), output: output(), summary },
        Outcome::Refused { reason: keros_protocol::RefusalReason::Unparsable, detail: text() },
        Outcome::Cancelled { task: Some(task()), summary, by_root: false },
        Outcome::TimedOut { limit: TimeLimit::Task, task: Some(task()), output: output(), summary },
        Outcome::Interrupted { interruption },
        Outcome::RolledBack { reason: text(), complete: true, remains: vec![text()] },
    ];
    let item = json!({ text(): [text(), { "k": text() }] });
    let mut events = vec![
        Event::TaskStarted {
            task: task(),
            module: String::new(),
            role: Some(text()),
            handler: true,
            file: Some(text()),
            line: 1,
            grouped: false,
        },
        Event::ItemEnded {
            task: task(),
            item_number: 1,
            item,
            result: result.clone(),
            notified: Some(text()),
            duration_ms: None,
        },
        Event::Retrying { task: task(), left: 1, delay_s: 1, message: text() },
        Event::TaskEnded { task: task(), result, notified: vec![text()], duration_ms: 1 },
    ];
    events.extend(outcomes.map(|outcome| Event::Ended { outcome }));
    events
}

#[test]
fn no_field_of_any_event_keeps_a_secret() {
    let mask = mask(&["Hunter2"]);
    for mut event in event_of("a Hunter2 b") {
        event::hide(&mut event, &mask);
        let json = serde_json::to_string(&event).unwrap();
        assert!(json.contains("a *** b") && !json.contains("Hunter2"), "{json}");
    }
}

#[test]
fn a_number_in_an_item_is_hidden() {
    let mut item = json!({ "pin": 123_456, "other": 12 });
    mask(&["123456"]).hide_in_value(&mut item);
    assert_eq!(item, json!({ "pin": "***", "other": 12 }));
}

/// Numbers that look random: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }

    fn text(&mut self, alphabet: &str, least: usize, most: usize) -> String {
        let alphabet: Vec<char> = alphabet.chars().collect();
        let length = least + self.below(most - least + 1);
        (0..length).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }
}

/// Letters stand in secrets only, so that no letter may be left of an event.
const LETTERS: &str = "abAByzäß日";
const FILLER: &str = "0123 .:/-_=+";

/// A form in which a secret may stand in a text.
fn form(random: &mut Random, secret: &str) -> String {
    let json = |text: &str| serde_json::to_string(text).unwrap().trim_matches('"').to_owned();
    match random.below(6) {
        0 => secret.to_lowercase(),
        1 => secret.to_uppercase(),
        2 => json(secret),
        3 => json(&secret.to_uppercase()),
        4 => secret.lines().map(|line| format!("{}{line}\n", random.text("+->| ", 0, 2))).collect(),
        _ => secret.trim().to_owned(),
    }
}

/// A text with secrets in it, perhaps cut at one end.
fn text_with(random: &mut Random, secrets: &[String]) -> String {
    let mut text = random.text(FILLER, 0, 9);
    for _ in 0..=random.below(3) {
        let secret = &secrets[random.below(secrets.len())];
        text += &form(random, secret);
        text += &random.text(FILLER, 0, 9);
    }
    text
}

fn letters_of(json: &serde_json::Value) -> String {
    match json {
        serde_json::Value::String(text) => text.chars().filter(|c| c.is_alphabetic()).collect(),
        serde_json::Value::Array(list) => list.iter().map(letters_of).collect(),
        serde_json::Value::Object(map) => {
            let shown =
                map.iter().filter(|(key, _)| !["event", "status", "reason", "limit"].contains(&key.as_str()));
            shown.map(|(_, value)| letters_of(value)).collect()
        }
        _ => String::new(),
    }
}

#[test]
fn random_events_keep_nothing_of_random_secrets() {
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    for round in 0..400 {
        let secrets: Vec<String> = (0..=random.below(3))
            .map(|_| {
                let lines = random.below(3) + 1;
                let line = |random: &mut Random| {
                    random.text(" \"\\", 0, 1) + &random.text(LETTERS, 4, 9) + &random.text(" \t", 0, 1)
                };
                (0..lines).map(|_| line(&mut random)).collect::<Vec<_>>().join("\n")
            })
            .collect();
        let texts: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let mask = mask(&texts);
        let text = text_with(&mut random, &secrets);
        for mut event in event_of(&text) {
            event::hide(&mut event, &mask);
            let mut json = serde_json::to_value(&event).unwrap();
            // The map's key `k` of the example is no secret.
            json.as_object_mut().unwrap().remove("item");
            assert_eq!(letters_of(&json), "", "round {round}: {secrets:?} in {text:?}: {json}");
        }
        let quiet = random.text(FILLER, 0, 40);
        assert_eq!(hidden(&mask, &quiet), quiet, "round {round}: {secrets:?}");
    }
}

#[test]
fn outputs_cut_anywhere_keep_nothing_of_random_secrets() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for round in 0..400 {
        let secret = random.text(LETTERS, 4, 40);
        let mask = mask(&[&secret]);
        let mut text = String::new();
        for _ in 0..6 {
            text += &random.text(FILLER, 0, 30);
            text += &secret;
        }
        let room = random.below(text.len());
        let (head, tail) = text.as_bytes().split_at(room);
        let skipped = random.below(tail.len());
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (head, tail) = (lossy(head), lossy(&tail[skipped..]));
        let left = hidden_cut(&mask, &head, AT_END) + &hidden_cut(&mask, &tail, AT_START);
        let letters: String = left.chars().filter(|c| c.is_alphabetic()).collect();
        assert_eq!(letters, "", "round {round}: {secret:?} in {head:?} … {tail:?}");
    }
}

/// No deadline of a task ends the search. One that looked for each secret at each place would take hours here.
#[test]
fn very_many_secrets_that_begin_alike_are_searched_for_together() {
    let alike: Vec<String> = (0..50_000).map(|n| format!("aaaa{n:0>60}")).collect();
    let many = mask(&alike.iter().map(String::as_str).collect::<Vec<_>>());
    let long = "a".repeat(512 * 1024);
    let long_mask = mask(&[&format!("{long}b")]);
    assert_eq!(hidden(&many, &long), long);
    assert_eq!(hidden_cut(&long_mask, &long, AT_START), long);
    assert_eq!(hidden_cut(&long_mask, &long, AT_END), STARS);
}
