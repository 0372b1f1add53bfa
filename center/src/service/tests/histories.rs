//! Whole histories on a real SQLite file: what gateways send, what they are sent, and what the operator sees.

use keros_protocol::topics::{Leaf, Prefix};
use keros_protocol::{Delivery, Eui, Outcome};
use serde_json::json;
use uuid::Uuid;

use super::world::{
    A, B, STREAM, World, acknowledged, downlink, failed, report, statement, succeeded, telemetry,
};
use crate::access::Caller;
use crate::service::{Change, Message, OrderError};

#[tokio::test]
async fn a_command_is_sent_with_each_answer_until_it_is_received() {
    let world = World::new().await;
    let update = world.send(1000, 10).await.unwrap();
    assert_eq!(world.line(update, A).await, (Delivery::Waiting, None, 0));
    let first = world.commands(A, 20).await;
    assert_eq!(world.line(update, A).await, (Delivery::Sent, None, 1));
    assert_eq!(world.commands(A, 30).await, first);
    assert_eq!(world.line(update, A).await, (Delivery::Sent, None, 2));
    world.give(&[report(A, 1, 0, first[0].command_id, Outcome::Received {})], 40).await;
    assert_eq!(world.commands(A, 50).await, []);
    assert_eq!(world.line(update, A).await, (Delivery::Received, Some(Outcome::Received {}), 2));
    assert_eq!(world.line(update, B).await, (Delivery::Waiting, None, 0));
}

#[tokio::test]
async fn several_reports_get_one_acknowledgement() {
    let world = World::new().await;
    world.send(1000, 10).await.unwrap();
    let command = world.commands(A, 20).await[0].command_id;
    let reports = [
        report(A, 1, 0, command, Outcome::Received {}),
        report(A, 2, 1, command, Outcome::Accepted {}),
        report(A, 4, 2, command, succeeded()),
    ];
    let outgoing = world.give(&reports, 30).await;
    assert_eq!(outgoing.iter().map(acknowledged).collect::<Vec<_>>(), [Some(4)]);
    let with_telemetry = [telemetry(A), report(A, 5, 4, command, succeeded())];
    let outgoing = world.give(&with_telemetry, 40).await;
    assert_eq!(
        outgoing.iter().map(acknowledged).collect::<Vec<_>>(),
        [Some(5)],
        "the answer acknowledges too"
    );
}

#[tokio::test]
async fn nonces_come_back_whatever_is_beside_their_telemetry_and_no_more_than_is_allowed() {
    let world = World::new().await;
    world.send(1000, 10).await.unwrap();
    let command = world.commands(A, 20).await[0].command_id;
    let asking = |nonces: &[&str]| {
        let (eui, leaf, payload) = telemetry(A);
        let mut value: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        value["nonces"] = json!(nonces);
        (eui, leaf, serde_json::to_vec(&value).unwrap())
    };
    let confirming = report(A, 1, 0, command, Outcome::Confirming { until_unix_s: 50 });
    for messages in [
        [asking(&["one", "two"]), confirming.clone(), asking(&["two", "three"])],
        [confirming.clone(), asking(&["one", "two"]), asking(&["two", "three"])],
        [asking(&["one", "two"]), asking(&["two", "three"]), confirming.clone()],
    ] {
        let outgoing = world.give(&messages, 30).await;
        let nonces: Vec<_> = outgoing.iter().map(|message| statement(message).nonces).collect();
        assert_eq!(nonces, [["one", "two"], ["two", "three"]]);
        assert!(outgoing.iter().all(|message| acknowledged(message) == Some(1)), "the report was first");
    }
    let long = "x".repeat(129);
    let many: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    let mut many: Vec<&str> = many.iter().map(String::as_str).collect();
    many.insert(0, &long);
    let outgoing = world.give(&[asking(&many)], 40).await;
    assert_eq!(statement(&outgoing[0]).nonces, ["0", "1", "2", "3", "4", "5", "6", "7"]);
}

#[tokio::test]
async fn a_report_that_is_given_again_is_acknowledged_again_and_changes_nothing() {
    let world = World::new().await;
    let update = world.send(1000, 10).await.unwrap();
    let command = world.commands(A, 20).await[0].command_id;
    let history = [
        report(A, 1, 0, command, Outcome::Received {}),
        report(A, 2, 1, command, succeeded()),
        // The same number with another text is the same report.
        report(A, 1, 0, command, failed()),
        report(A, 2, 1, command, failed()),
    ];
    for message in &history {
        let outgoing = world.give(std::slice::from_ref(message), 30).await;
        assert_eq!(outgoing.len(), 1);
    }
    assert_eq!(world.line(update, A).await, (Delivery::Received, Some(succeeded()), 1));
}

#[tokio::test]
async fn a_second_terminal_report_does_not_replace_the_first() {
    let world = World::new().await;
    let update = world.send(1000, 10).await.unwrap();
    let command = world.commands(A, 20).await[0].command_id;
    world.give(&[report(A, 1, 0, command, succeeded())], 30).await;
    let outgoing = world.give(&[report(A, 2, 1, command, failed())], 40).await;
    assert_eq!(acknowledged(&outgoing[0]), Some(2), "kept, so that the gateway can go on");
    assert_eq!(world.line(update, A).await.1, Some(succeeded()));
}

#[tokio::test]
async fn a_gateway_that_lost_its_state_begins_a_new_stream() {
    let world = World::new().await;
    world.send(1000, 10).await.unwrap();
    let command = world.commands(A, 20).await[0].command_id;
    world.give(&[report(A, 7, 0, command, Outcome::Received {})], 30).await;
    let mut text = report(A, 1, 0, command, succeeded());
    let renewed =
        String::from_utf8(text.2).unwrap().replace(&STREAM.to_string(), &Uuid::from_u128(8).to_string());
    text.2 = renewed.into_bytes();
    let outgoing = world.give(&[text], 40).await;
    assert_eq!(acknowledged(&outgoing[0]), Some(1));
    let outgoing = world.give(&[telemetry(A)], 50).await;
    assert_eq!(acknowledged(&outgoing[0]), Some(1), "telemetry is answered with the new stream");
}

#[tokio::test]
async fn another_gateways_delivery_cannot_be_changed() {
    let world = World::new().await;
    let update = world.send(1000, 10).await.unwrap();
    let command = world.commands(A, 20).await[0].command_id;
    let outgoing = world.give(&[report(B, 1, 0, command, succeeded())], 30).await;
    assert_eq!(acknowledged(&outgoing[0]), Some(1));
    assert_eq!(world.line(update, A).await, (Delivery::Sent, None, 1));
    assert_eq!(world.line(update, B).await, (Delivery::Waiting, None, 0));
}

#[tokio::test]
async fn commands_expire_and_the_gateways_truth_still_wins() {
    let world = World::new().await;
    let update = world.send(100, 10).await.unwrap();
    let command = world.commands(A, 20).await[0].command_id;
    world.center.expire(109).await.unwrap();
    assert_eq!(world.line(update, B).await.0, Delivery::Waiting);
    assert_eq!(
        world.commands(B, 110).await,
        [],
        "not sent any more, before anybody has looked at the deadline"
    );
    world.center.expire(110).await.unwrap();
    for eui in [A, B] {
        assert_eq!(world.line(update, eui).await.0, Delivery::Expired);
    }
    let view = world.view(update).await;
    assert_eq!((view.state.as_str(), view.ended), ("expired", true));

    // A had it all the while, and was only out of reach.
    world.give(&[report(A, 1, 0, command, Outcome::Running { task: None })], 120).await;
    let view = world.view(update).await;
    assert_eq!((view.state.as_str(), view.ended), ("partially_sent", false));
    world.give(&[report(A, 2, 1, command, succeeded())], 130).await;
    world.center.expire(140).await.unwrap();
    let view = world.view(update).await;
    assert_eq!((view.state.as_str(), view.ended), ("partially_sent", true));
    assert_eq!(view.outcomes, [("none".to_owned(), 1), ("succeeded".to_owned(), 1)].into());
}

#[tokio::test]
async fn a_new_update_waits_for_the_one_in_progress_but_not_for_its_outcome() {
    let world = World::new().await;
    let first = world.send(100, 10).await.unwrap();
    let error = world.send(100, 11).await.unwrap_err();
    assert!(matches!(&error, OrderError::Conflict(text) if text.contains(&first.to_string())), "{error}");
    world.commands(A, 20).await;
    assert!(world.send(100, 21).await.is_err(), "B has not been sent its command");
    world.commands(B, 22).await;
    let second = world.send(100, 23).await.unwrap();
    let both = world.commands(A, 30).await;
    assert_eq!(both.iter().map(|c| c.update_id).collect::<Vec<_>>(), [first, second], "oldest first");
    // Expired is no longer in progress, even when nobody has looked at the deadlines yet.
    world.send(100, 200).await.unwrap();
}

#[tokio::test]
async fn an_update_nudges_only_those_that_are_online() {
    let mut world = World::new().await;
    world.give(&[(A, Leaf::Presence, b"online".to_vec())], 5).await;
    world.send(100, 10).await.unwrap();
    assert_eq!(world.nudges.try_recv().unwrap(), [A]);
    let nudge = world.center.nudge_message(A, 11).await.unwrap();
    assert!(downlink(&nudge).nudge && downlink(&nudge).commands.is_empty());
    world.give(&[(A, Leaf::Presence, b"offline".to_vec())], 12).await;
    assert!(matches!(world.center.nudge(&Caller::root(), A).await, Err(OrderError::Conflict(_))));
}

#[tokio::test]
async fn a_gateway_that_is_found_online_is_nudged_when_a_command_waits_for_it() {
    let world = World::new().await;
    let online = || (A, Leaf::Presence, b"online".to_vec());
    assert!(world.give(&[online()], 5).await.is_empty(), "nothing waits");
    world.send(100, 10).await.unwrap();
    world.center.forget_presence().await.unwrap();
    let outgoing = world.give(&[online()], 20).await;
    assert!(outgoing.len() == 1 && outgoing[0].eui == A && downlink(&outgoing[0]).nudge);
    let both = world.give(&[online(), telemetry(A)], 21).await;
    assert!(both.len() == 1 && !downlink(&both[0]).nudge, "the answer to telemetry is enough");
    assert!(world.give(&[online()], 200).await.is_empty(), "it has expired");
}

#[tokio::test]
async fn presence_alone_makes_no_gateway_known_and_telemetry_does() {
    let world = World::new().await;
    let new = Eui::from_u64(9);
    world.give(&[(new, Leaf::Presence, b"online".to_vec())], 5).await;
    assert!(matches!(world.center.gateway(&Caller::root(), new, 1000).await, Err(OrderError::NotFound(_))));
    world.give(&[telemetry(new)], 6).await;
    let view = world.center.gateway(&Caller::root(), new, 1000).await.unwrap();
    assert_eq!((view.online, view.declared, view.last_telemetry_unix_s), (true, false, Some(6)));
    world.center.forget_presence().await.unwrap();
    assert!(!world.center.gateway(&Caller::root(), new, 1000).await.unwrap().online);
}

#[tokio::test]
async fn the_package_list_is_kept_and_then_known() {
    let world = World::new().await;
    let with = |digest: &str, list: bool| {
        let (eui, leaf, payload) = telemetry(A);
        let mut value: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        value["packages_digest"] = json!(digest);
        if list {
            value["installed_packages"] = json!([{"name": "keros", "version": "6.3.1"}]);
        }
        (eui, leaf, serde_json::to_vec(&value).unwrap())
    };
    let mut wanted = Vec::new();
    for (digest, list) in [("a", false), ("a", true), ("a", false), ("b", false)] {
        let outgoing = world.give(&[with(digest, list)], 5).await;
        wanted.push(downlink(&outgoing[0]).packages_wanted);
    }
    assert_eq!(wanted, [true, false, false, true]);
    let view = world.center.gateway(&Caller::root(), A, 1000).await.unwrap();
    assert_eq!(view.telemetry.unwrap().installed_packages, None, "the list is kept apart");
}

#[tokio::test]
async fn one_bad_message_does_not_harm_those_beside_it() {
    let world = World::new().await;
    let bad = (A, Leaf::Report, b"{".to_vec());
    let outgoing = world.give(&[bad, telemetry(A), (B, Leaf::Down, Vec::new())], 5).await;
    assert_eq!(outgoing.len(), 1);
    assert_eq!(world.center.unusable(), 2);
}

#[tokio::test]
async fn listeners_are_told_after_the_commit() {
    let world = World::new().await;
    let update_id = world.send(1000, 10).await.unwrap();
    let mut changes = world.center.listen();
    let topic = Prefix::default().topic(A, Leaf::Telemetry);
    let (_, _, payload) = telemetry(A);
    let message = Message { topic: &topic, payload: &payload, correlation: None, response_topic: None };
    let handled = world.center.handle(&[message], 20).await.unwrap();
    assert_eq!(handled.changes, [Change::Gateway(A), Change::Delivery { update_id, eui: A }]);
    world.center.tell(&handled.changes);
    assert_eq!(changes.recv().await.unwrap(), Change::Gateway(A));
    assert_eq!(changes.recv().await.unwrap().update_id(), Some(update_id));
}
