//! Rows as the REST API shows them. Pure.

use keros_protocol::{Eui, UnixSeconds};

use super::state::Counts;
use crate::api::{DeliveryView, GatewayView, GroupView, LinkView, UpdateView};
use crate::store::{GatewayRow, GroupRow, LineRow, LinkRow, UpdateRow};

/// A gateway, with the groups that it is in.
pub(super) fn gateway(row: GatewayRow, groups: Vec<String>) -> GatewayView {
    GatewayView {
        eui: row.eui,
        customer_id: row.customer_id,
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

/// A group with its members.
pub(super) fn group(row: GroupRow, gateways: Vec<Eui>) -> GroupView {
    GroupView {
        group_id: row.group_id,
        customer_id: row.customer.id,
        customer: row.customer.name,
        name: row.name,
        description: row.description,
        gateways,
    }
}

/// An update without its lines.
pub(super) fn update(row: UpdateRow, counts: Counts) -> UpdateView {
    UpdateView {
        update_id: row.update_id,
        group: row.group,
        group_id: row.origin.group_id,
        customer_id: row.origin.customer.id,
        customer: row.origin.customer.name,
        created_by: row.origin.created_by,
        created_by_id: row.origin.created_by_id,
        kind: row.kind,
        magic_link: row.link_digest,
        by_hand: row.by_hand,
        created_at_unix_s: row.created_at,
        expires_at_unix_s: row.expires_at,
        state: counts.state().as_str().to_owned(),
        ended: counts.ended(),
        open: counts.open,
        overdue: counts.overdue,
        deliveries: counts.deliveries,
        outcomes: counts.outcomes,
        gateways: Vec::new(),
    }
}

/// A line of an update.
pub(super) fn delivery(line: LineRow, now: UnixSeconds) -> DeliveryView {
    let LineRow { command, name, .. } = line;
    DeliveryView {
        eui: command.eui,
        name,
        command_id: command.command_id,
        delivery: command.delivery,
        times_sent: command.times_sent,
        changed_at_unix_s: command.changed_at,
        cancel_requested_at_unix_s: command.cancel_requested_at,
        overdue: command.is_overdue(now),
        outcome: command.outcome,
    }
}

/// A Magic Link, without what is only in its blobs.
pub(super) fn link(row: LinkRow) -> LinkView {
    LinkView {
        digest: row.digest,
        name: row.name,
        description: row.description,
        gateways: Vec::new(),
        gateway_count: row.gateway_count,
        keros: row.keros,
        models: row.models,
        expires_at_unix_s: row.expires_at,
        playbook: row.playbook,
        size_bytes: row.size_bytes,
        files: Vec::new(),
        file_count: row.file_count,
        created_at_unix_s: Some(row.created_at),
        updates: Vec::new(),
        not_declared: None,
        not_compatible: None,
    }
}
