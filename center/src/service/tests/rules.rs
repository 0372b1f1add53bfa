//! The pure rules.

use keros_protocol::limits::{
    MAX_CANCELLATIONS_PER_STATEMENT, MAX_COMMANDS_PER_DOWNLINK, MAX_DOWNLINK_BYTES, MAX_ENVELOPE_BYTES,
    MAX_REPORT_BYTES, MAX_TELEMETRY_BYTES,
};
use keros_protocol::topics::{Leaf, Prefix};
use keros_protocol::{
    Cancellation, ClockState, CommandId, Delivery, Downlink, Envelope, Eui, Interruption, Outcome,
    RefusalReason, ReportPosition, Signature, SigningKey, Summary, Telemetry, UpdateId,
};
use uuid::Uuid;

use crate::service::downlink::{MAX_CORRELATION_BYTES, answer, packages_wanted, statement};
use crate::service::incoming::{Incoming, ReceivedReport, Unusable, read};
use crate::service::report::{Known, Note, Verdict, judge};
use crate::store::{CommandRow, GatewayRow};

const EUI: Eui = Eui::from_u64(0x7076_FF00_5607_0123);
const OTHER: Eui = Eui::from_u64(0x7076_FF00_5607_0124);
const STREAM: Uuid = Uuid::from_u128(1);
const COMMAND: CommandId = CommandId(Uuid::from_u128(2));

fn succeeded() -> Outcome {
    Outcome::Succeeded { summary: Summary::default(), dry_run: false, differences: None }
}

fn interrupted() -> Outcome {
    Outcome::Interrupted { interruption: Interruption::default() }
}

fn refused() -> Outcome {
    Outcome::Refused { reason: RefusalReason::Expired, detail: String::new() }
}

fn confirming() -> Outcome {
    Outcome::Confirming { until_unix_s: 5 }
}

fn running(number: u32) -> Outcome {
    let task = keros_protocol::TaskRef { number, count: 9, name: "x".to_owned() };
    Outcome::Running { task: Some(task) }
}

fn report(number: u64, after: u64, outcome: Option<Outcome>) -> ReceivedReport {
    ReceivedReport {
        eui: EUI,
        position: ReportPosition { stream: STREAM, number },
        after,
        command_id: COMMAND.to_string(),
        status: "x".to_owned(),
        outcome,
        differences: None,
        json: "{}".to_owned(),
    }
}

fn command(delivery: Delivery, outcome: Option<Outcome>) -> CommandRow {
    CommandRow {
        command_id: COMMAND,
        update_id: UpdateId(Uuid::from_u128(3)),
        eui: EUI,
        delivery,
        times_sent: 1,
        outcome,
        changed_at: 1,
        cancel_requested_at: None,
        overdue_at: None,
    }
}

fn position(number: u64) -> Option<ReportPosition> {
    Some(ReportPosition { stream: STREAM, number })
}

/// What becomes of a command with the outcome `old` when `new` is reported next.
fn follow(old: Option<Outcome>, new: Outcome) -> (Option<Outcome>, Option<Note>) {
    let command = command(Delivery::Received, old);
    let known =
        Known { position: position(4), has_lost_reports: false, is_kept: false, command: Some(&command) };
    match judge(&report(5, 4, Some(new)), known) {
        Verdict::Keep { outcome, note } => (outcome, note),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_outcome_only_goes_forward() {
    let steps = [Outcome::Received {}, Outcome::Accepted {}, running(1), confirming(), succeeded()];
    for (i, old) in steps.iter().enumerate() {
        for (k, new) in steps.iter().enumerate() {
            let (outcome, note) = follow(Some(old.clone()), new.clone());
            if k > i {
                assert_eq!((outcome, note), (Some(new.clone()), None), "{old} to {new}");
            } else if k < i {
                assert_eq!((outcome, note), (None, Some(Note::Stale(old.name()))), "{old} to {new}");
            } else {
                assert_eq!((outcome, note), (None, None), "{old} again");
            }
        }
        assert_eq!(follow(None, old.clone()), (Some(old.clone()), None));
    }
}

#[test]
fn progress_within_running_is_followed() {
    assert_eq!(follow(Some(running(1)), running(2)), (Some(running(2)), None));
}

#[test]
fn progress_that_comes_late_does_not_go_back() {
    let command = command(Delivery::Received, Some(running(3)));
    let known =
        Known { position: position(7), has_lost_reports: false, is_kept: false, command: Some(&command) };
    let verdict = judge(&report(5, 4, Some(running(2))), known);
    assert_eq!(verdict, Verdict::Keep { outcome: None, note: Some(Note::Stale("running")) });
}

#[test]
fn the_first_terminal_outcome_stays() {
    for first in [succeeded(), interrupted(), refused()] {
        for second in [succeeded(), interrupted(), refused()] {
            let expected = if first == second { None } else { Some(Note::Contradiction(first.name())) };
            assert_eq!(follow(Some(first.clone()), second), (None, expected));
        }
    }
}

#[test]
fn a_report_twice_changes_nothing() {
    let command = command(Delivery::Received, Some(Outcome::Received {}));
    let known =
        Known { position: position(5), has_lost_reports: false, is_kept: true, command: Some(&command) };
    assert_eq!(judge(&report(5, 4, Some(succeeded())), known), Verdict::Duplicate);
}

#[test]
fn a_report_waits_for_the_one_before_it() {
    let known = |position| Known { position, has_lost_reports: false, is_kept: false, command: None };
    let judged = |after, at| judge(&report(9, after, Some(succeeded())), known(at));
    assert_eq!(judged(8, None), Verdict::Gap { missing: 8 });
    assert_eq!(judged(8, position(7)), Verdict::Gap { missing: 8 });
    for (after, at) in [(8, position(8)), (0, None), (0, position(3)), (7, position(8))] {
        assert!(matches!(judged(after, at), Verdict::Keep { .. }), "{after} {at:?}");
    }
}

#[test]
fn whatever_is_reported_the_command_is_received() {
    for delivery in Delivery::ALL {
        for outcome in [Outcome::Received {}, running(1), refused()] {
            let row = command(delivery, None);
            let known =
                Known { position: None, has_lost_reports: false, is_kept: false, command: Some(&row) };
            let verdict = judge(&report(1, 0, Some(outcome.clone())), known);
            assert_eq!(verdict, Verdict::Keep { outcome: Some(outcome), note: None }, "{delivery}");
        }
    }
}

#[test]
fn a_report_about_anothers_command_changes_nothing() {
    let mut row = command(Delivery::Sent, None);
    row.eui = OTHER;
    let known = Known { position: None, has_lost_reports: false, is_kept: false, command: Some(&row) };
    let verdict = judge(&report(1, 0, Some(refused())), known);
    assert_eq!(verdict, Verdict::Keep { outcome: None, note: Some(Note::OthersCommand(OTHER)) });
    let known = Known { position: None, has_lost_reports: false, is_kept: false, command: None };
    let verdict = judge(&report(1, 0, Some(refused())), known);
    assert_eq!(verdict, Verdict::Keep { outcome: None, note: Some(Note::UnknownCommand) });
}

#[test]
fn a_status_of_a_newer_agent_is_kept_and_changes_nothing() {
    let row = command(Delivery::Sent, None);
    let known = Known { position: None, has_lost_reports: false, is_kept: false, command: Some(&row) };
    let verdict = judge(&report(1, 0, None), known);
    assert_eq!(verdict, Verdict::Keep { outcome: None, note: Some(Note::UnknownStatus) });
}

#[test]
fn messages_that_make_no_sense_are_named() {
    let prefix = Prefix::default();
    let topic = |leaf| prefix.topic(EUI, leaf);
    let telemetry = serde_json::to_vec(&telemetry(OTHER)).unwrap();
    let number = br#"{"eui":"7076FF0056070123","stream":"00000000-0000-0000-0000-000000000001",
        "number":18446744073709551615,"after":0,"command_id":"x","status":"received"}"#;
    let unparsable = |result| matches!(result, Err(Unusable::Unparsable(_)));
    assert_eq!(read(&prefix, "x", b""), Err(Unusable::Topic));
    assert_eq!(read(&prefix, &topic(Leaf::Down), b"{}"), Err(Unusable::Topic));
    assert_eq!(read(&prefix, &topic(Leaf::Telemetry), &telemetry), Err(Unusable::OtherGateway(OTHER)));
    for (leaf, most) in [(Leaf::Telemetry, MAX_TELEMETRY_BYTES), (Leaf::Report, MAX_REPORT_BYTES)] {
        let large = vec![b' '; most + 1];
        assert_eq!(read(&prefix, &topic(leaf), &large), Err(Unusable::TooLarge { found: most + 1, most }));
        for payload in [&b""[..], b"{", b"[]", b"null", b"\xFF\xFE", &telemetry[..telemetry.len() - 1]] {
            assert!(unparsable(read(&prefix, &topic(leaf), payload)), "{payload:?}");
        }
    }
    assert!(unparsable(read(&prefix, &topic(Leaf::Report), number)));
    assert!(unparsable(read(&prefix, &topic(Leaf::Presence), b"Online")));
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    assert!(unparsable(read(&prefix, &topic(Leaf::Telemetry), &deep)));
}

#[test]
fn a_report_with_an_unknown_status_is_read_by_its_head() {
    let prefix = Prefix::default();
    let text = r#"{"eui":"7076FF0056070123","stream":"00000000-0000-0000-0000-000000000001","number":3,"after":2,
        "command_id":"00000000-0000-0000-0000-000000000002","time_unix_s":1,"status":"teleported"}"#;
    let Ok(Incoming::Report(report)) = read(&prefix, &prefix.topic(EUI, Leaf::Report), text.as_bytes())
    else {
        panic!("not read");
    };
    assert_eq!((report.outcome, report.status.as_str(), report.json.as_str()), (None, "teleported", text));
}

#[test]
fn what_a_telemetry_may_ask_for_is_bounded() {
    let prefix = Prefix::default();
    let mut telemetry = telemetry(EUI);
    telemetry.nonces = (0..100).map(|n| n.to_string()).chain(["x".repeat(1000)]).collect();
    telemetry.codename = Some("a\0b\n".repeat(100));
    let payload = serde_json::to_vec(&telemetry).unwrap();
    let Ok(Incoming::Telemetry(read)) = read(&prefix, &prefix.topic(EUI, Leaf::Telemetry), &payload) else {
        panic!("not read");
    };
    assert_eq!(read.nonces.len(), 8);
    let codename = read.codename.unwrap();
    assert!(codename.len() <= 32 && !codename.contains(char::is_control), "{codename:?}");
}

#[test]
fn numbers_beyond_all_bounds_leave_the_gateway_readable() {
    let prefix = Prefix::default();
    let mut json = serde_json::to_value(telemetry(EUI)).unwrap();
    json["disks"] = serde_json::json!([
        {"mount": "/", "size_bytes": 5, "used_percent": 1e300}, {"mount": "/u", "size_bytes": 5, "used_percent": 7.0}
    ]);
    json["cpu_percent"] = serde_json::json!(-1e300);
    let Ok(Incoming::Telemetry(heard)) =
        read(&prefix, &prefix.topic(EUI, Leaf::Telemetry), json.to_string().as_bytes())
    else {
        panic!("not read");
    };
    // What is kept must be readable again: JSON has no infinity.
    let kept = serde_json::to_string(&heard).unwrap();
    let again: Telemetry = serde_json::from_str(&kept).unwrap();
    assert_eq!(again.disks.len(), 1);
    assert_eq!(again.cpu_percent, None);
}

fn telemetry(eui: Eui) -> Telemetry {
    let json = serde_json::json!({
        "telemetry_id": Uuid::from_u128(9), "eui": eui, "protocol_version": 1, "agent_version": "0.1.0",
        "time_unix_s": 5, "clock": ClockState::Synchronised,
    });
    serde_json::from_value(json).unwrap()
}

fn envelope(bytes: usize) -> Envelope {
    let sig = Signature { keyid: keros_protocol::KeyId("k".to_owned()), sig: "s".to_owned() };
    let payload_type = Envelope::COMMAND.to_owned();
    Envelope { payload_type, payload: "A".repeat(bytes), signatures: vec![sig] }
}

fn answered(sizes: &[usize]) -> (Downlink, Vec<CommandId>, usize) {
    let key = SigningKey::from_pem(&SigningKey::pem_from_seed(&[1; 32])).unwrap();
    let cancelled = vec![Cancellation { command_id: COMMAND }; MAX_CANCELLATIONS_PER_STATEMENT];
    let nonces = vec!["x".repeat(128); 8];
    let statement = statement(EUI, position(u64::MAX), cancelled, nonces, 1, &key).unwrap();
    let commands = sizes
        .iter()
        .enumerate()
        .map(|(n, size)| (CommandId(Uuid::from_u128(n as u128)), envelope(*size)))
        .collect();
    let correlation = Some(vec![0; MAX_CORRELATION_BYTES]);
    let (outgoing, sent) = answer(&telemetry(EUI), correlation, true, statement, commands).unwrap();
    let downlink: Downlink = serde_json::from_slice(&outgoing.payload).unwrap();
    assert_eq!(downlink.commands.len(), sent.len());
    (downlink, sent, outgoing.payload.len() + MAX_CORRELATION_BYTES)
}

#[test]
fn an_answer_has_room_for_the_greatest_command_and_keeps_to_its_size() {
    let (_, sent, bytes) = answered(&[MAX_ENVELOPE_BYTES]);
    assert_eq!(sent.len(), 1);
    assert!(bytes < MAX_DOWNLINK_BYTES);
    let (_, sent, bytes) = answered(&[200_000; 10]);
    assert_eq!(sent.len(), 5);
    assert!(bytes < MAX_DOWNLINK_BYTES, "{bytes}");
    let (_, sent, _) = answered(&[10; 40]);
    assert_eq!(sent.len(), MAX_COMMANDS_PER_DOWNLINK);
}

#[test]
fn a_command_that_has_no_room_is_not_overtaken() {
    let (_, sent, _) = answered(&[600_000, 600_000, 10]);
    assert_eq!(sent, [CommandId(Uuid::from_u128(0))]);
}

#[test]
fn the_package_list_is_asked_for_when_it_is_another_one() {
    let gateway = |digest: Option<&str>| GatewayRow {
        eui: EUI,
        name: None,
        description: String::new(),
        declared: false,
        online: true,
        last_telemetry_at: None,
        codename: None,
        keros_version: None,
        agent_version: None,
        packages_digest: digest.map(str::to_owned),
        report_stream: None,
        customer_id: crate::access::CustomerId::MAIN,
        created_at: 1,
        warnings: Vec::new(),
        retired_at: None,
        location: None,
    };
    let stated = |digest: Option<&str>, list: bool| Telemetry {
        packages_digest: digest.map(str::to_owned),
        installed_packages: list.then(Vec::new),
        ..telemetry(EUI)
    };
    for (kept, stated, wanted) in [
        (Some("a"), stated(Some("a"), false), false),
        (Some("a"), stated(Some("b"), false), true),
        (None, stated(Some("b"), false), true),
        (None, stated(Some("b"), true), false),
        (Some("a"), stated(None, false), false),
    ] {
        assert_eq!(packages_wanted(Some(&gateway(kept)), &stated), wanted, "{kept:?} {stated:?}");
    }
    assert!(packages_wanted(None, &stated(Some("b"), false)));
}

#[test]
fn after_a_restored_backup_a_report_is_taken_from_wherever_its_gateway_counts() {
    let known = Known { position: position(7), has_lost_reports: true, is_kept: false, command: None };
    let odd = Verdict::Keep { outcome: None, note: Some(Note::UnknownCommand) };
    assert_eq!(judge(&report(51, 50, Some(succeeded())), known), odd);
    let known = Known { has_lost_reports: false, ..known };
    assert_eq!(judge(&report(51, 50, Some(succeeded())), known), Verdict::Gap { missing: 50 });
}
