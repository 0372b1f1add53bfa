//! What happens at the same instant, at two centers: orders to overlapping groups, a cancellation and the end, ends that contradict each other.

use std::sync::Arc;

use keros_protocol::{CommandId, Delivery, Eui, Outcome, Summary, UpdateId};
use serde_json::json;
use tokio::sync::Barrier;
use uuid::Uuid;

use super::world::{A, B, NOW, World, cancelled, commands, failed, report, report_in, succeeded, telemetry};
use crate::access::Caller;
use crate::api::{CancelAnswer, CreateGroup, DeclareGateway};
use crate::service::OrderError;

const C: Eui = Eui::from_u64(0x7076_FF00_5607_0003);

/// How often what depends on luck is tried.
const ROUNDS: u64 = 12;

/// Two centers on one database.
async fn two() -> [Arc<World>; 2] {
    let one = World::new().await;
    let other = World::on(one.center.store.clone(), tempfile::tempdir().unwrap());
    [Arc::new(one), Arc::new(other)]
}

/// Does both at the same instant.
async fn at_once<X, Y>(first: X, second: Y) -> (X::Output, Y::Output)
where
    X: Future<Output: Send> + Send + 'static,
    Y: Future<Output: Send> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(2));
    let begin = Arc::clone(&barrier);
    let first = tokio::spawn(async move {
        begin.wait().await;
        first.await
    });
    let second = tokio::spawn(async move {
        barrier.wait().await;
        second.await
    });
    (first.await.unwrap(), second.await.unwrap())
}

async fn cancel(world: &World, update: UpdateId, now: u64) -> CancelAnswer {
    world.center.cancel(&Caller::root(), update, Some(A), now).await.unwrap().gateways[0].answer
}

fn stopped() -> Outcome {
    Outcome::Cancelled { task: None, summary: Summary::default(), by_root: false }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_operators_who_send_to_overlapping_groups_at_once_one_wins_and_the_other_is_told_which_gateway()
 {
    let [one, other] = two().await;
    let root = Caller::root();
    let order: DeclareGateway = serde_json::from_value(json!({"eui": C})).unwrap();
    one.center.declare(&root, &order, 1).await.unwrap();
    let group: CreateGroup = serde_json::from_value(json!({"name": "more", "gateways": [B, C]})).unwrap();
    one.center.create_group(&root, &group, 1).await.unwrap();
    let mut won = [0; 2];
    for round in 0..ROUNDS {
        let now = 10 + 10 * round;
        let (first, second) = (Arc::clone(&one), Arc::clone(&other));
        let (first, second) = at_once(async move { first.send_to("all", now).await }, async move {
            second.send_to("more", now).await
        })
        .await;
        let (winner, loser, index) = match (first, second) {
            (Ok(update), Err(error)) => (update, error, 0),
            (Err(error), Ok(update)) => (update, error, 1),
            both => panic!("exactly one wins: {both:?}"),
        };
        won[index] += 1;
        let OrderError::Conflict(told) = loser else { panic!("{loser}") };
        let which = [B, A, C].map(|eui| told.contains(&eui.to_string()));
        assert!(told.contains(&winner.to_string()) && which.contains(&true), "{told}");
        assert_eq!(one.list_updates().await.len() as u64, round + 1, "the other has left nothing behind");
        one.center.cancel(&root, winner, None, now + 1).await.unwrap();
    }
    println!("won: {won:?}");
}

#[tokio::test]
async fn whichever_of_a_cancellation_and_the_end_comes_first_what_is_shown_is_what_was() {
    let [one, other] = two().await;
    for (round, (cancel_first, end)) in (0..).zip([
        (true, succeeded()),
        (false, succeeded()),
        (true, failed()),
        (false, failed()),
        (true, stopped()),
    ]) {
        let now = 10 + 10 * round;
        let update = one.send(1000, now).await.unwrap();
        let command = one.commands(A, now).await[0].command_id;
        let of_b = one.commands(B, now).await[0].command_id;
        let stream = Uuid::from_u128(100 + u128::from(round));
        one.give(&[report_in(B, stream, (1, 0), of_b, succeeded())], now).await;
        let ended = report_in(A, stream, (1, 0), command, end.clone());
        let answer = if cancel_first {
            let answer = cancel(&one, update, now + 1).await;
            other.give(&[ended], now + 2).await;
            answer
        } else {
            other.give(&[ended], now + 1).await;
            cancel(&one, update, now + 2).await
        };
        assert_eq!(answer, if cancel_first { CancelAnswer::Asked } else { CancelAnswer::TooLate });
        for world in [&one, &other] {
            assert_eq!(world.line(update, A).await, (Delivery::Received, Some(end.clone()), 1));
            let view = world.view(update).await;
            assert_eq!((view.ended, view.state.as_str()), (true, "sent"));
        }
        // The gateway is not asked for anything any more.
        assert_eq!(cancelled(&one.give(&[telemetry(A)], now + 3).await[0]), []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cancellation_and_the_end_at_the_same_instant_never_hide_the_end() {
    let [one, other] = two().await;
    let mut answers = std::collections::BTreeMap::<String, u32>::new();
    for round in 0..ROUNDS {
        let now = 10 + 10 * round;
        let update = one.send(1000, now).await.unwrap();
        let command = one.commands(A, now).await[0].command_id;
        let of_b = one.commands(B, now).await[0].command_id;
        let stream = Uuid::from_u128(100 + u128::from(round));
        one.give(&[report_in(B, stream, (1, 0), of_b, succeeded())], now).await;
        let ended = report_in(A, stream, (1, 0), command, succeeded());
        let (operator, gateway) = (Arc::clone(&one), Arc::clone(&other));
        let (answer, _) = at_once(async move { cancel(&operator, update, now + 1).await }, async move {
            gateway.give(&[ended], now + 1).await
        })
        .await;
        *answers.entry(format!("{answer:?}")).or_default() += 1;
        assert!(matches!(answer, CancelAnswer::Asked | CancelAnswer::TooLate), "{answer:?}");
        assert_eq!(one.line(update, A).await, (Delivery::Received, Some(succeeded()), 1));
        assert!(one.view(update).await.ended);
    }
    println!("{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_an_operator_was_told_was_never_delivered_was_not_handed_out_at_the_same_instant() {
    let [one, other] = two().await;
    let mut answers = std::collections::BTreeMap::<String, u32>::new();
    for round in 0..ROUNDS {
        let now = 10 + 10 * round;
        let update = one.send(1000, now).await.unwrap();
        let id = one.delivery(update, A, now).await.command_id;
        let (operator, gateway) = (Arc::clone(&one), Arc::clone(&other));
        let (answer, outgoing) =
            at_once(async move { cancel(&operator, update, now + 1).await }, async move {
                gateway.give(&[telemetry(A)], now + 1).await
            })
            .await;
        *answers.entry(format!("{answer:?}")).or_default() += 1;
        let handed_out = commands(&outgoing[0]).iter().any(|command| command.command_id == id);
        match answer {
            CancelAnswer::NeverDelivered => assert!(!handed_out),
            CancelAnswer::Asked => {
                assert!(handed_out);
                let next = one.give(&[telemetry(A)], now + 2).await;
                assert!(cancelled(&next[0]).contains(&id), "the gateway is told at its next word");
                let stream = Uuid::from_u128(100 + u128::from(round));
                one.give(&[report_in(A, stream, (1, 0), id, stopped())], now + 3).await;
            }
            CancelAnswer::TooLate => panic!("it has not ended"),
        }
        one.center.cancel(&Caller::root(), update, None, now + 4).await.unwrap();
    }
    println!("{answers:?}");
}

/// The reports of A about an update: status and note.
async fn log(world: &World, update: UpdateId) -> Vec<(String, Option<String>)> {
    let line = world.center.line(&Caller::root(), update, A, NOW).await.unwrap();
    line.reports.into_iter().map(|report| (report.status, report.note)).collect()
}

#[tokio::test]
async fn a_job_that_runs_after_its_end_or_ends_twice_keeps_its_first_end_and_the_contradiction_is_shown() {
    let [one, other] = two().await;
    let update = one.send(1000, 10).await.unwrap();
    let command = one.commands(A, 20).await[0].command_id;
    let mut changes = one.center.listen();
    let told = [
        (report(A, 1, 0, command, Outcome::Received {}), None),
        (report(A, 2, 1, command, succeeded()), None),
        (report(A, 3, 2, command, Outcome::Running { task: None }), Some("already succeeded")),
        (report(A, 4, 3, command, failed()), Some("contradicts the outcome succeeded, which stays")),
        (report(A, 5, 4, command, succeeded()), None),
        (report(A, 6, 5, command, stopped()), Some("contradicts the outcome succeeded, which stays")),
    ];
    for (turn, (message, _)) in told.iter().enumerate() {
        let world = if turn % 2 == 0 { &one } else { &other };
        let outgoing = world.give_and_tell(std::slice::from_ref(message), 30).await;
        assert_eq!(outgoing, turn < 2, "only what changes something is told");
    }
    assert_eq!(changes.try_recv().unwrap().update_id(), Some(update));
    for world in [&one, &other] {
        assert_eq!(world.line(update, A).await, (Delivery::Received, Some(succeeded()), 1));
        let log = log(world, update).await;
        assert_eq!(log.len(), told.len(), "every report is shown");
        for ((_, note), (status, shown)) in told.iter().zip(&log) {
            match note {
                None => assert_eq!(shown, &None, "{status}"),
                Some(note) => assert!(shown.as_ref().is_some_and(|shown| shown.contains(note)), "{shown:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_different_ends_at_the_same_instant_one_stays_and_the_other_is_shown_as_a_contradiction() {
    let [one, other] = two().await;
    let end = |stream: u128, command: CommandId, outcome| {
        report_in(A, Uuid::from_u128(stream), (1, 0), command, outcome)
    };
    for round in 0..ROUNDS {
        let now = 10 + 10 * round;
        let update = one.send(1000, now).await.unwrap();
        let command = one.commands(A, now).await[0].command_id;
        let of_b = one.commands(B, now).await[0].command_id;
        let stream = 100 + 2 * u128::from(round);
        one.give(&[report_in(B, Uuid::from_u128(stream), (1, 0), of_b, succeeded())], now).await;
        // Of a gateway that has lost its state in between.
        let reports = [end(stream, command, succeeded()), end(stream + 1, command, failed())];
        let (first, second) = (Arc::clone(&one), Arc::clone(&other));
        let [succeeds, fails] = reports;
        at_once(async move { first.give(&[succeeds], now + 1).await }, async move {
            second.give(&[fails], now + 1).await
        })
        .await;
        let shown = one.line(update, A).await.1.unwrap();
        assert!([succeeded(), failed()].contains(&shown), "{shown}");
        let log = log(&one, update).await;
        let noted: Vec<_> = log.iter().filter(|(_, note)| note.is_some()).collect();
        assert_eq!((log.len(), noted.len()), (2, 1), "{log:?}");
        assert_ne!(noted[0].0, shown.name(), "the other one is the odd one");
        let said = noted[0].1.clone().unwrap();
        assert!(said.contains(&format!("contradicts the outcome {}", shown.name())), "{said}");
    }
}
