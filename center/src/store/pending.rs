//! Which commands wait. Those of an update whose commands are counted for good wait no more, so that only the others are looked at.

use keros_protocol::Eui;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::{Result, euis, parsed};
use crate::access::GroupId;
use crate::service::Pending;

/// What [`pending`] reads.
macro_rules! pending {
    ($rest:literal) => {
        concat!(
            "SELECT c.update_id AS update_id, c.eui AS eui, u.kind AS kind, u.group_name AS group_name, \
             u.created_by AS created_by FROM commands c JOIN updates u ON u.update_id = c.update_id ",
            $rest
        )
    };
}

/// A command that waits, of an update that was sent to the group: also for a gateway that is no longer in it.
pub(crate) async fn of_group(connection: &mut AnyConnection, group: &GroupId) -> Result<Option<Pending>> {
    let row =
        sqlx::query(pending!("WHERE u.group_id = $1 AND u.tally IS NULL AND c.delivery = 'waiting' LIMIT 1"))
            .bind(group.to_string())
            .fetch_optional(connection)
            .await?;
    row.as_ref().map(pending).transpose()
}

/// The gateways that commands wait for.
pub(crate) async fn waited_for(connection: &mut AnyConnection) -> Result<Vec<Eui>> {
    // One row for each update: 100,000 rows would take ten times as long. `STRING_AGG` is in both databases. CROSS: SQLite begins with the
    // updates then, and does not look through all commands that ever were.
    let rows = sqlx::query(
        "SELECT STRING_AGG(c.eui, '') AS euis FROM updates u CROSS JOIN commands c \
         WHERE c.update_id = u.update_id AND u.tally IS NULL AND c.delivery = 'waiting' GROUP BY u.update_id",
    )
    .fetch_all(connection)
    .await?;
    let mut all = Vec::new();
    for row in &rows {
        all.append(&mut euis(row, "euis")?);
    }
    Ok(all)
}

/// The commands that wait for a gateway, oldest first.
pub(crate) async fn of_gateway(connection: &mut AnyConnection, eui: Eui) -> Result<Vec<Pending>> {
    // By the rules of the center there are two at most.
    let rows =
        sqlx::query(pending!("WHERE c.eui = $1 AND c.delivery = 'waiting' ORDER BY c.command_id LIMIT 100"))
            .bind(eui.to_string())
            .fetch_all(connection)
            .await?;
    rows.iter().map(pending).collect()
}

fn pending(row: &AnyRow) -> Result<Pending> {
    Ok(Pending {
        update_id: parsed(row, "update_id")?,
        kind: row.try_get("kind")?,
        eui: parsed(row, "eui")?,
        group: row.try_get("group_name")?,
        by: row.try_get("created_by")?,
    })
}
