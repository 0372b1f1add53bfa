//! Who is in a group, by chance: gateways come and tell of themselves, are put in, taken out, retired, moved to other customers. Each page, list and
//! number that the center gives of a group is that of the same members. `KEROS_SEED` repeats one history.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use keros_protocol::{Eui, RefusalReason};
use serde_json::json;

use super::by_chance::Chance;
use super::fleet::says;
use super::world::World;
use crate::access::{Action, Caller};
use crate::api::{CreateGroup, DeclareGateway, MoveGateway, SendUpdate};
use crate::service::Addressee;
use crate::service::fleet::{Wanted, sort_from};
use crate::store::fleet::Part;
use crate::store::groups;

const ROOT: fn() -> Caller = Caller::root;
const HISTORIES: u64 = 4;
const STEPS: usize = 60;
const GATEWAYS: u64 = 9;
/// Two groups of the customer `main`: one whose members are put in, one that has a rule as well.
const GROUPS: [&str; 2] = ["plain", "ruled"];

/// A gateway as it should be.
#[derive(Debug, Clone, Default)]
struct Truth {
    /// It has moved to the customer `other`.
    moved: bool,
    retired: bool,
    /// The major version that it last told.
    keros: Option<u64>,
    /// The groups that the table of members has it in.
    put_in: BTreeSet<&'static str>,
}

impl Truth {
    fn is_in(&self, group: &str) -> bool {
        let by_rule = group == "ruled" && self.keros == Some(6);
        !self.moved && !self.retired && (by_rule || self.put_in.contains(group))
    }
}

fn gateway(number: u64) -> Eui {
    Eui::from_u64(0x7076_FF00_5609_0000 + number)
}

async fn new_world() -> (World, BTreeMap<Eui, Truth>) {
    let world = World::new().await;
    world.customer("other").await;
    for (name, rule) in GROUPS.into_iter().zip([None, Some("keros >= 6".to_owned())]) {
        let group = CreateGroup { name: name.to_owned(), rule, ..CreateGroup::default() };
        world.center.create_group(&ROOT(), &group, 1).await.unwrap();
    }
    let mut truth = BTreeMap::new();
    for number in 0..GATEWAYS {
        let eui = gateway(number);
        let order =
            DeclareGateway { eui: eui.to_string(), name: None, description: String::new(), customer: None };
        world.center.declare(&ROOT(), &order, 1).await.unwrap();
        truth.insert(eui, Truth::default());
    }
    (world, truth)
}

async fn step(world: &World, chance: &mut Chance, truth: &mut BTreeMap<Eui, Truth>) {
    let eui = gateway(chance.below(GATEWAYS));
    let known = truth.get_mut(&eui).unwrap();
    let group = chance.pick(&GROUPS).unwrap();
    let center = &world.center;
    match chance.below(7) {
        0 => {
            let major = 5 + chance.below(2);
            let version = format!("{major}.{}.1", chance.below(2));
            world.give(&[says(eui, &json!({ "keros_version": version }))], 1000).await;
            known.keros = Some(major);
        }
        1 | 2 if !known.moved => {
            center.add_member(&ROOT(), group, eui).await.unwrap();
            known.put_in.insert(group);
        }
        3 => {
            let done = center.remove_member(&ROOT(), group, eui).await;
            assert_eq!(done.is_ok(), known.put_in.remove(group));
        }
        4 if known.retired => {
            center.unretire_gateway(&ROOT(), eui, 1000).await.unwrap();
            known.retired = false;
        }
        4 => {
            center.retire_gateway(&ROOT(), eui, 1000).await.unwrap();
            known.retired = true;
        }
        5 => {
            let customer = if known.moved { "main" } else { "other" }.to_owned();
            center.move_gateway(&ROOT(), eui, &MoveGateway { customer }, 1000).await.unwrap();
            known.moved = !known.moved;
            known.put_in.clear();
        }
        // The table of members names one that it should not, as a database that was changed by hand.
        _ => {
            let id = center.group_summary(&ROOT(), group).await.unwrap().group_id;
            let mut transaction = center.store.begin().await.unwrap();
            groups::add_member(&mut transaction, &id, eui).await.unwrap();
            transaction.commit().await.unwrap();
            known.put_in.insert(group);
        }
    }
}

/// All that is told of the members of a group is of these.
async fn look(world: &World, group: &str, truth: &BTreeMap<Eui, Truth>, context: &str) {
    let center = &world.center;
    let expected: Vec<Eui> =
        truth.iter().filter(|(_, truth)| truth.is_in(group)).map(|(eui, _)| *eui).collect();
    let count = u32::try_from(expected.len()).unwrap();
    let whole = center.group(&ROOT(), group).await.unwrap();
    assert_eq!((&whole.gateways, whole.gateway_count), (&expected, count), "{context}");
    assert_eq!(center.group_summary(&ROOT(), group).await.unwrap().gateway_count, count, "{context}");
    let listed = center.groups(&ROOT()).await.unwrap();
    let listed = listed.into_iter().find(|view| view.name == group).unwrap();
    assert_eq!(listed.gateway_count, count, "{context}");
    let first = center.first_members(&ROOT(), group, 100, 1000).await.unwrap();
    assert_eq!(first.iter().map(|row| row.eui).collect::<Vec<_>>(), expected, "{context}");

    let wanted = Wanted { group: Some(group.to_owned()), ..Wanted::default() };
    let counts = center.fleet_counts(&ROOT(), &wanted, 1000).await.unwrap();
    let by_status = counts.operational + counts.warning + counts.unreachable + counts.unknown;
    assert_eq!((counts.total, by_status), (count, count), "{context}");
    for sort in ["eui", "-name", "status"] {
        let (sort, descending) = sort_from(Some(sort)).unwrap();
        let part = Part { sort, descending, after: None, limit: 100 };
        let page = center.fleet(&ROOT(), &wanted, &part, 1000).await.unwrap();
        let mut listed: Vec<Eui> = page.gateways.iter().map(|view| view.eui).collect();
        listed.sort_unstable();
        assert_eq!((listed, page.total), (expected.clone(), Some(count)), "{context}");
    }

    let to =
        center.addressed(&ROOT(), &Addressee::Group(group.to_owned()), Action::SendUpdates).await.unwrap();
    assert_eq!(to.count, count, "{context}");
    let script = "- name: a play\n  groups:\n    - all\n  tasks:\n    - !echo\n      msg: hello\n";
    let order = json!({"group": group, "job": {"kind": "jetporch", "script": script, "vars": {}}});
    let order: SendUpdate = serde_json::from_value(order).unwrap();
    let preview = center.preview_update(&ROOT(), &order, 1000).await.unwrap();
    let with = |keros: Option<u64>| -> Vec<Eui> {
        expected.iter().copied().filter(|eui| truth[eui].keros == keros).collect()
    };
    let some: HashMap<Option<RefusalReason>, Vec<Eui>> = preview
        .refusals
        .iter()
        .chain(&preview.unknown)
        .map(|part| (part.reason, part.some.iter().map(|named| named.eui).collect()))
        .collect();
    let told = |reason| some.get(&reason).cloned().unwrap_or_default();
    assert_eq!((preview.gateways, preview.fit as usize), (count, with(Some(6)).len()), "{context}");
    assert_eq!(told(Some(RefusalReason::NotKeros6)), with(Some(5)), "{context}");
    assert_eq!(told(None), with(None), "{context}");
}

#[tokio::test]
async fn all_that_is_told_of_a_group_is_of_the_same_members() {
    let seed = std::env::var("KEROS_SEED").ok().map(|seed| seed.parse().unwrap());
    for seed in seed.map_or(0..HISTORIES, |seed: u64| seed..seed + 1) {
        let (world, mut truth) = new_world().await;
        let mut chance = Chance(seed);
        for number in 0..STEPS {
            step(&world, &mut chance, &mut truth).await;
            if number % 4 == 3 {
                for group in GROUPS {
                    let context = format!("KEROS_SEED={seed}, step {number}, {group}: {truth:?}");
                    look(&world, group, &truth, &context).await;
                }
            }
        }
    }
}
