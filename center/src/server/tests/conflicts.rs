//! Conflicts as operators meet them, over real connections.

use keros_protocol::{Command, UpdateId};

use super::*;

/// A center with its own broker and a gateway that has fetched the command of an update.
async fn begun(folder: &Path) -> (Running, Gateway, UpdateId, CommandId) {
    let (choice, password) = embedded(folder, EUI);
    let center = Running::start_connected(folder, choice).await;
    let mut gateway = Gateway::connect(EUI, center.mqtt[0].port(), Some(&password)).await;
    center.ask("POST", "/gateways", json!({"eui": EUI})).await;
    group_of(&center, "all", &[EUI]).await;
    let (status, update) = center.ask("POST", "/updates", script_order("all")).await;
    assert_eq!(status, 201, "{update}");
    let id = gateway.send_telemetry(Vec::new()).await;
    let (answer, _) = gateway.downlink(|d| d.telemetry_id == Some(id)).await;
    let payload = answer.commands[0].unverified_payload().unwrap();
    let command: Command = serde_json::from_slice(&payload).unwrap();
    (center, gateway, command.update_id, command.command_id)
}

fn succeeded() -> Outcome {
    Outcome::Succeeded { summary: Summary::default(), dry_run: false, differences: None }
}

fn failed() -> Outcome {
    let message = "no".to_owned();
    Outcome::Failed { task: None, exit_code: Some(1), message, output: None, summary: Summary::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_sends_to_a_group_at_the_same_instant_as_another_is_told_which_update_and_which_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let others: Vec<Eui> = (1..=3).map(|n| Eui::from_u64(EUI.as_u64() + n)).collect();
    for eui in others.iter().chain([&EUI]) {
        center.ask("POST", "/gateways", json!({"eui": eui})).await;
    }
    group_of(&center, "one", &[others[0], EUI]).await;
    group_of(&center, "two", &[EUI, others[1], others[2]]).await;
    let (one, two) = tokio::join!(
        center.ask("POST", "/updates", script_order("one")),
        center.ask("POST", "/updates", script_order("two")),
    );
    let (won, lost) = if one.0 == 201 { (one, two) } else { (two, one) };
    assert_eq!((won.0, lost.0), (201, 409), "{won:?} {lost:?}");
    let told = lost.1["detail"].as_str().unwrap();
    let names = |word: &str| told.contains(word);
    let in_both = names(&EUI.to_string()) || others.iter().any(|eui| names(&eui.to_string()));
    assert!(in_both && names(won.1["update_id"].as_str().unwrap()), "{told}");
    center.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cancel_that_meets_the_end_is_answered_with_what_is_so() {
    let folder = tempfile::tempdir().unwrap();
    let (center, gateway, update, command) = begun(folder.path()).await;
    let id = update.to_string();
    let path = format!("/updates/{id}/gateways/{EUI}/cancel");
    // Which of the two is first is chance.
    let ((status, answer), ()) =
        tokio::join!(center.ask("POST", &path, Value::Null), gateway.report(1, 0, command, succeeded()));
    assert_eq!(status, 200, "{answer}");
    let (asked, too_late) = (json!({"asked": 1}), json!({"too_late": 1}));
    assert!([asked, too_late.clone()].contains(&answer["answers"]), "{answer}");
    let view = center.until("ended", &id, |view| view.ended).await;
    assert_eq!(view.gateways[0].outcome, Some(succeeded()));
    let (_, again) = center.ask("POST", &path, Value::Null).await;
    assert_eq!(
        (&again["answers"], &again["gateways"][0]["outcome"]["status"]),
        (&too_late, &json!("succeeded"))
    );
    assert_eq!(center.update(&id).await.gateways[0].outcome, Some(succeeded()));
    center.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn reports_that_contradict_each_other_are_all_shown_and_the_first_end_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (center, mut gateway, update, command) = begun(folder.path()).await;
    let steps = [Outcome::Received {}, succeeded(), Outcome::Running { task: None }, failed()];
    for (number, outcome) in (1..).zip(steps) {
        gateway.report(number, number - 1, command, outcome).await;
    }
    gateway.downlink(|d| statement(d).last_report.is_some_and(|p| p.number == 4)).await;
    let path = format!("/updates/{update}/gateways/{EUI}");
    let (status, line) = center.ask("GET", &path, Value::Null).await;
    assert_eq!((status, &line["outcome"]["status"]), (200, &json!("succeeded")), "{line}");
    let told =
        |index: usize| (line["reports"][index]["status"].clone(), line["reports"][index]["note"].clone());
    assert_eq!(told(1), (json!("succeeded"), Value::Null));
    assert_eq!(told(2), (json!("running"), json!("the command is already succeeded")));
    assert_eq!(told(3), (json!("failed"), json!("it contradicts the outcome succeeded, which stays")));
    center.stop().await;
}
