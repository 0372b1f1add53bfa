//! What a registry asks for before it answers: nothing, a log-in, or a token from its token service
//! (<https://distribution.github.io/distribution/spec/auth/token/>).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;

/// What a `401` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// User name and password with each request.
    Basic,
    /// A token from this URL.
    Token(String),
}

/// The answer of a token service; one of the two is there.
#[derive(Deserialize)]
struct Given {
    token: Option<String>,
    access_token: Option<String>,
}

impl Challenge {
    /// Reads the values of an answer's headers `WWW-Authenticate` (RFC 9110, section 11.6.1); a token before a password. `None` when
    /// they ask for something else.
    #[must_use]
    pub fn of(values: &[&str]) -> Option<Self> {
        let of = |scheme: &'static str| {
            values.iter().find_map(|text| {
                let (name, rest) = text.trim_start().split_once(' ').unwrap_or((text.trim(), ""));
                name.eq_ignore_ascii_case(scheme).then_some(rest)
            })
        };
        let token = of("Bearer").and_then(token_url);
        token.map(Self::Token).or_else(|| of("Basic").map(|_| Self::Basic))
    }
}

fn token_url(parameters: &str) -> Option<String> {
    let mut url = parameter(parameters, "realm")?;
    for name in ["service", "scope"] {
        if let Some(value) = parameter(parameters, name) {
            let joint = if url.contains('?') { '&' } else { '?' };
            url.push_str(&format!("{joint}{name}={}", percent_encoded(&value)));
        }
    }
    Some(url)
}

/// The value of one `name="value"` among several, which `,` divides (RFC 9110, section 11.2).
fn parameter(mut text: &str, wanted: &str) -> Option<String> {
    loop {
        let (name, rest) = text.split_once('=')?;
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => rest.split_once(',').unwrap_or((rest, "")),
        };
        if name.trim_matches([' ', ',']).eq_ignore_ascii_case(wanted) {
            return Some(value.trim().to_owned());
        }
        text = rest;
    }
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b'/' => {
                encoded.push(char::from(byte));
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

/// The value of `Authorization` that a log-in makes (RFC 7617).
#[must_use]
pub fn basic_authorization(name: &str, password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{name}:{password}")))
}

/// The value of `Authorization` that a token service's answer makes; `None` when there is no token in it that could be sent.
#[must_use]
pub fn bearer_authorization(answer: &[u8]) -> Option<String> {
    let given: Given = serde_json::from_slice(answer).ok()?;
    let token = given.token.or(given.access_token)?;
    (!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()))
        .then(|| format!("Bearer {token}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Option<Challenge> {
        Challenge::of(values)
    }

    #[test]
    fn challenges_are_read() {
        let bearer = r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull""#;
        let url = "https://auth.example/token?service=registry.example&scope=repository:a/b:pull";
        assert_eq!(read(&["Basic realm=\"x\"", bearer]), Some(Challenge::Token(url.to_owned())));
        let other = r#"bearer scope="a b,c" , realm="https://a/t?x=1""#;
        assert_eq!(read(&[other]), Some(Challenge::Token("https://a/t?x=1&scope=a%20b%2Cc".to_owned())));
        assert_eq!(read(&["basic"]), Some(Challenge::Basic));
        for none in ["", "Digest realm=\"x\"", "Bearer", "Bearer realm=\"open", "Bearer service=\"x\""] {
            assert_eq!(read(&[none]), None, "{none}");
        }
    }

    #[test]
    fn tokens_are_read() {
        assert_eq!(
            bearer_authorization(br#"{"token":"abc","expires_in":60}"#).as_deref(),
            Some("Bearer abc")
        );
        assert_eq!(bearer_authorization(br#"{"access_token":"abc"}"#).as_deref(), Some("Bearer abc"));
        for none in [&b"{}"[..], b"", br#"{"token":""}"#, br#"{"token":"a\nb"}"#, br#"{"token":5}"#] {
            assert_eq!(bearer_authorization(none), None);
        }
        // RFC 7617, section 2.
        assert_eq!(basic_authorization("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }
}
