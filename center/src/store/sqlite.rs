//! What only SQLite needs: its file, its settings, the search for damage.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use sqlx::{AnyConnection, Connection as _, Executor as _, Row as _};

use super::{Result, StoreError};

/// Name of the file in the data folder.
pub(super) const FILE_NAME: &str = "center.db";

/// From here on it may take a while to read all of it.
const LARGE_BYTES: u64 = 256 << 20;

/// The file in a data folder.
pub(crate) fn file(data_folder: &Path) -> PathBuf {
    data_folder.join(FILE_NAME)
}

/// `sqlite:` address of a file, whatever bytes its path has (RFC 3986, section 2.1).
pub(super) fn url(path: &Path) -> String {
    format!("sqlite://{}?mode=rwc", super::percent_encoded(path.as_os_str().as_bytes()))
}

/// Every connection: readers beside the writer, a commit that is on the disk when it returns, references checked.
pub(super) async fn prepare(connection: &mut AnyConnection) -> sqlx::Result<()> {
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

/// SQLite finds damage only where it reads: reads everything once.
pub(super) async fn check(place: &str, url: &str) -> Result<()> {
    let error = |source| open_error(place, source);
    let mut connection = AnyConnection::connect(url).await.map_err(error)?;
    prepare(&mut connection).await.map_err(error)?;
    let size = std::fs::metadata(place).map_or(0, |file| file.len());
    if size >= LARGE_BYTES {
        tracing::info!(place, "reading all {} MiB for damage: on a slow disk this takes minutes", size >> 20);
    }
    let row = connection.fetch_one("PRAGMA quick_check(1)").await.map_err(error)?;
    let found: String = row.try_get(0)?;
    connection.close().await.map_err(error)?;
    if found == "ok" {
        return Ok(());
    }
    Err(StoreError::Damaged { place: place.to_owned(), detail: found })
}

/// Why it cannot be opened.
pub(super) fn open_error(place: &str, source: sqlx::Error) -> StoreError {
    // Codes of sqlite.org/rescode.html: 11 SQLITE_CORRUPT, 26 SQLITE_NOTADB.
    let damaged =
        source.as_database_error().is_some_and(|error| matches!(error.code().as_deref(), Some("11" | "26")));
    if damaged {
        StoreError::Damaged { place: place.to_owned(), detail: source.to_string() }
    } else {
        StoreError::Open { place: place.to_owned(), source }
    }
}
