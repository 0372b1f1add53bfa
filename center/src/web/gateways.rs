//! The pages of gateways.

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use keros_protocol::Eui;
use serde::Deserialize;

use super::live::{self, Shown};
use super::plot::{Plot, plots};
use super::status;
use super::text::At;
use super::{Failure, Page, Posted, Section, Visitor, html, place, to};
use crate::access::Action;
use crate::api::{
    DeclareGateway, EditGateway, GatewayCounts, GatewayUpdate, GatewayView, ImportView, MoveGateway, Packages,
};
use crate::gateway::status::ConnectionStatus;
use crate::rest::{Api, export_of};
use crate::service::fleet::{Wanted, place_from, place_text, sort_from};
use crate::service::{Pending, kind_name, unix_now};
use crate::store::fleet::Part;

/// The pages below `/gateways`, but for the Software update page.
pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/gateways", get(list).post(declare))
        .route("/gateways/new", get(new))
        .route("/gateways/import", get(import_form).post(import))
        .route("/gateways/export", get(export))
        .route("/gateways/{eui}", get(show))
        .route("/gateways/{eui}/live", get(follow_live))
        .route("/gateways/{eui}/edit", post(edit))
        .route("/gateways/{eui}/move", post(move_to))
        .route("/gateways/{eui}/retire", post(retire))
        .route("/gateways/{eui}/unretire", post(unretire))
        .route("/gateways/{eui}/nudge", post(nudge))
}

/// Gateways on one page.
const ON_A_PAGE: u32 = 50;

/// Packages that a page shows, unless some are searched for: a KerOS has some 300.
const PACKAGES: usize = 500;

/// How a status looks: its sign and colour, beside its word.
fn look(status: ConnectionStatus) -> &'static str {
    match status {
        ConnectionStatus::Operational => "good",
        ConnectionStatus::Warning => "warn",
        ConnectionStatus::Unreachable => "bad",
        ConnectionStatus::Unknown => "none",
    }
}

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
            None => format!("more than {} gateways", crate::store::fleet::MOST_COUNTED),
        },
        export: asked.with(&[("sort", "")]).replacen("/gateways", "/gateways/export", 1),
        may_edit: visitor.caller.may_somewhere(Action::EditGateways),
        asked,
        refused,
        lines,
    })
}

async fn found(
    api: &Api,
    visitor: &Visitor,
    asked: &Asked,
) -> Result<crate::service::fleet::FleetPage, crate::service::OrderError> {
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

/// What a line about a vital says.
struct Fact {
    name: &'static str,
    /// The vendor's name of it.
    word: &'static str,
    value: String,
    warned: bool,
}

#[derive(Template)]
#[template(path = "gateways/show.html")]
struct Show {
    page: Page,
    view: GatewayView,
    look: &'static str,
    heard: Option<At>,
    retired: Option<At>,
    facts: Vec<Fact>,
    plots: Vec<Plot>,
    packages: Packages,
    search: String,
    more_packages: usize,
    updates: Vec<Sent>,
    labels: String,
    /// The customer's name.
    customer: String,
    created: At,
    /// A command that waits for it.
    pending: Option<Pending>,
    may_send: bool,
    may_edit: bool,
    may_move: bool,
    may_lock_out: bool,
    may_ask: bool,
    refused: Option<String>,
}

/// An update that was sent to it.
struct Sent {
    update: GatewayUpdate,
    at: At,
    delivery: status::Shown,
    outcome: status::Shown,
}

impl Sent {
    fn new(update: GatewayUpdate) -> Self {
        Self {
            at: At::new(update.created_at_unix_s),
            delivery: status::delivery(update.delivery.as_str()),
            outcome: status::outcome(update.outcome.as_deref().unwrap_or("none")),
            update,
        }
    }

    /// What was sent, in the vendor's words.
    fn kind(&self) -> &str {
        kind_name(&self.update.kind)
    }
}

/// What may stand behind `?`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct AskedOne {
    #[serde(default)]
    packages: String,
}

fn eui(text: &str) -> Result<Eui, Failure> {
    text.parse().map_err(|_| Failure::not_found("There is no such gateway: this is no EUI."))
}

pub(super) async fn show(
    State(api): State<Api>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(asked): Query<AskedOne>,
) -> Result<Response, Failure> {
    one(&api, &visitor, eui(&id)?, asked.packages, None).await
}

/// What an open page of a gateway listens to.
pub(super) async fn follow_live(
    State(api): State<Api>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let shown = Shown::Gateway(eui(&id)?);
    live::stream(api, visitor, shown).await
}

async fn one(
    api: &Api,
    visitor: &Visitor,
    eui: Eui,
    search: String,
    refused: Option<String>,
) -> Result<Response, Failure> {
    let (center, caller) = (api.center(), &visitor.caller);
    let view = center.gateway(caller, eui, unix_now()).await?;
    let history = center.history(caller, eui).await?;
    let mut packages = center.packages(caller, eui, Some(&search)).await?;
    let more_packages = packages.packages.len().saturating_sub(PACKAGES);
    packages.packages.truncate(PACKAGES);
    let updates = center.updates_of_gateway(caller, eui).await?;
    let may = |action| caller.may(action, &view.customer_id);
    let mut page = Page::new(visitor, Section::Gateways, view.name.clone());
    page.script = Some("live.js");
    html(&Show {
        page,
        look: look(view.connection_status.status),
        heard: view.last_telemetry_unix_s.map(At::new),
        retired: view.retired_at_unix_s.map(At::new),
        facts: facts(&view),
        plots: plots(&history),
        packages,
        search,
        more_packages,
        updates: updates.into_iter().map(Sent::new).collect(),
        labels: view.labels.join(" "),
        customer: api.accounts().customer_name(view.customer_id).await?,
        created: At::new(view.created_at_unix_s),
        pending: center.pending_for_gateway(caller, eui).await?,
        may_send: may(Action::SendUpdates),
        may_edit: may(Action::EditGateways),
        may_move: may(Action::MoveGateways),
        may_lock_out: may(Action::LockOut),
        may_ask: may(Action::AskTelemetry),
        refused,
        view,
    })
}

fn facts(view: &GatewayView) -> Vec<Fact> {
    let Some(telemetry) = &view.telemetry else { return Vec::new() };
    let warned = |name: &str| view.warnings.iter().any(|warning| warning == name);
    let number = |value: Option<f32>, unit: &str| value.map(|value| format!("{value:.1} {unit}"));
    let disks: Vec<String> = telemetry
        .disks
        .iter()
        .map(|disk| {
            format!("{} {:.0} % of {}", disk.mount, disk.used_percent, super::text::size(disk.size_bytes))
        })
        .collect();
    [
        ("CPU", "cpu_percent", number(telemetry.cpu_percent, "%")),
        ("Memory", "memory_percent", number(telemetry.memory_percent, "%")),
        ("Temperature", "temperature", number(telemetry.temperature, "°C")),
        ("Disks", "disk", Some(disks.join(", ")).filter(|text| !text.is_empty())),
        ("Uptime", "uptime", telemetry.uptime.map(crate::cli::text::duration)),
        ("Network", "network_interface_category", telemetry.network_interface_category.clone()),
        ("Firmware", "keros", telemetry.keros_version.as_ref().map(ToString::to_string)),
    ]
    .into_iter()
    .filter_map(|(name, word, value)| Some(Fact { name, word, value: value?, warned: warned(word) }))
    .collect()
}

/// Shows the gateway again with what was refused, or leads to it with what was done.
async fn answer<T>(
    api: &Api,
    visitor: &Visitor,
    eui: Eui,
    done: Result<T, crate::service::OrderError>,
    said: &str,
) -> Result<Response, Failure> {
    match done {
        Ok(_) => Ok(to(&place("/gateways", &eui.to_string()), said)),
        Err(error) => {
            let refusal = Failure::from(error);
            let mut answer = one(api, visitor, eui, String::new(), Some(refusal.detail.clone())).await?;
            *answer.status_mut() = refusal.status;
            Ok(answer)
        }
    }
}

/// What the form of a gateway says.
#[derive(Debug, Deserialize)]
pub(super) struct EditFields {
    name: String,
    description: String,
    labels: String,
    #[serde(default)]
    location: Option<String>,
}

pub(super) async fn edit(
    State(api): State<Api>,
    Path(id): Path<String>,
    Posted { visitor, form }: Posted<EditFields>,
) -> Result<Response, Failure> {
    let eui = eui(&id)?;
    let order = EditGateway {
        name: Some(form.name.trim().to_owned()),
        description: Some(form.description.replace("\r\n", "\n")),
        labels: Some(form.labels.split_whitespace().map(str::to_owned).collect()),
        location: form.location,
    };
    let done = api.center().edit_gateway(&visitor.caller, eui, &order, unix_now()).await;
    answer(&api, &visitor, eui, done, "the gateway is changed").await
}

/// What the form of a move says.
#[derive(Debug, Deserialize)]
pub(super) struct MoveFields {
    customer: String,
}

pub(super) async fn move_to(
    State(api): State<Api>,
    Path(id): Path<String>,
    Posted { visitor, form }: Posted<MoveFields>,
) -> Result<Response, Failure> {
    let eui = eui(&id)?;
    let order = MoveGateway { customer: form.customer.trim().to_owned() };
    let done = api.center().move_gateway(&visitor.caller, eui, &order, unix_now()).await;
    answer(&api, &visitor, eui, done, "the gateway is moved").await
}

/// A form with nothing in it.
#[derive(Debug, Deserialize)]
pub(super) struct Nothing {}

pub(super) async fn retire(
    State(api): State<Api>,
    Path(id): Path<String>,
    Posted { visitor, .. }: Posted<Nothing>,
) -> Result<Response, Failure> {
    let eui = eui(&id)?;
    let done = api.center().retire_gateway(&visitor.caller, eui, unix_now()).await;
    answer(&api, &visitor, eui, done, "the gateway is retired: nothing is sent to it any more").await
}

pub(super) async fn unretire(
    State(api): State<Api>,
    Path(id): Path<String>,
    Posted { visitor, .. }: Posted<Nothing>,
) -> Result<Response, Failure> {
    let eui = eui(&id)?;
    let done = api.center().unretire_gateway(&visitor.caller, eui, unix_now()).await;
    answer(&api, &visitor, eui, done, "the gateway is in service again").await
}

pub(super) async fn nudge(
    State(api): State<Api>,
    Path(id): Path<String>,
    Posted { visitor, .. }: Posted<Nothing>,
) -> Result<Response, Failure> {
    let eui = eui(&id)?;
    let done = api.center().nudge(&visitor.caller, eui).await;
    answer(&api, &visitor, eui, done, "the gateway is asked for telemetry").await
}

/// All that the list shows, as CSV.
pub(super) async fn export(
    State(api): State<Api>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    Ok(export_of(api, visitor.caller, asked.wanted()).await?.into_response())
}

/// What the form of a new gateway says.
#[derive(Debug, Default, Deserialize)]
pub(super) struct NewFields {
    eui: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    description: String,
}

#[derive(Template)]
#[template(path = "gateways/new.html")]
struct New {
    page: Page,
    fields: NewFields,
    refused: Option<String>,
}

pub(super) async fn new(visitor: Visitor) -> Result<Response, Failure> {
    html(&New {
        page: Page::new(&visitor, Section::Gateways, "Declare a gateway"),
        fields: NewFields::default(),
        refused: None,
    })
}

pub(super) async fn declare(
    State(api): State<Api>,
    Posted { visitor, form: fields }: Posted<NewFields>,
) -> Result<Response, Failure> {
    let order = DeclareGateway {
        eui: fields.eui.clone(),
        name: Some(fields.name.trim().to_owned()).filter(|name| !name.is_empty()),
        description: fields.description.replace("\r\n", "\n"),
        customer: None,
    };
    match api.center().declare(&visitor.caller, &order, unix_now()).await {
        Ok(view) => Ok(to(&place("/gateways", &view.eui.to_string()), "the gateway is declared")),
        Err(error) => {
            let refusal = Failure::from(error);
            let page = Page::new(&visitor, Section::Gateways, "Declare a gateway");
            let mut answer = html(&New { page, fields, refused: Some(refusal.detail) })?;
            *answer.status_mut() = refusal.status;
            Ok(answer)
        }
    }
}

/// What the form of an import says.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ImportFields {
    csv: String,
    /// `import`; anything else only asks.
    #[serde(default)]
    action: String,
}

#[derive(Template)]
#[template(path = "gateways/import.html")]
struct Import {
    page: Page,
    csv: String,
    would: Option<ImportView>,
    refused: Option<String>,
}

pub(super) async fn import_form(visitor: Visitor) -> Result<Response, Failure> {
    let page = Page::new(&visitor, Section::Gateways, "Import gateways");
    html(&Import { page, csv: String::new(), would: None, refused: None })
}

/// First what it would do, with all that is wrong; then it is done.
pub(super) async fn import(
    State(api): State<Api>,
    Posted { visitor, form }: Posted<ImportFields>,
) -> Result<Response, Failure> {
    let import = async |dry_run| {
        let bytes = form.csv.clone().into_bytes();
        api.center().import(&visitor.caller, bytes, None, dry_run, unix_now()).await
    };
    let would = import(true).await;
    if let (Ok(view), "import") = (&would, form.action.as_str())
        && view.errors.is_empty()
    {
        let view = import(false).await?;
        let said = format!("{} gateways are added, {} are changed", view.added, view.changed);
        return Ok(to("/gateways", &said));
    }
    let page = Page::new(&visitor, Section::Gateways, "Import gateways");
    let (would, refusal) = match would {
        Ok(would) => (Some(would), None),
        Err(error) => (None, Some(Failure::from(error))),
    };
    let status = refusal.as_ref().map(|refusal| refusal.status);
    let refused = refusal.map(|refusal| refusal.detail);
    let mut answer = html(&Import { page, csv: form.csv, would, refused })?;
    *answer.status_mut() = status.unwrap_or(StatusCode::OK);
    Ok(answer)
}
