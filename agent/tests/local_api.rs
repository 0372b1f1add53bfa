//! What a running agent answers is what `docs/local-api.openapi.yaml` says. What its tests with a made-up main loop cannot show: that the
//! daemon fills it so, and who is let in.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

mod daemon;

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use daemon::Daemon;
use serde_json::{Value, json};

const NO_PORT: u16 = 1;

fn document() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/local-api.openapi.yaml");
    serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn get(daemon: &Daemon, path: &str) -> (String, String) {
    let mut stream = UnixStream::connect(daemon.folder.path().join("run/status.sock")).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: agent\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[test]
fn a_running_agent_answers_as_the_document_says() {
    let document = document();
    let daemon = Daemon::start(NO_PORT, &[]);
    for (path, schema) in [("/v1/status", "Status"), ("/v1/jobs", "Jobs"), ("/nowhere", "Problem")] {
        let (_, body) = get(&daemon, path);
        let schema = json!({
            "$ref": format!("#/components/schemas/{schema}"), "components": document["components"],
        });
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let value: Value = serde_json::from_str(&body).unwrap();
        let errors: Vec<_> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{path}: {errors:?}: {value:#}");
    }
}

#[test]
fn a_running_agent_tells_its_metrics() {
    let daemon = Daemon::start(NO_PORT, &[]);
    let (head, body) = get(&daemon, "/metrics");
    assert!(
        head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{head}"
    );
    for part in [
        "\nkeros_agent_gateway_info{eui=\"7076FF0056070123\",codename=\"\",keros_version=\"6.3.1\"} 1\n",
        "\nkeros_agent_broker_connected 0\n",
        "\nkeros_agent_clock_believed 1\n",
        "\nkeros_agent_state_free_bytes ",
        "\nprocess_cpu_seconds_total ",
        "\nprocess_resident_memory_bytes ",
        "\n# EOF\n",
    ] {
        assert!(body.contains(part), "{part} is not in\n{body}");
    }
    // Nobody listens at the broker's port: that is counted too.
    let lost = |body: &str| !body.contains("\nkeros_agent_broker_connections_lost_total 0\n");
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !lost(&get(&daemon, "/metrics").1) {
        assert!(std::time::Instant::now() < limit, "the failed attempt is not counted");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// A program that may pass over the socket's mode is not root by that; who it was stands in the log, and is counted.
#[test]
fn the_control_socket_is_for_root_alone() {
    if !nix::unistd::geteuid().is_root() {
        keros_skip::skipped("only root can become somebody else");
        return;
    }
    let daemon = Daemon::start(NO_PORT, &[]);
    let socket = daemon.folder.path().join("run/control.sock");
    let script = "import socket, sys\n\
        s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n\
        s.sendall(b'POST /v1/commands HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n'); print(s.recv(4096).decode())\n";
    let mut command = Command::new("/usr/bin/setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.args([
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
        "/usr/bin/python3",
        "-c",
        script,
    ]);
    let output = command.arg(&socket).output().unwrap();
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer} {}", String::from_utf8_lossy(&output.stderr));
    let log = std::fs::read_to_string(daemon.folder.path().join("log")).unwrap();
    let line = log.lines().find(|line| line.contains("only root may use the control socket")).unwrap();
    assert!(line.contains("user 65534, group 65534, process") && line.contains("(python3"), "{line}");
    let (_, metrics) = get(&daemon, "/metrics");
    assert!(metrics.contains("{reason=\"not_root\"} 1\n"), "{metrics}");
}
