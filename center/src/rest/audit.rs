//! `/audit`, `/audit.csv`.

use std::num::NonZeroU32;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Api;
use super::body::Query;
use super::paging::part;
use super::problem::Failure;
use crate::access::Caller;
use crate::api::AuditView;
use crate::store::audit::AuditFilter;
use crate::web::part_of_place;

/// Lines in one answer, how many there are when nothing is said, and in one file.
const MOST: u32 = 1000;
const USUAL: u32 = 100;
const MOST_IN_FILE: u32 = 100_000;

/// Which lines are wanted.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(in crate::rest) struct Wanted {
    /// Lines at most.
    limit: Option<NonZeroU32>,
    /// Where the part begins: as the `Link` of the part before says, else at the newest.
    cursor: Option<String>,
    /// Only what this user did, by his log-in name.
    user: Option<String>,
    /// Only what was done to things of this customer, by id or name.
    customer: Option<String>,
    /// Only what was `done`, or `refused`.
    result: Option<String>,
}

impl Wanted {
    fn filter(&self, usual: u32, most: u32) -> Result<AuditFilter, Failure> {
        let parse = |text: &String| {
            text.parse().map_err(|_| Failure::bad_request(format!("{text:?} is no line of the audit log")))
        };
        let user = self.user.as_ref().map(|user| user.to_lowercase());
        Ok(AuditFilter {
            before: self.cursor.as_ref().map(parse).transpose()?,
            user,
            result: self.result.clone(),
            limit: self.limit.map_or(usual, NonZeroU32::get).clamp(1, most),
        })
    }
}

/// Newest first; a `Link` header (RFC 8288) leads to older ones.
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(wanted): Query<Wanted>,
) -> Result<(HeaderMap, Json<Vec<AuditView>>), Failure> {
    let filter = wanted.filter(USUAL, MOST)?;
    let lines = api.accounts.audit_log(&caller, wanted.customer.as_deref(), &filter).await?;
    let asked = [("user", &wanted.user), ("customer", &wanted.customer), ("result", &wanted.result)];
    let asked = asked
        .into_iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={}", part_of_place(value))));
    let query = asked.collect::<Vec<_>>().join("&");
    let place = if query.is_empty() { "/audit".to_owned() } else { format!("/audit?{query}") };
    Ok(part(&place, filter.limit, lines, |line| line.audit_id.to_string()))
}

/// Comma-separated values (RFC 4180), newest first.
pub(super) async fn csv(
    State(api): State<Api>,
    caller: Caller,
    Query(wanted): Query<Wanted>,
) -> Result<(HeaderMap, Vec<u8>), Failure> {
    let filter = wanted.filter(MOST_IN_FILE, MOST_IN_FILE)?;
    let lines = api.accounts.audit_log(&caller, wanted.customer.as_deref(), &filter).await?;
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    headers
        .insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"audit.csv\""));
    Ok((
        headers,
        written(&lines).map_err(|error| {
            tracing::error!(%error, "cannot write comma-separated values");
            Failure::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "the file cannot be written")
        })?,
    ))
}

fn written(lines: &[AuditView]) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "at_unix_s",
        "user",
        "address",
        "action",
        "customer_id",
        "subject",
        "result",
        "detail",
    ])?;
    for line in lines {
        writer.write_record([
            line.at_unix_s.to_string(),
            plain(&line.user),
            line.address.clone().unwrap_or_default(),
            line.action.clone(),
            line.customer_id.map(|id| id.to_string()).unwrap_or_default(),
            plain(&line.subject),
            line.result.clone(),
            plain(&line.detail),
        ])?;
    }
    writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))
}

/// A text that no table calculator takes for a formula.
fn plain(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_cell_is_a_formula() {
        for (text, cell) in [("=1+1", "'=1+1"), ("@x", "'@x"), ("user \"=x\"", "user \"=x\""), ("", "")] {
            assert_eq!(super::plain(text), cell);
        }
    }
}
