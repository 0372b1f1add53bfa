//! What every page has around it, and how pages become answers.

use askama::Template;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{Html, IntoResponse as _, Redirect, Response};

use super::{Failure, Visitor, assets, flash};
use crate::access::Action;

/// The part of the navigation that a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    /// Groups of gateways.
    Groups,
    /// Gateways.
    Gateways,
    /// Updates of all groups.
    Updates,
    /// Magic Links.
    MagicLinks,
    /// Customers, users and what they did.
    Administration,
    /// The visitor's own affairs.
    Account,
    /// None of these.
    None,
}

impl Section {
    /// `page` when a link to this place leads to where one is: the value of `aria-current`.
    pub(crate) fn is(&self, name: &str) -> bool {
        let own = match self {
            Self::Groups => "groups",
            Self::Gateways => "gateways",
            Self::Updates => "updates",
            Self::MagicLinks => "magic-links",
            Self::Administration => "administration",
            Self::Account => "account",
            Self::None => "",
        };
        own == name
    }
}

/// What the layout shows around a page: its templates have it in the field `page`.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// What the page is called, in the browser's tab.
    pub(crate) title: String,
    /// Where it belongs.
    pub(crate) section: Section,
    /// Who sees it; absent before the log-in: then there is no navigation.
    pub(crate) visitor: Option<Seen>,
    /// What the form before has done.
    pub(crate) flash: Option<String>,
    /// Seconds after which a browser without scripts asks again.
    pub(crate) refresh_s: Option<u32>,
    /// A script of `web/static` that this page has beside `app.js`.
    pub(crate) script: Option<&'static str>,
}

/// What a page shows of its visitor.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// The name.
    pub(crate) name: String,
    /// What its forms carry in the field `csrf`.
    pub(crate) csrf: String,
    /// Which pages the navigation leads him to, beside those that everybody has.
    pub(crate) sees_users: bool,
    pub(crate) sees_audit: bool,
    pub(crate) sees_webhooks: bool,
}

impl Page {
    /// A page of a visitor.
    pub(crate) fn new(visitor: &Visitor, section: Section, title: impl Into<String>) -> Self {
        let may = |action| visitor.caller.may_somewhere(action);
        let seen = Seen {
            name: visitor.name().to_owned(),
            csrf: visitor.csrf().to_owned(),
            sees_users: may(Action::SeeUsers),
            sees_audit: may(Action::SeeAudit),
            sees_webhooks: may(Action::SeeWebhooks),
        };
        let flash = visitor.flash().map(str::to_owned);
        Self { visitor: Some(seen), flash, ..Self::outside(section, title) }
    }

    /// A page of nobody: the log-in, an error.
    pub(crate) fn outside(section: Section, title: impl Into<String>) -> Self {
        Self { title: title.into(), section, visitor: None, flash: None, refresh_s: None, script: None }
    }

    /// The value of the field `csrf` of the forms.
    pub(crate) fn csrf(&self) -> &str {
        self.visitor.as_ref().map_or("", |seen| seen.csrf.as_str())
    }

    /// Where a file of `web/static` is.
    pub(crate) fn asset(&self, name: &str) -> String {
        assets::path_of(name)
    }
}

/// A page as an answer. What was said of the form before is shown only once.
pub(crate) fn html(template: &impl Template) -> Result<Response, Failure> {
    let mut headers = HeaderMap::new();
    headers.extend(flash::removed().map(|value| (header::SET_COOKIE, value)));
    Ok((headers, Html(template.render()?)).into_response())
}

/// The place of what has this name below a place.
pub(crate) fn place(below: &str, name: &str) -> String {
    format!("{below}/{}", part_of_place(name))
}

/// A name as a part of a place (RFC 3986, section 2.1).
pub(crate) fn part_of_place(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

/// Leads to another page after a form, which says what was done.
pub(crate) fn to(place: &str, said: &str) -> Response {
    let mut response = Redirect::to(place).into_response();
    if let Some(value) = flash::keep(said) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

#[derive(Template)]
#[template(path = "error.html")]
struct Error<'a> {
    page: Page,
    title: &'a str,
    detail: &'a str,
}

/// A failure as a page.
pub(super) fn error_page(visitor: Option<&Visitor>, failure: &Failure) -> Response {
    let title = failure.title();
    let page = match visitor {
        Some(visitor) => Page::new(visitor, Section::None, title),
        None => Page::outside(Section::None, title),
    };
    let text = Error { page, title, detail: &failure.detail }.render();
    // Without a page the words are worth more than nothing.
    let text = text.unwrap_or_else(|_| title.to_owned());
    let mut response = (failure.status, Html(text)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
