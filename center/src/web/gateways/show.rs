//! The page of one gateway: its status, vitals, plots, packages and updates. It follows what happens by itself.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use keros_protocol::Eui;
use serde::Deserialize;

use super::{eui, look};
use crate::access::Action;
use crate::api::{GatewayUpdate, GatewayView, Packages};
use crate::cli::text::duration;
use crate::rest::Api;
use crate::service::{Pending, kind_name, unix_now};
use crate::web::live::{self, Shown};
use crate::web::plot::{Plot, plots};
use crate::web::status;
use crate::web::text::{At, size};
use crate::web::{Failure, Page, Section, Visitor, html};

/// Packages that a page shows, unless some are searched for: a KerOS has some 300.
const PACKAGES: usize = 500;

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

/// The page, with what was refused.
pub(super) async fn one(
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
        .map(|disk| format!("{} {:.0} % of {}", disk.mount, disk.used_percent, size(disk.size_bytes)))
        .collect();
    [
        ("CPU", "cpu_percent", number(telemetry.cpu_percent, "%")),
        ("Memory", "memory_percent", number(telemetry.memory_percent, "%")),
        ("Temperature", "temperature", number(telemetry.temperature, "°C")),
        ("Disks", "disk", Some(disks.join(", ")).filter(|text| !text.is_empty())),
        ("Uptime", "uptime", telemetry.uptime.map(duration)),
        ("Network", "network_interface_category", telemetry.network_interface_category.clone()),
        ("Firmware", "keros", telemetry.keros_version.as_ref().map(ToString::to_string)),
    ]
    .into_iter()
    .filter_map(|(name, word, value)| Some(Fact { name, word, value: value?, warned: warned(word) }))
    .collect()
}
