//! What is over goes after its time, and never what is not over.

use super::world::telemetry;
use super::world::{A, B, World, report, succeeded};
use crate::access::Caller;
use crate::service::retention::Retention;

const DAY_S: u64 = 86_400;

#[tokio::test]
async fn an_update_goes_when_its_time_is_over_and_every_command_has_ended() {
    let world = World::new().await;
    let update = world.send(1000, 10).await.unwrap();
    for eui in [A, B] {
        let command = world.commands(eui, 20).await[0].command_id;
        let reported = if eui == A { succeeded() } else { keros_protocol::Outcome::Running { task: None } };
        world.give(&[report(eui, 1, 0, command, reported)], 21).await;
    }
    let keep = Retention { updates_days: 10, ..Retention::default() };
    let late = 10 * DAY_S + 11;
    world.center.tidy(&keep, late).await.unwrap();
    assert_eq!(world.view_at(update, late).await.gateways.len(), 2, "B has not ended");
    let command = world.delivery(update, B, 30).await.command_id;
    world.give(&[report(B, 2, 1, command, succeeded())], 40).await;
    world.center.tidy(&keep, 10 * DAY_S).await.unwrap();
    assert_eq!(world.view_at(update, late).await.gateways.len(), 2, "it is not old enough");
    let newer = world.send(1000, 5 * DAY_S).await.unwrap();
    world.center.tidy(&keep, late).await.unwrap();
    assert_eq!(world.list_updates().await, [newer]);
    // What the gateways said stays for its own time, and they go on.
    let answer = world.give(&[report(A, 2, 1, command, succeeded())], late).await;
    assert_eq!(answer.len(), 1);
}

/// How many hours and days of a gateway's vitals are kept.
async fn history(world: &World, eui: keros_protocol::Eui) -> (usize, usize) {
    let history = world.center.history(&Caller::root(), eui).await.unwrap();
    (history.hours.len(), history.days.len())
}

#[tokio::test]
async fn vitals_are_kept_for_as_many_days_as_the_setting_says_and_of_a_silent_gateway_no_longer() {
    let mut world = World::new().await;
    let report_of = |eui| {
        let (eui, leaf, payload) = telemetry(eui);
        let mut value: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        value["cpu_percent"] = serde_json::json!(5.0);
        (eui, leaf, serde_json::to_vec(&value).unwrap())
    };
    for hour in 0..10 * 24 {
        world.give(&[report_of(A), report_of(B)], hour * 3600).await;
    }
    assert_eq!(history(&world, A).await, (7 * 24, 9));
    world.center = world.center.with_history(3);
    for hour in 10 * 24..12 * 24 {
        world.give(&[report_of(A)], hour * 3600).await;
    }
    assert_eq!(history(&world, A).await, (3 * 24, 3));
    let keep = Retention { telemetry_days: 3, ..Retention::default() };
    let last_of_b = (10 * 24 - 1) * 3600;
    world.center.tidy(&keep, last_of_b + 3 * DAY_S).await.unwrap();
    assert_eq!(history(&world, B).await, (7 * 24, 9), "it is not silent for so long");
    world.center.tidy(&keep, last_of_b + 3 * DAY_S + 1).await.unwrap();
    assert_eq!((history(&world, A).await, history(&world, B).await), ((3 * 24, 3), (0, 0)));
    let view = world.center.gateway(&Caller::root(), B, 12 * DAY_S).await.unwrap();
    assert!(view.telemetry.is_some(), "its last telemetry stays");
}
