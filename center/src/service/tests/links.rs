//! Which links can be sent and which can go.

use std::fs::FileTimes;
use std::time::{Duration, SystemTime};

use keros_protocol::magic_link::Digest;
use keros_protocol::{Delivery, Job};
use serde_json::json;

use super::world::{A, B, World, report, succeeded, telemetry};
use crate::access::Caller;
use crate::api::RemovedLinks;
use crate::links::sample::{Bundle, PLAYBOOK};
use crate::service::OrderError;

fn invalid(result: Result<impl std::fmt::Debug, OrderError>) -> String {
    match result {
        Err(OrderError::Invalid(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn conflict(result: Result<impl std::fmt::Debug, OrderError>) -> String {
    match result {
        Err(OrderError::Conflict(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_link_that_declares_nobody_of_the_group_is_not_sent_and_one_that_declares_some_is() {
    let world = World::new().await;
    let nobody = world.put_link(&Bundle::usual(&["AA*"]), 1).await.unwrap();
    assert!(invalid(world.send_link(nobody, 10).await).contains("none of the 2 gateways"));
    let some = world.put_link(&Bundle::usual(&[&A.to_string()]), 1).await.unwrap();
    world.send_link(some, 10).await.unwrap();
    // B is sent it too: it answers by itself.
    let tokens: Vec<_> = [world.commands(A, 20).await, world.commands(B, 20).await]
        .into_iter()
        .map(|commands| match &commands[0].job {
            Job::MagicLink { source, token, .. } => (source.clone(), token.clone().unwrap()),
            job => panic!("{job:?}"),
        })
        .collect();
    assert_eq!(tokens[0].0, "http://127.0.0.1:1/v2/links");
    assert_ne!(tokens[0].1, tokens[1].1, "each has a token of its own");

    let missing = Digest::of(b"missing");
    assert!(matches!(world.send_link(missing, 10).await, Err(OrderError::NotFound(_))));
    let config = json!({"name": "x", "gateways": ["70*"], "playbook": "site.yml", "expires_at_unix_s": 100});
    let bundle = Bundle::with(&config, &[("site.yml", PLAYBOOK), ("files/banner", "")]);
    let over = world.put_link(&bundle, 1).await.unwrap();
    assert!(invalid(world.send_link(over, 100).await).contains("over"));
}

#[tokio::test]
async fn a_group_is_compared_with_what_a_link_says() {
    let world = World::new().await;
    let config = json!({"name": "x", "gateways": [A], "keros": "6", "playbook": "site.yml"});
    let bundle = Bundle::with(&config, &[("site.yml", PLAYBOOK), ("files/banner", "")]);
    let digest = world.put_link(&bundle, 1).await.unwrap();
    let seen = || async {
        let view =
            world.center.link_for_group(&Caller::root(), &digest.to_string(), "all", 10).await.unwrap();
        (view.not_declared.unwrap(), view.not_compatible.unwrap())
    };
    assert_eq!(seen().await, (vec![B], vec![]), "of A nothing is known yet");
    for (keros, unfit) in [("5.10.1", vec![A]), ("6.3.1", vec![])] {
        let (eui, leaf, payload) = telemetry(A);
        let mut telemetry: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        telemetry["keros_version"] = json!(keros);
        world.give(&[(eui, leaf, serde_json::to_vec(&telemetry).unwrap())], 20).await;
        assert_eq!(seen().await, (vec![B], unfit), "{keros}");
    }
}

#[tokio::test]
async fn a_link_stays_while_an_update_that_runs_it_has_not_ended() {
    let world = World::new().await;
    let digest = world.put_link(&Bundle::usual(&["70*"]), 1).await.unwrap();
    let update = world.send_link(digest, 10).await.unwrap();
    let name = digest.to_string();
    let stays = || async {
        let detail = conflict(world.center.remove_link(&Caller::root(), &name).await);
        assert!(detail.contains(&update.to_string()), "{detail}");
        assert_eq!(
            world.center.collect_links(&Caller::root(), 1_000_000).await.unwrap(),
            RemovedLinks::default()
        );
    };
    stays().await;
    let command = world.commands(A, 20).await[0].command_id;
    world.center.cancel(&Caller::root(), update, Some(B), 30).await.unwrap();
    stays().await;
    world.give(&[report(A, 1, 0, command, keros_protocol::Outcome::Running { task: None })], 40).await;
    stays().await;
    world.give(&[report(A, 2, 1, command, succeeded())], 50).await;
    assert_eq!(world.center.link(&Caller::root(), &name).await.unwrap().updates, [update]);
    assert_eq!(world.center.collect_links(&Caller::root(), 9).await.unwrap().links, 0, "it was sent since");
    assert_eq!(world.center.collect_links(&Caller::root(), 10).await.unwrap().links, 1);
    assert!(matches!(world.center.link(&Caller::root(), &name).await, Err(OrderError::NotFound(_))));
    assert_eq!(world.line(update, A).await.0, Delivery::Received, "the history stays");
}

#[tokio::test]
async fn what_another_link_names_or_an_upload_has_asked_for_stays() {
    let world = World::new().await;
    let (first, second) = (Bundle::usual(&["70*"]), Bundle::usual(&["71*"]));
    for bundle in [&first, &second] {
        world.put_link(bundle, 1).await.unwrap();
    }
    let blobs = &world.center.links().blobs;
    let playbook = Digest::of(PLAYBOOK.as_bytes());
    // Config and manifest are its own, the two files are shared.
    let removed = world.center.remove_link(&Caller::root(), &first.digest().to_string()).await.unwrap();
    assert_eq!((removed.links, removed.blobs), (1, 2));
    // Somebody asks for the playbook, to put in a third link: it outlives the second.
    let held = blobs.removing().await;
    blobs.want(playbook, &held).unwrap();
    drop(held);
    let removed = world.center.remove_link(&Caller::root(), &second.digest().to_string()).await.unwrap();
    assert_eq!(removed.blobs, 3);
    assert_eq!(world.center.sweep().await.unwrap(), RemovedLinks::default());
    assert_eq!(blobs.length(playbook).unwrap(), Some(PLAYBOOK.len() as u64));
    // Nobody has come back for it in a day.
    let file = std::fs::File::open(blobs.path(playbook)).unwrap();
    let a_day_ago = SystemTime::now() - Duration::from_secs(86_401);
    file.set_times(FileTimes::new().set_modified(a_day_ago)).unwrap();
    assert_eq!(world.center.sweep().await.unwrap().blobs, 1);
    assert_eq!((blobs.length(playbook).unwrap(), blobs.used_bytes()), (None, 0));
}

#[tokio::test]
async fn without_a_registry_that_gateways_reach_nothing_is_sent() {
    let world = World::new().await;
    let digest = world.put_link(&Bundle::usual(&["70*"]), 1).await.unwrap();
    world.send_link(digest, 10).await.unwrap();
    let folder = world.close().await;
    let store = crate::store::Store::open(folder.path(), None).await.unwrap();
    let world = World::told(store, folder, None);
    assert!(world.commands(A, 20).await.is_empty(), "it waits");
    let update =
        world.center.updates(&Caller::root(), crate::store::UpdatesOf::All, None, 1, 20).await.unwrap();
    assert_eq!(update[0].state, "in_progress");
    world.center.cancel(&Caller::root(), update[0].update_id, None, 30).await.unwrap();
    assert!(conflict(world.send_link(digest, 40).await).contains("--registry"));
}

#[tokio::test]
async fn two_uploads_and_a_sweep_never_take_a_blob_from_each_other() {
    let world = World::new().await;
    let world = &world;
    let put_and_remove = |gateways: &'static str| async move {
        let bundle = Bundle::usual(&[gateways]);
        for _ in 0..40 {
            let digest = world.put_link(&bundle, 1).await.unwrap();
            let missing =
                |blob: &&Vec<u8>| world.center.links().blobs.length(Digest::of(blob)).unwrap().is_none();
            assert_eq!(bundle.blobs.iter().filter(missing).count(), 0, "the link is there and a blob is not");
            world.center.remove_link(&Caller::root(), &digest.to_string()).await.unwrap();
        }
    };
    let sweep = async {
        for _ in 0..20 {
            world.center.sweep().await.unwrap();
        }
    };
    tokio::join!(put_and_remove("70*"), put_and_remove("71*"), sweep);
}
