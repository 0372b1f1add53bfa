//! Every wire form, frozen: the JSON files in `wire/v1` are what other programs rely on. A file is never changed for a release of
//! protocol version 1; a new optional field gets a new file.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use std::path::PathBuf;

use keros_protocol::executor::{CancelAnswer, Change, Event, FindingKind, Request, TaskResult, TaskStatus};
use keros_protocol::magic_link::Digest;
use keros_protocol::{
    BundleUnderWay, Cancellation, ClockState, Command, CommandId, Delivery, Disk, Downlink, Envelope, Eui,
    Interruption, Job, JobLimits, JobOptions, JobUnderWay, KeyRing, Outcome, Output, Package, RefusalReason,
    Report, ReportPosition, SigningKey, Statement, Summary, TaskRef, Telemetry, TimeLimit, UpdateId,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

const EUI: Eui = Eui::from_u64(0x7076_FF00_5607_0123);
const COMMAND: CommandId = CommandId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001));
const UPDATE: UpdateId = UpdateId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0002));
const STREAM: Uuid = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0003);
const TELEMETRY: Uuid = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0004);

/// Holds a value against its file, both ways. `KEROS_BLESS=1` writes files that are missing.
fn frozen<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(name: &str, value: &T) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/wire/v1").join(format!("{name}.json"));
    let actual = serde_json::to_value(value).unwrap();
    if !path.exists() && std::env::var_os("KEROS_BLESS").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(&actual).unwrap() + "\n").unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let expected: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(actual, expected, "{name} is written otherwise than its frozen form");
    let read: T = serde_json::from_str(&text).unwrap();
    assert_eq!(&read, value, "{name} is read otherwise than it was");
    if let Value::Object(mut map) = expected {
        map.insert("from_the_future".to_owned(), json!({ "x": [1] }));
        let read: T = serde_json::from_value(Value::Object(map)).unwrap();
        assert_eq!(&read, value, "{name} does not ignore an unknown field");
    }
}

fn key() -> SigningKey {
    SigningKey::from_pem(&SigningKey::pem_from_seed(&[1; 32])).unwrap()
}

fn task() -> TaskRef {
    TaskRef { number: 2, count: 3, name: "Write the forwarder's settings".to_owned() }
}

fn summary() -> Summary {
    Summary { created: 1, executed: 1, ..Summary::default() }
}

fn command() -> Command {
    let vars = json!({ "region": "eu868", "ports": [1700, 1701] });
    Command {
        command_id: COMMAND,
        update_id: UPDATE,
        eui: EUI,
        issued_at_unix_s: 1_795_000_000,
        expires_at_unix_s: 1_795_604_800,
        job: Job::JetPorch {
            script: "- name: p\n  groups: [all]\n".to_owned(),
            vars: vars.as_object().unwrap().clone(),
        },
        limits: JobLimits { total_s: 1800, task_s: 300, output_bytes: 65_536 },
        options: JobOptions { dry_run: true, confirm_window_s: 0 },
    }
}

#[test]
fn commands() {
    frozen("command_jetporch", &command());
    let digest = Digest::from_bytes([0x0f; 32]);
    let source = "https://center.example:8443/v2/bundles".to_owned();
    let link = |source, token| Command { job: Job::MagicLink { digest, source, token }, ..command() };
    frozen("command_magic_link", &link(source.clone(), None));
    frozen("command_magic_link_token", &link(source, Some("eyJhbGciOiJIUzI1NiJ9.e30.c2ln".to_owned())));
    frozen("command_magic_link_by_hand", &link(String::new(), None));
}

#[test]
fn what_a_command_does_not_state_has_its_default() {
    let mut value = serde_json::to_value(command()).unwrap();
    let map = value.as_object_mut().unwrap();
    map.remove("limits");
    map.remove("options");
    let read: Command = serde_json::from_value(value).unwrap();
    assert_eq!(read.limits, JobLimits { total_s: 3600, task_s: 600, output_bytes: 65_536 });
    assert_eq!(read.options, JobOptions { dry_run: false, confirm_window_s: 0 });
}

#[test]
fn an_unknown_kind_is_kept_by_name() {
    let mut value = serde_json::to_value(command()).unwrap();
    value["job"] = json!({ "kind": "firmware", "url": "x" });
    let read: Command = serde_json::from_value(value).unwrap();
    assert_eq!(read.job, Job::Unknown { kind: "firmware".to_owned() });
}

#[test]
fn envelopes() {
    let payload = serde_json::to_vec(&command()).unwrap();
    let envelope = Envelope::sign(Envelope::COMMAND, &payload, &key());
    frozen("envelope", &envelope);
    assert_eq!(envelope.verify(Envelope::COMMAND, &KeyRing::new(vec![key().public()])).unwrap(), payload);
}

fn statement() -> Statement {
    Statement {
        eui: EUI,
        time_unix_s: 1_795_000_000,
        last_report: Some(ReportPosition { stream: STREAM, number: 7 }),
        cancellations: vec![Cancellation { command_id: COMMAND }],
        nonces: vec!["5f1c".to_owned()],
    }
}

#[test]
fn downlinks() {
    frozen("statement", &statement());
    let sign = |kind, payload: &[u8]| Envelope::sign(kind, payload, &key());
    let downlink = Downlink {
        telemetry_id: Some(TELEMETRY),
        statement: Some(sign(Envelope::STATEMENT, &serde_json::to_vec(&statement()).unwrap())),
        commands: vec![sign(Envelope::COMMAND, b"{}")],
        nudge: true,
        packages_wanted: true,
    };
    frozen("downlink", &downlink);
    frozen("downlink_empty", &Downlink::default());
}

#[test]
fn telemetry() {
    let full = Telemetry {
        telemetry_id: TELEMETRY,
        eui: EUI,
        protocol_version: 1,
        agent_version: "0.1.0".to_owned(),
        codename: Some("wiis".to_owned()),
        keros_version: Some("6.3.1".parse().unwrap()),
        boot_id: Some(STREAM),
        time_unix_s: 1_795_000_000,
        clock: ClockState::Synchronised,
        uptime: Some(86_400),
        cpu_percent: Some(12.5),
        memory_percent: Some(40.25),
        temperature: Some(51.5),
        disks: vec![Disk { mount: "/".to_owned(), size_bytes: 6_000_000_000, used_percent: 37.5 }],
        network_interface_category: Some("cellular".to_owned()),
        packages_digest: Some(format!("sha256:{}", "ab".repeat(32))),
        installed_packages: Some(vec![Package { name: "keros".to_owned(), version: "6.3.1".to_owned() }]),
        job: Some(JobUnderWay { command_id: COMMAND, outcome: Outcome::Running { task: Some(task()) } }),
        bundle: None,
        reports_pending: 2,
        report_stream: None,
        nonces: vec!["5f1c".to_owned()],
    };
    frozen("telemetry", &full);
    frozen("telemetry_stream", &Telemetry { report_stream: Some(TELEMETRY), ..full.clone() });
    let problem = Some("the name of the host is not known".to_owned());
    let bundle = BundleUnderWay { command_id: COMMAND, have_bytes: 5, total_bytes: Some(9), problem };
    frozen("telemetry_bundle", &Telemetry { bundle: Some(bundle), ..full.clone() });
    let least = json!({
        "telemetry_id": TELEMETRY, "eui": EUI, "protocol_version": 1, "agent_version": "0.1.0",
        "time_unix_s": 12, "clock": "below_floor",
    });
    frozen("telemetry_least", &serde_json::from_value::<Telemetry>(least).unwrap());
}

fn outcomes() -> Vec<Outcome> {
    let output = Some(Output { head: "begin".to_owned(), omitted_bytes: 99, tail: "end".to_owned() });
    vec![
        Outcome::Received {},
        Outcome::Accepted {},
        Outcome::Running { task: Some(task()) },
        Outcome::Confirming { until_unix_s: 1_795_001_800 },
        Outcome::Succeeded { summary: summary(), dry_run: false, differences: None },
        Outcome::Failed {
            task: Some(task()),
            exit_code: Some(2),
            message: "the command ended with exit code 2".to_owned(),
            output: output.clone(),
            summary: summary(),
        },
        Outcome::Refused { reason: RefusalReason::NotKeros6, detail: "this gateway has 5.10.1".to_owned() },
        Outcome::Cancelled { task: None, summary: Summary::default(), by_root: false },
        Outcome::TimedOut { limit: TimeLimit::Task, task: Some(task()), output, summary: summary() },
        Outcome::Interrupted {
            interruption: Interruption { task: Some(task()), last_task: None, summary: summary() },
        },
        Outcome::RolledBack {
            reason: "not confirmed".to_owned(),
            complete: false,
            remains: vec!["task 1".to_owned()],
        },
    ]
}

#[test]
fn reports() {
    for (number, outcome) in (1..).zip(outcomes()) {
        let report = Report {
            eui: EUI,
            position: ReportPosition { stream: STREAM, number },
            after: number - 1,
            command_id: COMMAND,
            update_id: Some(UPDATE),
            time_unix_s: 1_795_000_000,
            outcome,
        };
        frozen(&format!("report_{}", report.outcome.name()), &report);
    }
    let differences = Output { head: "task 1 of 2 (a): would be created\n".to_owned(), ..Output::default() };
    frozen(
        "outcome_succeeded_with_differences",
        &Outcome::Succeeded { summary: summary(), dry_run: true, differences: Some(differences) },
    );
    let cancelled = Outcome::Cancelled { task: None, summary: Summary::default(), by_root: true };
    frozen("outcome_cancelled_by_root", &cancelled);
    assert_eq!(cancelled.to_string(), "cancelled by root on the gateway");
}

#[test]
fn names_of_refusals_and_deliveries_are_their_wire_names() {
    for reason in RefusalReason::ALL {
        assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
    }
    for delivery in Delivery::ALL {
        assert_eq!(serde_json::to_value(delivery).unwrap(), delivery.as_str());
        assert_eq!(delivery.as_str().parse(), Ok(delivery));
    }
    for outcome in outcomes() {
        assert_eq!(serde_json::to_value(&outcome).unwrap()["status"], outcome.name());
    }
}

#[test]
fn executor_requests() {
    let envelope = Envelope::sign(Envelope::COMMAND, b"{}", &key());
    frozen("request_run", &Request::Run { envelope, statement: None, bundle: None });
    frozen("request_attach", &Request::Attach { command_id: COMMAND });
    frozen("request_status", &Request::Status {});
}

#[test]
fn executor_events() {
    let result = TaskResult {
        status: TaskStatus::Modified,
        changes: vec![Change {
            property: "mode".to_owned(),
            before: Some("0600".to_owned()),
            after: Some("0644".to_owned()),
            diff: None,
        }],
        message: Some("m".to_owned()),
        exit_code: Some(0),
        output: Some(Output { head: "out\n".to_owned(), ..Output::default() }),
        attempts: None,
    };
    frozen("event_started", &Event::Started { command_id: COMMAND, time_unix_s: 1_795_000_000, tasks: 3 });
    let (module, role) = ("template".to_owned(), Some("forwarder".to_owned()));
    frozen(
        "event_task_started",
        &Event::TaskStarted {
            task: task(),
            module,
            role,
            handler: true,
            file: None,
            line: 12,
            grouped: false,
        },
    );
    let item = json!({ "a": 1 });
    frozen(
        "event_item_ended",
        &Event::ItemEnded {
            task: task(),
            item_number: 1,
            item,
            result: result.clone(),
            notified: None,
            duration_ms: None,
        },
    );
    let message = "exit code 1".to_owned();
    frozen("event_retrying", &Event::Retrying { task: task(), left: 2, delay_s: 1, message });
    let notified = vec!["restart".to_owned()];
    frozen("event_task_ended", &Event::TaskEnded { task: task(), result, notified, duration_ms: 12 });
    frozen(
        "event_ended",
        &Event::Ended {
            outcome: Outcome::Succeeded { summary: summary(), dry_run: true, differences: None },
        },
    );
    frozen("event_status", &Event::Status { version: "0.1.0".to_owned(), running: Some(COMMAND) });
    let failed = |message: &str, unknown| Event::RequestFailed { message: message.to_owned(), unknown };
    frozen("event_request_failed", &failed("another job is running", false));
    frozen("event_request_failed_2", &failed("unknown: the command was never started here", true));
}

#[test]
fn executor_events_with_what_came_later() {
    let diff = Some("@@ -1 +1 @@\n-a\n+b\n".to_owned());
    let change = Change { property: "content".to_owned(), before: None, after: None, diff };
    let result =
        TaskResult { changes: vec![change], attempts: Some(3), ..TaskResult::of(TaskStatus::Modified) };
    let item_ended = |notified: Option<&str>| Event::ItemEnded {
        task: task(),
        item_number: 1,
        item: json!("a"),
        result: result.clone(),
        notified: notified.map(str::to_owned),
        duration_ms: Some(7),
    };
    let (module, file) = ("file".to_owned(), Some("roles/radio/tasks/main.yml".to_owned()));
    frozen(
        "event_task_started_2",
        &Event::TaskStarted {
            task: task(),
            module,
            role: None,
            handler: false,
            file,
            line: 3,
            grouped: false,
        },
    );
    let (module, number) = ("template".to_owned(), 2);
    frozen(
        "event_task_started_3",
        &Event::TaskStarted {
            task: task(),
            module,
            role: None,
            handler: false,
            file: None,
            line: 3,
            grouped: true,
        },
    );
    frozen("event_durable", &Event::Durable { number });
    frozen("event_item_ended_2", &item_ended(None));
    frozen("event_item_ended_3", &item_ended(Some("restart")));
    let notified = Vec::new();
    frozen("event_task_ended_2", &Event::TaskEnded { task: task(), result, notified, duration_ms: 12 });
}

/// What an executor says from a job's last task to its end.
#[test]
fn events_of_confirmation_undoing_and_reboots() {
    let boot_id = || "5d1ef35c-6ff6-4a4f-8a52-0a0b2bd1f0c1".to_owned();
    let nonce = || "0f1e2d3c4b5a69788796a5b4c3d2e1f0".to_owned();
    frozen("event_part_ended", &Event::PartEnded { task: task(), boot_id: boot_id() });
    frozen("event_resumed", &Event::Resumed { boot_id: boot_id(), time_unix_s: 1_795_000_000 });
    let confirming = |renewed| Event::Confirming {
        outcome: Box::new(Outcome::Succeeded { summary: summary(), dry_run: false, differences: None }),
        nonce: nonce(),
        window_s: 1800,
        until_unix_s: 1_795_001_800,
        boot_id: boot_id(),
        until_boottime_ms: 2_700_000,
        renewed,
    };
    frozen("event_confirming", &confirming(false));
    frozen("event_confirming_2", &confirming(true));
    frozen("event_confirmed", &Event::Confirmed {});
    frozen("event_rolling_back", &Event::RollingBack { reason: "not confirmed within 1800 s".to_owned() });
    let what = || "/etc/network/interfaces".to_owned();
    frozen("event_undo_step", &Event::UndoStep { what: what(), error: None });
    let error = Some("no space left on the device".to_owned());
    frozen("event_undo_step_2", &Event::UndoStep { what: what(), error });
    frozen("event_undone", &Event::Undone { remains: Vec::new(), nonce: None });
    let remains = vec!["task 2: shell".to_owned()];
    frozen("event_undone_2", &Event::Undone { remains, nonce: Some(nonce()) });
    frozen("event_rebooting", &Event::Rebooting { boot_id: boot_id() });
}

#[test]
fn requests_about_a_job_that_runs_and_their_answers() {
    let envelope = || Envelope::sign(Envelope::STATEMENT, b"{}", &key());
    let run = Request::Run {
        envelope: Envelope::sign(Envelope::COMMAND, b"{}", &key()),
        statement: Some(envelope()),
        bundle: None,
    };
    frozen("request_run_2", &run);
    let run = Request::Run {
        envelope: Envelope::sign(Envelope::COMMAND, b"{}", &key()),
        statement: None,
        bundle: Some(PathBuf::from("/var/lib/keros-agent/bundles")),
    };
    frozen("request_run_bundle", &run);
    frozen("request_cancel", &Request::Cancel { command_id: COMMAND, statement: None });
    frozen("request_cancel_2", &Request::Cancel { command_id: COMMAND, statement: Some(envelope()) });
    frozen("request_confirm", &Request::Confirm { command_id: COMMAND, statement: envelope() });
    let answers = [
        ("event_cancel_answered", CancelAnswer::Stopping),
        ("event_cancel_answered_2", CancelAnswer::RollingBack),
        ("event_cancel_answered_3", CancelAnswer::TooLate),
        ("event_cancel_answered_4", CancelAnswer::Unknown),
    ];
    for (name, answer) in answers {
        frozen(name, &Event::CancelAnswered { command_id: COMMAND, answer });
    }
    let answered = |accepted, message: Option<&str>| {
        let message = message.map(str::to_owned);
        Event::ConfirmAnswered { command_id: COMMAND, accepted, message }
    };
    frozen("event_confirm_answered", &answered(true, None));
    frozen("event_confirm_answered_2", &answered(false, Some("the job has ended")));
}

#[test]
fn events_of_a_script_run_by_hand() {
    let file = || "site.yml".to_owned();
    let (version, root) = ("0.1.0".to_owned(), "/".to_owned());
    frozen(
        "event_run_started",
        &Event::RunStarted { format: 1, version, file: file(), tasks: Some(3), dry_run: true, root },
    );
    frozen(
        "event_finding",
        &Event::Finding {
            kind: FindingKind::Invalid,
            file: file(),
            line: 4,
            column: 7,
            message: "there is no module `shel`".to_owned(),
            suggestion: Some("did you mean `shell`?".to_owned()),
        },
    );
    frozen("event_checked", &Event::Checked { file: file(), tasks: Some(3), faults: 0 });
}

/// What a stranger may send: never a panic, always an error.
#[test]
fn truncated_and_wrongly_typed_messages_are_errors() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/wire/v1");
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for end in (0..text.trim_end().len()).step_by(7) {
            assert!(serde_json::from_str::<Downlink>(&text[..end]).is_err());
            assert!(serde_json::from_str::<Report>(&text[..end]).is_err());
            assert!(serde_json::from_str::<Telemetry>(&text[..end]).is_err());
            assert!(serde_json::from_str::<Command>(&text[..end]).is_err());
            assert!(serde_json::from_str::<Event>(&text[..end]).is_err());
        }
    }
    for text in ["null", "5", "\"x\"", "[]", "{\"commands\":5}", "{\"commands\":[{}]}", "{\"statement\":[]}"]
    {
        assert!(text == "[]" || serde_json::from_str::<Downlink>(text).is_err(), "{text}");
        assert!(serde_json::from_str::<Report>(text).is_err(), "{text}");
    }
}

/// A report's counts are whatever a gateway says.
#[test]
fn counts_of_any_size_can_be_summed() {
    let summary = Summary { created: u32::MAX, modified: 1, failed: u32::MAX, ..Summary::default() };
    assert_eq!((summary.changed(), summary.total()), (u32::MAX, u32::MAX));
}

#[test]
fn joining_a_center() {
    use keros_protocol::enroll::{
        ConfirmRequest, EnrolLine, EnrolProblem, EnrolReason, EnrolToken, IssueRequest, Issued, Login,
        RenewRequest, Renewed,
    };
    let token = EnrolToken::from_bytes([0x5a; 16]);
    let line = EnrolLine {
        eui: EUI,
        entrance: "center.example:8443".parse().unwrap(),
        pin: [0xa5; 32],
        token,
        issued_at_unix_s: 1_795_000_000,
    };
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/wire/v1/enrol_line.txt");
    if !path.exists() && std::env::var_os("KEROS_BLESS").is_some() {
        std::fs::write(&path, format!("{line}\n")).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(line.to_string(), text.trim_end(), "the line is written otherwise than its frozen form");
    assert_eq!(text.parse(), Ok(line));
    assert_eq!(
        token.digest(),
        "46733a37f3564beceac4d73bc35637a552fa4c17b5e9d6710073e77948907246",
        "what centers keep of a token"
    );

    let request = || "MAA=".to_owned();
    frozen("enrol_issue_request", &IssueRequest { eui: EUI, token: token.to_string(), request: request() });
    frozen("enrol_confirm_request", &ConfirmRequest { eui: EUI, token: token.to_string() });
    let (serial, signature) = ("4A5B".to_owned(), request());
    frozen("enrol_renew_request", &RenewRequest { eui: EUI, serial, request: request(), signature });
    let pem = || "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n".to_owned();
    frozen("enrol_renewed", &Renewed { certificate: pem() });
    let issued = |login| Issued {
        eui: EUI,
        time_unix_s: 1_795_000_000,
        broker: "center.example:8883".parse().unwrap(),
        topic_prefix: "keros".to_owned(),
        authorities: vec![pem()],
        login,
        command_keys: vec![key().public().to_pem()],
        statement_keys: vec![key().public().to_pem()],
    };
    frozen("enrol_issued_certificate", &issued(Login::Certificate { certificate: pem() }));
    frozen("enrol_issued_password", &issued(Login::Password { password: "0123abcd".to_owned() }));
    let detail = || "in words".to_owned();
    for (name, reason) in [
        ("unknown_token", EnrolReason::UnknownToken),
        ("other_gateway", EnrolReason::OtherGateway),
        ("expired", EnrolReason::Expired),
        ("used", EnrolReason::Used),
        ("other_key", EnrolReason::OtherKey),
        ("bad_request", EnrolReason::BadRequest),
        ("too_many", EnrolReason::TooMany),
        ("not_possible", EnrolReason::NotPossible),
        ("unknown_certificate", EnrolReason::UnknownCertificate),
        ("certificate_expired", EnrolReason::CertificateExpired),
    ] {
        frozen(&format!("enrol_problem_{name}"), &EnrolProblem { reason, detail: detail() });
    }
}
