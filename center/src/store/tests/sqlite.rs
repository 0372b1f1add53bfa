//! What is about the file of SQLite.

use super::*;
use crate::store::database::SQLITE_CONNECTIONS;
use crate::store::sqlite::FILE_NAME;

#[tokio::test]
async fn every_connection_writes_through_and_checks_references() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    let mut connections = Vec::new();
    for _ in 0..SQLITE_CONNECTIONS {
        connections.push(store.read().await.unwrap());
    }
    for connection in &mut connections {
        for (pragma, expected) in [("PRAGMA synchronous", 2_i64), ("PRAGMA foreign_keys", 1)] {
            let row = sqlx::query(pragma).fetch_one(&mut **connection).await.unwrap();
            assert_eq!(row.try_get::<i64, _>(0).unwrap(), expected, "{pragma}");
        }
        let row = sqlx::query("PRAGMA journal_mode").fetch_one(&mut **connection).await.unwrap();
        assert_eq!(row.try_get::<String, _>(0).unwrap(), "wal");
    }
    let error = groups::add_member(&mut connections[0], &"none".to_owned().into(), EUI).await.unwrap_err();
    assert!(error.is_about_data(), "{error:?}");
}

/// With it, a connection that has read much keeps all others from holding even the pages that they read over and over. `.cargo/config.toml`
/// switches it off.
#[tokio::test]
async fn each_connection_has_a_page_cache_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    let mut connection = store.read().await.unwrap();
    let rows = sqlx::query("PRAGMA compile_options").fetch_all(&mut *connection).await.unwrap();
    let options: Vec<String> = rows.iter().map(|row| row.try_get(0).unwrap()).collect();
    assert!(options.iter().any(|option| option.starts_with("THREADSAFE=")), "{options:?}");
    assert!(!options.contains(&"ENABLE_MEMORY_MANAGEMENT".to_owned()), "{options:?}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(FILE_NAME), [7; 8192]).unwrap();
    let error = open(folder.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("center.db"), "{error}");
}

#[tokio::test]
async fn a_damaged_page_is_found_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    let mut transaction = store.begin().await.unwrap();
    for number in 0..500 {
        gateways::declare(&mut transaction, Eui::from_u64(number), CustomerId::MAIN, Some("name"), "text", 5)
            .await
            .unwrap();
    }
    transaction.commit().await.unwrap();
    store.close().await;
    let path = folder.path().join(FILE_NAME);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 8192].fill(0x55);
    std::fs::write(&path, bytes).unwrap();
    let error = open(folder.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
}

#[tokio::test]
async fn a_folder_with_odd_characters_is_no_trouble() {
    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join("a b?c#d%20é");
    std::fs::create_dir(&odd).unwrap();
    open(&odd).await.unwrap();
    assert!(odd.join(FILE_NAME).exists());
}

#[tokio::test]
async fn another_databases_address_is_refused_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let error = Store::open(folder.path(), Some("mysql://me:secret@host/db")).await.unwrap_err();
    assert!(error.to_string().contains("mysql") && !error.to_string().contains("secret"), "{error}");
}
