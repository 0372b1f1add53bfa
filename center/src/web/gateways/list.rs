//! The list of gateways: searched, filtered, sorted, in pages, and as CSV.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use super::look;
use crate::access::Action;
use crate::api::{GatewayCounts, GatewayView};
use crate::gateway::status::ConnectionStatus;
use crate::rest::{Api, export_of};
use crate::service::fleet::{FleetPage, Wanted, place_from, place_text, sort_from};
use crate::service::{OrderError, unix_now};
use crate::store::fleet::{MOST_COUNTED, Part};
use crate::web::text::At;
use crate::web::{Failure, Page, Section, Visitor, html, place};

/// Gateways on one page.
const ON_A_PAGE: u32 = 50;

/// What the form of the list says: all of it is in the address, so that a list can be kept and sent around.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    search: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    keros: String,
    #[serde(default)]
    model: String,
    #[serde(default)]
    label: String,
    #[serde(default)]
    group: String,
    #[serde(default)]
    retired: String,
    #[serde(default)]
    sort: String,
    #[serde(default)]
    cursor: String,
}

impl Asked {
    fn wanted(&self) -> Wanted {
        let said = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Wanted {
            search: said(&self.search),
            status: said(&self.status),
            keros: said(&self.keros),
            model: said(&self.model),
            label: said(&self.label),
            group: said(&self.group),
            retired: said(&self.retired),
            ..Wanted::default()
        }
    }

    /// The address of the same list, but for these.
    fn with(&self, changed: &[(&str, &str)]) -> String {
        let mut pairs = vec![
            ("search", self.search.as_str()),
            ("status", &self.status),
            ("keros", &self.keros),
            ("model", &self.model),
            ("label", &self.label),
            ("group", &self.group),
            ("retired", &self.retired),
            ("sort", &self.sort),
        ];
        for (name, value) in changed {
            pairs.retain(|(known, _)| known != name);
            pairs.push((name, value));
        }
        let said: Vec<String> = pairs
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| place("", value).replacen('/', &format!("{name}="), 1))
            .collect();
        if said.is_empty() { "/gateways".to_owned() } else { format!("/gateways?{}", said.join("&")) }
    }

    fn is_filtered(&self) -> bool {
        self.wanted() != Wanted::default()
    }
}

/// A line of the list.
struct Line {
    view: GatewayView,
    look: &'static str,
    heard: Option<At>,
}

/// A status, how many have it, and the list of those.
struct Count {
    word: &'static str,
    look: &'static str,
    count: u32,
    href: String,
    is_chosen: bool,
}

/// A column by which the list can be sorted.
struct Column {
    name: &'static str,
    href: String,
    /// The value of `aria-sort`.
    sorted: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "gateways/list.html")]
struct List {
    page: Page,
    asked: Asked,
    refused: Option<String>,
    lines: Vec<Line>,
    counts: Vec<Count>,
    columns: Vec<Column>,
    first: Option<String>,
    next: Option<String>,
    found: String,
    export: String,
    may_edit: bool,
}

pub(super) async fn list(
    State(api): State<Api>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let now = unix_now();
    let found = found(&api, &visitor, &asked).await;
    let all = Wanted { status: None, ..asked.wanted() };
    let (lines, next, total, refused) = match found {
        Ok(page) => {
            let lines = page.gateways.into_iter().map(line).collect();
            (lines, page.next.as_ref().map(place_text), page.total, None)
        }
        // What a form says wrong is said on the form.
        Err(error) => {
            let refusal = Failure::from(error);
            if refusal.status.is_server_error() || refusal.status.as_u16() == 403 {
                return Err(refusal);
            }
            (Vec::new(), None, Some(0), Some(refusal.detail))
        }
    };
    let counts = if refused.is_some() {
        GatewayCounts::default()
    } else {
        api.center().fleet_counts(&visitor.caller, &all, now).await?
    };
    html(&List {
        page: Page::new(&visitor, Section::Gateways, "Gateways"),
        counts: counted(&asked, counts),
        columns: columns(&asked),
        first: Some(asked.with(&[])).filter(|_| !asked.cursor.is_empty()),
        next: next.map(|next| asked.with(&[("cursor", &next)])),
        found: match total {
            Some(1) => "1 gateway".to_owned(),
            Some(total) => format!("{total} gateways"),
            None => format!("more than {} gateways", MOST_COUNTED),
        },
        export: asked.with(&[("sort", "")]).replacen("/gateways", "/gateways/export", 1),
        may_edit: visitor.caller.may_somewhere(Action::EditGateways),
        asked,
        refused,
        lines,
    })
}

async fn found(api: &Api, visitor: &Visitor, asked: &Asked) -> Result<FleetPage, OrderError> {
    let (sort, descending) = sort_from(Some(&asked.sort))?;
    let cursor = Some(asked.cursor.as_str()).filter(|cursor| !cursor.is_empty());
    let after = cursor.map(|cursor| place_from(cursor, sort)).transpose()?;
    let part = Part { sort, descending, after, limit: ON_A_PAGE };
    api.center().fleet(&visitor.caller, &asked.wanted(), &part, unix_now()).await
}

fn line(view: GatewayView) -> Line {
    Line { look: look(view.connection_status.status), heard: view.last_telemetry_unix_s.map(At::new), view }
}

fn counted(asked: &Asked, counts: GatewayCounts) -> Vec<Count> {
    ConnectionStatus::ALL
        .into_iter()
        .map(|status| {
            let word = status.as_str();
            let is_chosen = asked.status.eq_ignore_ascii_case(word);
            let count = match status {
                ConnectionStatus::Operational => counts.operational,
                ConnectionStatus::Warning => counts.warning,
                ConnectionStatus::Unreachable => counts.unreachable,
                ConnectionStatus::Unknown => counts.unknown,
            };
            let href = asked.with(&[("status", if is_chosen { "" } else { word })]);
            Count { word, look: look(status), count, href, is_chosen }
        })
        .collect()
}

fn columns(asked: &Asked) -> Vec<Column> {
    let sort = if asked.sort.is_empty() { "eui" } else { asked.sort.as_str() };
    [
        ("Name", "name"),
        ("EUI", "eui"),
        ("Status", "status"),
        ("KerOS", "keros"),
        ("Last telemetry", "telemetry"),
    ]
    .into_iter()
    .map(|(name, word)| {
        let descending = sort.strip_prefix('-') == Some(word);
        let ascending = sort == word;
        let next = if ascending { format!("-{word}") } else { word.to_owned() };
        let sorted = if ascending { Some("ascending") } else { descending.then_some("descending") };
        Column { name, href: asked.with(&[("sort", &next)]), sorted }
    })
    .collect()
}

/// All that the list shows, as CSV.
pub(super) async fn export(
    State(api): State<Api>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    Ok(export_of(api, visitor.caller, asked.wanted()).await?.into_response())
}
