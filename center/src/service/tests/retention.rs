//! What is over goes after its time, and never what is not over.

use super::world::{A, B, World, report, succeeded};
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
