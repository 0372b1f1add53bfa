//! Gateways that fall silent, and come back.

use keros_protocol::{CommandId, Delivery, Outcome, TaskRef, UpdateId};

use super::world::{A, B, World, report, succeeded, telemetry};
use crate::access::Caller;
use crate::bounds::{JOB_GRACE_S, TELEMETRY_INTERVAL_S};
use crate::store::Store;

/// Later than any command of these tests may take.
const LATE: u64 = 20_000;

async fn running(world: &World) -> (UpdateId, CommandId) {
    let update = world.send(1000, 10).await.unwrap();
    let command = world.commands(A, 20).await[0].command_id;
    let reports = [
        report(A, 1, 0, command, Outcome::Received {}),
        report(A, 2, 1, command, Outcome::Running { task: None }),
    ];
    world.give(&reports, 30).await;
    world.center.cancel(&Caller::root(), update, Some(B), 40).await.unwrap();
    (update, command)
}

#[tokio::test]
async fn silence_is_shown_and_the_final_word_ends_it() {
    let world = World::new().await;
    let (update, command) = running(&world).await;
    assert!(!world.delivery(update, A, 3600).await.overdue, "it may take so long");
    assert!(world.delivery(update, A, LATE).await.overdue);
    let view = world.center.update(&Caller::root(), update, LATE).await.unwrap();
    assert_eq!((view.open, view.overdue, view.ended), (1, 1, false));
    assert_eq!(
        world.center.updates(&Caller::root(), crate::store::UpdatesOf::All, None, 9, LATE).await.unwrap()[0]
            .overdue,
        1
    );
    assert_eq!(
        world.center.updates(&Caller::root(), crate::store::UpdatesOf::All, None, 9, 3600).await.unwrap()[0]
            .overdue,
        0
    );

    world.give(&[report(A, 3, 2, command, succeeded())], LATE + 1).await;
    let view = world.center.update(&Caller::root(), update, LATE + 1).await.unwrap();
    assert_eq!((view.open, view.overdue, view.ended), (0, 0, true));
    let line = world.delivery(update, A, u64::MAX).await;
    assert_eq!((line.overdue, line.outcome), (false, Some(succeeded())));
}

#[tokio::test]
async fn what_a_gateway_says_for_ever_to_be_running_is_late_by_its_time_limits() {
    let world = World::new().await;
    let (update, command) = running(&world).await;
    let task = |number| {
        let task = TaskRef { number, count: 1000, name: "for ever".to_owned() };
        Outcome::Running { task: Some(task) }
    };
    let with_job = || {
        let (eui, leaf, payload) = telemetry(A);
        let mut value: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        value["job"] = serde_json::json!({"command_id": command, "outcome": {"status": "running"}});
        (eui, leaf, serde_json::to_vec(&value).unwrap())
    };
    let begun_at = 30;
    // The window that a script has when nothing is said.
    let windows = 2 * 1800;
    let limit = begun_at + 3600 + windows + JOB_GRACE_S + 2 * TELEMETRY_INTERVAL_S;
    let mut number = 2;
    for now in (begun_at..2 * limit).step_by(600) {
        number += 1;
        let said = task(u32::try_from(number).unwrap());
        world.give(&[report(A, number, number - 1, command, said), with_job()], now).await;
        assert_eq!(world.delivery(update, A, now).await.overdue, now >= limit, "at {now}, of {limit}");
    }
    // It may come to an end all the same.
    world.give(&[report(A, number + 1, number, command, succeeded())], 3 * limit).await;
    let line = world.delivery(update, A, 3 * limit).await;
    assert_eq!((line.overdue, line.outcome), (false, Some(succeeded())));
}

#[tokio::test]
async fn each_step_has_its_time_from_when_it_is_first_heard_of() {
    let world = World::new().await;
    let (update, command) = running(&world).await;
    assert!(world.delivery(update, A, LATE).await.overdue);
    world.give(&[report(A, 3, 2, command, Outcome::Confirming { until_unix_s: 1 })], LATE).await;
    assert!(!world.delivery(update, A, LATE).await.overdue, "it has gone on");
    assert!(world.delivery(update, A, 3 * LATE).await.overdue);
}

#[tokio::test]
async fn what_waits_for_its_turn_has_until_it_expires() {
    let world = World::new().await;
    let update = world.send(50_000, 10).await.unwrap();
    let command = world.commands(A, 20).await[0].command_id;
    world.give(&[report(A, 1, 0, command, Outcome::Accepted {})], 30).await;
    assert!(!world.delivery(update, A, 50_000).await.overdue);
    assert!(world.delivery(update, A, 60_000).await.overdue);
}

#[tokio::test]
async fn listeners_are_told_when_a_command_becomes_overdue() {
    let world = World::new().await;
    let (update, _) = running(&world).await;
    let mut changes = world.center.listen();
    world.center.tell_overdue(100, 3600).await.unwrap();
    assert!(changes.try_recv().is_err());
    world.center.tell_overdue(3600, LATE).await.unwrap();
    assert_eq!(changes.try_recv().unwrap().update_id(), Some(update));
    world.center.tell_overdue(LATE, LATE + 5).await.unwrap();
    assert!(changes.try_recv().is_err(), "once");
}

#[tokio::test]
async fn the_final_word_is_taken_after_expiry_and_long_after() {
    let world = World::new().await;
    let update = world.send(100, 10).await.unwrap();
    let command = world.commands(A, 20).await[0].command_id;
    world.center.expire(200).await.unwrap();
    assert_eq!(world.line(update, A).await.0, Delivery::Expired);
    let year = 365 * 86_400;
    world.give(&[report(A, 1, 0, command, Outcome::Received {})], year).await;
    world.give(&[report(A, 2, 1, command, succeeded())], year).await;
    assert_eq!(world.line(update, A).await, (Delivery::Received, Some(succeeded()), 1));
    assert!(world.view(update).await.ended);
}

#[tokio::test]
async fn nothing_is_in_progress_for_ever_whatever_happened_while_the_center_was_down() {
    let world = World::new().await;
    let update = world.send(100, 10).await.unwrap();
    world.commands(A, 20).await;
    let folder = world.close().await;
    let store = Store::open(folder.path(), None).await.unwrap();
    let world = World::on(store, folder);
    world.center.expire(111).await.unwrap();
    let view = world.view(update).await;
    assert_eq!((view.state.as_str(), view.ended, view.open), ("expired", true, 0));
}
