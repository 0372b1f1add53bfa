//! Requests changed at random: heads with cookies and tokens, queries, forms and bodies. Each is read or refused, never a panic or a hang.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use keros_fuzzing::{fuzz, in_a_limited_process};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::body::parse;
use super::{edge, encoded, fleet, is_of_another_site, once, session_secret};
use crate::access::AsSeen;
use crate::api::{
    ChangeUser, CreateGroup, CreateToken, CreateUser, CreateWebhook, EditGateway, EnrolOrder, FollowUp,
    LineQuery, LogIn, SendToGateway, SendUpdate, SignLink,
};
use crate::service::fleet::{place_from, sort_from};
use crate::service::line_filter;
use crate::web::SoftwareUpdate;

/// `Name: value`, line by line; what cannot be a header is left out.
fn headers(text: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in text.split(|byte| *byte == b'\n') {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = value.strip_prefix(b": ").or(value.strip_prefix(b":")).unwrap_or(value);
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    headers
}

fn head(input: &[u8]) {
    let headers = headers(input);
    let _ = session_secret(&headers);
    if is_of_another_site(&headers) {
        assert!(headers.contains_key("sec-fetch-site") || headers.contains_key("origin"));
    }
    if let Ok(Some(key)) = once::key(&headers) {
        assert!((1..=128).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()), "{key:?}");
    }
    let text = String::from_utf8_lossy(input);
    // Tags have no blanks inside: one that is made of the whole text is in no list of it.
    assert!(
        !AsSeen::new(text.clone()).has("\"no such tag\"")
            || text.contains('*')
            || text.contains("no such tag")
    );
}

#[test]
fn a_head_with_cookies_tokens_keys_and_tags_is_read_or_refused() {
    in_a_limited_process("rest::fuzz::a_head_with_cookies_tokens_keys_and_tags_is_read_or_refused", || {
        let seed = "Host: center.example\nCookie: theme=dark; keros-session=0123456789abcdef; keros-flash=%C3%A9\n\
                    X-CSRF-Token: 0123\nOrigin: https://center.example\nSec-Fetch-Site: same-origin\nIdempotency-Key: 5c9b2f4e\n\
                    If-Match: \"0123\", W/\"4567\"\nX-Forwarded-For: 203.0.113.9, 192.0.2.1\n";
        fuzz(&[seed.as_bytes().to_vec()], HEAD_WORDS, &mut |input| head(&input));
    });
}

fn query(text: &str) {
    let known: Vec<String> =
        ["search", "status", "limit", "cursor", "sort", "rule"].map(str::to_owned).to_vec();
    let is_refused = edge::check_query(text, &known).is_err();
    if !encoded::is_text(text) {
        // A value that is no text is refused whatever it is for; a name that is none is unknown.
        assert!(is_refused, "{text:?}");
    }
    let uri = format!("/?{text}").parse::<axum::http::Uri>();
    let Ok(uri) = uri else { return };
    if let Ok(axum::extract::Query(asked)) = axum::extract::Query::<fleet::Asked>::try_from_uri(&uri) {
        let _ = asked.part();
    }
    if let Ok(axum::extract::Query(lines)) = axum::extract::Query::<LineQuery>::try_from_uri(&uri)
        && line_filter(&lines).is_ok()
    {
        // What was understood needs no escapes in the link to the next part.
        let link = LineQuery { cursor: None, ..lines }.text();
        assert!(link.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"=&_-".contains(&byte)), "{link:?}");
    }
    if let Ok((sort, _)) = sort_from(Some(text)) {
        let _ = place_from(text, sort);
    }
    for (name, value) in encoded::pairs(text) {
        assert!(name.len() + value.map_or(0, |value| value.len()) <= 3 * text.len());
    }
}

/// The largest form of the pages, as axum reads one.
fn form(text: &str) {
    let Ok(uri) = format!("/?{text}").parse::<axum::http::Uri>() else { return };
    if let Ok(axum::extract::Query(fields)) = axum::extract::Query::<SoftwareUpdate>::try_from_uri(&uri) {
        assert_eq!(fields.script_text().is_empty(), fields.script.is_empty());
        assert!(!fields.plan_sentence().contains('\0') || text.contains("%00"));
        if let Err(wrong) = fields.read() {
            assert!(!wrong.is_empty(), "refused, and nothing is wrong: {text:?}");
        }
    }
}

#[test]
fn a_query_or_a_form_is_read_or_refused() {
    in_a_limited_process("rest::fuzz::a_query_or_a_form_is_read_or_refused", || {
        let seeds = [
            "search=north&status=Unreachable,Warning&sort=-telemetry&limit=100&cursor=1767225600.7076FF0056070123",
            "delivery=waiting&limit=5",
            "differences=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "csrf=0123&kind=jetporch&script=-+name%3A+p%0D%0A&window=22%3A00-04%3A00&stages=1%2C5%25&max_failed=10",
        ]
        .map(|text| text.as_bytes().to_vec());
        fuzz(&seeds, QUERY_WORDS, &mut |input| {
            let text = String::from_utf8_lossy(&input);
            query(&text);
            form(&text);
        });
    });
}

/// What is read is written and read the same.
fn body<T: DeserializeOwned + JsonSchema + Serialize>(input: &[u8]) {
    if let Ok(order) = parse::<T>(input) {
        let text = serde_json::to_vec(&order).unwrap();
        let again = parse::<T>(&text).ok().map(|order| serde_json::to_vec(&order).unwrap());
        assert_eq!(again.as_ref(), Some(&text), "{}", String::from_utf8_lossy(&text));
    }
}

#[test]
fn a_body_is_read_or_refused() {
    in_a_limited_process("rest::fuzz::a_body_is_read_or_refused", || {
        let seeds = [
            r#"{"group":"north","job":{"kind":"jetporch","script":"- name: p\n","vars":{"a":[1,{"b":null}]}},"limits":{"total_s":60},"options":{"dry_run":true,"confirm_window_s":0},"expires_in_s":3600,"plan":{"not_before_unix_s":1,"window":"22:00-04:00","rollout":{"stages":["1","5%"],"max_failed_percent":10}}}"#,
            r#"{"name":"north","description":"d","gateways":["7076FF0056070123"],"rule":"model = wiis","alerting":true,"customer":"main"}"#,
            r#"{"login":"bob","full_name":"B","roles":[{"customer":"main","role":"SERVICE_VIEWER"}]}"#,
            r#"{"url":"https://hooks.example/","events":["update.ended"],"customer":null}"#,
            r#"{"name":"ci","scopes":{"read":true,"update":false},"expires_in_s":86400}"#,
            r#"{"gateways":["70-76-ff-00-56-07-01-24"],"valid_s":86400}"#,
        ]
        .map(|text| text.as_bytes().to_vec());
        let mut turn = 0_usize;
        fuzz(&seeds, BODY_WORDS, &mut |input| {
            // The schemas take most of the time: one type for each input.
            turn += 1;
            match turn % 8 {
                0 => body::<SendUpdate>(&input),
                1 => body::<CreateGroup>(&input),
                2 => body::<CreateUser>(&input),
                3 => body::<CreateWebhook>(&input),
                4 => body::<EditGateway>(&input),
                5 => body::<SendToGateway>(&input),
                6 => body::<FollowUp>(&input),
                _ => {
                    let _ = parse::<LogIn>(&input);
                    let _ = parse::<CreateToken>(&input);
                    let _ = parse::<EnrolOrder>(&input);
                    let _ = parse::<ChangeUser>(&input);
                    let _ = parse::<SignLink>(&input);
                }
            }
        });
    });
}

const HEAD_WORDS: &[&str] = &[
    "Cookie: ",
    "keros-session=",
    ";",
    "=",
    "%00",
    "%",
    "\"",
    "\\",
    ",",
    "*",
    "W/",
    "\n",
    "Origin: ",
    "null",
    "://",
    "Sec-Fetch-Site: ",
    "cross-site",
    "Idempotency-Key: ",
    "If-Match: ",
    "é",
    "\u{7f}",
    " ",
];

const QUERY_WORDS: &[&str] = &[
    "&",
    "=",
    "%",
    "%00",
    "%FF",
    "%C3",
    "+",
    "limit",
    "cursor",
    "sort",
    "rule=",
    "delivery=",
    "outcome=none",
    "overdue=true",
    "-1",
    "0",
    "18446744073709551616",
    "7076FF0056070123",
    ".",
    "é",
    "#",
    "?",
    "/",
    "csrf=",
    "script=",
    "%0D%0A",
];

const BODY_WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "null",
    "true",
    "-1",
    "1e999",
    "1.5",
    "18446744073709551616",
    "\\u0000",
    "\\ud800",
    "\0",
    "é",
    "\"kind\":\"magic_link\"",
    "\"name\":",
    "\"colour\":1,",
    "\"plan\":{}",
    "\"stages\":[\"0%\"]",
    "\"window\":\"\"",
];
