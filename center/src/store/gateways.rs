//! The table of gateways.

use keros_protocol::{Eui, Telemetry, UnixSeconds};
use sqlx::AnyConnection;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::among::Among;
use super::{Result, from_json, number, optional_number, parsed, to_big, to_json};
use crate::access::{CustomerId, GroupId, Visible};

/// One gateway, without its package list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GatewayRow {
    /// The gateway.
    pub(crate) eui: Eui,
    /// The name that an operator gave it.
    pub(crate) name: Option<String>,
    /// Free text.
    pub(crate) description: String,
    /// Declared by an operator.
    pub(crate) declared: bool,
    /// By its presence.
    pub(crate) online: bool,
    /// When its last telemetry arrived.
    pub(crate) last_telemetry_at: Option<UnixSeconds>,
    /// Hardware code name as last stated.
    pub(crate) codename: Option<String>,
    /// KerOS version as last stated.
    pub(crate) keros_version: Option<String>,
    /// Agent version as last stated.
    pub(crate) agent_version: Option<String>,
    /// Digest of the package list that is kept.
    pub(crate) packages_digest: Option<String>,
    /// The stream of the last report heard of.
    pub(crate) report_stream: Option<Uuid>,
    /// Whose it is.
    pub(crate) customer_id: CustomerId,
}

impl GatewayRow {
    /// What people call it: the given name, else the host name that KerOS makes, else the EUI.
    pub(crate) fn shown_name(&self) -> String {
        shown_name(self.eui, self.name.as_deref(), self.codename.as_deref())
    }
}

/// What people call a gateway: the given name, else the host name that KerOS makes, else the EUI.
pub(crate) fn shown_name(eui: Eui, name: Option<&str>, codename: Option<&str>) -> String {
    let eui = eui.to_string();
    match (name, codename) {
        (Some(name), _) => name.to_owned(),
        (None, Some(codename)) => {
            let last_six = eui.get(10..).unwrap_or_default().to_ascii_lowercase();
            format!("klk-{codename}-{last_six}")
        }
        (None, None) => eui,
    }
}

fn gateway_row(row: &AnyRow) -> Result<GatewayRow> {
    let stream: Option<String> = row.try_get("report_stream")?;
    Ok(GatewayRow {
        eui: parsed(row, "eui")?,
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        declared: number(row, "declared")? != 0,
        online: number(row, "online")? != 0,
        last_telemetry_at: optional_number(row, "last_telemetry_at")?,
        codename: row.try_get("codename")?,
        keros_version: row.try_get("keros_version")?,
        agent_version: row.try_get("agent_version")?,
        packages_digest: row.try_get("packages_digest")?,
        report_stream: stream.map(|_| parsed(row, "report_stream")).transpose()?,
        customer_id: parsed(row, "customer_id")?,
    })
}

/// One gateway.
pub(crate) async fn find(connection: &mut AnyConnection, eui: Eui) -> Result<Option<GatewayRow>> {
    let row = sqlx::query(
        "SELECT eui, name, description, declared, online, last_telemetry_at, codename, keros_version, \
         agent_version, packages_digest, report_stream, customer_id FROM gateways WHERE eui = $1",
    )
    .bind(eui.to_string())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(gateway_row).transpose()
}

/// The visible gateways in the order of their EUIs, those after `after`.
pub(crate) async fn list(
    connection: &mut AnyConnection,
    visible: &Visible,
    after: Option<Eui>,
    limit: u32,
) -> Result<Vec<GatewayRow>> {
    let among = Among::new("customer_id", visible, 3);
    let sql = among.within(
        "SELECT eui, name, description, declared, online, last_telemetry_at, codename, keros_version, \
         agent_version, packages_digest, report_stream, customer_id FROM gateways \
         WHERE eui > $1 AND {among} ORDER BY eui LIMIT $2",
    );
    let query =
        sqlx::query(sql).bind(after.map(|eui| eui.to_string()).unwrap_or_default()).bind(i64::from(limit));
    let rows = among.bind(query).fetch_all(connection).await?;
    rows.iter().map(gateway_row).collect()
}

/// The members of a group.
pub(crate) async fn of_group(connection: &mut AnyConnection, group: &GroupId) -> Result<Vec<GatewayRow>> {
    let rows = sqlx::query(
        "SELECT g.eui AS eui, name, description, declared, online, last_telemetry_at, codename, keros_version, \
         agent_version, packages_digest, report_stream, customer_id FROM group_members m \
         JOIN gateways g ON g.eui = m.eui WHERE m.group_id = $1 ORDER BY g.eui",
    )
    .bind(group.to_string())
    .fetch_all(connection)
    .await?;
    rows.iter().map(gateway_row).collect()
}

/// The last telemetry of one gateway, without its package list.
pub(crate) async fn telemetry(connection: &mut AnyConnection, eui: Eui) -> Result<Option<Telemetry>> {
    let row = sqlx::query("SELECT telemetry FROM gateways WHERE eui = $1")
        .bind(eui.to_string())
        .fetch_optional(connection)
        .await?;
    row.map_or(Ok(None), |row| from_json(&row, "telemetry"))
}

/// Makes a gateway known that has spoken, as one of the customer `main`; one that is known stays as it is.
pub(crate) async fn ensure(connection: &mut AnyConnection, eui: Eui, now: UnixSeconds) -> Result<()> {
    sqlx::query(
        "INSERT INTO gateways (eui, description, declared, online, created_at, customer_id) \
         VALUES ($1, '', 0, 0, $2, $3) ON CONFLICT (eui) DO NOTHING",
    )
    .bind(eui.to_string())
    .bind(to_big(now))
    .bind(CustomerId::MAIN.to_string())
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes a gateway known that an operator declares for a customer; no name leaves the old one. One that is known keeps its customer.
pub(crate) async fn declare(
    connection: &mut AnyConnection,
    eui: Eui,
    customer: CustomerId,
    name: Option<&str>,
    description: &str,
    now: UnixSeconds,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO gateways (eui, name, description, declared, online, created_at, customer_id) \
         VALUES ($1, $2, $3, 1, 0, $4, $5) ON CONFLICT (eui) DO UPDATE SET name = COALESCE(excluded.name, gateways.name), \
         description = excluded.description, declared = 1",
    )
    .bind(eui.to_string())
    .bind(name.map(str::to_owned))
    .bind(description.to_owned())
    .bind(to_big(now))
    .bind(customer.to_string())
    .execute(connection)
    .await?;
    Ok(())
}

/// What a telemetry says, for the columns that are asked for alone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Heard {
    /// The telemetry without its package list.
    pub(crate) telemetry: Telemetry,
    /// The package list as JSON and its digest, when it came along.
    pub(crate) packages: Option<(String, String)>,
}

/// Keeps a gateway's last telemetry. The gateway is there, and is online by it.
pub(crate) async fn keep_telemetry(
    connection: &mut AnyConnection,
    heard: &Heard,
    now: UnixSeconds,
) -> Result<()> {
    let telemetry = &heard.telemetry;
    let (packages, digest) = heard.packages.clone().unzip();
    sqlx::query(
        "UPDATE gateways SET online = 1, last_telemetry_at = $2, telemetry = $3, codename = $4, \
         keros_version = $5, agent_version = $6, packages = COALESCE($7, packages), \
         packages_digest = COALESCE($8, packages_digest) WHERE eui = $1",
    )
    .bind(telemetry.eui.to_string())
    .bind(to_big(now))
    .bind(to_json("telemetry", telemetry)?)
    .bind(telemetry.codename.clone())
    .bind(telemetry.keros_version.as_ref().map(|version| version.as_str().to_owned()))
    .bind(telemetry.agent_version.clone())
    .bind(packages)
    .bind(digest)
    .execute(connection)
    .await?;
    Ok(())
}

/// Keeps whether a gateway is online; an unknown one is not made known by it.
pub(crate) async fn keep_presence(connection: &mut AnyConnection, eui: Eui, online: bool) -> Result<()> {
    sqlx::query("UPDATE gateways SET online = $2 WHERE eui = $1 AND online <> $2")
        .bind(eui.to_string())
        .bind(i64::from(online))
        .execute(connection)
        .await?;
    Ok(())
}

/// Nobody is known to be online: a center that starts learns it from the presence messages.
pub(crate) async fn all_offline(connection: &mut AnyConnection) -> Result<()> {
    sqlx::query("UPDATE gateways SET online = 0 WHERE online <> 0").execute(connection).await?;
    Ok(())
}

/// Keeps which stream of reports was heard of last.
pub(crate) async fn keep_stream(connection: &mut AnyConnection, eui: Eui, stream: Uuid) -> Result<()> {
    sqlx::query("UPDATE gateways SET report_stream = $2 WHERE eui = $1")
        .bind(eui.to_string())
        .bind(stream.to_string())
        .execute(connection)
        .await?;
    Ok(())
}
