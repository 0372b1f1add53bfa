//! The log-in, and the visitor's own affairs.

use askama::Template;
use axum::extract::{FromRequest as _, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::text::At;
use super::{Failure, Page, Posted, Section, Visitor, html, to};
use crate::access::TokenScopes;
use crate::accounts::Entered;
use crate::api::{CreateToken, LogIn, SetUp, TokenView};
use crate::rest::{Api, is_of_another_site, session_secret};
use crate::service::{OrderError, unix_now};

/// Seconds of a day.
const DAY_S: u64 = 86_400;

/// Where the log-in leads.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

#[derive(Template)]
#[template(path = "account/login.html")]
struct Login {
    page: Page,
    login: String,
    next: String,
    refused: Option<String>,
}

pub(super) async fn login(Query(wanted): Query<Next>) -> Result<Response, Failure> {
    html(&Login {
        page: Page::outside(Section::None, "Log in"),
        login: String::new(),
        next: place_inside(&wanted.next).to_owned(),
        refused: None,
    })
}

/// What the form of the log-in says.
#[derive(Deserialize)]
pub(super) struct LoginFields {
    login: String,
    password: String,
    #[serde(default)]
    next: String,
}

pub(super) async fn log_in(State(api): State<Api>, request: Request) -> Result<Response, Failure> {
    let (fields, address): (LoginFields, _) = of_stranger(&api, request).await?;
    let order = LogIn { login: fields.login.clone(), password: fields.password };
    match api.accounts().log_in(order, address, unix_now()).await {
        Ok(entered) => Ok(enter(&api, &entered, place_inside(&fields.next))),
        Err(error) => {
            let refusal = refusal(error)?;
            let page = Page::outside(Section::None, "Log in");
            let (login, next) = (fields.login, place_inside(&fields.next).to_owned());
            let mut answer = html(&Login { page, login, next, refused: Some(refusal.detail) })?;
            *answer.status_mut() = refusal.status;
            Ok(answer)
        }
    }
}

pub(super) async fn log_out(
    State(api): State<Api>,
    headers: HeaderMap,
    Posted { .. }: Posted<std::collections::BTreeMap<String, String>>,
) -> Result<Response, Failure> {
    if let Some(secret) = session_secret(&headers) {
        api.accounts().log_out(&secret).await?;
    }
    let mut response = Redirect::to("/login").into_response();
    response.headers_mut().extend(api.front().no_session_cookie().map(|value| (header::SET_COOKIE, value)));
    Ok(response)
}

#[derive(Template)]
#[template(path = "account/set_up.html")]
struct SetUpPage {
    page: Page,
    login: String,
    secret: String,
    refused: Option<String>,
}

pub(super) async fn set_up_form(
    State(api): State<Api>,
    Path(secret): Path<String>,
) -> Result<Response, Failure> {
    let login = api.accounts().invited(&secret, unix_now()).await?;
    html(&SetUpPage {
        page: Page::outside(Section::None, "Choose your password"),
        login,
        secret,
        refused: None,
    })
}

/// What the form of a first password says.
#[derive(Deserialize)]
pub(super) struct SetUpFields {
    password: String,
    again: String,
}

pub(super) async fn set_up(
    State(api): State<Api>,
    Path(secret): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let (fields, address): (SetUpFields, _) = of_stranger(&api, request).await?;
    let done = if fields.password == fields.again {
        let order = SetUp { secret: secret.clone(), password: fields.password };
        api.accounts().set_up(order, address, unix_now()).await
    } else {
        Err(not_the_same())
    };
    match done {
        Ok(entered) => Ok(enter(&api, &entered, "/")),
        Err(error) => {
            let refusal = refusal(error)?;
            let login = api.accounts().invited(&secret, unix_now()).await?;
            let page = Page::outside(Section::None, "Choose your password");
            let mut answer = html(&SetUpPage { page, login, secret, refused: Some(refusal.detail) })?;
            *answer.status_mut() = refusal.status;
            Ok(answer)
        }
    }
}

/// A token as a line of the list.
struct TokenLine {
    token: TokenView,
    created: At,
    expires: At,
    used: Option<At>,
    is_over: bool,
}

#[derive(Template)]
#[template(path = "account/account.html")]
struct Account {
    page: Page,
    roles: Vec<crate::api::RoleView>,
    must_change: bool,
    /// The center's own token has no account.
    is_user: bool,
    tokens: Vec<TokenLine>,
    made: Option<TokenView>,
    refused: Option<String>,
}

pub(super) async fn account(State(api): State<Api>, visitor: Visitor) -> Result<Response, Failure> {
    show(&api, &visitor, None, None).await
}

async fn show(
    api: &Api,
    visitor: &Visitor,
    made: Option<TokenView>,
    refused: Option<String>,
) -> Result<Response, Failure> {
    let now = unix_now();
    let is_user = visitor.caller.user.is_some();
    let tokens = if is_user { api.accounts().tokens(&visitor.caller).await? } else { Vec::new() };
    let line = |token: TokenView| TokenLine {
        created: At::new(token.created_at_unix_s),
        expires: At::new(token.expires_at_unix_s),
        used: token.last_used_at_unix_s.map(At::new),
        is_over: token.expires_at_unix_s <= now,
        token,
    };
    html(&Account {
        page: Page::new(visitor, Section::Account, "Account"),
        roles: api.accounts().session(&visitor.known()).await?.roles,
        must_change: visitor.must_change,
        is_user,
        tokens: tokens.into_iter().map(line).collect(),
        made,
        refused,
    })
}

/// What the form of another password says.
#[derive(Deserialize)]
pub(super) struct PasswordFields {
    old: String,
    password: String,
    again: String,
}

pub(super) async fn change_password(
    State(api): State<Api>,
    Posted { visitor, form }: Posted<PasswordFields>,
) -> Result<Response, Failure> {
    let done = if form.password == form.again {
        api.accounts().change_password(&visitor.caller, (form.old, form.password), unix_now()).await
    } else {
        Err(not_the_same())
    };
    match done {
        Ok(entered) => {
            let mut response = to("/account", "the password is changed, other log-ins have ended");
            let cookie = api.front().session_cookie(&entered.secret);
            response.headers_mut().extend(cookie.map(|value| (header::SET_COOKIE, value)));
            Ok(response)
        }
        Err(error) => refused(&api, &visitor, error).await,
    }
}

/// What the form of a new token says.
#[derive(Deserialize)]
pub(super) struct TokenFields {
    name: String,
    read: Option<String>,
    update: Option<String>,
    administer: Option<String>,
    days: u64,
}

pub(super) async fn create_token(
    State(api): State<Api>,
    Posted { visitor, form }: Posted<TokenFields>,
) -> Result<Response, Failure> {
    let order = CreateToken {
        name: form.name,
        scopes: TokenScopes {
            read: form.read.is_some(),
            update: form.update.is_some(),
            administer: form.administer.is_some(),
        },
        expires_in_s: Some(form.days.saturating_mul(DAY_S)),
    };
    match api.accounts().create_token(&visitor.caller, order, unix_now()).await {
        // It is shown this once: a page that is asked for again could not.
        Ok(made) => show(&api, &visitor, Some(made), None).await,
        Err(error) => refused(&api, &visitor, error).await,
    }
}

/// Which token is to be revoked.
#[derive(Deserialize)]
pub(super) struct RevokeFields {
    token: String,
}

pub(super) async fn revoke_token(
    State(api): State<Api>,
    Posted { visitor, form }: Posted<RevokeFields>,
) -> Result<Response, Failure> {
    let id = form.token.parse().map_err(|_| Failure::bad_request("This is no token."))?;
    api.accounts().revoke_token(&visitor.caller, id).await?;
    Ok(to("/account", "the token is revoked"))
}

async fn refused(api: &Api, visitor: &Visitor, error: OrderError) -> Result<Response, Failure> {
    let refusal = refusal(error)?;
    let mut answer = show(api, visitor, None, Some(refusal.detail)).await?;
    *answer.status_mut() = refusal.status;
    Ok(answer)
}

/// What can be said beside the form; anything else is a page of its own.
fn refusal(error: OrderError) -> Result<Failure, Failure> {
    let failure = Failure::from(error);
    if failure.status.is_server_error() || failure.status == StatusCode::NOT_FOUND {
        return Err(failure);
    }
    Ok(failure)
}

fn enter(api: &Api, entered: &Entered, place: &str) -> Response {
    let place = if entered.known.must_change { "/account" } else { place };
    let mut response = Redirect::to(place).into_response();
    let cookie = api.front().session_cookie(&entered.secret);
    response.headers_mut().extend(cookie.map(|value| (header::SET_COOKIE, value)));
    response
}

/// A form of somebody who is not known yet, and from where it comes.
async fn of_stranger<T: serde::de::DeserializeOwned>(
    api: &Api,
    request: Request,
) -> Result<(T, Option<String>), Failure> {
    if is_of_another_site(request.headers()) {
        return Err(Failure::new(StatusCode::FORBIDDEN, "Another site's page may not log in here."));
    }
    let (parts, body) = request.into_parts();
    let address = api.address(&parts);
    let form = axum::Form::from_request(Request::from_parts(parts, body), api).await;
    let axum::Form(fields) = form.map_err(|rejection| {
        Failure::new(
            rejection.status(),
            format!("The form is not as this page makes it: {}", rejection.body_text()),
        )
    })?;
    Ok((fields, address))
}

/// A place of this center, and no other one: `//evil.example` and `/\evil.example` lead elsewhere.
fn place_inside(next: &str) -> &str {
    // It goes into a header of the answer, which browsers take up to some 8 KiB.
    let is_inside = next.starts_with('/')
        && next.len() <= 2048
        && !next.starts_with("//")
        && !next.contains('\\')
        && next.bytes().all(|byte| byte.is_ascii_graphic());
    if is_inside { next } else { "/" }
}

fn not_the_same() -> OrderError {
    OrderError::Invalid("the two new passwords are not the same".to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_log_in_leads_to_no_other_site() {
        use super::place_inside;
        for (next, place) in [
            ("", "/"),
            ("/groups/a?b=c", "/groups/a?b=c"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("/a\r\nSet-Cookie: x", "/"),
            ("javascript:alert(1)", "/"),
        ] {
            assert_eq!(place_inside(next), place, "{next:?}");
        }
    }
}
