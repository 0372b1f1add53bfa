//! What the dry run of an update would change, gateways on which the same would happen together.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use keros_protocol::UpdateId;

use super::dashboard::REFRESH_S;
use super::update_id;
use crate::api::{DeliveryView, DifferencesGroup};
use crate::rest::Api;
use crate::service::unix_now;
use crate::web::diff::{self, DiffLine};
use crate::web::{Failure, Page, Section, Visitor, html};

#[derive(Template)]
#[template(path = "updates/differences.html")]
struct Show {
    page: Page,
    update_id: UpdateId,
    update: String,
    ended: bool,
    groups: Vec<Group>,
    /// Groups that are not shown.
    more: usize,
    unchanged: u32,
    other: u32,
}

struct Group {
    digest: String,
    count: u32,
    lines: Vec<DiffLine>,
    gateways: Vec<DeliveryView>,
}

impl Group {
    fn new(group: DifferencesGroup) -> Self {
        let DifferencesGroup { digest, count, differences, gateways } = group;
        Self { digest, count, lines: diff::lines(&differences), gateways }
    }

    /// Gateways that are not named here.
    fn more(&self) -> u32 {
        self.count.saturating_sub(u32::try_from(self.gateways.len()).unwrap_or(u32::MAX))
    }
}

pub(super) async fn show(
    State(api): State<Api>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let (update_id, now) = (update_id(&id)?, unix_now());
    let update = api.center().update_summary(&visitor.caller, update_id, now).await?;
    let view = api.center().differences(&visitor.caller, update_id, now).await?;
    let mut page = Page::new(&visitor, Section::Updates, "Differences");
    if !update.ended {
        page.refresh_s = Some(REFRESH_S);
    }
    page.script = Some("live.js");
    html(&Show {
        page,
        update_id,
        update: update.group,
        ended: update.ended,
        more: (view.group_count as usize).saturating_sub(view.groups.len()),
        groups: view.groups.into_iter().map(Group::new).collect(),
        unchanged: view.unchanged,
        other: view.other,
    })
}
