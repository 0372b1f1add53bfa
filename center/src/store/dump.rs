//! All rows of all tables, for backups: out of either database, and into either.

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;
use serde_json::Value;
use sqlx::any::AnyTypeInfoKind;
use sqlx::{AnyConnection, AssertSqlSafe, Column as _, QueryBuilder, Row as _, TypeInfo as _, ValueRef as _};

use super::database::{Kind, Store, Transaction};
use super::{Result, StoreError, migrations, numbered};

/// The tables that no backup has, and why. Every other table of the database is in it.
pub(super) const LEFT_OUT: &[(&str, &str)] = &[
    (
        "sessions",
        "who is logged in is not logged in at a restored center: log-outs since are not known there",
    ),
    ("centers", "which centers live is not so any more when it is restored"),
    ("early_reports", "they were not acknowledged: their gateways send them again"),
];

/// Values in one INSERT: below SQLite's 32,766 and PostgreSQL's 65,535.
const VALUES_PER_INSERT: usize = 30_000;

/// Rows of one table, as they are written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Rows {
    /// The table.
    pub(crate) table: String,
    /// Its columns.
    pub(crate) columns: Vec<String>,
    /// For each row the values in the order of the columns: texts, numbers, nulls.
    pub(crate) rows: Vec<Vec<Value>>,
}

/// The database as it is at one moment, whatever is written meanwhile.
pub(crate) struct Snapshot {
    transaction: Transaction,
    kind: Kind,
}

impl Store {
    /// Begins to look.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot> {
        let (kind, begin) = match self.kind {
            Kind::Sqlite => (Kind::Sqlite, "BEGIN"),
            Kind::Postgres => (Kind::Postgres, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
        };
        let mut transaction = self.pool.begin_with(begin).await?;
        if kind == Kind::Postgres {
            // It takes as long as it takes.
            for statement in
                ["SET LOCAL statement_timeout = 0", "SET LOCAL idle_in_transaction_session_timeout = 0"]
            {
                sqlx::query(statement).execute(&mut *transaction).await?;
            }
        }
        Ok(Snapshot { transaction, kind })
    }

    /// Makes the tables of these steps in a database that has none, without a row in them; the transaction in which rows are put into them.
    pub(crate) async fn make_tables(&self, place: &str, versions: &[i64]) -> Result<Filling> {
        migrations::run_versions(&self.pool, place, versions).await?;
        let mut transaction = self.begin().await?;
        let tables = tables(&mut transaction, self.kind).await?;
        for table in tables.iter().rev() {
            sqlx::query(AssertSqlSafe(format!("DELETE FROM {table}"))).execute(&mut *transaction).await?;
        }
        let mut columns = BTreeMap::new();
        for table in tables {
            columns.insert(table.clone(), column_types(&mut transaction, self.kind, &table).await?);
        }
        Ok(Filling { transaction, columns })
    }

    /// Brings tables that were filled up to date.
    pub(crate) async fn bring_up_to_date(&self, place: &str) -> Result<()> {
        migrations::run(&self.pool, place).await
    }

    /// Whether there are tables already.
    pub(crate) async fn is_empty(&self) -> Result<bool> {
        let mut connection = self.read().await?;
        Ok(names(&mut connection, self.kind).await?.is_empty())
    }
}

impl Snapshot {
    /// The steps that made the tables.
    pub(crate) async fn versions(&mut self) -> Result<Vec<i64>> {
        let rows = sqlx::query("SELECT version FROM _sqlx_migrations ORDER BY version")
            .fetch_all(&mut *self.transaction)
            .await?;
        rows.iter().map(|row| Ok(row.try_get("version")?)).collect()
    }

    /// The tables, each after those that it refers to.
    pub(crate) async fn tables(&mut self) -> Result<Vec<String>> {
        let tables = tables(&mut self.transaction, self.kind).await?;
        Ok(tables.into_iter().filter(|table| LEFT_OUT.iter().all(|(name, _)| name != table)).collect())
    }

    /// Gives all rows of a table, in parts of about this many characters, to `take`.
    pub(crate) async fn rows<E: From<StoreError>>(
        &mut self,
        table: &str,
        part_size: usize,
        mut take: impl FnMut(&Rows) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let sql = format!("SELECT * FROM {table}");
        let mut stream = sqlx::query(AssertSqlSafe(sql)).fetch(&mut *self.transaction);
        let mut part = Rows { table: table.to_owned(), columns: Vec::new(), rows: Vec::new() };
        let mut size = 0;
        while let Some(row) = stream.try_next().await.map_err(StoreError::from)? {
            if part.columns.is_empty() {
                part.columns = row.columns().iter().map(|column| column.name().to_owned()).collect();
            }
            let values = (0..row.len()).map(|index| value(&row, index)).collect::<Result<Vec<_>>>()?;
            size += values.iter().map(|value| value.as_str().map_or(8, str::len)).sum::<usize>();
            part.rows.push(values);
            if size >= part_size {
                take(&part)?;
                part.rows.clear();
                size = 0;
            }
        }
        if part.rows.is_empty() { Ok(()) } else { take(&part) }
    }

    /// The blobs that Magic Links name.
    pub(crate) async fn blobs(&mut self) -> Result<Vec<keros_protocol::magic_link::Digest>> {
        let rows = sqlx::query("SELECT DISTINCT blob FROM magic_link_blobs ORDER BY blob")
            .fetch_all(&mut *self.transaction)
            .await?;
        rows.iter().map(|row| super::parsed(row, "blob")).collect()
    }
}

fn value(row: &sqlx::any::AnyRow, index: usize) -> Result<Value> {
    let raw = row.try_get_raw(index)?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    match raw.type_info().kind() {
        AnyTypeInfoKind::Text => Ok(Value::from(row.try_get::<String, _>(index)?)),
        AnyTypeInfoKind::BigInt | AnyTypeInfoKind::Integer | AnyTypeInfoKind::SmallInt => {
            Ok(Value::from(row.try_get::<i64, _>(index)?))
        }
        _ => Err(StoreError::Row { column: "(a table's)", value: raw.type_info().name().to_owned() }),
    }
}

/// Tables that are being filled.
pub(crate) struct Filling {
    transaction: Transaction,
    /// For each table its columns, and whether they are numbers.
    columns: BTreeMap<String, BTreeMap<String, bool>>,
}

impl Filling {
    /// Puts rows into their table.
    pub(crate) async fn put(&mut self, rows: &Rows) -> Result<()> {
        let unknown = |value: &str| StoreError::Row { column: "(of a backup)", value: value.to_owned() };
        let types = self.columns.get(&rows.table).ok_or_else(|| unknown(&rows.table))?;
        let are_numbers =
            rows.columns.iter().map(|column| types.get(column).copied().ok_or_else(|| unknown(column)));
        let are_numbers = are_numbers.collect::<Result<Vec<bool>>>()?;
        for part in rows.rows.chunks((VALUES_PER_INSERT / rows.columns.len().max(1)).max(1)) {
            let head = format!("INSERT INTO {} ({}) ", rows.table, rows.columns.join(", "));
            let mut insert = QueryBuilder::<sqlx::Any>::new(head);
            insert.push_values(part, |mut values, row| {
                for (value, is_number) in row.iter().zip(&are_numbers) {
                    if *is_number {
                        values.push_bind(value.as_i64());
                    } else {
                        values.push_bind(value.as_str().map(str::to_owned));
                    }
                }
            });
            numbered(insert)?.execute(&mut *self.transaction).await?;
        }
        Ok(())
    }

    /// The columns of a table, and whether they are numbers.
    #[cfg(test)]
    pub(super) fn columns(&self, table: &str) -> BTreeMap<String, bool> {
        self.columns[table].clone()
    }

    /// The transaction.
    pub(crate) fn connection(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }

    /// All is in.
    pub(crate) async fn commit(self) -> Result<()> {
        Ok(self.transaction.commit().await?)
    }
}

async fn names(connection: &mut AnyConnection, kind: Kind) -> Result<Vec<String>> {
    let rows = sqlx::query(match kind {
        Kind::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name",
        Kind::Postgres => {
            "SELECT CAST(tablename AS TEXT) AS name FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1"
        }
    })
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok(row.try_get("name")?)).collect()
}

/// All tables of ours, each after those that it refers to.
pub(super) async fn tables(connection: &mut AnyConnection, kind: Kind) -> Result<Vec<String>> {
    let mut left = names(connection, kind).await?;
    left.retain(|name| name != "_sqlx_migrations");
    let rows = sqlx::query(match kind {
        Kind::Sqlite => {
            "SELECT m.name AS child, f.\"table\" AS parent FROM sqlite_master m \
             JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table'"
        }
        Kind::Postgres => {
            "SELECT CAST(conrelid::regclass AS TEXT) AS child, CAST(confrelid::regclass AS TEXT) AS parent \
             FROM pg_constraint WHERE contype = 'f'"
        }
    })
    .fetch_all(connection)
    .await?;
    let mut references: Vec<(String, String)> = Vec::new();
    for row in &rows {
        references.push((row.try_get("child")?, row.try_get("parent")?));
    }
    let mut ordered: Vec<String> = Vec::new();
    while !left.is_empty() {
        let waits = |name: &String, left: &[String]| {
            references.iter().any(|(child, parent)| child == name && parent != name && left.contains(parent))
        };
        let (later, now): (Vec<_>, Vec<_>) = left.iter().cloned().partition(|name| waits(name, &left));
        if now.is_empty() {
            return Err(StoreError::Row { column: "(references of tables)", value: later.join(", ") });
        }
        ordered.extend(now);
        left = later;
    }
    Ok(ordered)
}

async fn column_types(
    connection: &mut AnyConnection,
    kind: Kind,
    table: &str,
) -> Result<BTreeMap<String, bool>> {
    let rows = sqlx::query(match kind {
        Kind::Sqlite => "SELECT name, type AS kind FROM pragma_table_info($1)",
        Kind::Postgres => {
            "SELECT CAST(column_name AS TEXT) AS name, CAST(data_type AS TEXT) AS kind FROM information_schema.columns \
             WHERE table_schema = current_schema() AND table_name = $1"
        }
    })
    .bind(table.to_owned())
    .fetch_all(connection)
    .await?;
    let column = |row: &sqlx::any::AnyRow| {
        let kind: String = row.try_get("kind")?;
        Ok((row.try_get("name")?, kind.eq_ignore_ascii_case("bigint")))
    };
    rows.iter().map(column).collect()
}
