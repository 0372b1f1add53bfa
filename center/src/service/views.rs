//! Rows as the REST API shows them. Pure.

use super::state::Counts;
use crate::api::{DeliveryView, GatewayView, UpdateView};
use crate::store::{CommandRow, GatewayRow, UpdateRow};

/// A gateway, with the groups that it is in.
pub(super) fn gateway(row: GatewayRow, groups: Vec<String>) -> GatewayView {
    GatewayView {
        eui: row.eui,
        name: row.shown_name(),
        description: row.description,
        declared: row.declared,
        groups,
        online: row.online,
        last_telemetry_unix_s: row.last_telemetry_at,
        telemetry: None,
        keros_version: row.keros_version,
        agent_version: row.agent_version,
    }
}

/// An update without its lines.
pub(super) fn update(row: UpdateRow, counts: Counts) -> UpdateView {
    UpdateView {
        update_id: row.update_id,
        group: row.group,
        kind: row.kind,
        created_at_unix_s: row.created_at,
        expires_at_unix_s: row.expires_at,
        state: counts.state().as_str().to_owned(),
        ended: counts.ended(),
        deliveries: counts.deliveries,
        outcomes: counts.outcomes,
        gateways: Vec::new(),
    }
}

/// A line of an update.
pub(super) fn delivery(row: CommandRow, name: String) -> DeliveryView {
    DeliveryView {
        eui: row.eui,
        name,
        command_id: row.command_id,
        delivery: row.delivery,
        outcome: row.outcome,
        times_sent: row.times_sent,
        changed_at_unix_s: row.changed_at,
    }
}
