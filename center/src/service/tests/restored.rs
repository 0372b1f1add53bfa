//! Backups, and what becomes of commands when an old one is put back: none runs twice, and no status is lost.

use std::path::Path;

use keros_protocol::{Delivery, Outcome, Summary};
use serde_json::json;
use uuid::Uuid;

use super::world::{
    A, B, STREAM, World, acknowledged, cancelled, commands, report, report_in, succeeded, telemetry_in,
};
use crate::access::Caller;
use crate::accounts::Accounts;
use crate::backup::{self, End, Restore};
use crate::links::sample::Bundle;
use crate::store::{MessageState, Store};

async fn backup(world: &World, file: &Path) -> End {
    backup::write(&world.center.store, &world.folder.path().join("blobs"), file).await.unwrap()
}

/// A center somewhere else, with what the backup has.
async fn restored(file: &Path, nothing_since: bool) -> World {
    let folder = tempfile::tempdir().unwrap();
    let (store, place) = Store::open_as_it_is(folder.path(), None, true).await.unwrap();
    let blobs = folder.path().join("blobs");
    let into = Restore { store: &store, place: &place, blobs, nothing_since };
    backup::restore(file, &into).await.unwrap();
    let error = backup::restore(file, &into).await.unwrap_err();
    assert!(error.to_string().contains("never over another"), "{error}");
    store.close().await;
    World::on(Store::open(folder.path(), None).await.unwrap(), folder)
}

#[tokio::test]
async fn a_center_that_moves_goes_on_where_it_was() {
    let world = World::new().await;
    let link = world.put_link(&Bundle::usual(&["70*"]), 1).await.unwrap();
    let update = world.send(1000, 10).await.unwrap();
    let command = world.commands(A, 20).await[0].command_id;
    world.give(&[report(A, 1, 0, command, Outcome::Received {})], 21).await;
    let file = world.folder.path().join("backup");
    let end = backup(&world, &file).await;
    assert_eq!((end.rows["gateways"], end.rows["commands"], end.rows["reports"]), (2, 2, 1));
    assert!(
        backup::write(&world.center.store, Path::new("/none"), &file).await.is_err(),
        "it is there already"
    );
    assert_eq!(backup::check(&file).await.unwrap().1, end);
    let new = restored(&file, true).await;
    assert_eq!(new.view(update).await, world.view(update).await);
    let bytes = |world: &World| world.center.links().blobs.read(link).unwrap();
    assert_eq!(bytes(&new), bytes(&world));
    // The next report of A, and the first command of B.
    let answer = new.give(&[report(A, 2, 1, command, succeeded())], 30).await;
    assert_eq!(acknowledged(&answer[0]), Some(2));
    assert_eq!(new.line(update, A).await.1, Some(succeeded()));
    let answer = new.give(&[telemetry_in(B, Uuid::from_u128(2))], 31).await;
    assert_eq!((commands(&answer[0]).len(), cancelled(&answer[0]).len()), (1, 0));
}

#[tokio::test]
async fn an_old_backup_runs_nothing_twice_and_loses_no_status() {
    let world = World::new().await;
    let update = world.send(1000, 10).await.unwrap();
    let file = world.folder.path().join("backup");
    backup(&world, &file).await;
    // What the backup does not know: A ran it, was told that its reports are kept, and has forgotten them.
    let command = world.commands(A, 20).await[0].command_id;
    world.give(&[report(A, 1, 0, command, Outcome::Received {})], 21).await;
    world.give(&[report(A, 2, 1, command, succeeded())], 22).await;
    let new = restored(&file, false).await;
    assert_eq!(new.line(update, A).await.1, None);
    new.center.expire(30).await.unwrap();

    // It is asked what became of it, beside the word that it is not to run: a gateway that knows it says how it ended.
    let answer = new.give(&[telemetry_in(A, STREAM)], 31).await;
    let asked: Vec<_> = commands(&answer[0]).iter().map(|command| command.command_id).collect();
    assert_eq!((asked, cancelled(&answer[0])), (vec![command], vec![command]));
    let answer = new.give(&[report(A, 3, 2, command, succeeded())], 32).await;
    assert_eq!(acknowledged(&answer[0]), Some(3), "a report is taken from wherever its gateway counts");
    assert_eq!(new.line(update, A).await.0, Delivery::Received);
    assert_eq!(new.line(update, A).await.1, Some(succeeded()));
    // Only the first one: from here on none may be missing again.
    assert_eq!(acknowledged(&new.give(&[report(A, 9, 8, command, succeeded())], 33).await[0]), Some(3));

    // B never had it, and an operator may have taken it back since the backup: it does not run there.
    let stream = Uuid::from_u128(7);
    let answer = new.give(&[telemetry_in(B, stream)], 34).await;
    let command = commands(&answer[0])[0].command_id;
    assert_eq!(cancelled(&answer[0]), [command]);
    let end = Outcome::Cancelled { task: None, summary: Summary::default(), by_root: false };
    new.give(&[report_in(B, stream, (1, 0), command, end.clone())], 35).await;
    assert_eq!(new.line(update, B).await.1, Some(end));
    assert!(new.view(update).await.ended);
}

/// A user with a set-up link and a session, and a webhook with a message that waits; the link's secret.
async fn people(world: &World, accounts: &Accounts) -> String {
    let roles = json!([{"customer": "main", "role": "SERVICE_OPERATOR"}]);
    let order = json!({"login": "ada", "full_name": "Ada", "roles": roles});
    let order = serde_json::from_value(order).unwrap();
    let user = accounts.create_user(&Caller::root(), order, 10).await.unwrap();
    let hook = serde_json::from_value(json!({"url": "https://hooks.example/"})).unwrap();
    let hook = world.center.create_webhook(&Caller::root(), hook, 10).await.unwrap();
    world.center.test_webhook(&Caller::root(), hook.webhook_id, 10).await.unwrap();
    user.set_up_path.unwrap().rsplit('/').next().unwrap().to_owned()
}

#[tokio::test]
async fn what_gave_a_way_in_or_was_told_is_not_good_twice_after_an_old_backup_and_goes_on_after_a_move() {
    let world = World::new().await;
    let accounts = Accounts::new(world.center.store.clone());
    let link = people(&world, &accounts).await;
    let file = world.folder.path().join("backup");
    backup(&world, &file).await;
    for nothing_since in [true, false] {
        let new = restored(&file, nothing_since).await;
        let accounts = Accounts::new(new.center.store.clone());
        let invited = accounts.invited(&link, 20).await;
        assert_eq!(invited.is_ok(), nothing_since, "{invited:?}");
        let due = new.center.claim_messages(&[], 10, 20).await.unwrap();
        assert_eq!(due.len(), usize::from(nothing_since));
        let hook = new.center.webhooks(&Caller::root()).await.unwrap().remove(0);
        let told = new.center.webhook_messages(&Caller::root(), hook.webhook_id).await.unwrap();
        let state = if nothing_since { MessageState::Waiting } else { MessageState::GivenUp };
        assert_eq!((told.len(), told[0].state), (1, state));
        assert_eq!(told[0].error.is_some(), !nothing_since);
    }
}

#[tokio::test]
async fn a_backup_that_is_cut_or_altered_is_refused_and_nothing_is_restored() {
    let world = World::new().await;
    world.send(1000, 10).await.unwrap();
    let file = world.folder.path().join("backup");
    backup(&world, &file).await;
    let bytes = std::fs::read(&file).unwrap();
    let mut altered = bytes.clone();
    let place = bytes.windows(7).position(|part| part == b"waiting").unwrap();
    altered[place] = b'W';
    for (what, bytes) in
        [("cut", &bytes[..bytes.len() / 2]), ("altered", &altered[..]), ("other", b"no tar at all")]
    {
        let bad = world.folder.path().join(what);
        std::fs::write(&bad, bytes).unwrap();
        assert!(backup::check(&bad).await.is_err(), "{what}");
        let folder = tempfile::tempdir().unwrap();
        let (store, place) = Store::open_as_it_is(folder.path(), None, true).await.unwrap();
        let blobs = folder.path().join("blobs");
        let into = Restore { store: &store, place: &place, blobs, nothing_since: true };
        assert!(backup::restore(&bad, &into).await.is_err(), "{what}");
    }
}

#[tokio::test]
async fn a_backup_of_either_database_goes_into_the_other_and_back() {
    let Some(server) = crate::store::testing::server() else { return };
    let world = World::new().await;
    let update = world.send(1000, 10).await.unwrap();
    let command = world.commands(A, 20).await[0].command_id;
    world.give(&[report(A, 1, 0, command, succeeded())], 21).await;
    let first = world.folder.path().join("first");
    let end = backup(&world, &first).await;
    let url = server.url("keros");
    let (store, place) = Store::open_as_it_is(world.folder.path(), Some(&url), true).await.unwrap();
    let blobs = world.folder.path().join("other");
    let into = Restore { store: &store, place: &place, blobs: blobs.clone(), nothing_since: true };
    backup::restore(&first, &into).await.unwrap();
    let second = world.folder.path().join("second");
    let again = backup::write(&store, &blobs, &second).await.unwrap();
    assert_eq!(again.rows, end.rows);
    let back = restored(&second, true).await;
    assert_eq!(back.view(update).await, world.view(update).await);
}
