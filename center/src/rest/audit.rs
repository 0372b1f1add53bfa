//! `/audit`, `/audit.csv`.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;

use super::Api;
use super::problem::Failure;
use crate::access::Caller;
use crate::api::AuditView;
use crate::store::audit::AuditFilter;

/// Lines in one answer, how many there are when nothing is said, and in one file.
const MOST: u32 = 1000;
const USUAL: u32 = 100;
const MOST_IN_FILE: u32 = 100_000;

/// Which lines are wanted.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    limit: Option<u32>,
    before: Option<String>,
    user: Option<String>,
    customer: Option<String>,
    result: Option<String>,
}

impl Wanted {
    fn filter(&self, usual: u32, most: u32) -> Result<AuditFilter, Failure> {
        let parse = |text: &String| {
            text.parse().map_err(|_| Failure::bad_request(format!("{text:?} is no line of the audit log")))
        };
        Ok(AuditFilter {
            before: self.before.as_ref().map(parse).transpose()?,
            user: self.user.as_ref().map(|user| user.to_lowercase()),
            result: self.result.clone(),
            limit: self.limit.unwrap_or(usual).clamp(1, most),
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
    let mut headers = HeaderMap::new();
    if lines.len() >= filter.limit as usize
        && let Some(last) = lines.last()
    {
        let mut place = format!("/api/v1/audit?limit={}&before={}", filter.limit, last.audit_id);
        for (name, value) in
            [("user", &wanted.user), ("customer", &wanted.customer), ("result", &wanted.result)]
        {
            if let Some(value) = value {
                place.push_str(&format!("&{name}={}", crate::web::part_of_place(value)));
            }
        }
        let link = HeaderValue::from_str(&format!("<{place}>; rel=\"next\"")).ok();
        headers.extend(link.map(|link| (header::LINK, link)));
    }
    Ok((headers, Json(lines)))
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
