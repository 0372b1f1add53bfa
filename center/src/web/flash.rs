//! One line for the next page: what a form has done. It is in a cookie, which the page that shows it removes.

use axum::http::{HeaderMap, HeaderValue, header};
use cookie::{Cookie, SameSite};

const NAME: &str = "keros-flash";

/// Characters that are kept: a cookie holds 4096 bytes, and each character may become nine of them.
const MAX_CHARS: usize = 300;

/// The line that a request brings.
pub(super) fn of(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|line| Cookie::split_parse_encoded(line.to_owned()))
        .filter_map(Result::ok)
        .find(|cookie| cookie.name() == NAME)
        .map(|cookie| cookie.value().chars().take(MAX_CHARS).collect())
}

/// The header that keeps a line for the next page.
pub(super) fn keep(text: &str) -> Option<HeaderValue> {
    let text: String = text.chars().take(MAX_CHARS).collect();
    set(cookie::time::Duration::minutes(1), text)
}

/// The header that removes it.
pub(super) fn removed() -> Option<HeaderValue> {
    set(cookie::time::Duration::ZERO, String::new())
}

fn set(max_age: cookie::time::Duration, text: String) -> Option<HeaderValue> {
    let cookie = Cookie::build((NAME, text))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .max_age(max_age)
        .build();
    HeaderValue::from_str(&cookie.encoded().to_string()).ok()
}
