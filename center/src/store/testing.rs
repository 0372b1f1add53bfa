//! How every test that opens a store is run on PostgreSQL too: the test below starts the whole test program once more, where a store in a
//! folder is a database of a PostgreSQL of its own. The same folder is the same database, so what a test closes it finds again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use keros_test_postgres::Postgres;
use sqlx::Connection as _;
use tokio::sync::Mutex;

/// Set in the second run: the address of the server, with `DATABASE` in it.
const SERVER: &str = "KEROS_TEST_POSTGRES";

/// What the second run leaves out: itself, and what is otherwise where several centers share a database.
const SQLITE_ONLY: &[&str] = &[
    "store::testing::",
    // About the file of SQLite.
    "store::tests::sqlite",
    // They look into the folder of uploads, of which each of several centers has one of its own name.
    "server::tests::links::a_full_store_says",
    "server::tests::links::an_upload_that_is_not_what_it_should_be",
    // The broker holds nothing for one of several centers that is away (see mqtt/mod.rs): its gateways send again what was not
    // acknowledged, which the gateway of this test does not.
    "server::tests::mqtt::reports_that_come_while_the_center_is_away",
];

/// The databases that were made, by the folder of the data.
static MADE: Mutex<Option<HashMap<PathBuf, String>>> = Mutex::const_new(None);

/// The database of this data folder; `None`: as the center does it.
pub(super) async fn database(data_folder: &Path, url: Option<&str>) -> Option<String> {
    let server = std::env::var(SERVER).ok().filter(|_| url.is_none())?;
    let address = |name: &str| server.replace("DATABASE", name);
    let mut made = MADE.lock().await;
    let made = made.get_or_insert_default();
    if let Some(name) = made.get(data_folder) {
        return Some(address(name));
    }
    let mut connection = sqlx::AnyConnection::connect(&address("postgres")).await.unwrap();
    // A folder that is gone is a test that has ended: thousands of databases would fill the disk.
    let gone: Vec<PathBuf> = made.keys().filter(|folder| !folder.exists()).cloned().collect();
    for folder in gone {
        let sql = format!("DROP DATABASE {} WITH (FORCE)", made.remove(&folder).unwrap());
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }
    let name = format!("test_{}", uuid::Uuid::now_v7().simple());
    let sql = format!("CREATE DATABASE {name} TEMPLATE template0");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    made.insert(data_folder.to_owned(), name.clone());
    Some(address(&name))
}

/// The address of the database of this data folder.
pub(super) async fn address(data_folder: &Path) -> String {
    let file = || super::sqlite::url(&data_folder.join(super::sqlite::FILE_NAME));
    database(data_folder, None).await.unwrap_or_else(file)
}

/// A server and a database of its own, for a test of what only PostgreSQL has; `None`: it is not installed, which was said.
pub(crate) fn server() -> Option<Postgres> {
    let server = Postgres::start().unwrap();
    match &server {
        Some(server) => server.create("keros").unwrap(),
        None => keros_skip::skipped("PostgreSQL is not installed (Debian: postgresql)"),
    }
    server
}

#[test]
fn all_that_opens_a_store_passes_on_postgresql_too() {
    if std::env::var_os(SERVER).is_some() {
        return;
    }
    let Some(server) = server() else { return };
    let mut command = Command::new(std::env::current_exe().unwrap());
    for module in ["store::", "service::", "enroll::", "server::", "access::"] {
        command.arg(module);
    }
    for module in SQLITE_ONLY {
        command.args(["--skip", module]);
    }
    let output = command.env(SERVER, server.url("DATABASE")).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    // It was PostgreSQL that did the work.
    let transactions = server.sql("postgres", "SELECT sum(xact_commit) FROM pg_stat_database").unwrap();
    assert!(transactions.parse::<u64>().unwrap() > 100, "{transactions}\n{told}");
}
