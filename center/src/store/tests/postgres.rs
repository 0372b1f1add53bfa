//! What only PostgreSQL has: centers that write side by side, a server that goes away and comes back.

use std::time::Duration;

use tokio::time::timeout;

use super::*;

const OTHER: Eui = Eui::from_u64(0x7076_FF00_5607_0124);

/// Nothing here waits so long unless it waits for ever.
const LONG: Duration = Duration::from_secs(30);
/// For what must not happen.
const SHORT: Duration = Duration::from_millis(300);

async fn two_centers(server: &keros_test_postgres::Postgres) -> (Store, Store) {
    let folder = tempfile::tempdir().unwrap();
    let url = server.url("keros");
    // Both bring the tables up to date at the same time.
    let (one, other) =
        tokio::join!(Store::open(folder.path(), Some(&url)), Store::open(folder.path(), Some(&url)));
    (one.unwrap(), other.unwrap())
}

#[tokio::test]
async fn centers_write_side_by_side_about_different_gateways_and_one_after_the_other_about_the_same() {
    let Some(server) = testing::server() else { return };
    let (one, other) = two_centers(&server).await;
    let first = one.begin_for(&[EUI]).await.unwrap();
    let beside = timeout(LONG, other.begin_for(&[OTHER])).await.unwrap().unwrap();
    assert!(
        timeout(SHORT, other.begin_for(&[OTHER, EUI])).await.is_err(),
        "the gateway is being written about"
    );
    first.commit().await.unwrap();
    beside.commit().await.unwrap();
    timeout(LONG, other.begin_for(&[OTHER, EUI])).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_operators_order_waits_for_the_gateways_and_they_for_it() {
    let Some(server) = testing::server() else { return };
    let (one, other) = two_centers(&server).await;
    let gateways = one.begin_for(&[EUI]).await.unwrap();
    assert!(timeout(SHORT, other.begin()).await.is_err(), "a gateway is being written about");
    gateways.commit().await.unwrap();
    let order = timeout(LONG, other.begin()).await.unwrap().unwrap();
    assert!(timeout(SHORT, one.begin_for(&[EUI])).await.is_err(), "an order is under way");
    assert!(timeout(SHORT, one.begin()).await.is_err(), "an order is under way");
    drop(order);
    timeout(LONG, one.begin()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_center_that_hangs_in_a_transaction_holds_the_others_up_for_less_than_they_wait() {
    let Some(server) = testing::server() else { return };
    let (one, other) = two_centers(&server).await;
    let hangs = one.begin().await.unwrap();
    other.begin().await.unwrap();
    assert!(hangs.commit().await.is_err(), "the server has ended it");
}

#[tokio::test]
async fn what_was_written_before_the_lock_was_had_is_seen_after_it() {
    let Some(server) = testing::server() else { return };
    let (one, other) = two_centers(&server).await;
    let mut first = one.begin_for(&[EUI]).await.unwrap();
    gateways::ensure(&mut first, EUI, 1).await.unwrap();
    let waiting = tokio::spawn(async move {
        let mut second = other.begin_for(&[EUI]).await.unwrap();
        gateways::find(&mut second, EUI).await.unwrap().is_some()
    });
    tokio::time::sleep(SHORT).await;
    first.commit().await.unwrap();
    assert!(timeout(LONG, waiting).await.unwrap().unwrap());
}

#[tokio::test]
async fn a_server_that_was_killed_is_away_for_now_and_has_all_that_was_committed() {
    let Some(mut server) = testing::server() else { return };
    let (store, _other) = two_centers(&server).await;
    let mut kept = store.begin().await.unwrap();
    gateways::ensure(&mut kept, EUI, 1).await.unwrap();
    kept.commit().await.unwrap();
    let mut cut_off = store.begin().await.unwrap();
    gateways::ensure(&mut cut_off, OTHER, 1).await.unwrap();
    server.kill().unwrap();
    let error = StoreError::from(cut_off.commit().await.unwrap_err());
    assert!(error.is_for_now() && !error.is_about_data(), "{error:?}");
    let error = store.begin().await.unwrap_err();
    assert!(error.is_for_now(), "{error:?}");
    server.restart().unwrap();
    let mut again = store.begin().await.unwrap();
    assert!(gateways::find(&mut again, EUI).await.unwrap().is_some());
    assert!(gateways::find(&mut again, OTHER).await.unwrap().is_none());
}

#[tokio::test]
async fn a_database_that_orders_text_otherwise_is_refused_with_the_command_that_makes_one() {
    let Some(server) = testing::server() else { return };
    server.sql("postgres", "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let error = Store::open(folder.path(), Some(&server.url("latin"))).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Collation { .. }) && error.to_string().contains("createdb"),
        "{error}"
    );
    let error = Store::open(folder.path(), Some(&server.url("nothing"))).await.unwrap_err();
    assert!(matches!(error, StoreError::Connect { .. }), "{error}");
}

#[tokio::test]
async fn an_error_never_shows_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let address = "postgres://me:secret@127.0.0.1:1/db?password=secret";
    let error = Store::open(folder.path(), Some(address)).await.unwrap_err();
    let text = format!("{:#}", anyhow::Error::from(error));
    assert!(text.contains("postgres://127.0.0.1:1/db") && !text.contains("secret"), "{text}");
}
