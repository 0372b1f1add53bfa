//! What the center keeps, in SQL that SQLite and PostgreSQL both understand. It must decide nothing: rules are in `service`.

pub(crate) mod alerts;
mod among;
pub(crate) mod audit;
pub(crate) mod cancellations;
pub(crate) mod centers;
pub(crate) mod certificates;
pub(crate) mod commands;
pub(crate) mod customers;
mod database;
pub(crate) mod differences;
mod dump;
pub(crate) mod early;
pub(crate) mod enrolments;
mod error;
pub(crate) mod fleet;
pub(crate) mod gateway_updates;
pub(crate) mod gateways;
pub(crate) mod groups;
pub(crate) mod idempotency;
pub(crate) mod jobs;
pub(crate) mod labels;
pub(crate) mod lines;
pub(crate) mod links;
mod locks;
mod migrations;
pub(crate) mod notices;
pub(crate) mod pending;
pub(crate) mod plans;
mod postgres;
pub(crate) mod reports;
pub(crate) mod restored;
pub(crate) mod retention;
pub(crate) mod sessions;
pub(crate) mod silence;
mod sql;
mod sqlite;
pub(crate) mod tally;
pub(crate) mod tokens;
pub(crate) mod updates;
pub(crate) mod users;
pub(crate) mod vitals;
pub(crate) mod webhooks;

use keros_protocol::Eui;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, Execute as _, QueryBuilder, Row as _};

pub(crate) use centers::CenterRow;
pub(crate) use commands::{Allowance, CommandRow, DueCommand, KnownCommand};
pub(crate) use customers::Customer;
pub(crate) use database::{Store, Transaction};
pub(crate) use dump::{Filling, Rows, Snapshot};
pub(crate) use error::StoreError;
pub(crate) use gateways::GatewayRow;
use gateways::shown_name;
pub(crate) use groups::GroupRow;
pub(crate) use jobs::OrderedJob;
pub(crate) use lines::{LineFilter, LineRow, Standing};
pub(crate) use links::LinkRow;
pub(crate) use plans::{FollowsAs, PlanRow};
pub(crate) use postgres::with_password;
pub(crate) use reports::{Kept, KeptReport, NewReport};
pub(crate) use sqlite::file as sqlite_file;
pub(crate) use tally::CountRow;
pub(crate) use updates::{NewUpdate, Origin, RealOrder, UpdateRow, UpdatesOf};
pub(crate) use webhooks::{MessageRow, MessageState, WebhookId, WebhookRow};

/// What every function of the store returns.
pub(crate) type Result<T> = std::result::Result<T, StoreError>;

/// A statement of which no two are alike: not kept prepared, and its values are numbered, since PostgreSQL knows no `?`. The text that was
/// pushed must have none either.
fn numbered(mut builder: QueryBuilder<Any>) -> Result<Query<'static, Any, AnyArguments>> {
    let mut query = builder.build();
    let arguments = query.take_arguments().map_err(sqlx::Error::Encode)?.unwrap_or_default();
    let query_text = query.sql();
    let mut sql = String::with_capacity(query_text.as_str().len() * 2);
    for (index, part) in query_text.as_str().split('?').enumerate() {
        if index > 0 {
            sql.push('$');
            sql.push_str(&index.to_string());
        }
        sql.push_str(part);
    }
    Ok(sqlx::query_with(sqlx::AssertSqlSafe(sql), arguments).persistent(false))
}

/// For a part of an address (RFC 3986, section 2.1); a slash stays.
fn percent_encoded(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// A number for a BIGINT column; more than it can hold is held at its most.
fn to_big(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn number(row: &AnyRow, column: &'static str) -> Result<u64> {
    let value: i64 = row.try_get(column)?;
    u64::try_from(value).map_err(|_| StoreError::Row { column, value: value.to_string() })
}

fn count(row: &AnyRow, column: &'static str) -> Result<u32> {
    let value: i64 = row.try_get(column)?;
    u32::try_from(value).map_err(|_| StoreError::Row { column, value: value.to_string() })
}

/// A number that is 0 for no.
fn flag(row: &AnyRow, column: &'static str) -> Result<bool> {
    Ok(number(row, column)? != 0)
}

fn optional_number(row: &AnyRow, column: &'static str) -> Result<Option<u64>> {
    let value: Option<i64> = row.try_get(column)?;
    value
        .map(|value| u64::try_from(value).map_err(|_| StoreError::Row { column, value: value.to_string() }))
        .transpose()
}

/// A text column that holds what `FromStr` understands.
fn parsed<T: std::str::FromStr>(row: &AnyRow, column: &'static str) -> Result<T> {
    let value: String = row.try_get(column)?;
    value.parse().map_err(|_| StoreError::Row { column, value })
}

/// EUIs that were put together into one text, or none; sorted. As one value they are read much faster than as rows.
fn euis(row: &AnyRow, column: &'static str) -> Result<Vec<Eui>> {
    /// Every EUI is written with so many digits.
    const DIGITS: usize = 16;
    let value: Option<String> = row.try_get(column)?;
    let text = value.unwrap_or_default();
    let bad = |part: &[u8]| StoreError::Row { column, value: String::from_utf8_lossy(part).into_owned() };
    let parse = |part: &[u8]| std::str::from_utf8(part).ok().and_then(|part| part.parse().ok());
    let mut euis = text
        .as_bytes()
        .chunks(DIGITS)
        .map(|part| parse(part).ok_or_else(|| bad(part)))
        .collect::<Result<Vec<Eui>>>()?;
    euis.sort_unstable();
    Ok(euis)
}

/// A text column that holds JSON.
fn from_json<T: serde::de::DeserializeOwned>(row: &AnyRow, column: &'static str) -> Result<Option<T>> {
    let value: Option<String> = row.try_get(column)?;
    let Some(value) = value else { return Ok(None) };
    serde_json::from_str(&value)
        .map(Some)
        .map_err(|_| StoreError::Row { column, value: keros_protocol::limits::shorten(&value, 200) })
}

/// JSON for a text column.
fn to_json<T: serde::Serialize>(column: &'static str, value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Row { column, value: error.to_string() })
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
