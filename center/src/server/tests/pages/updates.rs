//! The dashboard of an update, and what follows it, by forms alone.

use super::*;

/// A center with its own broker, and a connected gateway in the group `all`.
async fn with_gateway(folder: &Path) -> (Running, Gateway) {
    let (choice, password) = embedded(folder, EUI);
    let center = Running::start_connected(folder, choice).await;
    let gateway = Gateway::connect(EUI, center.mqtt[0].port(), Some(&password)).await;
    center.ask("POST", "/gateways", json!({"eui": EUI, "name": "mast"})).await;
    group_of(&center, "all", &[EUI]).await;
    (center, gateway)
}

/// Sends the order, lets the gateway say this, and gives the place of the dashboard.
async fn ended(center: &Running, gateway: &mut Gateway, order: &Value, outcome: Outcome) -> String {
    let (status, update) = center.ask("POST", "/updates", order.clone()).await;
    assert_eq!(status, 201, "{update}");
    gateway.send_telemetry(Vec::new()).await;
    let (answer, _) = gateway.downlink(|down| !down.commands.is_empty()).await;
    let payload = answer.commands[0].unverified_payload().unwrap();
    let command: keros_protocol::Command = serde_json::from_slice(&payload).unwrap();
    gateway.report(1, 0, command.command_id, outcome).await;
    let update_id = update["update_id"].as_str().unwrap();
    center.until("ended", update_id, |view| view.ended).await;
    format!("/updates/{update_id}")
}

#[tokio::test]
async fn a_roll_out_goes_on_by_a_form_and_a_second_click_begins_no_further_stage() {
    let folder = tempfile::tempdir().unwrap();
    let center = Running::start(folder.path(), external(1)).await;
    let euis = [1_u64, 2, 3].map(|last| Eui::from_u64(0x7076_FF00_5607_0000 + last));
    for eui in euis {
        center.ask("POST", "/gateways", json!({"eui": eui})).await;
    }
    group_of(&center, "north", &euis).await;
    let mut order = script_order("north");
    order["plan"] = json!({"rollout": {"stages": ["1", "1"]}, "window": "00:00-24:00"});
    let (_, update) = center.ask("POST", "/updates", order).await;
    let place = format!("/updates/{}", update["update_id"].as_str().unwrap());
    let page = center.get(&place).await.body;
    for shown in ["stage <strong>1 of 3</strong>", "00:00-24:00", "1, then 1, then the rest", ">GO ON</a>"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert!(page.contains("Now: stage 2 of the roll-out"), "{page}");
    assert!(!page.contains("CARRY OUT") && !page.contains("RETRY"), "{page}");

    let asked = center.get(&format!("{place}/go-on")).await;
    assert!(asked.body.contains("Stage <strong>2</strong> begins now"), "{}", asked.body);
    assert!(center.get(&place).await.body.contains("1 of 3"), "a question does nothing");
    let seen = [("stage", "1"), ("halted", "false")];
    let done = center.post(&format!("{place}/go-on"), &seen).await;
    assert_eq!((done.status, done.header("location")), (303, place.as_str()), "{done:?}");
    let again = center.post(&format!("{place}/go-on"), &seen).await;
    assert_eq!(again.status, 409, "{again:?}");
    assert!(center.get(&place).await.body.contains("stage <strong>2 of 3</strong>"));
    for refused in ["carry-out", "retry"] {
        assert!(matches!(center.get(&format!("{place}/{refused}")).await.status, 409 | 422), "{refused}");
    }
    center.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_is_carried_out_once_by_a_form() {
    let folder = tempfile::tempdir().unwrap();
    let (center, mut gateway) = with_gateway(folder.path()).await;
    let mut order = script_order("all");
    order["dry_run_first"] = json!(true);
    let end = Outcome::Succeeded { summary: Summary::default(), dry_run: true, differences: None };
    let place = ended(&center, &mut gateway, &order, end).await;
    let page = center.get(&place).await.body;
    assert!(page.contains(">CARRY OUT</a>") && !page.contains("RETRY"), "{page}");
    let asked = center.get(&format!("{place}/carry-out")).await;
    assert!(asked.body.contains("in earnest to <strong>1</strong> gateway on"), "{}", asked.body);
    let sent = center.post(&format!("{place}/carry-out"), &[]).await;
    let real = sent.header("location").to_owned();
    assert!(sent.status == 303 && real != place, "{sent:?}");
    assert_eq!(center.post(&format!("{place}/carry-out"), &[]).await.status, 409);
    let page = center.get(&place).await.body;
    assert!(!page.contains(">CARRY OUT</a>") && page.contains(&format!("href=\"{real}\"")), "{page}");
    let page = center.get(&real).await.body;
    assert!(page.contains("Carries out") && page.contains(&format!("href=\"{place}\"")), "{page}");
    center.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_is_sent_again_by_a_form() {
    let folder = tempfile::tempdir().unwrap();
    let (center, mut gateway) = with_gateway(folder.path()).await;
    let end = Outcome::Refused { reason: keros_protocol::RefusalReason::NotKeros6, detail: "old".to_owned() };
    let place = ended(&center, &mut gateway, &script_order("all"), end).await;
    let page = center.get(&place).await.body;
    assert!(page.contains(">RETRY THE FAILED</a>") && !page.contains("CARRY OUT"), "{page}");
    let asked = center.get(&format!("{place}/retry")).await;
    assert!(asked.body.contains("to <strong>1</strong> gateway on"), "{}", asked.body);
    let sent = center.post(&format!("{place}/retry"), &[]).await;
    assert!(sent.status == 303 && sent.header("location") != place, "{sent:?}");
    assert_eq!(center.post(&format!("{place}/retry"), &[]).await.status, 409, "the first one is in progress");
    let page = center.get(sent.header("location")).await.body;
    assert!(page.contains("Sends again") && page.contains(&format!("href=\"{place}\"")), "{page}");
    center.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_of_what_was_never_sent_the_dashboard_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (center, mut gateway) = with_gateway(folder.path()).await;
    let never = "it was never sent to the gateway";
    for is_sent in [false, true] {
        let (status, update) = center.ask("POST", "/updates", script_order("all")).await;
        assert_eq!(status, 201, "{update}");
        let place = format!("/updates/{}", update["update_id"].as_str().unwrap());
        if is_sent {
            gateway.send_telemetry(Vec::new()).await;
            gateway.downlink(|down| !down.commands.is_empty()).await;
        }
        assert!(!center.get(&place).await.body.contains(never), "nothing is said of what may still go");
        assert_eq!(center.ask("POST", &format!("{place}/cancel"), Value::Null).await.0, 200);
        let page = center.get(&place).await.body;
        assert_eq!(page.contains(never), !is_sent, "{page}");
    }
    center.stop().await;
}
