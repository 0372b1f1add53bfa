//! The line of one gateway: all that it reported, what its job printed, what its dry run would change.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use keros_protocol::{Outcome, UpdateId};

use super::dashboard::{Line, REFRESH_S};
use super::{eui, update_id};
use crate::access::Action;
use crate::api::{ReportView, UpdateView};
use crate::rest::Api;
use crate::service::unix_now;
use crate::web::diff::{self, DiffLine};
use crate::web::status::{self, Shown};
use crate::web::text::At;
use crate::web::words::Said;
use crate::web::{Failure, Page, Section, Visitor, html};

#[derive(Template)]
#[template(path = "updates/line.html")]
struct Show {
    page: Page,
    update_id: UpdateId,
    /// Where the update is from, in words.
    update: String,
    ended: bool,
    line: Line,
    times_sent: u32,
    message: Option<String>,
    output: Option<String>,
    remains: Vec<String>,
    differences: Option<Vec<DiffLine>>,
    reports: Vec<Report>,
    may_cancel: bool,
}

/// One report in the history.
struct Report {
    received: At,
    /// By the gateway's clock.
    happened: Option<At>,
    status: Shown,
    detail: Said,
    note: Option<String>,
}

impl Report {
    fn new(view: ReportView) -> Self {
        Self {
            received: At::to_second(view.received_at_unix_s),
            happened: view.time_unix_s.map(At::to_second),
            status: status::outcome(&view.status),
            detail: view.outcome.as_ref().map(Said::of).unwrap_or_default(),
            note: view.note,
        }
    }
}

pub(super) async fn show(
    State(api): State<Api>,
    visitor: Visitor,
    Path((id, gateway)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let (update_id, eui, now) = (update_id(&id)?, eui(&gateway)?, unix_now());
    let update = api.center().update_summary(&visitor.caller, update_id, now).await?;
    let view = api.center().line(&visitor.caller, update_id, eui, now).await?;
    let outcome = view.delivery.outcome.clone();
    let line = Line::new(&view.delivery);
    let ended = outcome.as_ref().is_some_and(Outcome::is_terminal);
    let mut page = Page::new(&visitor, Section::Updates, format!("Update of {}", line.name));
    if !ended && !update.ended {
        page.refresh_s = Some(REFRESH_S);
    }
    page.script = Some("live.js");
    html(&Show {
        update_id,
        may_cancel: visitor.caller.may(Action::CancelUpdates, &update.customer_id),
        update: from(&update),
        ended: ended || update.ended,
        times_sent: view.delivery.times_sent,
        // Once is enough.
        message: outcome.as_ref().and_then(message).filter(|said| !line.detail.words.contains(said)),
        output: outcome.as_ref().and_then(output),
        remains: match outcome {
            Some(Outcome::RolledBack { remains, .. }) => remains,
            _ => Vec::new(),
        },
        differences: view.differences.as_deref().map(diff::lines),
        reports: view.reports.into_iter().map(Report::new).collect(),
        line,
        page,
    })
}

/// Where an update is from.
fn from(update: &UpdateView) -> String {
    match update.gateway {
        _ if update.by_hand => "by hand".to_owned(),
        Some(eui) => format!("of gateway {eui}"),
        None => format!("of {}", update.group),
    }
}

/// What went wrong, in the gateway's words.
fn message(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Failed { message, .. } => Some(message.clone()),
        Outcome::Refused { detail, .. } => Some(detail.clone()),
        _ => None,
    }
}

/// What the task's program printed.
fn output(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Failed { output, .. } | Outcome::TimedOut { output, .. } => {
            output.as_ref().map(ToString::to_string).filter(|text| !text.is_empty())
        }
        _ => None,
    }
}
