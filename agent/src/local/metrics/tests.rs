//! What is written is what was told, in a form that others read, and all of it is documented.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use keros_protocol::{TaskRef, magic_link::Digest};

use super::families::{FAMILIES, OUTCOMES};
use super::process::{Process, Room};
use super::*;
use crate::local::{FetchView, tests};

const NOW: Now = Now { unix_s: 1_800_000_100, monotonic_ms: 65_000 };

pub(in crate::local) fn full_view() -> StatusView {
    let mut view = tests::view();
    view.codename = Some("klk\"fevo\\\n".to_owned());
    view.telemetry.last_sent_unix_s = Some(1_800_000_000);
    view.telemetry.last_answered_unix_s = Some(1_800_000_001);
    view.ended_total = OUTCOMES.iter().zip(3..).map(|(name, total)| ((*name).to_owned(), total)).collect();
    let task = TaskRef { number: 2, count: 5, name: "t".to_owned() };
    view.open_jobs[0].outcome = keros_protocol::Outcome::Running { task: Some(task) };
    view.keros_version = Some("6.3.1".to_owned());
    view.connection.last_error = Some("refused".to_owned());
    view.open_jobs[0].update_id = Some(keros_protocol::UpdateId(uuid::Uuid::nil()));
    view.open_jobs[0].kind = Some("magic_link".to_owned());
    view.open_jobs[0].cancel = Some(keros_machine::Cancel::Asked);
    view.open_jobs[0].digest = Some(Digest::of(b"x"));
    view.open_jobs[0].due_unix_s = Some(1_700_000_600);
    view.open_jobs[0].fetch =
        Some(FetchView { have_bytes: 7, total_bytes: Some(70), problem: Some("cut".to_owned()) });
    view
}

fn written(format: Format) -> String {
    let numbers = Numbers::default();
    numbers.telemetry_answered.count();
    numbers.telemetry_answered_ms.set(5000);
    numbers.fetched_bytes.set(123_456);
    let told = Told {
        view: &full_view(),
        numbers: &numbers,
        judge: TimeJudge::new(1_800_000_000),
        now: NOW,
        process: Process { cpu_ms: Some(1_042), resident_bytes: Some(3 << 20) },
        room: Some(Room { size_bytes: 1 << 32, free_bytes: 1 << 30 }),
    };
    text::write(&told, format)
}

#[test]
fn the_text_is_fixed() {
    let text = written(Format::OpenMetrics);
    for part in [
        "# TYPE keros_agent_build info\n# HELP keros_agent_build The agent that answers.\nkeros_agent_build_info{version=\"0.1.0\"} 1\n",
        "keros_agent_gateway_info{eui=\"0000000000000001\",codename=\"klk\\\"fevo\\\\\\n\",keros_version=\"6.3.1\"} 1\n",
        "# TYPE keros_agent_fetched_bytes counter\n# UNIT keros_agent_fetched_bytes bytes\n",
        "\nkeros_agent_fetched_bytes_total 123456\n",
        "\nkeros_agent_broker_connected 1\n",
        "\nkeros_agent_commands_ended_total{outcome=\"succeeded\"} 3\n",
        "\nkeros_agent_commands_ended_total{outcome=\"rolled_back\"} 9\n",
        "\nkeros_agent_job_task 2\n",
        "\nkeros_agent_job_tasks 5\n",
        "\nkeros_agent_telemetry_age_seconds 60\n",
        "\nkeros_agent_clock_believed 1\n",
        "\nkeros_agent_clock_timestamp_seconds 1800000100\n",
        "\nkeros_agent_clock_floor_timestamp_seconds 1800000000\n",
        "\nkeros_agent_state_free_bytes 1073741824\n",
        "\nprocess_cpu_seconds_total 1.042\n",
        "\nprocess_resident_memory_bytes 3145728\n# EOF\n",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let text = written(Format::Prometheus);
    assert!(text.contains("# TYPE keros_agent_build_info gauge\n"), "{text}");
    assert!(text.contains("# TYPE process_cpu_seconds_total counter\n"), "{text}");
    assert!(!text.contains("# UNIT") && !text.contains("# EOF"), "{text}");
}

#[test]
fn what_is_not_known_is_left_out() {
    let told = Told {
        view: &tests::view(),
        numbers: &Numbers::default(),
        judge: TimeJudge::new(1_800_000_000),
        now: Now { unix_s: 5, monotonic_ms: 0 },
        process: Process::default(),
        room: None,
    };
    let text = text::write(&told, Format::OpenMetrics);
    for absent in ["telemetry_age_seconds", "job_task", "bundle_size_bytes", "state_free_bytes"] {
        let absent = format!("\nkeros_agent_{absent} ");
        assert!(!text.contains(&absent), "{absent} is in\n{text}");
    }
    assert!(!text.contains("\nprocess_cpu_seconds_total "), "{text}");
    assert!(text.contains("\nkeros_agent_clock_believed 0\n"), "{text}");
}

#[test]
fn this_process_and_its_disk_are_measured() {
    let process = Process::read();
    assert!(process.resident_bytes.is_some_and(|bytes| bytes > 500_000), "{process:?}");
    assert!(process.cpu_ms.is_some());
    let room = Room::of(Path::new("/")).unwrap();
    assert!(room.size_bytes >= room.free_bytes && room.size_bytes > 0, "{room:?}");
}

#[test]
fn the_client_says_which_form_it_reads() {
    let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
                      text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    for (accept, expected) in [
        (None, Format::OpenMetrics),
        (Some("*/*"), Format::OpenMetrics),
        (Some(prometheus), Format::OpenMetrics),
        (Some("text/plain; version=0.0.4"), Format::Prometheus),
        (Some("Text/Plain"), Format::Prometheus),
        (Some("text/*, application/openmetrics-text;q=0.9"), Format::Prometheus),
        (Some("application/openmetrics-text;q=0, text/plain;q=0.1"), Format::Prometheus),
        (Some("text/html"), Format::OpenMetrics),
        (Some(";q=,,;=1;q=x"), Format::OpenMetrics),
    ] {
        assert_eq!(Format::of(accept), expected, "{accept:?}");
    }
}

/// One row for each: name, type, unit, labels, and what it is.
#[test]
fn the_table_of_the_documentation_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let documented: BTreeSet<String> = rows
        .map(|row| {
            let cells: Vec<_> =
                row.trim_end_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            cells[..4].join(" | ")
        })
        .collect();
    let text = written(Format::OpenMetrics);
    let in_code: BTreeSet<String> = FAMILIES
        .iter()
        .map(|family| {
            let name = family.sample_name();
            let sample = text.lines().find(|line| line.split(['{', ' ']).next() == Some(&*name)).unwrap();
            let labels = sample.split_once('{').map_or("", |(_, rest)| rest.rsplit_once('}').unwrap().0);
            let labels: Vec<_> =
                labels.split(',').filter_map(|label| Some(label.split_once('=')?.0)).collect();
            format!("{name} | {} | {} | {}", family.kind.name(), family.unit, labels.join(", "))
        })
        .collect();
    assert_eq!(documented, in_code);
}

/// By two readers that nobody here wrote.
#[test]
fn others_read_it_and_find_no_fault() {
    let python = "import sys\n\
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as read\n\
        families = list(read(sys.stdin.read()))\n\
        print(len(families), sum(len(family.samples) for family in families))\n";
    let text = written(Format::OpenMetrics);
    let samples = text.lines().filter(|line| !line.starts_with('#')).count();
    if let Some(read) = checked("/usr/bin/python3", &["-c", python], &text, "python3-prometheus-client") {
        assert_eq!(read.trim(), format!("{} {samples}", FAMILIES.len()));
        let cut = text.replace("# EOF\n", "");
        assert_eq!(run("/usr/bin/python3", &["-c", python], &cut).1, "", "it does notice what is wrong");
    }
    let text = written(Format::Prometheus);
    checked("/usr/bin/promtool", &["check", "metrics"], &text, "prometheus");
}

fn checked(program: &str, arguments: &[&str], input: &str, package: &str) -> Option<String> {
    if !Path::new(program).exists() || !is_installed(package) {
        keros_skip::skipped(&format!("{package} is not installed"));
        return None;
    }
    let (good, output, errors) = run(program, arguments, input);
    assert!(good && errors.is_empty(), "{errors}\n{input}");
    Some(output)
}

fn is_installed(package: &str) -> bool {
    let asked = Command::new("dpkg-query").args(["-W", "-f", "${Status}", package]).output();
    asked.is_ok_and(|output| output.stdout.ends_with(b"ok installed"))
}

fn run(program: &str, arguments: &[&str], input: &str) -> (bool, String, String) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}
