//! Who asks: by the center's own token, a user's API token, or the session of a browser.

use std::net::IpAddr;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use cookie::{Cookie, SameSite};
use ring::digest::{SHA256, digest};

use super::Api;
use super::problem::Failure;
use crate::access::Caller;
use crate::accounts::{Known, same};
use crate::listen::Peer;
use crate::service::{OrderError, unix_now};

/// The cookie of a session.
pub(super) const COOKIE: &str = "keros-session";

/// What a script sends back of a session.
const CSRF_HEADER: &str = "x-csrf-token";

/// The API's token, as its digest: comparing digests takes the same time wherever the first difference is, and tells nothing of
/// the token's length.
pub(crate) struct Token {
    digest: [u8; 32],
}

impl Token {
    /// The token of this text.
    pub(crate) fn new(text: &str) -> Self {
        Self { digest: sha256(text.as_bytes()) }
    }

    /// Whether this is it.
    pub(crate) fn is(&self, given: &[u8]) -> bool {
        let difference = self.digest.iter().zip(sha256(given)).fold(0, |sum, (a, b)| sum | (a ^ b));
        difference == 0
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut array = [0; 32];
    array.copy_from_slice(digest(&SHA256, bytes).as_ref());
    array
}

/// What stands before the center.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Front {
    /// The address of a proxy that speaks TLS to browsers: it is believed from where a request comes, and cookies never go without TLS.
    pub(crate) proxy: Option<IpAddr>,
}

impl Front {
    /// From where a request comes.
    fn address(self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<String> {
        // The last one is the proxy's own word; those before it are the client's.
        let told =
            headers.get_all("x-forwarded-for").iter().next_back().and_then(|value| value.to_str().ok());
        let told = told.and_then(|list| list.rsplit(',').next()?.trim().parse::<IpAddr>().ok());
        match (peer, told) {
            (Some(peer), Some(told)) if self.proxy == Some(peer) => Some(told.to_string()),
            (peer, _) => peer.map(|peer| peer.to_string()),
        }
    }

    /// The header that gives a browser its session.
    pub(crate) fn session_cookie(self, secret: &str) -> Option<HeaderValue> {
        self.cookie(secret.to_owned(), None)
    }

    /// The header that takes it away.
    pub(crate) fn no_session_cookie(self) -> Option<HeaderValue> {
        self.cookie(String::new(), Some(cookie::time::Duration::ZERO))
    }

    fn cookie(self, value: String, max_age: Option<cookie::time::Duration>) -> Option<HeaderValue> {
        let mut cookie = Cookie::build((COOKIE, value)).path("/").http_only(true).same_site(SameSite::Lax);
        if let Some(max_age) = max_age {
            cookie = cookie.max_age(max_age);
        }
        HeaderValue::from_str(&cookie.secure(self.proxy.is_some()).build().to_string()).ok()
    }
}

impl Api {
    /// Who asks; `None`: nobody that is known.
    pub(crate) async fn who(&self, parts: &Parts) -> Result<Option<Known>, OrderError> {
        let address = self.address(parts);
        let found = match bearer(&parts.headers) {
            Some(given) if self.token.is(given.as_bytes()) => Some(Known::root()),
            Some(given) => match self.accounts.by_token(given, unix_now()).await? {
                // A program that has logged in sends what a browser has in its cookie; no browser does that by itself.
                None => {
                    let known = self.accounts.by_session(given, unix_now()).await?;
                    known.map(|known| Known { csrf: None, ..known })
                }
                known => known,
            },
            None => match session_secret(&parts.headers) {
                Some(secret) => self.accounts.by_session(&secret, unix_now()).await?,
                None => None,
            },
        };
        Ok(found.map(|known| Known { caller: known.caller.at(address), ..known }))
    }

    /// From where a request comes.
    pub(crate) fn address(&self, parts: &Parts) -> Option<String> {
        let peer = parts.extensions.get::<Peer>().map(|peer| peer.0);
        self.front.address(peer, &parts.headers)
    }
}

/// Who asks: [`check`] has put him there.
impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        // Not what is in `Known`: it may be a try of a request that is to be done once.
        parts.extensions.get().cloned().ok_or_else(not_logged_in)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Known {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        parts.extensions.get().cloned().ok_or_else(not_logged_in)
    }
}

/// The token that a request carries (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// What the cookie of a session holds.
pub(crate) fn session_secret(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|line| Cookie::split_parse(line.to_owned()))
        .filter_map(Result::ok)
        .find(|cookie| cookie.name() == COOKIE)
        .map(|cookie| cookie.value().to_owned())
}

/// Whether a browser says that another site makes it ask. Programs say nothing.
pub(crate) fn is_of_another_site(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    let Some(origin) = text("origin") else { return false };
    let host = origin.split_once("://").map(|(_, host)| host);
    host.is_none() || host != text("host")
}

/// Lets only requests through of somebody who is known, and keeps in the audit log who was refused what.
pub(super) async fn check(State(api): State<Api>, request: Request, next: Next) -> Result<Response, Failure> {
    let (mut parts, body) = request.into_parts();
    let known = api.who(&parts).await?.ok_or_else(not_logged_in)?;
    if let (Some(csrf), false) = (&known.csrf, matches!(parts.method, Method::GET | Method::HEAD)) {
        let given = parts.headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok());
        if !given.is_some_and(|given| same(given, csrf)) {
            return Err(Failure::new(
                StatusCode::FORBIDDEN,
                "send the header `X-CSRF-Token` with what `GET /session` says, or use an API token",
            ));
        }
    }
    let caller = known.caller.clone();
    let asked = format!("{} {}", parts.method, parts.uri.path());
    parts.extensions.insert(known);
    parts.extensions.insert(caller.clone());
    let response = next.run(Request::from_parts(parts, body)).await;
    if response.status() == StatusCode::FORBIDDEN {
        api.accounts.refused(&caller, &asked, unix_now()).await;
    }
    Ok(response)
}

fn not_logged_in() -> Failure {
    Failure::new(
        StatusCode::UNAUTHORIZED,
        "send the header `Authorization: Bearer TOKEN`: an API token of a user, or the token in the file `api-token` of the center's data \
         folder; or log in with `POST /session`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn only_the_proxy_is_believed_from_where_a_request_comes() {
        let peer: IpAddr = "127.0.0.1".parse().unwrap();
        let behind = Front { proxy: Some(peer) };
        for (front, forwarded, address) in [
            (Front::default(), &[("x-forwarded-for", "192.0.2.1")][..], "127.0.0.1"),
            (behind, &[("x-forwarded-for", "192.0.2.1")][..], "192.0.2.1"),
            (behind, &[("x-forwarded-for", "203.0.113.9, 192.0.2.1")][..], "192.0.2.1"),
            (
                behind,
                &[("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "192.0.2.1")][..],
                "192.0.2.1",
            ),
            (behind, &[("x-forwarded-for", "<script>")][..], "127.0.0.1"),
            (behind, &[][..], "127.0.0.1"),
        ] {
            assert_eq!(
                front.address(Some(peer), &headers(forwarded)).as_deref(),
                Some(address),
                "{forwarded:?}"
            );
        }
    }

    #[test]
    fn cookies_are_for_the_center_alone_and_behind_tls_only_for_tls() {
        let cookie = |front: Front| front.session_cookie("x").unwrap().to_str().unwrap().to_owned();
        let plain = cookie(Front::default());
        assert!(
            plain.contains("HttpOnly") && plain.contains("SameSite=Lax") && !plain.contains("Secure"),
            "{plain}"
        );
        assert!(cookie(Front { proxy: Some([127, 0, 0, 1].into()) }).contains("Secure"));
    }

    #[test]
    fn another_sites_page_is_known_by_what_the_browser_says() {
        for (list, expected) in [
            (&[][..], false),
            (&[("sec-fetch-site", "same-origin")][..], false),
            (&[("sec-fetch-site", "none")][..], false),
            (&[("sec-fetch-site", "cross-site")][..], true),
            (&[("sec-fetch-site", "same-site")][..], true),
            (&[("origin", "https://center.example"), ("host", "center.example")][..], false),
            (&[("origin", "https://evil.example"), ("host", "center.example")][..], true),
            (&[("origin", "null"), ("host", "center.example")][..], true),
        ] {
            assert_eq!(is_of_another_site(&headers(list)), expected, "{list:?}");
        }
    }
}
