//! `keros-agent doctor`: looks at everything that the agent needs, and says of each thing how it stands and what to do. It
//! changes nothing, needs no daemon and no network, and ends within [`LIMIT`].

mod broker;
mod disk;
mod executor;
mod files;
mod finding;
mod gateway;
mod patient;
mod program;
mod service;
mod work;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{exit, note, show};
use crate::arguments::{Arguments, Format};
use finding::Report;
use patient::Patient;

/// All of it together.
const LIMIT: Duration = Duration::from_secs(30);

/// Looks, prints, and gives the exit code.
pub(super) fn run(arguments: &Arguments, format: Format) -> u8 {
    let report = examine(arguments, !format.json && std::io::stderr().is_terminal());
    show(format, &report, Report::text);
    if report.healthy { exit::OK } else { exit::FAILED }
}

fn examine(arguments: &Arguments, tells: bool) -> Report {
    let begin = Instant::now();
    let tell = |text: &str| {
        if tells {
            note(&format!("\r{text}\u{1b}[K"));
        }
    };
    tell("asking the agent …");
    let socket: Option<PathBuf> = arguments.socket.clone();
    let patient = Patient::see(arguments.config.as_deref(), socket);
    tell("looking at the broker, the executor and the service …");
    // What may take its time is done side by side.
    let left = LIMIT.saturating_sub(begin.elapsed());
    let (broker, service, executor) = std::thread::scope(|scope| {
        let broker = scope.spawn(|| broker::checks(&patient, left));
        let service = scope.spawn(|| service::service(&patient));
        let executor = executor::executor(&patient);
        (broker.join().unwrap_or_default(), service.join().ok(), executor)
    });
    tell("");
    let mut checks = vec![
        gateway::identity(&patient),
        gateway::keros(&patient),
        gateway::configuration(&patient),
        gateway::clock(&patient),
    ];
    checks.extend(disk::disks(&patient));
    checks.push(files::trust(&patient));
    checks.push(files::modes(&patient));
    checks.extend(broker);
    checks.extend(service);
    checks.push(service::socket(&patient));
    checks.push(executor);
    checks.extend(work::checks(&patient));
    Report::new(checks)
}
