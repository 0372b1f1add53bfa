//! What webhooks are told of gateways that fall silent and come back.

use keros_protocol::Eui;
use keros_protocol::topics::Leaf;
use serde_json::{Value, json};

use super::world::{A, B, World, telemetry};
use crate::access::{Caller, CustomerId};
use crate::api::{CreateGroup, DeclareGateway, EditGroup};
use crate::bounds::{ALERTED_AT_ONCE, ALERTED_IN_ONE};
use crate::store::{gateways, webhooks};

const HOUR_S: u64 = 3600;

/// What every webhook was told so far, oldest first: the event and the gateways.
async fn told(world: &World) -> Vec<(String, Vec<Eui>)> {
    let mut connection = world.center.store.read().await.unwrap();
    let mut told = Vec::new();
    for webhook in webhooks::list(&mut connection).await.unwrap() {
        let messages = webhooks::messages(&mut connection, webhook.webhook_id, 1000).await.unwrap();
        for message in messages.iter().rev() {
            let body: Value = serde_json::from_str(&message.body).unwrap();
            assert_eq!(body["type"], message.event.as_str());
            let gateways = body["data"]["gateways"].as_array().unwrap();
            let euis = gateways.iter().map(|gateway| gateway["eui"].as_str().unwrap().parse().unwrap());
            told.push((message.event.as_str().to_owned(), euis.collect()));
        }
    }
    told
}

async fn world(alerting: bool) -> World {
    let world = World::new().await;
    let order = serde_json::from_value(json!({"url": "https://hooks.example/"})).unwrap();
    world.center.create_webhook(&Caller::root(), order, 1).await.unwrap();
    edit(&world, "all", alerting).await;
    world.give(&[telemetry(A), telemetry(B), (A, Leaf::Presence, b"offline".to_vec())], 10).await;
    world.give(&[(B, Leaf::Presence, b"offline".to_vec())], 11).await;
    world
}

async fn edit(world: &World, group: &str, alerting: bool) {
    let order: EditGroup = serde_json::from_value(json!({"alerting": alerting})).unwrap();
    world.center.edit_group(&Caller::root(), group, &order).await.unwrap();
}

#[tokio::test]
async fn a_gateway_of_a_group_with_alerting_is_told_of_once_when_it_falls_silent_and_once_when_it_is_back() {
    let world = world(true).await;
    // A second group of the same gateway tells nothing more.
    let more: CreateGroup =
        serde_json::from_value(json!({"name": "more", "gateways": [A], "alerting": true})).unwrap();
    world.center.create_group(&Caller::root(), &more, 12).await.unwrap();
    let late = 3 * HOUR_S;
    world.center.alert(2 * HOUR_S).await.unwrap();
    assert_eq!(told(&world).await, [], "two telemetries may be late");
    for _ in 0..3 {
        world.center.alert(late).await.unwrap();
    }
    let silent = ("gateway.unreachable".to_owned(), vec![A, B]);
    assert_eq!(told(&world).await, std::slice::from_ref(&silent));
    world.give(&[telemetry(A)], late + 5).await;
    for _ in 0..3 {
        world.center.alert(late + 10).await.unwrap();
    }
    let back = ("gateway.back".to_owned(), vec![A]);
    assert_eq!(told(&world).await, [silent.clone(), back.clone()]);
    // Who was told that it is silent is told that it is back, also when nobody is to be told of more.
    for group in ["all", "more"] {
        edit(&world, group, false).await;
    }
    world.give(&[(B, Leaf::Presence, b"online".to_vec())], late + 20).await;
    world.center.alert(late + 30).await.unwrap();
    let also_back = ("gateway.back".to_owned(), vec![B]);
    assert_eq!(told(&world).await, [silent, back, also_back]);
    world.give(&[(A, Leaf::Presence, b"offline".to_vec())], late + 40).await;
    world.center.alert(9 * HOUR_S).await.unwrap();
    assert_eq!(told(&world).await.len(), 3, "alerting is off");
}

#[tokio::test]
async fn nobody_is_told_without_alerting_nor_of_what_is_out_of_service_nor_of_what_was_never_heard() {
    let off = world(false).await;
    off.center.alert(3 * HOUR_S).await.unwrap();
    assert_eq!(told(&off).await, []);
    let on = world(true).await;
    let never: DeclareGateway = serde_json::from_value(json!({"eui": "7076FF0056070009"})).unwrap();
    on.center.declare(&Caller::root(), &never, 12).await.unwrap();
    on.center.add_member(&Caller::root(), "all", never.eui.parse().unwrap()).await.unwrap();
    on.center.alert(3 * HOUR_S).await.unwrap();
    let mut connection = on.center.store.begin().await.unwrap();
    gateways::retire(&mut connection, A, Some(4 * HOUR_S)).await.unwrap();
    connection.commit().await.unwrap();
    // B comes back, and A is out of service by now.
    on.give(&[telemetry(A), telemetry(B)], 4 * HOUR_S).await;
    on.center.alert(4 * HOUR_S).await.unwrap();
    on.center.alert(4 * HOUR_S).await.unwrap();
    let expected = [("gateway.unreachable".to_owned(), vec![A, B]), ("gateway.back".to_owned(), vec![B])];
    assert_eq!(told(&on).await, expected);
}

#[tokio::test]
async fn when_all_fall_silent_at_once_they_are_told_of_in_few_messages() {
    let world = world(true).await;
    let rule: EditGroup = serde_json::from_value(json!({"rule": "model = wiis"})).unwrap();
    world.center.edit_group(&Caller::root(), "all", &rule).await.unwrap();
    let count = ALERTED_AT_ONCE + 50;
    let mut transaction = world.center.store.begin().await.unwrap();
    for number in 0..count as u64 {
        let eui = Eui::from_u64(0x7076_FF00_6000_0000 + number);
        gateways::declare(&mut transaction, eui, CustomerId::MAIN, None, "", 1).await.unwrap();
    }
    sqlx::query("UPDATE gateways SET codename = 'wiis', last_telemetry_at = 10")
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    world.center.alert(3 * HOUR_S).await.unwrap();
    let first = told(&world).await;
    assert_eq!(first.len(), ALERTED_AT_ONCE / ALERTED_IN_ONE);
    assert!(first.iter().all(|(_, gateways)| gateways.len() == ALERTED_IN_ONE));
    world.center.alert(3 * HOUR_S + 60).await.unwrap();
    let all = told(&world).await;
    assert_eq!(all.iter().map(|(_, gateways)| gateways.len()).sum::<usize>(), count + 2, "A and B too");
    let each: std::collections::BTreeSet<Eui> = all.into_iter().flat_map(|(_, gateways)| gateways).collect();
    assert_eq!(each.len(), count + 2, "each once");
}
