//! Who may fetch what: a gateway, by the token of its command, one Magic Link; an operator, by the API's token, everything.

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keros_protocol::magic_link::Digest;
use keros_protocol::{Eui, UnixSeconds};

use super::Registry;
use super::error::{Code, Failure};
use crate::links::{Grant, TokenKey};
use crate::rest::Token;
use crate::service::unix_now;

/// The user name beside the API's token, for clients that know only user and password.
const USER: &str = "api";

/// What a request may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Everything.
    All,
    /// One link.
    Link(Grant),
}

impl Access {
    /// The one link; `None`: everything.
    pub(super) fn link(self) -> Option<Digest> {
        match self {
            Self::All => None,
            Self::Link(grant) => Some(grant.digest),
        }
    }

    /// The gateway that asks; `None`: an operator.
    pub(super) fn gateway(self) -> Option<Eui> {
        match self {
            Self::All => None,
            Self::Link(grant) => Some(grant.eui),
        }
    }

    /// Whether it may see this link.
    pub(super) fn to_link(self, digest: Digest) -> Result<(), Failure> {
        match self.link() {
            Some(link) if link != digest => {
                Err(Failure::new(Code::Denied, "this token is for another Magic Link"))
            }
            _ => Ok(()),
        }
    }
}

/// Lets only requests through that carry a token, and tells what it opens.
pub(super) async fn check(
    State(registry): State<Registry>,
    mut request: Request,
    next: Next,
) -> Result<Response, Failure> {
    let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let links = registry.center.links();
    let access = access(header, &registry.token, &links.tokens, unix_now())?;
    if let Access::Link(grant) = access {
        tracing::debug!(eui = %grant.eui, path = request.uri().path(), "a gateway fetches");
    }
    request.extensions_mut().insert(access);
    Ok(next.run(request).await)
}

fn access(header: Option<&str>, api: &Token, tokens: &TokenKey, now: UnixSeconds) -> Result<Access, Failure> {
    let refuse = |what: &str| Err(Failure::new(Code::Unauthorized, what));
    let Some((scheme, given)) = header.and_then(|header| header.split_once(' ')) else {
        return refuse(
            "send `Authorization: Bearer TOKEN`, or the user `api` with the center's API token as password",
        );
    };
    let given = given.trim();
    let given = match scheme.to_ascii_lowercase().as_str() {
        "bearer" => given.to_owned(),
        "basic" => match password(given) {
            Some(password) => password,
            None => return refuse("the user is `api`, the password the center's API token"),
        },
        _ => return refuse("the token comes as Bearer or Basic"),
    };
    if api.is(given.as_bytes()) {
        return Ok(Access::All);
    }
    match tokens.grant(&given) {
        Some(grant) if grant.expires_at > now => Ok(Access::Link(grant)),
        Some(_) => refuse("the time of this token is over, as that of its command"),
        None => refuse("this token is not of this center"),
    }
}

/// The password of the one user (RFC 7617).
fn password(given: &str) -> Option<String> {
    let text = String::from_utf8(STANDARD.decode(given).ok()?).ok()?;
    text.strip_prefix(USER)?.strip_prefix(':').map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_log_in_opens_what_it_should() {
        let (api, tokens) = (Token::new("secret"), TokenKey::new("other"));
        let grant = Grant { digest: Digest::of(b"x"), eui: Eui::from_u64(1), expires_at: 1000 };
        let token = tokens.token(&grant);
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        for (header, now, expected) in [
            ("Bearer secret".to_owned(), 1, Some(Access::All)),
            (basic("api:secret"), 1, Some(Access::All)),
            (format!("bearer {token}"), 999, Some(Access::Link(grant))),
            (basic(&format!("api:{token}")), 999, Some(Access::Link(grant))),
            (format!("Bearer {token}"), 1000, None),
            (format!("Bearer {token}0"), 999, None),
            (basic("root:secret"), 1, None),
            (basic("api:wrong"), 1, None),
            ("Basic secret".to_owned(), 1, None),
            ("Digest secret".to_owned(), 1, None),
            ("secret".to_owned(), 1, None),
            (String::new(), 1, None),
        ] {
            assert_eq!(access(Some(&header), &api, &tokens, now).ok(), expected, "{header}");
        }
        assert!(access(None, &api, &tokens, 1).is_err());
    }
}
