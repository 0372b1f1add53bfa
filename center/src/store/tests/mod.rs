//! The tables, on both databases; what only one of them has is below.

mod dump;
mod postgres;
mod sqlite;

use std::path::Path;

use keros_protocol::{Delivery, Eui, Outcome};
use sqlx::any::AnyPoolOptions;

use super::*;
use crate::access::CustomerId;

const EUI: Eui = Eui::from_u64(0x7076_FF00_5607_0123);

async fn open(folder: &Path) -> Result<Store> {
    Store::open(folder, None).await
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    let mut transaction = store.begin().await.unwrap();
    gateways::declare(&mut transaction, EUI, CustomerId::MAIN, Some("mast"), "north", 5).await.unwrap();
    transaction.commit().await.unwrap();
    store.close().await;
    let store = open(folder.path()).await.unwrap();
    let row = gateways::find(&mut store.read().await.unwrap(), EUI).await.unwrap().unwrap();
    assert_eq!((row.name.as_deref(), row.description.as_str(), row.declared), (Some("mast"), "north", true));
}

#[tokio::test]
async fn what_was_not_committed_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    let mut transaction = store.begin().await.unwrap();
    gateways::ensure(&mut transaction, EUI, 5).await.unwrap();
    drop(transaction);
    assert_eq!(gateways::find(&mut store.read().await.unwrap(), EUI).await.unwrap(), None);
}

#[tokio::test]
async fn a_newer_centers_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'later', $1, $2, 1)",
    )
    .bind(true)
    .bind(vec![0_u8])
    .execute(&store.pool)
    .await
    .unwrap();
    store.close().await;
    let error = open(folder.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::TooNew { version: 9999, .. }), "{error:?}");
}

#[tokio::test]
async fn an_update_for_many_gateways_is_kept_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    let update = tests_support::update(1234);
    let mut transaction = store.begin().await.unwrap();
    for (_, eui, _) in &update.commands {
        gateways::ensure(&mut transaction, *eui, 1).await.unwrap();
    }
    updates::create(&mut transaction, &update).await.unwrap();
    transaction.commit().await.unwrap();
    let rows = lines::all(&mut store.read().await.unwrap(), update.row.update_id).await.unwrap();
    assert_eq!(rows.len(), 1234);
    assert!(
        rows.iter().all(|row| row.command.delivery == Delivery::Waiting && row.command.outcome.is_none())
    );
}

#[tokio::test]
async fn lost_is_what_has_no_end_and_was_last_heard_of_in_another_stream() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    let mut transaction = store.begin().await.unwrap();
    let update = tests_support::update(1);
    let (command_id, eui, _) = update.commands[0];
    gateways::ensure(&mut transaction, eui, 1).await.unwrap();
    updates::create(&mut transaction, &update).await.unwrap();
    let (old, new) = (uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(2));
    let running = Outcome::Running { task: None };
    let ended =
        Outcome::Succeeded { summary: keros_protocol::Summary::default(), dry_run: false, differences: None };
    for (outcome, owed, heard, stated, lost) in [
        (None, None, None, old, 0),
        (Some(&running), Some(9), Some(old), old, 0),
        (Some(&running), Some(9), Some(old), new, 1),
        (Some(&running), Some(9), Some(new), new, 0),
        (Some(&ended), None, Some(old), new, 0),
    ] {
        if let Some((outcome, heard)) = outcome.zip(heard) {
            commands::keep_outcome(&mut transaction, command_id, (outcome, heard), owed, 5).await.unwrap();
        }
        let found = commands::lost(&mut transaction, eui, stated, 9).await.unwrap();
        assert_eq!(found.len(), lost, "{outcome:?} of {heard:?}, now {stated}");
    }
}

fn report(stream: u128, number: u64, status: &'static str, json: &'static str) -> NewReport<'static> {
    let position = keros_protocol::ReportPosition { stream: uuid::Uuid::from_u128(stream), number };
    NewReport { eui: EUI, position, command_id: "x".to_owned(), status, json, note: None }
}

async fn is_kept(transaction: &mut Transaction, report: &NewReport<'_>) -> bool {
    reports::known(transaction, EUI, report.position).await.unwrap().is_some_and(|known| known.is_kept)
}

/// A line of the audit log, of this second.
fn audit_row(at: u64) -> audit::AuditRow {
    audit::AuditRow {
        audit_id: uuid::Uuid::from_u128(u128::from(at)),
        at,
        user: None,
        user_name: "root".to_owned(),
        address: None,
        action: "login".to_owned(),
        customer: None,
        subject: String::new(),
        result: "done".to_owned(),
        detail: String::new(),
    }
}

#[tokio::test]
async fn the_audit_log_goes_in_steps_by_age_and_by_number_the_oldest_first() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    let mut transaction = store.begin().await.unwrap();
    for at in 1..=1500 {
        audit::keep(&mut transaction, &audit_row(at)).await.unwrap();
    }
    let left = async |connection: &mut sqlx::AnyConnection| {
        let filter = audit::AuditFilter { limit: 2000, ..Default::default() };
        let lines = audit::list(connection, &crate::access::Visible::All, &filter).await.unwrap();
        (lines.last().unwrap().at, lines.len())
    };
    assert!(audit::prune(&mut transaction, 1200, None).await.unwrap(), "a step has its bound");
    assert_eq!(left(&mut transaction).await, (1001, 500));
    assert!(!audit::prune(&mut transaction, 1200, None).await.unwrap());
    assert_eq!(left(&mut transaction).await, (1200, 301));
    assert_eq!(audit::beyond(&mut transaction, 301).await.unwrap(), None);
    let beyond = audit::beyond(&mut transaction, 100).await.unwrap();
    assert!(!audit::prune(&mut transaction, 0, beyond).await.unwrap());
    assert_eq!(left(&mut transaction).await, (1401, 100));
}

#[tokio::test]
async fn reports_go_by_age_and_positions_stay() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    let mut transaction = store.begin().await.unwrap();
    gateways::ensure(&mut transaction, EUI, 1).await.unwrap();
    for number in 1..=200 {
        reports::keep(&mut transaction, &report(1, number, "running", "{}"), number).await.unwrap();
    }
    assert!(!reports::prune(&mut transaction, 101).await.unwrap(), "no more is old");
    for (number, kept) in [(1, false), (100, false), (101, true), (200, true)] {
        assert_eq!(is_kept(&mut transaction, &report(1, number, "", "")).await, kept, "{number}");
    }
    reports::prune(&mut transaction, 1000).await.unwrap();
    let position = reports::position(&mut transaction, EUI, uuid::Uuid::from_u128(1)).await.unwrap();
    assert_eq!(position.unwrap().number, 200);
}

#[tokio::test]
async fn of_too_many_reports_the_ends_of_commands_go_last() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    let mut transaction = store.begin().await.unwrap();
    gateways::ensure(&mut transaction, EUI, 1).await.unwrap();
    let odd = NewReport { note: Some("odd".to_owned()), ..report(1, 2, "succeeded", "{}") };
    reports::keep(&mut transaction, &report(1, 1, "succeeded", "{}"), 1).await.unwrap();
    reports::keep(&mut transaction, &odd, 2).await.unwrap();
    let mut kept = Kept { reports: 0, size: 0 };
    for number in 3..=50 {
        kept =
            reports::keep(&mut transaction, &report(1, number, "running", "{    }"), number).await.unwrap();
    }
    assert_eq!(kept, Kept { reports: 50, size: 2 * 2 + 48 * 6 });
    reports::prune_gateway(&mut transaction, EUI, Kept { reports: 10, size: 1000 }).await.unwrap();
    for (number, kept) in [(1, true), (2, false), (3, false), (41, false), (42, true), (50, true)] {
        assert_eq!(is_kept(&mut transaction, &report(1, number, "", "")).await, kept, "{number}");
    }
    reports::prune_gateway(&mut transaction, EUI, Kept { reports: 10, size: 2 + 6 + 5 }).await.unwrap();
    for (number, kept) in [(1, true), (49, false), (50, true)] {
        assert_eq!(is_kept(&mut transaction, &report(1, number, "", "")).await, kept, "{number} by size");
    }
    let kept = reports::keep(&mut transaction, &report(1, 51, "running", "{}"), 51).await.unwrap();
    assert_eq!(kept, Kept { reports: 3, size: 10 }, "counted anew");
}

#[tokio::test]
async fn only_the_last_streams_are_known_and_always_the_current_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    let mut transaction = store.begin().await.unwrap();
    gateways::ensure(&mut transaction, EUI, 1).await.unwrap();
    for stream in (1..=9).rev() {
        reports::keep(&mut transaction, &report(stream, 7, "running", "{}"), 100 - stream as u64)
            .await
            .unwrap();
    }
    reports::prune_streams(&mut transaction, EUI, uuid::Uuid::from_u128(9), 3).await.unwrap();
    for (stream, known) in [(1, true), (2, true), (3, false), (8, false), (9, true)] {
        let position = reports::position(&mut transaction, EUI, uuid::Uuid::from_u128(stream)).await.unwrap();
        assert_eq!(position.is_some(), known, "{stream}");
    }
}

#[tokio::test]
async fn a_database_of_the_first_version_is_brought_up_to_date_with_what_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    sqlx::any::install_default_drivers();
    let url = testing::address(folder.path()).await;
    let pool = AnyPoolOptions::new().max_connections(1).connect(&url).await.unwrap();
    migrations::run_up_to(&pool, "x", 1).await.unwrap();
    let id = "01920000-0000-7000-8000-000000000001";
    for sql in [
        format!(
            "INSERT INTO gateways (eui, description, declared, online, created_at) VALUES ('{EUI}', '', 0, 0, 1)"
        ),
        format!(
            "INSERT INTO updates VALUES ('{id}', 'g', 'jetporch', '{{\"kind\":\"jetporch\",\"script\":\"\"}}', '{{}}', '{{}}', 5, 100)"
        ),
        format!(
            "INSERT INTO commands VALUES ('{id}', '{id}', '{EUI}', 100, 'received', 1, 'running', '{{\"status\":\"running\"}}', 6)"
        ),
        format!("INSERT INTO reports VALUES ('{EUI}', '{id}', 1, '{id}', 'running', '12345', NULL, 6)"),
        format!("INSERT INTO report_positions VALUES ('{EUI}', '{id}', 1)"),
        format!("UPDATE gateways SET report_stream = '{id}'"),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&pool).await.unwrap();
    }
    pool.close().await;
    let store = open(folder.path()).await.unwrap();
    let mut transaction = store.begin().await.unwrap();
    let command = commands::find(&mut transaction, id.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((command.row.overdue_at, command.row.cancel_requested_at), (Some(100 + 93_600), None));
    for (stream, lost) in [(id.parse().unwrap(), 0), (uuid::Uuid::from_u128(9), 1)] {
        assert_eq!(commands::lost(&mut transaction, EUI, stream, 9).await.unwrap().len(), lost, "{stream}");
    }
    let kept = reports::keep(&mut transaction, &report(1, 2, "running", "{}"), 7).await.unwrap();
    assert_eq!(kept, Kept { reports: 2, size: 7 });
    // Lists find it: it has its keys.
    let filter =
        fleet::Filter { search: Some(EUI.to_string()), ..fleet::Filter::all(crate::access::Visible::All) };
    assert_eq!(fleet::all(&mut transaction, &filter, 9).await.unwrap(), [EUI]);
}

mod tests_support {
    use keros_protocol::{CommandId, Eui, Job, UpdateId};

    use super::{Customer, NewUpdate, Origin, UpdateRow};
    use crate::access::{CustomerId, GroupId};

    pub(super) fn update(gateways: u64) -> NewUpdate {
        NewUpdate {
            row: UpdateRow {
                update_id: UpdateId(uuid::Uuid::now_v7()),
                group: "all".to_owned(),
                kind: "jetporch".to_owned(),
                job_begin: None,
                link_digest: None,
                created_at: 1,
                expires_at: 100,
                by_hand: false,
                origin: Origin {
                    customer: Customer { id: CustomerId::MAIN, name: "main".to_owned() },
                    group_id: Some(GroupId::new()),
                    created_by_id: None,
                    created_by: "ada".to_owned(),
                },
                eui: None,
                options: keros_protocol::JobOptions::default(),
                plan: crate::store::PlanRow::default(),
                real_order: None,
                tally: None,
            },
            job: Job::JetPorch { script: String::new(), vars: serde_json::Map::new() },
            limits: keros_protocol::JobLimits::default(),
            commands: (0..gateways).map(|n| (CommandId(uuid::Uuid::now_v7()), Eui::from_u64(n), 0)).collect(),
        }
    }
}
