//! The tables, step by step. A step that was released is never changed: a new one follows it.

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyPool, SqlSafeStr as _};

use super::StoreError;

const STEPS: &[(i64, &str, &str)] = &[
    (1, "begin", include_str!("../../migrations/0001_begin.sql")),
    (2, "cancel and overdue", include_str!("../../migrations/0002_cancel_and_overdue.sql")),
    (3, "lost states", include_str!("../../migrations/0003_lost_states.sql")),
    (4, "magic links", include_str!("../../migrations/0004_magic_links.sql")),
    (5, "enrolment", include_str!("../../migrations/0005_enrolment.sql")),
    (6, "accounts", include_str!("../../migrations/0006_accounts.sql")),
    (7, "gateways", include_str!("../../migrations/0007_gateways.sql")),
    (8, "orders", include_str!("../../migrations/0008_orders.sql")),
    (9, "rest", include_str!("../../migrations/0009_rest.sql")),
    (10, "storage", include_str!("../../migrations/0010_storage.sql")),
    (11, "lines", include_str!("../../migrations/0011_lines.sql")),
    (12, "retention", include_str!("../../migrations/0012_retention.sql")),
    (13, "centers", include_str!("../../migrations/0013_centers.sql")),
    (14, "tally", include_str!("../../migrations/0014_tally.sql")),
    (15, "locations", include_str!("../../migrations/0015_locations.sql")),
    (16, "members", include_str!("../../migrations/0016_members.sql")),
];

/// Brings the tables up to date.
pub(super) async fn run(pool: &AnyPool, place: &str) -> Result<(), StoreError> {
    run_up_to(pool, place, STEPS.len()).await?;
    // What SQL cannot say in one way for every database. Some at a time, so that an interrupted start goes on where it was.
    while super::gateways::make_keys(&mut *pool.acquire().await?).await? > 0 {}
    Ok(())
}

/// Only these steps.
pub(super) async fn run_versions(pool: &AnyPool, place: &str, versions: &[i64]) -> Result<(), StoreError> {
    if let Some(version) = versions.iter().find(|version| STEPS.iter().all(|step| step.0 != **version)) {
        return Err(StoreError::TooNew { place: place.to_owned(), version: *version });
    }
    run_steps(pool, place, STEPS.iter().copied().filter(|step| versions.contains(&step.0))).await
}

/// Only the first steps.
pub(super) async fn run_up_to(pool: &AnyPool, place: &str, steps: usize) -> Result<(), StoreError> {
    run_steps(pool, place, STEPS.iter().copied().take(steps)).await
}

async fn run_steps(
    pool: &AnyPool,
    place: &str,
    steps: impl Iterator<Item = (i64, &'static str, &'static str)>,
) -> Result<(), StoreError> {
    let steps: Vec<Migration> = steps
        .map(|(version, description, sql)| {
            let sql = sql.into_sql_str();
            Migration::new(version, description.into(), MigrationType::Simple, sql, false)
        })
        .collect();
    let place = place.to_owned();
    match Migrator::with_migrations(steps).run(pool).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(version)) => Err(StoreError::TooNew { place, version }),
        Err(source) => Err(StoreError::Migrate { place, source }),
    }
}
