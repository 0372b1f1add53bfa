//! How every test that opens a store is run on PostgreSQL too: the test below starts the whole test program once more, where a store in a
//! folder is a database of a PostgreSQL of its own. The same folder is the same database, so what a test closes it finds again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use keros_test_postgres::Postgres;
use sqlx::Connection as _;
use tokio::sync::Mutex;

use super::Store;

/// Set in the second run: the address of the server, with `DATABASE` in it.
const SERVER: &str = "KEROS_TEST_POSTGRES";

/// What the second run leaves out: itself, and what is about the file of SQLite.
const SQLITE_ONLY: &[&str] = &["store::testing::", "store::tests::sqlite"];

/// What tests' databases are copied from, with its tables made: they are made once, and not some four hundred times.
const MODEL: &str = "model";

/// Whether this is the second run, where a center is one of several that share a database.
pub(crate) fn is_shared() -> bool {
    std::env::var_os(SERVER).is_some()
}

/// The databases that were made.
static MADE: Mutex<Made> = Mutex::const_new(Made { by_folder: BTreeMap::new(), free: Vec::new() });

struct Made {
    /// By the folder of the data; whether it was made with its tables.
    by_folder: BTreeMap<PathBuf, (String, bool)>,
    /// With tables, of tests that have ended.
    free: Vec<String>,
}

/// Keeps the rows that are there when the tables are made, out of the way of the tests.
const REMEMBER: &str = "
    CREATE SCHEMA made;
    DO $$ DECLARE one text; BEGIN
        FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
            EXECUTE format('CREATE TABLE made.%I AS SELECT * FROM public.%I', one, one);
        END LOOP;
    END $$;";

/// Makes a database as it was when it was made. What a test has left running must not write any more.
const AS_MADE: &str = "
    DO $$ DECLARE one text; BEGIN
        PERFORM pg_terminate_backend(pid, 10000) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid();
        SET session_replication_role = replica;
        FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
            EXECUTE format('DELETE FROM public.%I', one);
            EXECUTE format('INSERT INTO public.%I SELECT * FROM made.%I', one, one);
        END LOOP;
    END $$;";

/// The database of this data folder, with its tables or without any when it is made; `None`: as the center does it.
pub(super) async fn database(data_folder: &Path, url: Option<&str>, with_tables: bool) -> Option<String> {
    let server = std::env::var(SERVER).ok().filter(|_| url.is_none())?;
    let address = |name: &str| server.replace("DATABASE", name);
    let mut made = MADE.lock().await;
    if let Some((name, _)) = made.by_folder.get(data_folder) {
        return Some(address(name));
    }
    // A folder that is gone is a test that has ended. To copy a database takes longer than most tests, so it serves again.
    let is_gone = |folder: &PathBuf| !folder.exists();
    let gone: Vec<PathBuf> = made.by_folder.keys().filter(|folder| is_gone(folder)).cloned().collect();
    for folder in gone {
        let (name, with_tables) = made.by_folder.remove(&folder).unwrap();
        if with_tables {
            made.free.push(name);
        } else {
            run(&address("postgres"), &format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }
    let free = if with_tables { made.free.pop() } else { None };
    let name = match free {
        Some(name) => {
            run(&address(&name), AS_MADE).await;
            name
        }
        None => {
            let name = format!("test_{}", uuid::Uuid::now_v7().simple());
            let model = if with_tables { MODEL } else { "template0" };
            run(&address("postgres"), &format!("CREATE DATABASE {name} TEMPLATE {model}")).await;
            name
        }
    };
    made.by_folder.insert(data_folder.to_owned(), (name.clone(), with_tables));
    Some(address(&name))
}

async fn run(address: &str, sql: &str) {
    let mut connection = sqlx::AnyConnection::connect(address).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// The address of the database of this data folder.
pub(super) async fn address(data_folder: &Path) -> String {
    let file = || super::sqlite::url(&data_folder.join(super::sqlite::FILE_NAME));
    database(data_folder, None, false).await.unwrap_or_else(file)
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
    server.create(MODEL).unwrap();
    let (folder, url) = (tempfile::tempdir().unwrap(), server.url(MODEL));
    let make = async {
        Store::open(folder.path(), Some(&url)).await.unwrap().close().await;
        run(&url, REMEMBER).await;
    };
    tokio::runtime::Runtime::new().unwrap().block_on(make);
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
