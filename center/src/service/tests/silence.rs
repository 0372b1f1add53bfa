//! Gateways that fall silent, and come back.

use keros_protocol::{CommandId, Delivery, Outcome, UpdateId};

use super::world::{A, B, World, report, succeeded, telemetry};
use crate::access::Caller;
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
async fn a_word_about_the_command_begins_the_time_anew() {
    let world = World::new().await;
    let (update, command) = running(&world).await;
    let job = serde_json::json!({"command_id": command, "outcome": {"status": "running"}});
    let with_job = |eui| {
        let (eui, leaf, payload) = telemetry(eui);
        let mut value: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        value["job"] = job.clone();
        (eui, leaf, serde_json::to_vec(&value).unwrap())
    };
    world.give(&[with_job(B)], LATE).await;
    assert!(world.delivery(update, A, LATE).await.overdue, "another gateway's word is not its own");
    world.give(&[telemetry(A)], LATE).await;
    assert!(world.delivery(update, A, LATE).await.overdue, "it did not speak of the command");
    let mut changes = world.center.listen();
    let message_changes = world.give_and_tell(&[with_job(A)], LATE).await;
    assert!(message_changes && changes.try_recv().is_ok(), "whoever watches is told");
    assert!(!world.delivery(update, A, LATE).await.overdue);
    assert!(world.delivery(update, A, 2 * LATE).await.overdue);

    // Progress that says nothing new is a word too.
    world.give(&[report(A, 3, 2, command, Outcome::Running { task: None })], 2 * LATE).await;
    assert!(!world.delivery(update, A, 2 * LATE).await.overdue);
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
