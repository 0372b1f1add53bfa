//! What one gateway can make of the database.

use keros_protocol::topics::Leaf;
use keros_protocol::{CommandId, Eui, Outcome};
use sqlx::Row as _;
use uuid::Uuid;

use super::world::{A, STREAM, World, acknowledged, report, succeeded, telemetry};
use crate::bounds::{MAX_REPORTS, MAX_STREAMS};

async fn count(world: &World, table: &str) -> u64 {
    let sql = format!("SELECT COUNT(*) AS n FROM {table}");
    let mut connection = world.center.store.read().await.unwrap();
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_one(&mut *connection).await.unwrap();
    u64::try_from(row.get::<i64, _>("n")).unwrap()
}

fn in_stream(message: (Eui, Leaf, Vec<u8>), stream: Uuid) -> (Eui, Leaf, Vec<u8>) {
    let text = String::from_utf8(message.2).unwrap().replace(&STREAM.to_string(), &stream.to_string());
    (message.0, message.1, text.into_bytes())
}

#[tokio::test]
async fn reports_without_end_leave_a_bounded_number_of_rows_and_all_are_acknowledged() {
    let world = World::new().await;
    let update = world.send(1000, 10).await.unwrap();
    let command = world.commands(A, 20).await[0].command_id;
    let unknown = CommandId(Uuid::from_u128(7));
    let mut number = 1;
    world.give(&[report(A, 1, 0, command, succeeded())], 30).await;
    while number < 3 * MAX_REPORTS {
        let batch: Vec<_> = (number + 1..=number + 500)
            .map(|n| report(A, n, n - 1, unknown, Outcome::Running { task: None }))
            .collect();
        number += 500;
        let outgoing = world.give(&batch, 40 + number).await;
        assert_eq!(acknowledged(&outgoing[0]), Some(number));
        assert!(count(&world, "reports").await <= MAX_REPORTS);
    }
    // The end of a command was not washed away, and is still known as given.
    let outgoing = world.give(&[report(A, 1, 0, command, succeeded())], 50_000).await;
    assert_eq!(acknowledged(&outgoing[0]), Some(number));
    assert_eq!(world.line(update, A).await.1, Some(succeeded()));
    let mut connection = world.center.store.read().await.unwrap();
    let kept = keros_protocol::ReportPosition { stream: STREAM, number: 1 };
    let known = crate::store::reports::known(&mut connection, A, kept).await.unwrap();
    assert!(known.is_some_and(|known| known.is_kept));
}

#[tokio::test]
async fn streams_without_end_leave_a_bounded_number_of_positions() {
    let world = World::new().await;
    let unknown = CommandId(Uuid::from_u128(7));
    for stream in 1..=3 * u128::from(MAX_STREAMS) {
        let message = in_stream(report(A, 5, 0, unknown, Outcome::Received {}), Uuid::from_u128(stream));
        // All in one second: the one that is spoken in stays all the same.
        let outgoing = world.give(&[message], 30).await;
        assert_eq!(acknowledged(&outgoing[0]), Some(5));
        assert!(count(&world, "report_positions").await <= MAX_STREAMS);
    }
    assert_eq!(acknowledged(&world.give(&[telemetry(A)], 31).await[0]), Some(5));
}
