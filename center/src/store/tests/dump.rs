//! Backups have every table, whatever a later step adds.

use std::collections::BTreeMap;

use super::*;
use crate::store::dump::{Filling, LEFT_OUT, Rows, tables};

/// One row in each table. Every text is the same and every number, so that what refers to another row finds it.
async fn fill(store: &Store, filling: &mut Filling) -> Vec<String> {
    let tables = tables(filling.connection(), store.kind).await.unwrap();
    for table in &tables {
        let columns = filling.columns(table);
        let value = |is_number: bool| {
            if is_number { serde_json::Value::from(1) } else { serde_json::Value::from("x") }
        };
        let row = columns.values().map(|is_number| value(*is_number)).collect();
        let rows = Rows { table: table.clone(), columns: columns.into_keys().collect(), rows: vec![row] };
        filling.put(&rows).await.unwrap();
    }
    tables
}

/// What a backup of it has: each table's rows, and the steps that made the tables.
async fn dumped(store: &Store) -> (BTreeMap<String, Rows>, Vec<i64>) {
    let mut snapshot = store.snapshot().await.unwrap();
    let mut all = BTreeMap::new();
    for table in snapshot.tables().await.unwrap() {
        let take = |rows: &Rows| {
            let mut rows = rows.clone();
            // The two databases need not have the columns in one order.
            let mut order: Vec<usize> = (0..rows.columns.len()).collect();
            order.sort_by_key(|index| rows.columns[*index].clone());
            rows.rows =
                rows.rows.iter().map(|row| order.iter().map(|index| row[*index].clone()).collect()).collect();
            rows.columns.sort();
            all.insert(rows.table.clone(), rows);
            Ok::<(), StoreError>(())
        };
        snapshot.rows(&table, 1, take).await.unwrap();
    }
    (all, snapshot.versions().await.unwrap())
}

#[tokio::test]
async fn a_row_of_every_table_comes_through_a_backup_or_is_left_out_for_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    let versions = dumped(&store).await.1;
    let mut filling = store.make_tables("here", &versions).await.unwrap();
    let mut expected = fill(&store, &mut filling).await;
    expected.sort();
    filling.commit().await.unwrap();

    let (rows, _) = dumped(&store).await;
    for (table, reason) in LEFT_OUT {
        assert!(expected.iter().any(|name| name == table), "{table} is left out and is no table");
        assert!(!reason.is_empty(), "{table}");
    }
    expected.retain(|table| LEFT_OUT.iter().all(|(left_out, _)| left_out != table));
    assert_eq!(rows.keys().cloned().collect::<Vec<_>>(), expected);
    assert!(rows.values().all(|rows| rows.rows.len() == 1), "{rows:?}");

    let elsewhere = tempfile::tempdir().unwrap();
    let other = open(elsewhere.path()).await.unwrap();
    let mut filling = other.make_tables("there", &versions).await.unwrap();
    for table in store.snapshot().await.unwrap().tables().await.unwrap() {
        filling.put(&rows[&table]).await.unwrap();
    }
    filling.commit().await.unwrap();
    assert_eq!(dumped(&other).await.0, rows);
}
