//! The tables of `docs/scale.md`.

use anyhow::Result;

use crate::arguments::{BenchArguments, BrokerKind, DayArguments, FleetArguments};
use crate::{day, run};

/// Gateways on connections, their interval in seconds, and the broker.
const RUNS: [(u32, u64, BrokerKind); 4] = [
    (1000, 5, BrokerKind::Mosquitto),
    (1000, 5, BrokerKind::Embedded),
    (10_000, 10, BrokerKind::Mosquitto),
    (10_000, 10, BrokerKind::Embedded),
];
const DAYS: [u32; 3] = [1000, 10_000, 100_000];

/// Prints both tables, line by line as they are measured. What fails is named in its place, and is an error at the end.
pub(crate) fn run(arguments: &BenchArguments) -> Result<()> {
    let mut failed = 0;
    println!("{}", run::Summary::HEAD);
    for (gateways, interval, broker) in RUNS.into_iter().filter(|(gateways, ..)| *gateways <= arguments.most)
    {
        let folder = tempfile::tempdir()?;
        let fleet = FleetArguments {
            gateways,
            interval,
            broker,
            database: arguments.database.clone(),
            ..FleetArguments::quiet()
        };
        match run::run_in(folder.path(), &fleet) {
            Ok(summary) => println!("{}", summary.row()),
            Err(error) => {
                failed += 1;
                println!("| {gateways} | {broker:?} | {error:#} |");
            }
        }
    }
    println!("\n{}", day::Summary::HEAD);
    for gateways in DAYS.into_iter().filter(|gateways| *gateways <= arguments.most) {
        let folder = tempfile::tempdir()?;
        let hours = DayArguments { gateways, database: arguments.database.clone(), ..DayArguments::quiet() };
        match day::run_in(folder.path(), &hours) {
            Ok(summary) => println!("{}", summary.row()),
            Err(error) => {
                failed += 1;
                println!("| {gateways} | {error:#} |");
            }
        }
    }
    anyhow::ensure!(failed == 0, "{failed} lines could not be measured");
    Ok(())
}
