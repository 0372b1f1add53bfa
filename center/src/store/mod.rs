//! What the center keeps, in SQL that SQLite and PostgreSQL both understand. It must decide nothing: rules are in `service`.

mod among;
pub(crate) mod audit;
pub(crate) mod cancellations;
pub(crate) mod certificates;
pub(crate) mod customers;
pub(crate) mod differences;
pub(crate) mod enrolments;
pub(crate) mod fleet;
pub(crate) mod gateway_updates;
pub(crate) mod gateways;
pub(crate) mod groups;
pub(crate) mod idempotency;
pub(crate) mod jobs;
pub(crate) mod labels;
pub(crate) mod lines;
pub(crate) mod links;
mod migrations;
pub(crate) mod reports;
pub(crate) mod sessions;
pub(crate) mod silence;
mod sql;
pub(crate) mod tokens;
pub(crate) mod updates;
pub(crate) mod users;
pub(crate) mod vitals;

use std::path::{Path, PathBuf};

use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::{AnyConnection, AnyPool, Connection as _, Executor as _, Row as _};

pub(crate) use customers::Customer;
pub(crate) use gateways::GatewayRow;
use gateways::shown_name;
pub(crate) use groups::GroupRow;
pub(crate) use jobs::OrderedJob;
pub(crate) use lines::LineFilter;
pub(crate) use links::LinkRow;
pub(crate) use reports::{Kept, KeptReport, NewReport};
pub(crate) use updates::{
    Allowance, CommandRow, CountRow, DueCommand, KnownCommand, LineRow, NewUpdate, Origin, UpdateRow,
    UpdatesOf,
};

/// Connections to the database: one writes, the others read.
const MAX_CONNECTIONS: u32 = 4;

/// Name of the SQLite file in the data folder.
const FILE_NAME: &str = "center.db";

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The database cannot be opened.
    #[error("cannot open the database {place}: is the folder writable, and has the disk room?")]
    Open {
        place: String,
        #[source]
        source: sqlx::Error,
    },
    /// Another program's database.
    #[error("no database for {url:?}: this build knows `sqlite:` addresses")]
    Scheme { url: String },
    /// The file is no database, or parts of it are lost.
    #[error(
        "the database {place} is damaged ({detail}): stop the center, keep a copy of the file for analysis, and put back the last backup"
    )]
    Damaged { place: String, detail: String },
    /// Made by a newer center.
    #[error(
        "the database {place} is of version {version}, which this center does not know: start the newer keros-center that made it, or put back the backup from before"
    )]
    TooNew { place: String, version: i64 },
    /// The tables cannot be brought up to date.
    #[error("cannot bring the tables of the database {place} up to date")]
    Migrate {
        place: String,
        #[source]
        source: sqlx::migrate::MigrateError,
    },
    /// A statement failed.
    #[error("the database refused a statement")]
    Sql(#[from] sqlx::Error),
    /// A row holds what was never written.
    #[error("column {column} of the database holds what it should not: {value:?}")]
    Row { column: &'static str, value: String },
}

impl StoreError {
    /// Whether the reason is the data and not the database, so that trying again will not help.
    pub(crate) fn is_about_data(&self) -> bool {
        match self {
            Self::Row { .. } => true,
            Self::Sql(sqlx::Error::Database(error)) => {
                error.is_unique_violation() || error.is_foreign_key_violation() || error.is_check_violation()
            }
            Self::Sql(error) => matches!(
                error,
                sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::Encode(_)
            ),
            _ => false,
        }
    }
}

/// What every function of the store returns.
pub(crate) type Result<T> = std::result::Result<T, StoreError>;

/// A transaction: everything is committed together, or nothing.
pub(crate) type Transaction = sqlx::Transaction<'static, sqlx::Any>;

/// The database.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pool: AnyPool,
    begin: &'static str,
}

impl Store {
    /// Opens the SQLite file in the data folder, or the database at `url`, and brings its tables up to date.
    pub(crate) async fn open(data_folder: &Path, url: Option<&str>) -> Result<Self> {
        sqlx::any::install_default_drivers();
        let (place, url) = place_and_url(data_folder, url)?;
        // Before the pool, which would try again and again where only an error helps.
        check(&place, &url).await?;
        let pool = AnyPoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .after_connect(|connection, _| Box::pin(prepare_sqlite(connection)))
            // A commit that the disk refuses leaves a connection that believes in its transaction for ever, and begins no other.
            .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
            .connect(&url)
            .await
            .map_err(|source| open_error(&place, source))?;
        migrations::run(&pool, &place).await?;
        Ok(Self { pool, begin: "BEGIN IMMEDIATE" })
    }

    /// Begins a transaction that will write.
    pub(crate) async fn begin(&self) -> Result<Transaction> {
        // SQLite: take the write lock now and not at the first write, where waiting for it is not possible.
        Ok(self.pool.begin_with(self.begin).await?)
    }

    /// A connection for reading.
    pub(crate) async fn read(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Any>> {
        Ok(self.pool.acquire().await?)
    }

    /// Closes all connections.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

/// SQLite finds damage only where it reads: reads everything once.
async fn check(place: &str, url: &str) -> Result<()> {
    let error = |source| open_error(place, source);
    let mut connection = AnyConnection::connect(url).await.map_err(error)?;
    prepare_sqlite(&mut connection).await.map_err(error)?;
    let row = connection.fetch_one("PRAGMA quick_check(1)").await.map_err(error)?;
    let found: String = row.try_get(0)?;
    connection.close().await.map_err(error)?;
    if found == "ok" {
        return Ok(());
    }
    Err(StoreError::Damaged { place: place.to_owned(), detail: found })
}

fn place_and_url(data_folder: &Path, url: Option<&str>) -> Result<(String, String)> {
    match url {
        None => {
            let path: PathBuf = data_folder.join(FILE_NAME);
            Ok((path.display().to_string(), sqlite_url(&path)))
        }
        Some(url) if url.starts_with("sqlite:") => Ok((url.to_owned(), url.to_owned())),
        Some(url) => {
            // Only the scheme is shown: the rest may hold a password.
            let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
            Err(StoreError::Scheme { url: format!("{scheme}:…") })
        }
    }
}

/// `sqlite:` address of a file, whatever bytes its path has (RFC 3986, section 2.1).
fn sqlite_url(path: &Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    let mut url = "sqlite://".to_owned();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(byte) {
            url.push(char::from(*byte));
        } else {
            let _ = write!(url, "%{byte:02X}");
        }
    }
    url + "?mode=rwc"
}

/// Every connection: readers beside the writer, a commit that is on the disk when it returns, references checked.
async fn prepare_sqlite(connection: &mut AnyConnection) -> sqlx::Result<()> {
    for statement in [
        "PRAGMA busy_timeout = 5000",
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "PRAGMA foreign_keys = ON",
    ] {
        sqlx::query(statement).fetch_all(&mut *connection).await?;
    }
    Ok(())
}

fn open_error(place: &str, source: sqlx::Error) -> StoreError {
    // Codes of sqlite.org/rescode.html: 11 SQLITE_CORRUPT, 26 SQLITE_NOTADB.
    let damaged =
        source.as_database_error().is_some_and(|error| matches!(error.code().as_deref(), Some("11" | "26")));
    if damaged {
        StoreError::Damaged { place: place.to_owned(), detail: source.to_string() }
    } else {
        StoreError::Open { place: place.to_owned(), source }
    }
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
mod tests;
