//! The pages of Magic Links.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use super::text::{At, size};
use super::{Failure, Page, Section, Visitor, html};
use crate::api::LinkView;
use crate::rest::Api;

/// Declared gateways and files that a page shows.
const MOST_SHOWN: usize = 500;

/// A link as a line of the list.
pub(super) struct Line {
    pub(super) link: LinkView,
    pub(super) size: String,
    created: Option<At>,
}

impl Line {
    fn new(link: LinkView) -> Self {
        Self { size: size(link.size_bytes), created: link.created_at_unix_s.map(At::new), link }
    }
}

#[derive(Template)]
#[template(path = "links/list.html")]
struct List {
    page: Page,
    lines: Vec<Line>,
}

pub(super) async fn list(State(api): State<Api>, visitor: Visitor) -> Result<Response, Failure> {
    let links = api.center().list_links(&visitor.caller).await?;
    let page = Page::new(&visitor, Section::MagicLinks, "Magic Links");
    html(&List { page, lines: links.into_iter().map(Line::new).collect() })
}

/// A link as it is described where it is chosen.
pub(super) struct Described {
    /// The link.
    pub(super) line: Line,
    /// When its time is over.
    pub(super) expires: Option<At>,
}

impl Described {
    pub(super) fn new(link: LinkView) -> Self {
        Self { expires: link.expires_at_unix_s.map(At::new), line: Line::new(link) }
    }
}

#[derive(Template)]
#[template(path = "links/show.html")]
struct Show {
    page: Page,
    line: Line,
    expires: Option<At>,
    /// Declared gateways and files that are not shown.
    more_gateways: usize,
    more_files: usize,
}

pub(super) async fn show(
    State(api): State<Api>,
    visitor: Visitor,
    Path(digest): Path<String>,
) -> Result<Response, Failure> {
    let mut link = api.center().link(&visitor.caller, &digest).await?;
    let more_gateways = link.gateways.len().saturating_sub(MOST_SHOWN);
    let more_files = link.files.len().saturating_sub(MOST_SHOWN);
    link.gateways.truncate(MOST_SHOWN);
    link.files.truncate(MOST_SHOWN);
    let page = Page::new(&visitor, Section::MagicLinks, link.name.clone());
    let expires = link.expires_at_unix_s.map(At::new);
    html(&Show { page, expires, more_gateways, more_files, line: Line::new(link) })
}
