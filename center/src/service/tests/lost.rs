//! A gateway that has lost its state is asked again what became of the commands that it had.

use keros_protocol::limits::MAX_COMMANDS_PER_DOWNLINK;
use keros_protocol::{CommandId, Delivery, Outcome};
use uuid::Uuid;

use super::world::{
    A, B, STREAM, World, cancelled, commands, report, report_in, succeeded, telemetry, telemetry_in,
};
use crate::access::Caller;
use crate::service::Outgoing;

const NEW: Uuid = Uuid::from_u128(2);

fn ids(outgoing: &[Outgoing]) -> Vec<CommandId> {
    commands(&outgoing[0]).iter().map(|command| command.command_id).collect()
}

#[tokio::test]
async fn what_was_received_is_sent_again_until_the_new_stream_speaks_of_it() {
    let world = World::new().await;
    let update = world.send(1000, 10).await.unwrap();
    let command = world.commands(A, 20).await[0].command_id;
    let running = Outcome::Running { task: None };
    world.give(&[report(A, 1, 0, command, running.clone())], 30).await;
    for known in [telemetry(A), telemetry_in(A, STREAM)] {
        assert_eq!(ids(&world.give(&[known], 40).await), [], "the gateway has it");
    }
    // Also when its time is over: it may have run.
    for now in [50, 2000, 200_000] {
        assert_eq!(ids(&world.give(&[telemetry_in(A, NEW)], now).await), [command], "at {now}");
        world.center.expire(now).await.unwrap();
        assert_eq!(world.line(update, A).await, (Delivery::Received, Some(running.clone()), 1));
    }
    let received = report_in(A, NEW, (1, 0), command, Outcome::Received {});
    world.give(&[received], 200_010).await;
    assert_eq!(ids(&world.give(&[telemetry_in(A, NEW)], 200_020).await), []);
    assert_eq!(world.line(update, A).await.1, Some(running), "nothing goes back");
    world.give(&[report_in(A, NEW, (2, 1), command, succeeded())], 200_030).await;
    assert_eq!(world.line(update, A).await.1, Some(succeeded()));
    let third = Uuid::from_u128(3);
    assert_eq!(ids(&world.give(&[telemetry_in(A, third)], 200_040).await), [], "it has ended");
}

#[tokio::test]
async fn its_cancellation_is_beside_it() {
    let world = World::new().await;
    let update = world.send(1000, 10).await.unwrap();
    let command = world.commands(A, 20).await[0].command_id;
    world.give(&[report(A, 1, 0, command, Outcome::Received {})], 30).await;
    world.center.cancel(&Caller::root(), update, Some(A), 40).await.unwrap();
    let outgoing = world.give(&[telemetry_in(A, NEW)], 50).await;
    assert_eq!((ids(&outgoing), cancelled(&outgoing[0])), (vec![command], vec![command]));
}

#[tokio::test]
async fn of_another_gateway_nothing_is_sent() {
    let world = World::new().await;
    world.send(1000, 10).await.unwrap();
    for eui in [A, B] {
        let command = world.commands(eui, 20).await[0].command_id;
        world.give(&[report(eui, 1, 0, command, Outcome::Received {})], 30).await;
    }
    let outgoing = world.give(&[telemetry_in(B, NEW)], 40).await;
    assert_eq!(commands(&outgoing[0]).iter().map(|command| command.eui).collect::<Vec<_>>(), [B]);
}

#[tokio::test]
async fn the_lost_ones_come_first_and_the_number_is_bounded() {
    let world = World::new().await;
    let mut all = Vec::new();
    for round in 1..=20 {
        world.send(100_000, round).await.unwrap();
        for eui in [B, A] {
            let command = world.commands(eui, round).await[0].command_id;
            world.give(&[report(eui, round, round - 1, command, Outcome::Received {})], round).await;
            all.extend((eui == A).then_some(command));
        }
    }
    world.send(100_000, 30).await.unwrap();
    let sent = ids(&world.give(&[telemetry_in(A, NEW)], 40).await);
    assert_eq!(sent, all[..MAX_COMMANDS_PER_DOWNLINK]);
    for (number, command) in (1..).zip(&sent) {
        world.give(&[report_in(A, NEW, (number, number - 1), *command, succeeded())], 50).await;
    }
    let sent = ids(&world.give(&[telemetry_in(A, NEW)], 60).await);
    assert_eq!(sent[..4], all[16..]);
    assert_eq!(sent.len(), 5, "then the new one");
}
