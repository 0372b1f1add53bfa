//! Opening the database, and its two ways to write: alone, or beside others that write about other gateways.

use std::path::Path;
use std::time::Duration;

use keros_protocol::Eui;
use sqlx::any::AnyPoolOptions;
use sqlx::{AnyPool, Connection as _, Executor as _, SqlSafeStr as _};

use super::{Result, StoreError, locks, migrations, postgres, sqlite};

/// Connections to SQLite: one writes, the others read.
pub(super) const SQLITE_CONNECTIONS: u32 = 4;

/// Connections of one center to PostgreSQL, of the 100 that a server has when nobody says otherwise: five centers leave room for others.
const POSTGRES_CONNECTIONS: u32 = 16;

/// Whoever wants a connection is told after so long that there is none.
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);

/// Whoever asks after the database does not wait longer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// A transaction: everything is committed together, or nothing.
pub(crate) type Transaction = sqlx::Transaction<'static, sqlx::Any>;

/// Which database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file.
    Sqlite,
    /// A server, which several centers may use.
    Postgres,
}

/// The address, which may hold a password: it is not shown.
#[derive(Clone)]
struct Url(String);

impl std::fmt::Debug for Url {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("…")
    }
}

/// The database.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(super) pool: AnyPool,
    pub(super) kind: Kind,
    url: Url,
}

impl Store {
    /// Opens the SQLite file in the data folder, or the database at `url`, and brings its tables up to date.
    pub(crate) async fn open(data_folder: &Path, url: Option<&str>) -> Result<Self> {
        sqlx::any::install_default_drivers();
        #[cfg(test)]
        let on_postgres = super::testing::database(data_folder, url, true).await;
        #[cfg(test)]
        let url = on_postgres.as_deref().or(url);
        let (kind, place, url) = place_and_url(data_folder, url)?;
        let store = Self::connect(kind, &place, url).await?;
        migrations::run(&store.pool, &place).await?;
        Ok(store)
    }

    /// Opens it without bringing its tables up to date, and gives its name for people. A file has to be there, unless it is to be made.
    pub(crate) async fn open_as_it_is(
        data_folder: &Path,
        url: Option<&str>,
        may_be_new: bool,
    ) -> Result<(Self, String)> {
        sqlx::any::install_default_drivers();
        #[cfg(test)]
        let on_postgres = super::testing::database(data_folder, url, false).await;
        #[cfg(test)]
        let url = on_postgres.as_deref().or(url);
        let (kind, place, address) = place_and_url(data_folder, url)?;
        if url.is_none() && !may_be_new && !sqlite::file(data_folder).exists() {
            return Err(StoreError::Nothing { place });
        }
        Ok((Self::connect(kind, &place, address).await?, place))
    }

    async fn connect(kind: Kind, place: &str, url: String) -> Result<Self> {
        let pool = match kind {
            Kind::Sqlite => sqlite_pool(place, &url).await?,
            Kind::Postgres => postgres_pool(place, &url).await?,
        };
        Ok(Self { pool, kind, url: Url(url) })
    }

    /// Whether other centers may use it at the same time.
    pub(crate) fn is_shared(&self) -> bool {
        self.kind == Kind::Postgres
    }

    pub(super) fn url(&self) -> &str {
        &self.url.0
    }

    /// Begins a transaction that will write, and that nobody else writes beside.
    pub(crate) async fn begin(&self) -> Result<Transaction> {
        self.begin_locked(locks::alone).await
    }

    /// Begins a transaction that will write about these gateways alone; others may write about other gateways.
    pub(crate) async fn begin_for(&self, gateways: &[Eui]) -> Result<Transaction> {
        self.begin_locked(|| locks::of_gateways(gateways)).await
    }

    async fn begin_locked(&self, lock: impl FnOnce() -> String) -> Result<Transaction> {
        match self.kind {
            // Take the write lock now and not at the first write, where waiting for it is not possible.
            Kind::Sqlite => Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?),
            Kind::Postgres => {
                let mut transaction = self.pool.begin().await?;
                // Each statement after it sees what was committed before the lock was had.
                transaction.execute(sqlx::AssertSqlSafe(lock()).into_sql_str()).await?;
                Ok(transaction)
            }
        }
    }

    /// Whether the database answers, and soon.
    pub(crate) async fn answers(&self) -> bool {
        let ask = async { self.pool.acquire().await?.execute("SELECT 1").await };
        tokio::time::timeout(ANSWER_LIMIT, ask).await.is_ok_and(|answer| answer.is_ok())
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

fn pool(connections: u32) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(CONNECTION_LIMIT)
        // A commit that the disk refuses leaves a connection that believes in its transaction for ever, and begins no other.
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
}

async fn sqlite_pool(place: &str, url: &str) -> Result<AnyPool> {
    // Before the pool, which would try again and again where only an error helps.
    sqlite::check(place, url).await?;
    pool(SQLITE_CONNECTIONS)
        .after_connect(|connection, _| Box::pin(sqlite::prepare(connection)))
        .connect(url)
        .await
        .map_err(|source| sqlite::open_error(place, source))
}

async fn postgres_pool(place: &str, url: &str) -> Result<AnyPool> {
    postgres::check(place, url).await?;
    pool(POSTGRES_CONNECTIONS)
        .after_connect(|connection, _| Box::pin(postgres::prepare(connection)))
        .connect(url)
        .await
        .map_err(|source| StoreError::Connect { place: place.to_owned(), source })
}

fn place_and_url(data_folder: &Path, url: Option<&str>) -> Result<(Kind, String, String)> {
    match url {
        None => {
            let path = data_folder.join(sqlite::FILE_NAME);
            Ok((Kind::Sqlite, path.display().to_string(), sqlite::url(&path)))
        }
        Some(url) if url.starts_with("sqlite:") => Ok((Kind::Sqlite, url.to_owned(), url.to_owned())),
        Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
            Ok((Kind::Postgres, postgres::place(url), url.to_owned()))
        }
        Some(url) => {
            // Only the scheme is shown: the rest may hold a password.
            let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
            Err(StoreError::Scheme { url: format!("{scheme}:…") })
        }
    }
}
