//! What dry runs say they would change, put together, and the lines of an update in parts.

use keros_protocol::limits::MAX_DIFFERENCES_BYTES;
use keros_protocol::{Delivery, Eui, Outcome, Output, Summary};

use super::world::{A, B, NOW, World, failed, report, telemetry};
use crate::access::Caller;
use crate::api::{LineQuery, LineView};
use crate::service::{OrderError, line_filter};

fn would(text: Option<&str>) -> Outcome {
    let differences = text.map(|text| Output { head: text.to_owned(), ..Output::default() });
    Outcome::Succeeded { summary: Summary::default(), dry_run: true, differences }
}

/// An update of which each of the gateways has reported this.
async fn reported(world: &World, outcomes: &[(Eui, Outcome)]) -> keros_protocol::UpdateId {
    let update_id = world.send(1000, NOW).await.unwrap();
    for (eui, outcome) in outcomes {
        let command = world.commands(*eui, NOW).await.remove(0);
        world.give(&[report(*eui, 1, 0, command.command_id, outcome.clone())], NOW).await;
    }
    update_id
}

async fn line(world: &World, update_id: keros_protocol::UpdateId, eui: Eui) -> LineView {
    world.center.line(&Caller::root(), update_id, eui, NOW).await.unwrap()
}

#[tokio::test]
async fn gateways_on_which_the_same_would_happen_are_one_group() {
    for (of_a, of_b, groups, unchanged, other) in [
        (would(Some("x")), would(Some("x")), vec![("x", 2)], 0, 0),
        (would(Some("x")), would(Some("y")), vec![("x", 1), ("y", 1)], 0, 0),
        (would(Some("x")), would(None), vec![("x", 1)], 1, 0),
        (would(None), failed(), vec![], 1, 1),
        (would(Some("a\0b")), failed(), vec![("a\u{fffd}b", 1)], 0, 1),
    ] {
        let world = World::new().await;
        let update_id = reported(&world, &[(A, of_a), (B, of_b)]).await;
        let view = world.center.differences(&Caller::root(), update_id, NOW).await.unwrap();
        let mut found: Vec<_> =
            view.groups.iter().map(|group| (group.differences.as_str(), group.count)).collect();
        found.sort_unstable();
        assert_eq!((found, view.unchanged, view.other), (groups, unchanged, other));
        assert_eq!(view.group_count as usize, view.groups.len());
        for group in &view.groups {
            assert_eq!(group.gateways.len(), group.count as usize);
            let query = LineQuery { differences: Some(group.digest.clone()), ..LineQuery::default() };
            let filter = line_filter(&query).unwrap();
            let lines = world.center.lines(&Caller::root(), update_id, &filter, None, 9, NOW).await.unwrap();
            assert_eq!(lines, group.gateways);
        }
    }
}

#[tokio::test]
async fn a_difference_is_shown_with_its_gateway_and_not_in_every_list() {
    let world = World::new().await;
    let long = "x".repeat(4 * MAX_DIFFERENCES_BYTES);
    let update_id = reported(&world, &[(A, would(Some(&long)))]).await;
    assert!(serde_json::to_string(&world.view(update_id).await).unwrap().len() < MAX_DIFFERENCES_BYTES);
    let shown = line(&world, update_id, A).await;
    let kept = shown.differences.unwrap();
    assert!(kept.len() > MAX_DIFFERENCES_BYTES && kept.len() < 2 * MAX_DIFFERENCES_BYTES);
    assert_eq!(shown.reports.len(), 1);
    assert_eq!(shown.reports[0].outcome, Some(would(None)));
    assert_eq!(line(&world, update_id, B).await.reports, []);
}

#[tokio::test]
async fn the_same_end_said_again_by_a_gateway_that_lost_its_state_is_no_contradiction() {
    let world = World::new().await;
    let update_id = reported(&world, &[(A, would(Some("x")))]).await;
    let command_id = line(&world, update_id, A).await.delivery.command_id;
    world.give(&[report(A, 2, 1, command_id, would(Some("x")))], NOW).await;
    let reports = line(&world, update_id, A).await.reports;
    assert_eq!(reports.iter().map(|report| report.note.as_deref()).collect::<Vec<_>>(), [None, None]);
}

#[tokio::test]
async fn a_click_on_a_status_lists_only_the_gateways_in_it() {
    let world = World::new().await;
    let update_id = reported(&world, &[(A, failed())]).await;
    let listed = async |query: &str| {
        let query: LineQuery = serde_json::from_str(query).unwrap();
        let filter = line_filter(&query)?;
        let after = query.cursor.map(|text| text.parse().unwrap());
        let lines = world
            .center
            .lines(
                &Caller::root(),
                update_id,
                &filter,
                after,
                query.limit.map_or(9, std::num::NonZeroU32::get),
                NOW,
            )
            .await?;
        Ok::<_, OrderError>(lines.into_iter().map(|line| line.eui).collect::<Vec<_>>())
    };
    for (query, found) in [
        ("{}", vec![A, B]),
        (r#"{"limit": 1}"#, vec![A]),
        (&format!(r#"{{"cursor": "{A}"}}"#), vec![B]),
        (r#"{"delivery": "waiting"}"#, vec![B]),
        (r#"{"delivery": "received"}"#, vec![A]),
        (r#"{"outcome": "failed"}"#, vec![A]),
        (r#"{"outcome": "none"}"#, vec![B]),
        (r#"{"outcome": "succeeded"}"#, vec![]),
        (r#"{"overdue": true}"#, vec![]),
    ] {
        assert_eq!(listed(query).await.unwrap(), found, "{query}");
    }
    for query in [
        r#"{"delivery": "lost"}"#,
        r#"{"outcome": "' OR 1=1"}"#,
        r#"{"differences": "x"}"#,
        r#"{"delivery": "sent", "outcome": "failed"}"#,
    ] {
        assert!(matches!(listed(query).await, Err(OrderError::Invalid(_))), "{query}");
    }
    let view = world.view(update_id).await;
    assert_eq!(
        view.deliveries,
        [(Delivery::Received.to_string(), 1), (Delivery::Waiting.to_string(), 1)].into()
    );
    assert_eq!(
        world.center.update_summary(&Caller::root(), update_id, NOW).await.unwrap().outcomes,
        view.outcomes
    );
    world.give(&[telemetry(B)], NOW).await;
    assert_eq!(listed(r#"{"delivery": "waiting"}"#).await.unwrap(), vec![]);
    assert_eq!(listed(r#"{"delivery": "sent"}"#).await.unwrap(), vec![B]);
}
