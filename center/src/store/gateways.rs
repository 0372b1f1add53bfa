//! The table of gateways.

use keros_protocol::{Eui, UnixSeconds};
use sqlx::AnyConnection;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::sql::Sql;
use super::{Result, number, optional_number, parsed, to_big};
use crate::access::CustomerId;
use crate::gateway::location::Location;
use crate::gateway::search::{name_key, search_text, version_key};
use crate::gateway::status::{ConnectionStatus, Moments, Signs, connection_status};

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
    /// When it was first known.
    pub(crate) created_at: UnixSeconds,
    /// Names of the vitals that were worth a look in the last telemetry.
    pub(crate) warnings: Vec<String>,
    /// When it was taken out of service.
    pub(crate) retired_at: Option<UnixSeconds>,
    /// Where it stands.
    pub(crate) location: Option<Location>,
}

macro_rules! columns {
    () => {
        "eui, name, description, declared, online, last_telemetry_at, codename, keros_version, agent_version, \
         packages_digest, report_stream, customer_id, created_at, warnings, retired_at, \
         location"
    };
}

/// The same, where other tables are beside it.
macro_rules! known_columns {
    () => {
        "g.eui AS eui, g.name AS name, g.description AS description, g.declared AS declared, g.online AS online, \
         g.last_telemetry_at AS last_telemetry_at, g.codename AS codename, g.keros_version AS keros_version, \
         g.agent_version AS agent_version, g.packages_digest AS packages_digest, g.report_stream AS report_stream, \
         g.customer_id AS customer_id, g.created_at AS created_at, g.warnings AS warnings, g.retired_at AS retired_at, \
         g.location AS location"
    };
}
pub(super) use known_columns;

/// The same as [`GATEWAY_COLUMNS`], where other tables are beside it.
pub(super) const KNOWN_COLUMNS: &str = known_columns!();

/// What [`gateway_row`] reads.
pub(super) const GATEWAY_COLUMNS: &str = columns!();

impl GatewayRow {
    /// What people call it: the given name, else the host name that KerOS makes, else the EUI.
    pub(crate) fn shown_name(&self) -> String {
        shown_name(self.eui, self.name.as_deref(), self.codename.as_deref())
    }

    /// How its connection is, in the vendor's words.
    pub(crate) fn connection_status(&self, now: UnixSeconds) -> ConnectionStatus {
        let signs = Signs {
            last_telemetry_at: self.last_telemetry_at,
            online: self.online,
            warned: !self.warnings.is_empty(),
        };
        connection_status(signs, Moments::at(now))
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

pub(super) fn gateway_row(row: &AnyRow) -> Result<GatewayRow> {
    let stream: Option<String> = row.try_get("report_stream")?;
    let warnings: String = row.try_get("warnings")?;
    let location: Option<String> = row.try_get("location")?;
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
        created_at: number(row, "created_at")?,
        warnings: warnings.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        retired_at: optional_number(row, "retired_at")?,
        location: location.map(|_| parsed(row, "location")).transpose()?,
    })
}

/// One gateway.
pub(crate) async fn find(connection: &mut AnyConnection, eui: Eui) -> Result<Option<GatewayRow>> {
    let row = sqlx::query(concat!("SELECT ", columns!(), " FROM gateways WHERE eui = $1"))
        .bind(eui.to_string())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(gateway_row).transpose()
}

/// Those of these gateways that are known.
pub(crate) async fn these(connection: &mut AnyConnection, gateways: &[Eui]) -> Result<Vec<GatewayRow>> {
    let mut sql = Sql::new("SELECT ");
    sql.push(GATEWAY_COLUMNS).push(" FROM gateways WHERE eui IN ").list(gateways);
    sql.fetch(connection).await?.iter().map(gateway_row).collect()
}

/// Makes a gateway known that has spoken, as one of the customer `main`; one that is known stays as it is.
pub(crate) async fn ensure(connection: &mut AnyConnection, eui: Eui, now: UnixSeconds) -> Result<()> {
    ensure_of(connection, eui, CustomerId::MAIN, now).await
}

async fn ensure_of(
    connection: &mut AnyConnection,
    eui: Eui,
    customer: CustomerId,
    now: UnixSeconds,
) -> Result<()> {
    let shown = shown_name(eui, None, None);
    sqlx::query(
        "INSERT INTO gateways (eui, description, declared, online, created_at, customer_id, name_key, search_text) \
         VALUES ($1, '', 0, 0, $2, $3, $4, $5) ON CONFLICT (eui) DO NOTHING",
    )
    .bind(eui.to_string())
    .bind(to_big(now))
    .bind(customer.to_string())
    .bind(name_key(&shown))
    .bind(search_text(eui, &shown, ""))
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
    ensure_of(connection, eui, customer, now).await?;
    sqlx::query("UPDATE gateways SET declared = 1 WHERE eui = $1")
        .bind(eui.to_string())
        .execute(&mut *connection)
        .await?;
    let Some(row) = find(connection, eui).await? else { return Ok(()) };
    rename(connection, &row, name.or(row.name.as_deref()), description).await
}

/// Names and describes a known gateway.
pub(crate) async fn rename(
    connection: &mut AnyConnection,
    row: &GatewayRow,
    name: Option<&str>,
    description: &str,
) -> Result<()> {
    let shown = shown_name(row.eui, name, row.codename.as_deref());
    sqlx::query(
        "UPDATE gateways SET name = $2, description = $3, name_key = $4, search_text = $5 WHERE eui = $1",
    )
    .bind(row.eui.to_string())
    .bind(name.map(str::to_owned))
    .bind(description.to_owned())
    .bind(name_key(&shown))
    .bind(search_text(row.eui, &shown, description))
    .execute(connection)
    .await?;
    Ok(())
}

/// Says where a gateway stands.
pub(crate) async fn locate(
    connection: &mut AnyConnection,
    eui: Eui,
    location: Option<Location>,
) -> Result<()> {
    sqlx::query("UPDATE gateways SET location = $2 WHERE eui = $1")
        .bind(eui.to_string())
        .bind(location.map(|location| location.to_string()))
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes a gateway out of service, or into it again.
pub(crate) async fn retire(
    connection: &mut AnyConnection,
    eui: Eui,
    retired_at: Option<UnixSeconds>,
) -> Result<()> {
    sqlx::query("UPDATE gateways SET retired_at = $2 WHERE eui = $1")
        .bind(eui.to_string())
        .bind(retired_at.map(to_big))
        .execute(connection)
        .await?;
    Ok(())
}

/// Gives a gateway to a customer.
pub(crate) async fn set_customer(
    connection: &mut AnyConnection,
    eui: Eui,
    customer: CustomerId,
) -> Result<()> {
    sqlx::query("UPDATE gateways SET customer_id = $2 WHERE eui = $1")
        .bind(eui.to_string())
        .bind(customer.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

/// Makes the keys of gateways that were there before there were keys, some at a time; how many had none.
pub(crate) async fn make_keys(connection: &mut AnyConnection) -> Result<usize> {
    let rows =
        sqlx::query(concat!("SELECT ", columns!(), " FROM gateways WHERE search_text = '' LIMIT 1000"))
            .fetch_all(&mut *connection)
            .await?;
    for row in &rows {
        let row = gateway_row(row)?;
        let version = row.keros_version.as_deref().and_then(|text| text.parse().ok());
        rename(connection, &row, row.name.as_deref(), &row.description).await?;
        sqlx::query("UPDATE gateways SET keros_key = $2 WHERE eui = $1")
            .bind(row.eui.to_string())
            .bind(version.as_ref().map(version_key).unwrap_or_default())
            .execute(&mut *connection)
            .await?;
    }
    Ok(rows.len())
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
