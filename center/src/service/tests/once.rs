//! Requests that are to be done once, with a center that ends between the change and the answer.

use keros_protocol::JobLimits;

use super::world::{NOW, World};
use crate::access::{Attempt, Caller};
use crate::api::{SendOptions, SendUpdate, UpdateView};
use crate::bounds::ANSWER_LIMIT;
use crate::service::{Once, OrderError};

async fn begin(world: &World, now: u64) -> Once {
    world.center.begin_once(&Caller::root(), "key", "request", now).await.unwrap()
}

async fn send(world: &World, attempt: Attempt, now: u64) -> Result<UpdateView, OrderError> {
    let script = "- name: a play\n  groups:\n    - all\n  tasks:\n    - !echo\n      msg: hello\n".to_owned();
    let order = SendUpdate {
        group: "all".to_owned(),
        job: keros_protocol::Job::JetPorch { script, vars: serde_json::Map::new() },
        limits: JobLimits::default(),
        options: SendOptions::default(),
        expires_in_s: None,
        plan: crate::plan::Plan::default(),
        dry_run_first: false,
    };
    let caller = Caller::root().trying(attempt);
    world.center.send_update(&caller, order, now).await
}

#[tokio::test]
async fn a_center_that_ended_between_the_update_and_its_answer_does_not_send_it_again() {
    let world = World::new().await;
    let Once::Begin(attempt) = begin(&world, NOW).await else { panic!("it is the first") };
    let update = send(&world, attempt, NOW).await.unwrap();
    // Nobody was answered; the center starts again.
    let folder = world.close().await;
    let store = crate::store::Store::open(folder.path(), None).await.unwrap();
    let world = World::on(store, folder);
    for later in [NOW, NOW + 1000] {
        assert_eq!(begin(&world, later).await, Once::Lost(format!("update {}", update.update_id)));
    }
    // A day later the key is free again.
    let tomorrow = NOW + crate::bounds::KEY_AGE_S + 1;
    assert!(matches!(begin(&world, tomorrow).await, Once::Begin(_)));
}

#[tokio::test]
async fn a_try_that_was_thought_dead_does_nothing_when_it_comes_back() {
    let world = World::new().await;
    let Once::Begin(first) = begin(&world, NOW).await else { panic!("it is the first") };
    assert_eq!(begin(&world, NOW).await, Once::UnderWay);
    let Once::Begin(second) = begin(&world, NOW + ANSWER_LIMIT.as_secs()).await else {
        panic!("the first is dead")
    };
    let refused = send(&world, first, NOW).await.unwrap_err();
    assert!(matches!(&refused, OrderError::Conflict(_)), "{refused}");
    let all =
        world.center.updates(&Caller::root(), crate::store::UpdatesOf::All, None, 10, NOW).await.unwrap();
    assert!(all.is_empty(), "what was refused left something: {all:?}");
    send(&world, second, NOW).await.unwrap();
    assert_eq!(
        world
            .center
            .updates(&Caller::root(), crate::store::UpdatesOf::All, None, 10, NOW)
            .await
            .unwrap()
            .len(),
        1
    );
}
