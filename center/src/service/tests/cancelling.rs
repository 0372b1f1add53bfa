//! Cancelling at each moment of a command's life, as the gateway and the operator see it.

use keros_protocol::topics::Leaf;
use keros_protocol::{CommandId, Delivery, Eui, Outcome, Summary, UpdateId};

use super::world::{A, B, World, cancelled, commands, downlink, report, succeeded, telemetry};
use crate::access::Caller;
use crate::api::CancelAnswer::{self, Asked, NeverDelivered, TooLate};
use crate::service::OrderError;

async fn cancel(world: &World, update: UpdateId, eui: Eui, now: u64) -> CancelAnswer {
    let view = world.center.cancel(&Caller::root(), update, Some(eui), now).await.unwrap();
    assert_eq!((view.gateways.len(), view.gateways[0].eui), (1, eui));
    view.gateways[0].answer
}

fn stopped() -> Outcome {
    Outcome::Cancelled { task: None, summary: Summary::default(), by_root: false }
}

#[tokio::test]
async fn what_waits_is_never_sent() {
    let world = World::new().await;
    let update = world.send(1000, 10).await.unwrap();
    assert_eq!(cancel(&world, update, A, 11).await, NeverDelivered);
    let outgoing = world.give(&[telemetry(A)], 12).await;
    assert!(commands(&outgoing[0]).is_empty() && cancelled(&outgoing[0]).is_empty());
    assert_eq!(world.line(update, A).await, (Delivery::Cancelled, None, 0));
    assert_eq!(world.view(update).await.state, "in_progress", "B waits");
    assert_eq!(cancel(&world, update, A, 13).await, NeverDelivered, "again");
    assert_eq!(world.commands(B, 14).await.len(), 1);
    let view = world.view(update).await;
    assert_eq!((view.state.as_str(), view.ended, view.open), ("partially_sent", false, 1));
}

#[tokio::test]
async fn an_update_that_is_cancelled_whole_ends_at_once_and_makes_room_for_the_next() {
    let world = World::new().await;
    let update = world.send(1000, 10).await.unwrap();
    let view = world.center.cancel(&Caller::root(), update, None, 11).await.unwrap();
    assert_eq!(view.answers, [("never_delivered".to_owned(), 2)].into());
    let view = world.view(update).await;
    assert_eq!((view.state.as_str(), view.ended), ("cancelled", true));
    world.send(1000, 12).await.unwrap();
}

#[tokio::test]
async fn what_was_sent_goes_on_being_sent_together_with_its_cancellation() {
    let world = World::new().await;
    let update = world.send(1000, 10).await.unwrap();
    let command = world.commands(A, 20).await[0].command_id;
    assert_eq!(cancel(&world, update, A, 30).await, Asked);
    for now in [40, 50] {
        let outgoing = world.give(&[telemetry(A)], now).await;
        assert_eq!(commands(&outgoing[0])[0].command_id, command);
        assert_eq!(cancelled(&outgoing[0]), [command]);
    }
    let outgoing = world.give(&[report(A, 1, 0, command, Outcome::Received {})], 60).await;
    assert_eq!(cancelled(&outgoing[0]), [command], "also beside an acknowledgement");
    let outgoing = world.give(&[report(A, 2, 1, command, stopped())], 70).await;
    assert_eq!(cancelled(&outgoing[0]), [], "it has ended");
    assert_eq!(world.line(update, A).await.1, Some(stopped()));
    assert_eq!(cancel(&world, update, A, 80).await, TooLate);
}

#[tokio::test]
async fn every_statement_asks_until_the_command_has_ended() {
    let world = World::new().await;
    let update = world.send(1000, 10).await.unwrap();
    let command = world.commands(A, 20).await[0].command_id;
    let steps = [
        Outcome::Received {},
        Outcome::Accepted {},
        Outcome::Running { task: None },
        Outcome::Confirming { until_unix_s: 9 },
    ];
    for (number, outcome) in (1..).zip(steps) {
        world.give(&[report(A, number, number - 1, command, outcome.clone())], 30).await;
        let view = world.center.cancel(&Caller::root(), update, Some(A), 40).await.unwrap();
        assert_eq!((view.gateways[0].answer, view.gateways[0].outcome.clone()), (Asked, Some(outcome)));
        let outgoing = world.give(&[telemetry(A)], 50).await;
        assert!(commands(&outgoing[0]).is_empty());
        assert_eq!(cancelled(&outgoing[0]), [command]);
        let nudge = world.center.nudge_message(A, 51).await.unwrap();
        assert_eq!(cancelled(&nudge), [command]);
    }
    let line = world.delivery(update, A, 60).await;
    assert_eq!(line.cancel_requested_at_unix_s, Some(40), "the first time stays");
    world.give(&[report(A, 5, 4, command, succeeded())], 70).await;
    assert_eq!(cancelled(&world.give(&[telemetry(A)], 80).await[0]), []);
    assert_eq!(cancel(&world, update, A, 90).await, TooLate);
    assert_eq!(
        world.line(update, A).await.1,
        Some(succeeded()),
        "it was not stopped in time: the truth stays"
    );
}

#[tokio::test]
async fn what_expired_may_have_been_received_all_the_same() {
    let world = World::new().await;
    let update = world.send(100, 10).await.unwrap();
    let command = world.commands(A, 20).await[0].command_id;
    let view = world.center.cancel(&Caller::root(), update, None, 200).await.unwrap();
    let answers: Vec<_> = view.gateways.iter().map(|line| (line.answer, line.delivery)).collect();
    assert_eq!(answers, [(Asked, Delivery::Expired), (NeverDelivered, Delivery::Expired)]);
    let outgoing = world.give(&[telemetry(A)], 210).await;
    assert!(commands(&outgoing[0]).is_empty(), "it is not sent any more");
    assert_eq!(cancelled(&outgoing[0]), [command]);
    let days_later = 10 + 5 * 86_400;
    assert_eq!(
        cancelled(&world.give(&[telemetry(A)], days_later).await[0]),
        [],
        "no gateway is busy for so long"
    );
}

#[tokio::test]
async fn those_that_are_asked_and_connected_are_nudged_and_others_when_they_come() {
    let mut world = World::new().await;
    world.give(&[(A, Leaf::Presence, b"online".to_vec())], 5).await;
    let update = world.send(1000, 10).await.unwrap();
    let command = world.commands(A, 20).await[0].command_id;
    world.give(&[report(A, 1, 0, command, Outcome::Received {})], 21).await;
    while world.nudges.try_recv().is_ok() {}
    world.center.cancel(&Caller::root(), update, None, 30).await.unwrap();
    assert_eq!(world.nudges.try_recv().unwrap(), [A], "B waits: there is nothing to ask it");
    assert!(world.nudges.try_recv().is_err());
    let outgoing = world.give(&[(A, Leaf::Presence, b"online".to_vec())], 40).await;
    assert!(downlink(&outgoing[0]).nudge);
    assert_eq!(cancelled(&outgoing[0]), [command]);
}

#[tokio::test]
async fn cancellations_have_a_bound_and_never_leave_out_a_command_beside_them() {
    let world = World::new().await;
    let mut all: Vec<CommandId> = Vec::new();
    for round in 0..70 {
        let now = 10 + round;
        let update = world.send(10_000, now).await.unwrap();
        all.push(world.delivery(update, A, now).await.command_id);
        world.give(&[telemetry(A)], now).await;
        if round < 60 {
            let received = report(A, round + 1, round, all[all.len() - 1], Outcome::Received {});
            world.give(&[received], now).await;
        }
        world.center.cancel(&Caller::root(), update, None, now).await.unwrap();
    }
    let outgoing = world.give(&[telemetry(A)], 500).await;
    let cancelled = cancelled(&outgoing[0]);
    assert_eq!(cancelled.len(), keros_protocol::limits::MAX_CANCELLATIONS_PER_STATEMENT);
    let sent: Vec<_> = commands(&outgoing[0]).iter().map(|command| command.command_id).collect();
    assert_eq!(sent, all[60..], "those that it is not known to have");
    assert!(sent.iter().all(|id| cancelled.contains(id)));
}

#[tokio::test]
async fn what_is_not_there_cannot_be_cancelled() {
    let world = World::new().await;
    let update = world.send(1000, 10).await.unwrap();
    let other = Eui::from_u64(9);
    assert!(matches!(
        world.center.cancel(&Caller::root(), update, Some(other), 11).await,
        Err(OrderError::NotFound(_))
    ));
    let unknown = UpdateId(uuid::Uuid::now_v7());
    assert!(matches!(
        world.center.cancel(&Caller::root(), unknown, None, 11).await,
        Err(OrderError::NotFound(_))
    ));
    assert_eq!(world.line(update, A).await.0, Delivery::Waiting);
}
