//! Lists of gateways, what operators do with them, and who the members of groups are.

use keros_protocol::topics::Leaf;
use keros_protocol::{Eui, UpdateId};
use serde_json::json;

use super::world::{A, B, World, report, succeeded, telemetry};
use crate::access::Caller;
use crate::api::{CreateGroup, EditGateway, EditGroup, GatewayView, MoveGateway};
use crate::gateway::location::Location;
use crate::gateway::status::ConnectionStatus;
use crate::service::OrderError;
use crate::service::fleet::{FleetPage, Wanted, place_from, place_text, sort_from};
use crate::store::fleet::Part;
use crate::store::{LineFilter, enrolments};

const ROOT: fn() -> Caller = Caller::root;

fn gateway(number: u64) -> Eui {
    Eui::from_u64(0x7076_FF00_5608_0000 + number)
}

/// Telemetry of a gateway that states these.
pub(super) fn says(eui: Eui, more: &serde_json::Value) -> (Eui, Leaf, Vec<u8>) {
    let (eui, leaf, payload) = telemetry(eui);
    let mut value: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    for (name, more) in more.as_object().unwrap() {
        value[name] = more.clone();
    }
    (eui, leaf, serde_json::to_vec(&value).unwrap())
}

async fn list(world: &World, wanted: &Wanted, sort: &str, now: u64) -> Vec<Eui> {
    let page = page(world, wanted, sort, None, 1000, now).await;
    page.gateways.iter().map(|view| view.eui).collect()
}

async fn page(
    world: &World,
    wanted: &Wanted,
    sort: &str,
    after: Option<&str>,
    limit: u32,
    now: u64,
) -> FleetPage {
    let (sort, descending) = sort_from(Some(sort)).unwrap();
    let after = after.map(|after| place_from(after, sort).unwrap());
    let part = Part { sort, descending, after, limit };
    world.center.fleet(&ROOT(), wanted, &part, now).await.unwrap()
}

async fn edit(world: &World, eui: Eui, order: EditGateway) -> GatewayView {
    world.center.edit_gateway(&ROOT(), eui, &order, 1000).await.unwrap()
}

async fn show(world: &World, eui: Eui, now: u64) -> GatewayView {
    world.center.gateway(&ROOT(), eui, now).await.unwrap()
}

fn labels(list: &[&str]) -> EditGateway {
    EditGateway {
        labels: Some(list.iter().map(|label| (*label).to_owned()).collect()),
        ..EditGateway::default()
    }
}

fn by_rule(rule: &str) -> Wanted {
    Wanted { rule: Some(rule.to_owned()), ..Wanted::default() }
}

async fn ruled_group(world: &World, name: &str, rule: &str) {
    let group = CreateGroup { name: name.to_owned(), rule: Some(rule.to_owned()), ..CreateGroup::default() };
    world.center.create_group(&ROOT(), &group, 1).await.unwrap();
}

async fn members(world: &World, group: &str) -> Vec<Eui> {
    world.center.group(&ROOT(), group).await.unwrap().gateways
}

#[tokio::test]
async fn the_status_of_a_list_is_the_status_of_each_gateway() {
    let world = World::new().await;
    let now = 1_000_000;
    // Each sign on both sides of each moment.
    let mut number = 0;
    for age in [0, 3899, 3900, 3901, 7499, 7500, 7501, 99_999] {
        for online in [true, false] {
            for cpu in [10, 99] {
                let eui = gateway(number);
                number += 1;
                world.give(&[says(eui, &json!({"cpu_percent": cpu}))], now - age).await;
                if !online {
                    world.give(&[(eui, Leaf::Presence, b"offline".to_vec())], now).await;
                }
            }
        }
    }
    let all = page(&world, &Wanted::default(), "status", None, 1000, now).await;
    assert_eq!(all.gateways.len(), 34, "32 and the two that never spoke");
    let ranks: Vec<i64> = all.gateways.iter().map(|view| view.connection_status.status.rank()).collect();
    assert!(ranks.is_sorted(), "{ranks:?}");
    let counts = world.center.fleet_counts(&ROOT(), &Wanted::default(), now).await.unwrap();
    for (status, counted) in [
        (ConnectionStatus::Operational, counts.operational),
        (ConnectionStatus::Warning, counts.warning),
        (ConnectionStatus::Unreachable, counts.unreachable),
        (ConnectionStatus::Unknown, counts.unknown),
    ] {
        let of_views: Vec<Eui> = all
            .gateways
            .iter()
            .filter(|view| view.connection_status.status == status)
            .map(|view| view.eui)
            .collect();
        let wanted = Wanted { status: Some(status.as_str().to_owned()), ..Wanted::default() };
        assert_eq!(list(&world, &wanted, "eui", now).await, of_views, "{status:?}");
        assert_eq!(counted as usize, of_views.len(), "{status:?}");
        assert!(counted > 0, "{status:?} is among them");
    }
}

#[tokio::test]
async fn every_way_through_a_list_gives_each_gateway_once() {
    let world = World::new().await;
    for number in 0..57_u64 {
        // Many are alike in what is sorted by: the EUI decides.
        let eui = gateway((number * 31) % 57);
        let version = format!("6.{}.1", number % 5);
        world.give(&[says(eui, &json!({"keros_version": version}))], 1000 + number % 7).await;
        edit(
            &world,
            eui,
            EditGateway { name: Some(format!("Site {}", number % 4)), ..EditGateway::default() },
        )
        .await;
    }
    // Without a filter by an index, with one that many meet by sorting what was found.
    for wanted in [Wanted::default(), Wanted { search: Some("7076FF".to_owned()), ..Wanted::default() }] {
        for sort in [
            "eui",
            "-eui",
            "name",
            "-name",
            "telemetry",
            "-telemetry",
            "keros",
            "-keros",
            "status",
            "-status",
        ] {
            let whole = list(&world, &wanted, sort, 1010).await;
            assert_eq!(whole.len(), 59, "{sort}");
            let mut parts = Vec::new();
            let mut after: Option<String> = None;
            loop {
                let part = page(&world, &wanted, sort, after.as_deref(), 10, 1010).await;
                assert_eq!(part.total, Some(59));
                parts.extend(part.gateways.iter().map(|view| view.eui));
                let Some(next) = part.next else { break };
                after = Some(place_text(&next));
            }
            assert_eq!(parts, whole, "{sort} {wanted:?}");
            let mut once = whole.clone();
            once.sort();
            once.dedup();
            assert_eq!(once.len(), 59, "{sort}");
        }
    }
    let names: Vec<String> = page(&world, &Wanted::default(), "name", None, 100, 1010)
        .await
        .gateways
        .into_iter()
        .map(|view| view.name.to_lowercase())
        .collect();
    assert!(names.is_sorted(), "{names:?}");
}

#[tokio::test]
async fn a_place_of_another_list_or_of_nobody_is_refused() {
    let (sort, _) = sort_from(Some("name")).unwrap();
    for text in ["", "x", "7076FF0056080001", "zz.7076FF0056080001", "61.", "61.7076"] {
        assert!(place_from(text, sort).is_err(), "{text:?}");
    }
    assert!(sort_from(Some("colour")).is_err());
}

#[tokio::test]
async fn a_gateway_is_found_by_any_spelling_and_any_part_of_its_words() {
    let world = World::new().await;
    world.give(&[says(gateway(1), &json!({"codename": "wiis"}))], 1000).await;
    let words =
        EditGateway { description: Some("Behind the 100% mill_".to_owned()), ..EditGateway::default() };
    edit(&world, gateway(1), words).await;
    for (search, found) in [
        ("7076FF0056080001", true),
        ("70:76:ff:00:56:08:00:01", true),
        ("5608-0001", true),
        ("KLK-WIIS", true),
        ("the 100% mill_", true),
        ("MILL", true),
        ("100_", false),
        ("%%", false),
        ("nowhere", false),
    ] {
        let wanted = Wanted { search: Some(search.to_owned()), ..Wanted::default() };
        assert_eq!(list(&world, &wanted, "eui", 1000).await == [gateway(1)], found, "{search}");
    }
    // The old name is no longer found, the new one is.
    edit(&world, gateway(1), EditGateway { name: Some("Dam".to_owned()), ..EditGateway::default() }).await;
    let wanted = |search: &str| Wanted { search: Some(search.to_owned()), ..Wanted::default() };
    assert_eq!(list(&world, &wanted("klk-wiis"), "eui", 1000).await, []);
    assert_eq!(list(&world, &wanted("dam"), "eui", 1000).await, [gateway(1)]);
}

#[tokio::test]
async fn a_gateways_location_is_said_stays_when_something_else_is_said_and_is_taken_away() {
    let world = World::new().await;
    world.give(&[says(gateway(1), &json!({}))], 1000).await;
    let at = |text: &str| EditGateway { location: Some(text.to_owned()), ..EditGateway::default() };
    assert_eq!(show(&world, gateway(1), 1000).await.locations, []);
    let place = Location { latitude: 60.1699, longitude: -24.9384 };
    assert_eq!(edit(&world, gateway(1), at("60.1699,-24.9384")).await.locations, [place]);
    assert_eq!(edit(&world, gateway(1), labels(&["roof"])).await.locations, [place]);
    let order = at("60,1699, 24,9384");
    let refused = world.center.edit_gateway(&ROOT(), gateway(1), &order, 1000).await;
    assert!(matches!(refused, Err(OrderError::Invalid(_))), "{refused:?}");
    assert_eq!(show(&world, gateway(1), 1000).await.locations, [place]);
    assert_eq!(edit(&world, gateway(1), at("")).await.locations, []);
}

#[tokio::test]
async fn the_database_and_the_matcher_agree_about_every_rule() {
    let world = World::new().await;
    let models = [None, Some("wiis"), Some("fevo")];
    let versions = [None, Some("5.10.1-0-gc7e2b007"), Some("6.3.0"), Some("6.3.9"), Some("6.10.0")];
    let words: [&[&str]; 3] = [&[], &["roof"], &["roof", "test"]];
    let mut number = 0;
    for model in models {
        for version in versions {
            for list in words {
                world
                    .give(
                        &[says(gateway(number), &json!({"codename": model, "keros_version": version}))],
                        1000,
                    )
                    .await;
                edit(&world, gateway(number), labels(list)).await;
                number += 1;
            }
        }
    }
    let all = page(&world, &Wanted::default(), "eui", None, 1000, 1000).await.gateways;
    for text in [
        "model = wiis",
        "model != wiis",
        "model = wiis, fevo",
        "keros = 6.3",
        "keros != 6.3",
        "keros = 5, 6.10",
        "keros >= 6.3 and keros < 6.10",
        "keros > 6.3",
        "keros <= 6.3",
        "label = roof",
        "label != test",
        "label = test, other",
        "model = wiis and keros >= 6 and label = roof and label != test",
    ] {
        let rule: crate::gateway::rule::Rule = text.parse().unwrap();
        let expected: Vec<Eui> = all
            .iter()
            .filter(|view| {
                let keros = view.keros_version.as_deref().map(|text| text.parse().unwrap());
                let facts = crate::gateway::rule::Facts {
                    model: view.model.as_deref(),
                    keros: keros.as_ref(),
                    labels: &view.labels,
                };
                rule.is_met_by(facts)
            })
            .map(|view| view.eui)
            .collect();
        assert!(!expected.is_empty() && expected.len() < all.len(), "{text} divides them");
        assert_eq!(list(&world, &by_rule(text), "eui", 1000).await, expected, "{text}");
        assert_eq!(list(&world, &by_rule(text), "name", 1000).await.len(), expected.len(), "{text}");
        ruled_group(&world, text, text).await;
        assert_eq!(members(&world, text).await, expected, "{text}");
        let told = page(&world, &Wanted::default(), "eui", None, 1000, 1000).await.gateways;
        let in_it: Vec<Eui> = told
            .iter()
            .filter(|view| view.groups.iter().any(|group| group == text))
            .map(|view| view.eui)
            .collect();
        assert_eq!(in_it, expected, "{text}");
    }
}

#[tokio::test]
async fn an_update_goes_to_whoever_is_a_member_at_the_moment_of_sending() {
    let mut world = World::new().await;
    let rule = EditGroup { rule: Some("label = roof".to_owned()), ..EditGroup::default() };
    world.center.edit_group(&ROOT(), "all", &rule).await.unwrap();
    world.give(&[telemetry(gateway(1)), telemetry(gateway(2))], 900).await;
    edit(&world, gateway(1), labels(&["roof"])).await;
    let of_update =
        |view: crate::api::UpdateView| view.gateways.iter().map(|line| line.eui).collect::<Vec<_>>();
    let first = world.send(100, 1000).await.unwrap();
    assert_eq!(of_update(world.view(first).await), [A, B, gateway(1)]);
    assert_eq!(world.nudges.try_recv().unwrap(), [gateway(1)], "who is connected is asked, by rule or not");
    // Whoever comes later is not sent what was sent before.
    edit(&world, gateway(2), labels(&["roof"])).await;
    assert_eq!(of_update(world.view(first).await), [A, B, gateway(1)]);
    // While one waits, also one that is only there by the rule, nothing else goes to the group.
    world.commands(A, 1001).await;
    world.commands(B, 1001).await;
    let other = CreateGroup {
        name: "other".to_owned(),
        rule: Some("label = roof".to_owned()),
        ..CreateGroup::default()
    };
    world.center.create_group(&ROOT(), &other, 1).await.unwrap();
    let refused = world.send_to("other", 1002).await;
    assert!(
        matches!(&refused, Err(OrderError::Conflict(text)) if text.contains(&gateway(1).to_string())),
        "{refused:?}"
    );
    let second = world.send(100, 2000).await.unwrap();
    assert_eq!(of_update(world.view(second).await), [A, B, gateway(1), gateway(2)]);
}

#[tokio::test]
async fn a_retired_gateway_is_sent_nothing_and_is_no_member() {
    let world = World::new().await;
    let update = world.send(10_000, 1000).await.unwrap();
    let answer = world.center.retire_gateway(&ROOT(), A, 1001).await.unwrap();
    assert_eq!((answer.cancelled, answer.asked), (vec![update], vec![]));
    assert_eq!(world.commands(A, 1002).await, [], "what waited is cancelled");
    assert_eq!(members(&world, "all").await, [B]);
    assert_eq!(list(&world, &Wanted::default(), "eui", 1003).await, [B]);
    for (word, expected) in [("yes", vec![A]), ("all", vec![A, B]), ("no", vec![B])] {
        let wanted = Wanted { retired: Some(word.to_owned()), ..Wanted::default() };
        assert_eq!(list(&world, &wanted, "eui", 1003).await, expected, "{word}");
    }
    assert!(show(&world, A, 1003).await.retired_at_unix_s.is_some());
    assert!(matches!(world.center.retire_gateway(&ROOT(), A, 1004).await, Err(OrderError::Conflict(_))));
    world.center.unretire_gateway(&ROOT(), A, 1005).await.unwrap();
    assert_eq!(members(&world, "all").await, [A, B], "it is where it was");
    assert!(matches!(world.center.unretire_gateway(&ROOT(), A, 1006).await, Err(OrderError::Conflict(_))));
}

#[tokio::test]
async fn a_gateway_that_has_a_command_is_asked_to_end_it_when_it_is_retired() {
    let world = World::new().await;
    let update = world.send(10_000, 1000).await.unwrap();
    let command = world.commands(A, 1001).await.remove(0).command_id;
    let answer = world.center.retire_gateway(&ROOT(), A, 1002).await.unwrap();
    assert_eq!((answer.cancelled, answer.asked), (vec![], vec![update]));
    // What became of it is still learned: a status is never missing.
    world.give(&[report(A, 1, 0, command, succeeded())], 1003).await;
    assert_eq!(world.line(update, A).await.1, Some(succeeded()));
}

#[tokio::test]
async fn a_gateway_that_is_moved_leaves_groups_labels_and_history_behind() {
    let world = World::new().await;
    let other = world.customer("other").await;
    edit(&world, A, labels(&["roof"])).await;
    let old = world.send(10_000, 1000).await.unwrap();
    let order = MoveGateway { customer: "other".to_owned() };
    let refused = world.center.move_gateway(&ROOT(), A, &order, 1001).await;
    assert!(
        matches!(&refused, Err(OrderError::Conflict(text)) if text.contains(&old.to_string())),
        "{refused:?}"
    );
    world.center.cancel(&ROOT(), old, None, 1002).await.unwrap();
    let mut transaction = world.center.store.begin().await.unwrap();
    enrolments::insert(&mut transaction, "line", A, 1002, 9000).await.unwrap();
    transaction.commit().await.unwrap();
    let view = world.center.move_gateway(&ROOT(), A, &order, 1003).await.unwrap();
    assert_eq!((view.customer_id, view.groups, view.labels), (other, vec![], vec![]));
    let line =
        enrolments::find(&mut world.center.store.read().await.unwrap(), "line").await.unwrap().unwrap();
    assert_eq!(line.cancelled_at, Some(1003), "nobody joins by a line of the old customer");
    assert_eq!(members(&world, "all").await, [B]);
    let theirs = World::administrator_of(other);
    let updates = world.center.updates_of_gateway(&theirs, A).await.unwrap();
    assert_eq!(updates, [], "what it was sent before is the old customer's");
    let mine: Vec<UpdateId> = world
        .center
        .updates_of_gateway(&ROOT(), A)
        .await
        .unwrap()
        .iter()
        .map(|update| update.update_id)
        .collect();
    assert_eq!(mine, [old]);
    assert!(matches!(
        world.center.move_gateway(&ROOT(), A, &order, 1004).await,
        Err(OrderError::Conflict(_))
    ));
    let put = world.center.add_member(&ROOT(), "all", A).await;
    assert!(matches!(put, Err(OrderError::Conflict(_))), "{put:?}");
    // What it is called now, and how it is, the old customer does not see in what it was sent before.
    let name = EditGateway { name: Some("theirs".to_owned()), ..EditGateway::default() };
    world.center.edit_gateway(&theirs, A, &name, 1004).await.unwrap();
    world.give(&[telemetry(A)], 1004).await;
    let shown = world.view_at(old, 1004).await.gateways;
    let one = world.delivery(old, A, 1004).await;
    let page = world.center.lines(&ROOT(), old, &LineFilter::All, None, 10, 1004).await.unwrap();
    for line in [shown.iter().find(|line| line.eui == A).unwrap(), &one, &page[0]] {
        assert_eq!((line.eui, line.name.as_str()), (A, A.to_string().as_str()));
    }
    // It may not be moved by whoever has only one of the two customers.
    let moved =
        world.center.move_gateway(&theirs, A, &MoveGateway { customer: "main".to_owned() }, 1005).await;
    assert!(matches!(moved, Err(OrderError::Forbidden(_) | OrderError::NotFound(_))), "{moved:?}");
}

#[tokio::test]
async fn nobody_sees_or_changes_another_customers_gateways() {
    let world = World::new().await;
    let other = world.customer("other").await;
    let theirs = World::administrator_of(other);
    let wanted = Wanted::default();
    let part = Part { sort: crate::store::fleet::Sort::Eui, descending: false, after: None, limit: 10 };
    assert_eq!(world.center.fleet(&theirs, &wanted, &part, 1000).await.unwrap().gateways, []);
    assert_eq!(world.center.fleet_counts(&theirs, &wanted, 1000).await.unwrap().total, 0);
    let not_there = |error: OrderError| matches!(error, OrderError::NotFound(_));
    let center = &world.center;
    assert!(not_there(center.gateway(&theirs, A, 1000).await.unwrap_err()));
    assert!(not_there(center.history(&theirs, A).await.unwrap_err()));
    assert!(not_there(center.packages(&theirs, A, None).await.unwrap_err()));
    assert!(not_there(center.updates_of_gateway(&theirs, A).await.unwrap_err()));
    assert!(not_there(center.edit_gateway(&theirs, A, &labels(&["mine"]), 1000).await.unwrap_err()));
    assert!(not_there(center.retire_gateway(&theirs, A, 1000).await.unwrap_err()));
    assert!(not_there(center.edit_group(&theirs, "all", &EditGroup::default()).await.unwrap_err()));
    let file = format!("eui,name\n{A},stolen\n");
    let imported = center.import(&theirs, file.into_bytes(), None, false, 1000).await;
    assert!(matches!(imported, Err(OrderError::Invalid(_))), "{imported:?}");
    assert_eq!(show(&world, A, 1000).await.given_name, None);
    // A rule takes in its own customer's gateways only.
    let group = CreateGroup {
        name: "mine".to_owned(),
        rule: Some("label != x".to_owned()),
        ..CreateGroup::default()
    };
    let group = center.create_group(&theirs, &group, 1).await.unwrap();
    assert_eq!((group.gateways, group.gateway_count), (vec![], 0));
}

#[tokio::test]
async fn a_file_is_taken_whole_or_not_at_all() {
    let world = World::new().await;
    let import = async |text: &str, dry_run| {
        world.center.import(&ROOT(), text.as_bytes().to_vec(), None, dry_run, 1000).await
    };
    let wrong = format!("eui,name\n{},Dam\nnonsense,x\n", gateway(1));
    let refused = import(&wrong, false).await.unwrap_err();
    assert!(refused.to_string().contains("line 3"), "{refused}");
    assert_eq!(list(&world, &Wanted::default(), "eui", 1000).await, [A, B]);
    let good = format!("eui,name,description,labels\n{},Dam,below,roof test\n{A},,,\n", gateway(1));
    let would = import(&good, true).await.unwrap();
    assert_eq!((would.dry_run, would.added, would.changed, would.unchanged), (true, 1, 0, 1));
    assert_eq!(list(&world, &Wanted::default(), "eui", 1000).await, [A, B], "it was only asked");
    let did = import(&good, false).await.unwrap();
    assert_eq!((did.dry_run, did.added, did.changed, did.unchanged), (false, 1, 0, 1));
    let view = show(&world, gateway(1), 1000).await;
    assert_eq!((view.name.as_str(), view.description.as_str(), view.declared), ("Dam", "below", true));
    assert_eq!(view.labels, ["roof", "test"]);
    let again = import(&good, false).await.unwrap();
    assert_eq!((again.added, again.changed, again.unchanged), (0, 0, 2));
    // A file without a column leaves that as it is; an empty cell takes it away.
    let did = import(&format!("eui,name\n{},\n", gateway(1)), false).await.unwrap();
    assert_eq!((did.changed, did.unchanged), (1, 0));
    let view = show(&world, gateway(1), 1000).await;
    assert_eq!((view.given_name, view.description.as_str(), view.labels.len()), (None, "below", 2));
}

#[tokio::test]
async fn the_last_week_and_the_last_year_are_kept() {
    let world = World::new().await;
    let day = 86_400;
    for hour in 0..24 * 9 {
        let cpu = hour % 24;
        world.give(&[says(A, &json!({"cpu_percent": cpu, "temperature": 40.5}))], hour * 3600).await;
    }
    let history = world.center.history(&ROOT(), A).await.unwrap();
    assert_eq!(history.hours.len(), 7 * 24);
    let last = history.hours.last().unwrap();
    assert_eq!(
        (last.time_unix_s, last.cpu_percent, last.memory_percent, last.temperature),
        (9 * day - 3600, Some(23.0), None, Some(40.5))
    );
    let days: Vec<_> = history.days.iter().map(|day| (day.time_unix_s, day.cpu_percent.unwrap())).collect();
    let expected: Vec<_> =
        (0..8).map(|number| (number * day, crate::api::OfDay { average: 12, maximum: 23 })).collect();
    assert_eq!(days, expected);
    let view = show(&world, A, 9 * day).await;
    let vitals: Vec<&str> = view.vitals.iter().map(|vital| vital.name.as_str()).collect();
    assert_eq!(vitals, ["cpu_percent", "temperature"]);
    assert_eq!(view.vitals[0].date_unix_s, 9 * day - 3600);
}

#[tokio::test]
async fn a_customer_has_no_more_groups_than_is_set() {
    let world = World::new().await;
    for number in 1..100 {
        ruled_group(&world, &format!("group {number}"), "model = wiis").await;
    }
    let group = CreateGroup { name: "one too many".to_owned(), ..CreateGroup::default() };
    let refused = world.center.create_group(&ROOT(), &group, 1).await;
    assert!(
        matches!(&refused, Err(OrderError::Conflict(text)) if text.contains("100 groups")),
        "{refused:?}"
    );
}
