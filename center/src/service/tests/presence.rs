//! Gateways that come and go faster than they may.

use keros_protocol::topics::{Leaf, Prefix};

use super::world::{A, B, World, telemetry};
use crate::access::Caller;
use crate::service::Message;

async fn is_online(world: &World) -> bool {
    world.center.gateway(&Caller::root(), A, 1000).await.unwrap().online
}

#[tokio::test]
async fn a_flood_of_presence_is_cut_and_the_last_word_is_kept() {
    let world = World::new().await;
    world.give(&[telemetry(A), telemetry(B)], 20).await;
    let topic = Prefix::default().topic(A, Leaf::Presence);
    let said = |online: bool| Message {
        topic: &topic,
        payload: if online { b"online" } else { b"offline" },
        correlation: None,
        response_topic: None,
    };
    let mut admitted = 0;
    for number in 0..1000 {
        let message = said(number % 2 == 0);
        if world.center.admits(&message, 5) {
            admitted += 1;
            world.center.handle(&[message], 20).await.unwrap();
        }
    }
    assert!((1..=60).contains(&admitted), "{admitted}");
    assert!(!world.center.admits(&said(true), 5));
    world.center.keep_put_off().await.unwrap();
    assert!(is_online(&world).await);
    assert!(!world.center.admits(&said(false), 5));
    assert!(is_online(&world).await, "it is put off");
    world.center.keep_put_off().await.unwrap();
    assert!(!is_online(&world).await);

    // What is admitted later is newer than what was put off before.
    assert!(!world.center.admits(&said(false), 5));
    let minute = 60_005;
    assert!(world.center.admits(&said(true), minute));
    world.center.handle(&[said(true)], 80).await.unwrap();
    world.center.keep_put_off().await.unwrap();
    assert!(is_online(&world).await);
}
