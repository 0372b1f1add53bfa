//! The guide to playbooks, which the update page points to: the same text as in `docs/`.

use askama::Template;
use axum::response::Response;

use super::{Failure, Page, Section, Visitor, html};

#[derive(Template)]
#[template(path = "help.html")]
struct Help {
    page: Page,
    text: &'static str,
}

pub(super) async fn jetporch(visitor: Visitor) -> Result<Response, Failure> {
    let page = Page::new(&visitor, Section::None, "How playbooks are written");
    html(&Help { page, text: include_str!("../../../docs/jetporch.md") })
}
