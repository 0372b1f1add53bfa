//! Reports that several centers take in another order than they were sent: none is lost, and none has to be sent again.

use std::sync::Arc;

use keros_protocol::topics::Leaf;
use keros_protocol::{CommandId, Delivery, Eui, Outcome};
use uuid::Uuid;

use super::world::{A, B, STREAM, World, acknowledged, report, report_in, succeeded, telemetry};
use crate::bounds::{EARLY_REPORT_AGE_S, MAX_EARLY_REPORTS};
use crate::service::retention::Retention;
use crate::store::{Store, reports};

/// Another center on the same database.
fn beside(world: &World) -> World {
    World::on(world.center.store.clone(), tempfile::tempdir().unwrap())
}

fn life(eui: Eui, stream: Uuid, command: CommandId) -> Vec<(Eui, Leaf, Vec<u8>)> {
    let steps = [Outcome::Received {}, Outcome::Accepted {}, Outcome::Running { task: None }, succeeded()];
    let numbered = (1..).zip(steps);
    numbered.map(|(number, step)| report_in(eui, stream, (number, number - 1), command, step)).collect()
}

async fn waiting(world: &World, eui: Eui) -> u64 {
    reports::standing(&mut world.center.store.read().await.unwrap(), eui).await.unwrap().early
}

/// All orders of so many things.
fn orders(of: usize) -> Vec<Vec<usize>> {
    if of == 0 {
        return vec![Vec::new()];
    }
    let put = |order: Vec<usize>| {
        (0..of).map(move |place| {
            let mut order = order.clone();
            order.insert(place, of - 1);
            order
        })
    };
    orders(of - 1).into_iter().flat_map(put).collect()
}

#[tokio::test]
async fn whatever_order_two_centers_take_reports_in_the_end_is_known_when_the_last_one_has_come() {
    let world = World::new().await;
    let other = beside(&world);
    let all = orders(4);
    assert_eq!(all.len(), 24);
    for (round, order) in (0..).zip(all) {
        let now = 10 + 10 * round;
        let update = world.send(1000, now).await.unwrap();
        let stream = Uuid::from_u128(100 + u128::from(round));
        let of_other = world.commands(B, now).await[0].command_id;
        world.give(&life(B, stream, of_other), now).await;
        let command = world.commands(A, now).await[0].command_id;
        let reports = life(A, stream, command);
        for (turn, index) in order.iter().enumerate() {
            let center = if turn % 2 == 0 { &world } else { &other };
            let outgoing = center.give(std::slice::from_ref(&reports[*index]), now + 1).await;
            let come = &order[..=turn];
            let in_order = (0..4).take_while(|index| come.contains(index)).count() as u64;
            let expected = (in_order > 0).then_some(in_order);
            assert_eq!(
                outgoing.iter().map(acknowledged).collect::<Vec<_>>(),
                [expected],
                "{order:?}: acknowledged is what is kept with all before it, and no more"
            );
        }
        assert_eq!(world.line(update, A).await, (Delivery::Received, Some(succeeded()), 1), "{order:?}");
        assert_eq!(waiting(&world, A).await, 0);
    }
}

#[tokio::test]
async fn what_came_too_early_outlives_the_center_that_got_it() {
    let world = World::new().await;
    let update = world.send(1000, 10).await.unwrap();
    let command = world.commands(A, 20).await[0].command_id;
    let reports = life(A, STREAM, command);
    let outgoing = world.give(&reports[1..], 30).await;
    assert_eq!(outgoing.iter().map(acknowledged).collect::<Vec<_>>(), [None]);
    // One that comes again waits once.
    world.give(&reports[2..], 31).await;
    assert_eq!(waiting(&world, A).await, 3);
    assert_eq!(world.line(update, A).await, (Delivery::Sent, None, 1), "nothing is shown before its time");
    let folder = world.close().await;
    let world = World::on(Store::open(folder.path(), None).await.unwrap(), folder);
    let outgoing = world.give(&reports[..1], 40).await;
    assert_eq!(acknowledged(&outgoing[0]), Some(4));
    assert_eq!(world.line(update, A).await.1, Some(succeeded()));
    let outgoing = world.give(&[telemetry(A)], 50).await;
    assert_eq!(acknowledged(&outgoing[0]), Some(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_centers_that_take_everything_at_the_same_time_lose_nothing() {
    let world = Arc::new(World::new().await);
    let other = Arc::new(beside(&world));
    let update = world.send(1000, 10).await.unwrap();
    let mut messages = Vec::new();
    for eui in [A, B] {
        let command = world.commands(eui, 20).await[0].command_id;
        let running = Outcome::Running { task: None };
        messages.push(report(eui, 1, 0, command, Outcome::Received {}));
        messages.push(report(eui, 2, 1, command, Outcome::Accepted {}));
        for number in 3..12 {
            messages.push(report(eui, number, number - 1, command, running.clone()));
        }
        messages.push(report(eui, 12, 11, command, succeeded()));
    }
    // The last ones first, each in a task of its own.
    let tasks = messages.into_iter().rev().enumerate().map(|(index, message)| {
        let center = Arc::clone(if index % 2 == 0 { &world } else { &other });
        tokio::spawn(async move { center.give(&[message], 30).await })
    });
    let mut greatest = [0; 2];
    for task in tasks.collect::<Vec<_>>() {
        for outgoing in task.await.unwrap() {
            let place = &mut greatest[usize::from(outgoing.eui == B)];
            *place = acknowledged(&outgoing).unwrap_or(0).max(*place);
        }
    }
    assert_eq!(greatest, [12, 12], "both gateways have been told that all is kept");
    for eui in [A, B] {
        assert_eq!(world.line(update, eui).await.1, Some(succeeded()));
        assert_eq!(waiting(&world, eui).await, 0);
    }
}

#[tokio::test]
async fn no_more_wait_than_are_allowed_and_none_for_ever() {
    let world = World::new().await;
    world.send(1000, 10).await.unwrap();
    let command = world.commands(A, 20).await[0].command_id;
    let running = || Outcome::Running { task: None };
    for number in 2..=MAX_EARLY_REPORTS + 5 {
        world.give(&[report(A, number, number - 1, command, running())], 30).await;
    }
    assert_eq!(waiting(&world, A).await, MAX_EARLY_REPORTS);
    // A gateway that has lost its state sends nothing more of the stream that they are of.
    let stream = Uuid::from_u128(2);
    world.give(&[report_in(A, stream, (3, 2), command, running())], 40).await;
    assert_eq!(waiting(&world, A).await, 1);
    let keep = Retention::default();
    world.center.tidy(&keep, 40 + EARLY_REPORT_AGE_S).await.unwrap();
    assert_eq!(waiting(&world, A).await, 1);
    world.center.tidy(&keep, 41 + EARLY_REPORT_AGE_S).await.unwrap();
    assert_eq!(waiting(&world, A).await, 0);
    // What was left out comes again.
    let all = [
        report(A, 1, 0, command, Outcome::Received {}),
        report(A, 2, 1, command, running()),
        report(A, 3, 2, command, succeeded()),
    ];
    assert_eq!(acknowledged(&world.give(&all, 5000).await[0]), Some(3));
}
