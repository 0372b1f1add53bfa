//! A command that a person carries to its gateway: it is never sent, and its reports are taken as those of any other.

use keros_protocol::{Delivery, Job, Outcome};
use uuid::Uuid;

use super::world::{A, B, NOW, World, cancelled, commands, report, succeeded, telemetry, telemetry_in};
use crate::access::Caller;
use crate::api::CancelAnswer;
use crate::links::sample::Bundle;
use crate::service::OrderError;

#[tokio::test]
async fn it_counts_as_sent_is_never_sent_and_its_outcome_is_taken() {
    let world = World::new().await;
    let digest = world.put_link(&Bundle::usual(&[&A.to_string()]), 1).await.unwrap();
    let (update, command) = world.sign_link(digest, A, 10).await.unwrap();
    assert_eq!((command.eui, command.options.confirm_window_s), (A, 0));
    assert_eq!(command.job, Job::MagicLink { digest, source: String::new(), token: None });
    let view = world.view(update).await;
    assert_eq!(
        (view.by_hand, view.state.as_str(), view.ended, view.group.as_str()),
        (true, "sent", false, "")
    );
    assert_eq!(world.line(update, A).await, (Delivery::Sent, None, 1));

    // Neither an answer nor a nudge, and it is in nobody's way.
    assert!(world.commands(A, 20).await.is_empty());
    assert!(
        world.give(&[(A, keros_protocol::topics::Leaf::Presence, b"online".to_vec())], 20).await.is_empty()
    );
    world.send(1000, 30).await.unwrap();
    assert_eq!(world.line(update, A).await, (Delivery::Sent, None, 1));

    world.give(&[report(A, 1, 0, command.command_id, Outcome::Received {})], 40).await;
    assert_eq!(world.line(update, A).await.1, Some(Outcome::Received {}));
    assert!(world.delivery(update, A, NOW + 1_000_000).await.overdue);
    world.give(&[report(A, 2, 1, command.command_id, succeeded())], 50).await;
    assert_eq!(world.line(update, A).await.1, Some(succeeded()));
    assert!(world.view(update).await.ended);
}

#[tokio::test]
async fn it_expires_and_a_late_word_is_taken_all_the_same() {
    let world = World::new().await;
    let digest = world.put_link(&Bundle::usual(&["70*"]), 1).await.unwrap();
    let (update, command) = world.sign_link(digest, A, 10).await.unwrap();
    world.center.expire(1010).await.unwrap();
    assert_eq!(world.line(update, A).await.0, Delivery::Expired);
    assert!(world.view(update).await.ended);
    world.give(&[report(A, 1, 0, command.command_id, succeeded())], 9000).await;
    assert_eq!(world.line(update, A).await, (Delivery::Received, Some(succeeded()), 1));
}

#[tokio::test]
async fn it_is_cancelled_on_the_gateway_since_somebody_may_have_brought_it() {
    let world = World::new().await;
    let digest = world.put_link(&Bundle::usual(&["70*"]), 1).await.unwrap();
    let (update, command) = world.sign_link(digest, A, 10).await.unwrap();
    let answer = world.center.cancel(&Caller::root(), update, None, 20).await.unwrap();
    assert_eq!(answer.gateways[0].answer, CancelAnswer::Asked);
    let outgoing = world.give(&[telemetry(A)], 30).await;
    assert_eq!((cancelled(&outgoing[0]), commands(&outgoing[0])), (vec![command.command_id], Vec::new()));
    // Also when its time is over.
    world.center.expire(2000).await.unwrap();
    let answer = world.center.cancel(&Caller::root(), update, None, 2010).await.unwrap();
    assert_eq!(answer.gateways[0].answer, CancelAnswer::Asked);
}

#[tokio::test]
async fn a_gateway_that_had_it_and_lost_its_state_is_asked_what_became_of_it() {
    let world = World::new().await;
    let digest = world.put_link(&Bundle::usual(&["70*"]), 1).await.unwrap();
    let (_, command) = world.sign_link(digest, A, 10).await.unwrap();
    let other = Uuid::from_u128(2);
    assert!(commands(&world.give(&[telemetry_in(A, other)], 20).await[0]).is_empty());
    world.give(&[report(A, 1, 0, command.command_id, Outcome::Received {})], 30).await;
    let asked = commands(&world.give(&[telemetry_in(A, other)], 40).await[0]);
    assert_eq!(asked, [command], "the very command that it had");
}

#[tokio::test]
async fn only_a_known_and_declared_gateway_gets_one() {
    let world = World::new().await;
    let digest = world.put_link(&Bundle::usual(&[&A.to_string(), "AA*"]), 1).await.unwrap();
    assert!(matches!(world.sign_link(digest, B, 10).await, Err(OrderError::Invalid(_))));
    let unknown = keros_protocol::Eui::from_u64(0xAA00_0000_0000_0001);
    assert!(matches!(world.sign_link(digest, unknown, 10).await, Err(OrderError::NotFound(_))));
    let nothing = keros_protocol::magic_link::Digest::of(b"");
    assert!(matches!(world.sign_link(nothing, A, 10).await, Err(OrderError::NotFound(_))));
}
