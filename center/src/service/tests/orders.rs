//! When commands are handed out, what waits for what, and what follows what.

use keros_protocol::{Delivery, Eui, Job, Outcome, UpdateId};
use serde_json::json;

use super::world::{A, B, World, failed, report, report_in, succeeded, telemetry};
use crate::access::Caller;
use crate::api::{CreateGroup, DeclareGateway, FollowUp, SendToGateway, SendUpdate, WaitsForReason};
use crate::service::OrderError;

const C: Eui = Eui::from_u64(0x7076_FF00_5607_0003);

fn script() -> Job {
    serde_json::from_value(json!({
        "kind": "jetporch",
        "script": "- name: a play\n  groups:\n    - all\n  tasks:\n    - !echo\n      msg: hello\n",
    }))
    .unwrap()
}

fn link() -> Job {
    let digest = format!("sha256:{:064}", 1);
    serde_json::from_value(
        json!({"kind": "magic_link", "digest": digest, "source": "https://r.example/v2/x"}),
    )
    .unwrap()
}

/// A world with three gateways in the group `three`.
async fn three() -> World {
    let world = World::new().await;
    let root = Caller::root();
    let order: DeclareGateway = serde_json::from_value(json!({"eui": C})).unwrap();
    world.center.declare(&root, &order, 1).await.unwrap();
    let group: CreateGroup = serde_json::from_value(json!({"name": "three", "gateways": [A, B, C]})).unwrap();
    world.center.create_group(&root, &group, 1).await.unwrap();
    world
}

async fn send(
    world: &World,
    group: &str,
    extra: serde_json::Value,
    now: u64,
) -> Result<UpdateId, OrderError> {
    let mut order = json!({"group": group, "job": script(), "expires_in_s": 1000});
    order.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let order: SendUpdate = serde_json::from_value(order).unwrap();
    Ok(world.center.send_update(&Caller::root(), order, now).await?.update_id)
}

async fn send_to(world: &World, eui: Eui, job: Job, now: u64) -> Result<UpdateId, OrderError> {
    let order: SendToGateway = serde_json::from_value(json!({"job": job, "expires_in_s": 1000})).unwrap();
    Ok(world.center.send_to_gateway(&Caller::root(), eui, order, now).await?.update_id)
}

/// The gateway fetches its command and reports what became of it.
async fn run(world: &World, eui: Eui, outcome: Outcome, now: u64) {
    let command = world.commands(eui, now).await.pop().expect("there is a command");
    let stream = uuid::Uuid::now_v7();
    world.give(&[report_in(eui, stream, (1, 0), command.command_id, outcome)], now).await;
}

fn conflict(result: Result<UpdateId, OrderError>) -> String {
    match result {
        Err(OrderError::Conflict(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn on_a_gateway_only_an_update_of_the_same_type_is_waited_for_and_on_a_group_any() {
    let world = World::new().await;
    let first = send_to(&world, A, script(), 10).await.unwrap();
    let text = conflict(send_to(&world, A, script(), 10).await);
    assert!(
        text.contains(&first.to_string()) && text.contains("same type") && text.contains("api-token"),
        "{text}"
    );
    send_to(&world, A, link(), 10).await.unwrap();
    send_to(&world, B, script(), 10).await.unwrap();
    let text = conflict(world.send(100, 10).await);
    assert!(text.contains("still waits for gateway"), "{text}");

    // What is sent is no longer pending, whatever becomes of it.
    assert_eq!(world.commands(A, 20).await.len(), 2);
    send_to(&world, A, script(), 30).await.unwrap();
    let view = world.view_at(first, 30).await;
    assert_eq!((view.gateway, view.group.as_str(), view.state.as_str()), (Some(A), "", "sent"));
}

#[tokio::test]
async fn a_group_update_keeps_single_ones_of_its_type_away() {
    let world = World::new().await;
    let group = world.send(100, 10).await.unwrap();
    let text = conflict(send_to(&world, B, script(), 10).await);
    assert!(text.contains(&group.to_string()) && text.contains("the group \"all\""), "{text}");
    send_to(&world, B, link(), 10).await.unwrap();
}

#[tokio::test]
async fn a_gateway_that_has_left_the_group_still_keeps_the_next_update_away() {
    let world = World::new().await;
    let first = world.send(100, 10).await.unwrap();
    world.commands(A, 20).await;
    world.center.remove_member(&Caller::root(), "all", B).await.unwrap();
    assert!(conflict(world.send(100, 30).await).contains(&first.to_string()));
}

#[tokio::test]
async fn a_roll_out_goes_from_stage_to_stage() {
    let world = three().await;
    let update =
        send(&world, "three", json!({"plan": {"rollout": {"stages": ["1", "1"]}}}), 10).await.unwrap();
    // Those that are connected come first, else chance decides: who is first is found out.
    let mut order = Vec::new();
    for _ in 0..3 {
        let mut found = None;
        for eui in [A, B, C] {
            if !order.contains(&eui) && !world.give(&[telemetry(eui)], 20).await.is_empty() {
                let line = world.delivery(update, eui, 20).await;
                if line.delivery == Delivery::Sent {
                    assert_eq!(found, None, "one gateway of a stage at a time");
                    found = Some(eui);
                } else {
                    assert_eq!(line.waits_for.unwrap().reason, WaitsForReason::Stage);
                }
            }
        }
        let eui = found.expect("a stage has a gateway");
        order.push(eui);
        world.center.tend(None, 20, 20).await.unwrap();
        assert_eq!(world.view_at(update, 20).await.rollout.unwrap().stage as usize, order.len());
        run(&world, eui, succeeded(), 30).await;
        world.center.tend(None, 30, 30).await.unwrap();
    }
    let view = world.view_at(update, 40).await;
    assert!(view.ended && view.rollout.unwrap().halted_at_unix_s.is_none());
}

#[tokio::test]
async fn a_roll_out_stops_at_a_failure_and_goes_on_when_an_operator_says_so() {
    let world = three().await;
    let root = Caller::root();
    world.give(&[telemetry(B)], 5).await;
    let update = send(&world, "three", json!({"plan": {"rollout": {"stages": ["1"]}}}), 10).await.unwrap();
    // The one that is connected comes first.
    run(&world, B, failed(), 20).await;
    world.center.tend(None, 20, 25).await.unwrap();
    let rollout = world.view_at(update, 30).await.rollout.unwrap();
    assert_eq!((rollout.halted_at_unix_s, rollout.stage, rollout.stages), (Some(25), 1, 2));
    assert!(rollout.halted_because.unwrap().contains("1 did not succeed"));
    assert_eq!(world.commands(A, 30).await, []);
    assert_eq!(world.delivery(update, A, 30).await.waits_for.unwrap().reason, WaitsForReason::Halted);

    world.center.go_on(&root, update, None, 40).await.unwrap();
    world.center.tend(None, 40, 50).await.unwrap();
    assert_eq!(world.view_at(update, 50).await.rollout.unwrap().stage, 2);
    assert_eq!(world.commands(A, 60).await.len(), 1);
    assert_eq!(world.commands(C, 60).await.len(), 1);
    let again = world.center.go_on(&root, update, None, 70).await;
    assert!(matches!(again, Err(OrderError::Conflict(_))), "{again:?}");
}

#[tokio::test]
async fn what_was_stopped_can_be_cancelled_and_ends_by_itself() {
    let world = three().await;
    world.give(&[telemetry(B)], 5).await;
    let update = send(&world, "three", json!({"plan": {"rollout": {"stages": ["1"]}}}), 10).await.unwrap();
    run(&world, B, failed(), 20).await;
    world.center.tend(None, 20, 25).await.unwrap();
    world.center.cancel(&Caller::root(), update, Some(A), 30).await.unwrap();
    assert_eq!(world.delivery(update, A, 30).await.delivery, Delivery::Cancelled);
    world.center.expire(1011).await.unwrap();
    let view = world.view_at(update, 1011).await;
    assert!(view.ended, "{view:?}");
}

#[tokio::test]
async fn a_silent_gateway_stops_a_roll_out() {
    let world = three().await;
    world.give(&[telemetry(B)], 5).await;
    let update = send(&world, "three", json!({"plan": {"rollout": {"stages": ["1"]}}}), 10).await.unwrap();
    run(&world, B, Outcome::Running { task: None }, 20).await;
    world.center.tend(None, 20, 30).await.unwrap();
    assert_eq!(world.view_at(update, 30).await.rollout.unwrap().halted_at_unix_s, None);
    world.center.tend(None, 30, 90_000).await.unwrap();
    let rollout = world.view_at(update, 90_000).await.rollout.unwrap();
    assert!(rollout.halted_because.unwrap().contains("1 are overdue"));
}

#[tokio::test]
async fn nothing_is_handed_out_before_its_time_and_the_expiry_counts_from_then() {
    let world = World::new().await;
    let update = send(&world, "all", json!({"plan": {"not_before_unix_s": 5000}}), 10).await.unwrap();
    assert_eq!(world.view_at(update, 10).await.expires_at_unix_s, 6000);
    assert_eq!(world.commands(A, 4999).await, []);
    let line = world.delivery(update, A, 4999).await.waits_for.unwrap();
    assert_eq!((line.reason, line.until_unix_s), (WaitsForReason::NotBefore, Some(5000)));
    let command = world.commands(A, 5000).await.pop().unwrap();
    assert_eq!(command.expires_at_unix_s, 6000);
    world.center.expire(6000).await.unwrap();
    assert_eq!(world.delivery(update, B, 6000).await.delivery, Delivery::Expired);
}

#[tokio::test]
async fn outside_its_window_nothing_is_handed_out_nor_sent_again() {
    let world = World::new().await;
    let extra = json!({"plan": {"window": "01:00-02:00"}, "expires_in_s": 200_000});
    let update = send(&world, "all", extra, 10).await.unwrap();
    assert_eq!(world.commands(A, 3599).await, []);
    assert_eq!(world.commands(A, 3600).await.len(), 1);
    // It was not received: it is sent again, but only inside.
    assert_eq!(world.commands(A, 7199).await.len(), 1);
    assert_eq!(world.commands(A, 7200).await, []);
    let line = world.delivery(update, A, 7200).await.waits_for.unwrap();
    assert_eq!((line.reason, line.until_unix_s), (WaitsForReason::NotReceived, Some(3600 + 86_400)));
    // What the gateway has got goes on.
    let command = world.commands(A, 3600 + 86_400).await.pop().unwrap();
    world.give(&[report(A, 1, 0, command.command_id, Outcome::Received {})], 95_000).await;
    world.give(&[report(A, 2, 1, command.command_id, succeeded())], 100_000).await;
    assert_eq!(world.delivery(update, A, 100_000).await.outcome, Some(succeeded()));
}

#[tokio::test]
async fn gateways_are_asked_for_telemetry_when_their_window_opens() {
    let mut world = World::new().await;
    world.give(&[telemetry(A)], 5).await;
    send(&world, "all", json!({"plan": {"window": "01:00-02:00"}, "expires_in_s": 20_000}), 10)
        .await
        .unwrap();
    world.center.tend(None, 10, 3599).await.unwrap();
    world.nudges.try_recv().unwrap_err();
    world.center.tend(Some(&std::collections::BTreeSet::new()), 3599, 3601).await.unwrap();
    assert_eq!(world.nudges.try_recv().unwrap(), [A]);
    world.center.tend(None, 3601, 3700).await.unwrap();
    world.nudges.try_recv().unwrap_err();
}

#[tokio::test]
async fn a_plan_out_of_bounds_is_refused() {
    let world = World::new().await;
    for plan in [
        json!({"not_before_unix_s": 91 * 86_400}),
        json!({"window": "01:00-02:00"}),
        json!({"rollout": {"stages": []}}),
        json!({"rollout": {"max_failed_percent": 101}}),
    ] {
        let refused = send(&world, "all", json!({"plan": plan, "expires_in_s": 1000}), 10).await;
        assert!(matches!(refused, Err(OrderError::Invalid(_))), "{plan}: {refused:?}");
    }
    let staged = json!({"job": script(), "plan": {"rollout": {}}});
    let order: SendToGateway = serde_json::from_value(staged).unwrap();
    let refused = world.center.send_to_gateway(&Caller::root(), A, order, 10).await;
    assert!(matches!(refused, Err(OrderError::Invalid(_))), "{refused:?}");
}

#[tokio::test]
async fn those_that_did_not_succeed_are_tried_again_with_the_same_job() {
    let world = three().await;
    let root = Caller::root();
    let first = send(&world, "three", json!({}), 10).await.unwrap();
    run(&world, A, succeeded(), 20).await;
    run(&world, B, failed(), 20).await;
    // C still waits: the rule of the group holds for a retry too.
    let early = world.center.retry(&root, first, FollowUp::default(), 25).await;
    assert!(matches!(early, Err(OrderError::Conflict(_))), "{early:?}");
    world.center.expire(1011).await.unwrap();
    let second = world.center.retry(&root, first, FollowUp::default(), 1020).await.unwrap();
    let euis: Vec<Eui> = second.gateways.iter().map(|line| line.eui).collect();
    assert_eq!((euis, second.group.as_str(), second.expires_at_unix_s), (vec![B, C], "three", 2020));
    assert_eq!(second.follows.clone().unwrap().update_id, first);
    assert_eq!(world.view_at(first, 1020).await.followed_by[0].update_id, second.update_id);
    assert_eq!(world.commands(A, 1030).await, []);
    let command = world.commands(B, 1030).await.pop().unwrap();
    assert_eq!(command.job, script());

    let wrong = FollowUp { outcomes: vec!["dreadful".to_owned()], ..FollowUp::default() };
    let refused = world.center.retry(&root, first, wrong, 1040).await;
    assert!(matches!(refused, Err(OrderError::Invalid(_))), "{refused:?}");
}

#[tokio::test]
async fn a_dry_run_comes_first_and_the_real_one_follows_where_it_succeeded() {
    let world = three().await;
    let root = Caller::root();
    let extra = json!({"dry_run_first": true, "options": {"confirm_window_s": 90}, "plan": {"rollout": {"stages": ["1"]}}});
    let dry = send(&world, "three", extra, 10).await.unwrap();
    let view = world.view_at(dry, 10).await;
    assert!(view.dry_run && view.is_first && view.rollout.is_none());
    let would = || Outcome::Succeeded {
        summary: keros_protocol::Summary { created: 1, ..Default::default() },
        dry_run: true,
        differences: None,
    };
    for (eui, outcome) in [(A, would()), (B, would()), (C, failed())] {
        let command = world.commands(eui, 20).await.pop().unwrap();
        assert_eq!((command.options.dry_run, command.options.confirm_window_s), (true, 0));
        let stream = uuid::Uuid::now_v7();
        world.give(&[report_in(eui, stream, (1, 0), command.command_id, outcome)], 20).await;
    }
    let real = world.center.carry_out(&root, dry, FollowUp::default(), 30).await.unwrap();
    let euis: Vec<Eui> = real.gateways.iter().map(|line| line.eui).collect();
    assert_eq!((euis, real.dry_run, real.rollout.unwrap().stages), (vec![A, B], false, 2));
    let mut sent = world.commands(A, 40).await;
    sent.extend(world.commands(B, 40).await);
    assert_eq!((sent.len(), sent[0].options.confirm_window_s), (1, 90), "the real one has its stages");
    let twice = world.center.carry_out(&root, dry, FollowUp::default(), 50).await;
    assert!(matches!(twice, Err(OrderError::Conflict(_))), "{twice:?}");
    let no_dry_run = world.center.carry_out(&root, real.update_id, FollowUp::default(), 60).await;
    assert!(no_dry_run.is_err());
}

#[tokio::test]
async fn an_export_has_a_line_for_each_gateway_and_no_formula() {
    let world = World::new().await;
    let root = Caller::root();
    let order: DeclareGateway = serde_json::from_value(json!({"eui": A, "name": "=1+1"})).unwrap();
    world.center.declare(&root, &order, 2).await.unwrap();
    let update = world.send(100, 10).await.unwrap();
    let text = world.center.lines_csv(&root, update, 20).await.unwrap();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.contains(",'=1+1,"), "{text}");
    let text = world.center.updates_csv(&root, 20).await.unwrap();
    assert!(text.lines().nth(1).unwrap().starts_with(&format!("{update},main,all,,jetporch,")), "{text}");
}

#[tokio::test]
async fn the_answer_to_an_order_has_lines_for_a_thousand_gateways_and_none_beyond() {
    let world = World::new().await;
    let root = Caller::root();
    let euis: Vec<Eui> = (0..1001).map(|last| Eui::from_u64(0x7076_FF00_5608_0000 + last)).collect();
    for eui in &euis {
        let order: DeclareGateway = serde_json::from_value(json!({"eui": eui})).unwrap();
        world.center.declare(&root, &order, 1).await.unwrap();
    }
    for (name, count) in [("some", 1000), ("many", 1001)] {
        let gateways = &euis[..count];
        let group: CreateGroup = serde_json::from_value(json!({"name": name, "gateways": gateways})).unwrap();
        world.center.create_group(&root, &group, 1).await.unwrap();
        let order: SendUpdate = serde_json::from_value(json!({"group": name, "job": script()})).unwrap();
        let answer = world.center.send_update(&root, order, 10).await.unwrap();
        let lines = if count == 1000 { 1000 } else { 0 };
        assert_eq!((answer.gateways.len(), answer.gateway_count() as usize), (lines, count));
        assert_eq!(world.view_at(answer.update_id, 11).await.gateways.len(), count, "all are there");
        world.center.cancel(&root, answer.update_id, None, 12).await.unwrap();
    }
}

#[tokio::test]
async fn who_cancels_the_first_gateway_of_a_roll_out_does_not_send_it_to_the_others_by_that() {
    let world = three().await;
    let root = Caller::root();
    let staged = json!({"plan": {"rollout": {"stages": ["1"]}}});
    let update = send(&world, "three", staged, 10).await.unwrap();
    let reason = |line: &crate::api::DeliveryView| line.waits_for.as_ref().unwrap().reason;
    let lines = world.view_at(update, 10).await.gateways;
    let (first, others): (Vec<_>, Vec<_>) =
        lines.iter().partition(|line| reason(line) != WaitsForReason::Stage);
    assert_eq!((first.len(), others.len()), (1, 2));
    world.center.cancel(&root, update, Some(first[0].eui), 20).await.unwrap();
    world.center.tend(None, 20, 21).await.unwrap();
    let rollout = world.view_at(update, 21).await.rollout.unwrap();
    assert_eq!((rollout.stage, rollout.halted_at_unix_s), (1, Some(21)));
    assert!(rollout.halted_because.unwrap().contains("none succeeded"));
    for line in &others {
        assert_eq!(world.commands(line.eui, 30).await, []);
    }
    // Whoever wants it all the same says so.
    world.center.go_on(&root, update, None, 40).await.unwrap();
    world.center.tend(None, 40, 41).await.unwrap();
    for line in &others {
        assert_eq!(world.commands(line.eui, 50).await.len(), 1);
    }
}

#[tokio::test]
async fn what_was_sent_again_already_is_not_sent_again_by_a_second_click_nor_after_it_succeeded() {
    let world = three().await;
    let root = Caller::root();
    let first = send(&world, "three", json!({}), 10).await.unwrap();
    run(&world, A, succeeded(), 20).await;
    run(&world, B, failed(), 20).await;
    run(&world, C, failed(), 20).await;
    let of_b = FollowUp { outcomes: vec!["failed".to_owned()], ..FollowUp::default() };
    let second = world.center.retry(&root, first, of_b.clone(), 30).await.unwrap().update_id;
    // Nothing waits any more: both have it.
    for eui in [B, C] {
        assert_eq!(world.commands(eui, 40).await.len(), 1);
    }
    let again = async |now| {
        let again = world.center.retry(&root, first, of_b.clone(), now).await;
        assert!(matches!(&again, Err(OrderError::Conflict(text)) if text.contains("already")), "{again:?}");
    };
    again(50).await;
    run(&world, B, succeeded(), 60).await;
    again(70).await;
    // What failed again is sent again by the update that failed.
    run(&world, C, failed(), 80).await;
    let third = world.center.retry(&root, second, FollowUp::default(), 90).await.unwrap();
    assert_eq!(third.gateways.iter().map(|line| line.eui).collect::<Vec<_>>(), [C]);
}

#[tokio::test]
async fn what_runs_after_its_update_was_thought_to_have_ended_is_told_of_all_the_same() {
    let world = World::new().await;
    let root = Caller::root();
    let webhook = serde_json::from_value(json!({"url": "https://hooks.example/"})).unwrap();
    let webhook = world.center.create_webhook(&root, webhook, 5).await.unwrap().webhook_id;
    let told = async || {
        let messages = world.center.webhook_messages(&root, webhook).await.unwrap();
        messages.iter().rev().map(|message| message.event.to_string()).collect::<Vec<_>>()
    };
    let update = send_to(&world, A, script(), 10).await.unwrap();
    let command = world.commands(A, 20).await.pop().unwrap();
    world.center.expire(2000).await.unwrap();
    world.center.tend(None, 2000, 2001).await.unwrap();
    let view = world.view_at(update, 2001).await;
    assert!(view.ended);
    let line = view.gateways[0].waits_for.as_ref().unwrap();
    assert!(line.text.contains("may have run it"), "{line:?}");
    assert_eq!(told().await, ["update.ended"]);
    // It had the command, and was away.
    world.give(&[report(A, 1, 0, command.command_id, Outcome::Running { task: None })], 3000).await;
    assert!(!world.view_at(update, 3000).await.ended);
    world.give(&[report(A, 2, 1, command.command_id, failed())], 3010).await;
    world.center.tend(None, 3010, 3011).await.unwrap();
    assert_eq!(told().await, ["update.ended", "update.failed", "update.ended"]);
}
