//! The tables of `docs/scale.md`.

use std::fmt::Display;
use std::time::Instant;

use anyhow::Result;
use keros_test_postgres::Postgres;

use crate::arguments::{BenchArguments, BrokerKind, DayArguments, FleetArguments, LimitArguments};
use crate::{day, limit, pages, run};

/// Gateways on connections, their interval in seconds, the broker.
const RUNS: [(u32, u64, BrokerKind); 7] = [
    (1000, 5, BrokerKind::Mosquitto),
    (1000, 5, BrokerKind::Embedded),
    (1000, 1, BrokerKind::Mosquitto),
    (1000, 1, BrokerKind::Embedded),
    (3000, 1, BrokerKind::Mosquitto),
    (10_000, 10, BrokerKind::Mosquitto),
    (10_000, 10, BrokerKind::Embedded),
];
/// The same on PostgreSQL: what the database makes of it, not the broker.
const POSTGRES_RUNS: [(u32, u64, BrokerKind); 3] =
    [(1000, 5, BrokerKind::Mosquitto), (1000, 1, BrokerKind::Mosquitto), (10_000, 10, BrokerKind::Mosquitto)];
/// Gateways and their interval, where somebody answers at once.
const LIMITS: [(u32, u64); 3] = [(1000, 1), (3000, 1), (10_000, 10)];
/// Gateways without connections, and hours after the first: a whole day, or a part of one where that takes an hour.
const DAYS: [(u32, u32); 3] = [(1000, 23), (10_000, 23), (100_000, 2)];
const POSTGRES_DAYS: [(u32, u32); 3] = [(1000, 2), (10_000, 2), (100_000, 1)];
/// Gateways behind the pages.
const PAGES: [u32; 3] = [1000, 10_000, 100_000];

/// What is measured, and what failed.
struct Bench {
    most: u32,
    postgres: Option<Postgres>,
    databases: u32,
    failed: u32,
}

/// Prints all tables, line by line as they are measured. What fails is named in its place, and is an error at the end.
pub(crate) fn run(arguments: &BenchArguments) -> Result<()> {
    let begin = Instant::now();
    let postgres = Postgres::start_durable()?;
    let mut bench = Bench { most: arguments.most, postgres, databases: 0, failed: 0 };
    if bench.postgres.is_none() {
        eprintln!("PostgreSQL is not installed: its lines are left out");
    }
    println!("{}", run::Summary::HEAD);
    for (runs, on_postgres) in [(&RUNS[..], false), (&POSTGRES_RUNS, true)] {
        for (gateways, interval, broker) in runs {
            bench.line(*gateways, on_postgres, |folder, database| {
                let quiet = FleetArguments::quiet();
                let fleet = FleetArguments {
                    gateways: *gateways,
                    interval: *interval,
                    broker: *broker,
                    database,
                    ..quiet
                };
                run::run_in(folder, &fleet).map(|summary| summary.row())
            })?;
        }
    }
    println!("\n{}", limit::HEAD);
    for (gateways, interval) in LIMITS {
        bench.line(gateways, false, |folder, _| {
            limit::row(folder, &LimitArguments { gateways, interval, seconds: 20 })
        })?;
    }
    println!("\n{}", day::Summary::HEAD);
    for (days, on_postgres) in [(DAYS, false), (POSTGRES_DAYS, true)] {
        for (gateways, hours) in days {
            bench.line(gateways, on_postgres, |folder, database| {
                let day = DayArguments { gateways, hours, database, ..DayArguments::quiet() };
                day::run_in(folder, &day).map(|summary| summary.row())
            })?;
        }
    }
    println!("\n{}", pages::HEAD);
    for (gateways, on_postgres) in
        PAGES.into_iter().flat_map(|gateways| [(gateways, false), (gateways, true)])
    {
        bench.line(gateways, on_postgres, |folder, database| {
            pages::rows(folder, gateways, database.as_deref()).map(|rows| rows.join("\n"))
        })?;
    }
    eprintln!("all of it took {} s", begin.elapsed().as_secs());
    anyhow::ensure!(bench.failed == 0, "{} lines could not be measured", bench.failed);
    Ok(())
}

impl Bench {
    /// One line of a table, measured in a folder and a database of its own.
    fn line(
        &mut self,
        gateways: u32,
        on_postgres: bool,
        measure: impl FnOnce(&std::path::Path, Option<String>) -> Result<String>,
    ) -> Result<()> {
        if gateways > self.most || (on_postgres && self.postgres.is_none()) {
            return Ok(());
        }
        let database = self.postgres.as_ref().filter(|_| on_postgres).map(|server| {
            self.databases += 1;
            let name = format!("fleet_{}", self.databases);
            server.create(&name).map(|()| (server.url(&name), name))
        });
        let database = database.transpose()?;
        let folder = tempfile::tempdir()?;
        let say = |row: &dyn Display| println!("{row}");
        match measure(folder.path(), database.as_ref().map(|(url, _)| url.clone())) {
            Ok(row) => say(&row),
            Err(error) => {
                self.failed += 1;
                say(&format!("| {gateways} | {error:#} |"));
            }
        }
        if let (Some(server), Some((_, name))) = (&self.postgres, database) {
            server.sql("postgres", &format!("DROP DATABASE {name} WITH (FORCE)"))?;
        }
        Ok(())
    }
}
