//! `/gateways`: lists, files, and what is told of one gateway.

use std::num::NonZeroU32;

use axum::Json;
use axum::body::{Body as HttpBody, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Api;
use super::body::{Body, Query, eui};
use super::problem::Failure;
use crate::access::Caller;
use crate::api::{
    EditGateway, GatewayCounts, GatewayView, History, ImportView, MoveGateway, Packages, Retired,
};
use crate::cli::client::path_part;
use crate::gateway::file;
use crate::service::fleet::{Wanted, place_from, place_text, sort_from};
use crate::service::{OrderError, export_line, unix_now};
use crate::store::fleet::{Part, Place, Sort};

/// Gateways in one answer when nothing is said, and at most: 10,000 of 600 bytes are 6 MB.
const USUAL: u32 = 1000;
const MOST: u32 = 10_000;

/// Gateways that an export reads at once.
const EXPORT_PART: u32 = 1000;

/// Which gateways are wanted, and which part of their list.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(super) struct Asked {
    /// Part of an EUI in any spelling, a name or a description.
    search: Option<String>,
    /// Operational, Warning, Unreachable or Unknown; several have commas between.
    status: Option<String>,
    /// KerOS version, with a sign of comparison before it or none: `6.3`, `>=6.3`.
    keros: Option<String>,
    /// Hardware code name; several have commas between.
    model: Option<String>,
    /// One of these labels.
    label: Option<String>,
    /// A whole rule: whom a group with it would have.
    rule: Option<String>,
    /// Members of this group, by id or name.
    group: Option<String>,
    /// Of this customer, by id or name.
    customer: Option<String>,
    /// Out of service: `no` (when nothing is said), `yes` or `all`.
    retired: Option<String>,
    /// By `eui`, `name`, `telemetry`, `keros` or `status`; with `-` before it the other way round.
    sort: Option<String>,
    /// Elements at most.
    limit: Option<NonZeroU32>,
    /// Where the part begins: as the `Link` of the part before says, else at the first element.
    cursor: Option<String>,
}

impl Asked {
    fn wanted(&self) -> Wanted {
        Wanted {
            search: self.search.clone(),
            status: self.status.clone(),
            keros: self.keros.clone(),
            model: self.model.clone(),
            label: self.label.clone(),
            rule: self.rule.clone(),
            group: self.group.clone(),
            customer: self.customer.clone(),
            retired: self.retired.clone(),
        }
    }

    pub(super) fn part(&self) -> Result<Part, Failure> {
        let (sort, descending) = sort_from(self.sort.as_deref())?;
        let after = self.cursor.as_deref().map(|cursor| place_from(cursor, sort)).transpose();
        let after = after.map_err(|error| Failure::bad_request(error.to_string()))?;
        Ok(Part { sort, descending, after, limit: self.limit.map_or(USUAL, NonZeroU32::get).min(MOST) })
    }

    /// The address of the next page: everything as it was asked, but where it begins.
    fn next(&self, cursor: &str) -> String {
        let limit = self.limit.map(|limit| limit.to_string());
        let pairs = [
            ("search", &self.search),
            ("status", &self.status),
            ("keros", &self.keros),
            ("model", &self.model),
            ("label", &self.label),
            ("rule", &self.rule),
            ("group", &self.group),
            ("customer", &self.customer),
            ("retired", &self.retired),
            ("sort", &self.sort),
            ("limit", &limit),
        ];
        let said = pairs.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let said: Vec<String> = said
            .chain([("cursor", cursor)])
            .map(|(name, value)| format!("{name}={}", path_part(value)))
            .collect();
        format!("/api/v1/gateways?{}", said.join("&"))
    }
}

/// A `Link` header (RFC 8288) leads to those that did not fit.
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<(HeaderMap, Json<Vec<GatewayView>>), Failure> {
    let page = api.center.fleet(&caller, &asked.wanted(), &asked.part()?, unix_now()).await?;
    let mut headers = HeaderMap::new();
    if let Some(next) = &page.next {
        let link = format!("<{}>; rel=\"next\"", asked.next(&place_text(next)));
        headers.extend(link.parse().ok().map(|link| (header::LINK, link)));
    }
    Ok((headers, Json(page.gateways)))
}

pub(super) async fn counts(
    State(api): State<Api>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Json<GatewayCounts>, Failure> {
    Ok(Json(api.center.fleet_counts(&caller, &asked.wanted(), unix_now()).await?))
}

pub(super) async fn edit(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Body(order): Body<EditGateway>,
) -> Result<Json<GatewayView>, Failure> {
    Ok(Json(api.center.edit_gateway(&caller, eui(&id)?, &order, unix_now()).await?))
}

pub(super) async fn move_to(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Body(order): Body<MoveGateway>,
) -> Result<Json<GatewayView>, Failure> {
    Ok(Json(api.center.move_gateway(&caller, eui(&id)?, &order, unix_now()).await?))
}

pub(super) async fn retire(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Retired>, Failure> {
    Ok(Json(api.center.retire_gateway(&caller, eui(&id)?, unix_now()).await?))
}

pub(super) async fn unretire(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<GatewayView>, Failure> {
    Ok(Json(api.center.unretire_gateway(&caller, eui(&id)?, unix_now()).await?))
}

pub(super) async fn history(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<History>, Failure> {
    Ok(Json(api.center.history(&caller, eui(&id)?).await?))
}

/// What may stand behind `?` of the packages.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(super) struct PackagesAsked {
    /// Part of a name or a version.
    search: Option<String>,
}

pub(super) async fn packages(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Query(asked): Query<PackagesAsked>,
) -> Result<Json<Packages>, Failure> {
    Ok(Json(api.center.packages(&caller, eui(&id)?, asked.search.as_deref()).await?))
}

/// What may stand behind `?` of an import.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(super) struct ImportAsked {
    /// The customer of those that are not known yet, by id or name; the caller's only one, or `main`, when nothing is said.
    customer: Option<String>,
    /// Only tell what would be done.
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn import(
    State(api): State<Api>,
    caller: Caller,
    Query(asked): Query<ImportAsked>,
    bytes: Bytes,
) -> Result<Json<ImportView>, Failure> {
    let customer = asked.customer.as_deref();
    Ok(Json(api.center.import(&caller, bytes.to_vec(), customer, asked.dry_run, unix_now()).await?))
}

pub(super) async fn export(
    State(api): State<Api>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<impl IntoResponse, Failure> {
    Ok(export_of(api, caller, asked.wanted()).await?)
}

/// All that are wanted, part by part: what is held at once is bounded, whatever the fleet.
pub(crate) async fn export_of(api: Api, caller: Caller, wanted: Wanted) -> Result<Response, OrderError> {
    // The first part is read before the answer begins: a refusal is a refusal.
    let first = api.center.fleet(&caller, &wanted, &export_part(None), unix_now()).await?;
    let begin = (Some((first, true)), api, caller, wanted);
    let parts = futures_util::stream::unfold(begin, |(page, api, caller, wanted)| async move {
        let (page, is_first) = page?;
        let mut text = csv_text(&page.gateways, is_first);
        let mut next = None;
        if let Some(after) = page.next {
            match api.center.fleet(&caller, &wanted, &export_part(Some(after)), unix_now()).await {
                Ok(page) => next = Some((page, false)),
                // The answer is cut off: a client sees that it has no end.
                Err(error) => text = Err(std::io::Error::other(error.to_string())),
            }
        }
        Some((text, (next, api, caller, wanted)))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"gateways.csv\"")),
    ];
    Ok((headers, HttpBody::from_stream(parts)).into_response())
}

fn export_part(after: Option<Place>) -> Part {
    Part { sort: Sort::Eui, descending: false, after, limit: EXPORT_PART }
}

fn csv_text(gateways: &[GatewayView], with_head: bool) -> Result<Vec<u8>, std::io::Error> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    if with_head {
        csv.write_record(file::WRITTEN)?;
    }
    for view in gateways {
        csv.write_record(export_line(view))?;
    }
    csv.into_inner().map_err(|error| std::io::Error::other(error.to_string()))
}
