//! Rows as the REST API shows them. Pure.

use keros_protocol::UnixSeconds;

use super::state::Counts;
use super::title;
use super::waits_for::{Facts, waits_for};
use crate::api::{
    Connection, DeliveryView, Follow, GatewayView, GroupView, LinkView, RolloutView, UpdateView,
};
use crate::bounds::TELEMETRY_INTERVAL_S;
use crate::plan::{Gate, hold};
use crate::store::{GatewayRow, GroupRow, LineRow, LinkRow, UpdateRow};

/// A gateway, with the groups that it is in and its labels.
pub(super) fn gateway(
    row: GatewayRow,
    groups: Vec<String>,
    labels: Vec<String>,
    now: UnixSeconds,
) -> GatewayView {
    let connection_status = Connection {
        status: row.connection_status(now),
        last_update_time_unix_s: row.last_telemetry_at,
        message_interval_s: TELEMETRY_INTERVAL_S,
    };
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
        given_name: row.name,
        labels,
        locations: row.location.into_iter().collect(),
        connection_status,
        warnings: row.warnings,
        vitals: Vec::new(),
        created_at_unix_s: row.created_at,
        retired_at_unix_s: row.retired_at,
        model: row.codename,
        keros_version: row.keros_version,
        agent_version: row.agent_version,
    }
}

/// A group, without its members.
pub(super) fn group(row: GroupRow, gateway_count: u32) -> GroupView {
    GroupView {
        group_id: row.group_id,
        customer_id: row.customer.id,
        customer: row.customer.name,
        name: row.name,
        description: row.description,
        rule: row.rule,
        alerting: row.alerting,
        gateway_count,
        gateways: Vec::new(),
        put_in: Vec::new(),
    }
}

/// An update without its lines.
pub(super) fn update(row: UpdateRow, counts: Counts) -> UpdateView {
    let plan = row.plan;
    let rollout = plan.plan.rollout.as_ref().map(|_| RolloutView {
        stage: plan.progress.stage + 1,
        stages: plan.progress.last + 1,
        since_unix_s: plan.progress.since,
        halted_at_unix_s: plan.halted_at,
        halted_because: plan.halted_why,
    });
    UpdateView {
        gateway: row.eui,
        dry_run: row.options.dry_run,
        is_first: row.real_order.is_some(),
        plan: plan.plan,
        rollout,
        follows: plan.follows.map(|(update_id, kind)| Follow { update_id, kind }),
        followed_by: Vec::new(),
        update_id: row.update_id,
        group: row.group,
        group_id: row.origin.group_id,
        customer_id: row.origin.customer.id,
        customer: row.origin.customer.name,
        created_by: row.origin.created_by,
        created_by_id: row.origin.created_by_id,
        title: row.job_begin.as_deref().and_then(title::of),
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

/// What decides beside its own row what a line waits for.
#[derive(Debug, Clone, Copy)]
pub(super) struct LineOf {
    /// What its update lets through.
    pub(super) gate: Gate,
    /// A person carries it.
    pub(super) by_hand: bool,
}

impl LineOf {
    /// The lines of an update.
    pub(super) fn update(row: &UpdateRow) -> Self {
        Self { gate: row.plan.gate(), by_hand: row.by_hand }
    }
}

/// A line of an update.
pub(super) fn delivery(line: LineRow, of: LineOf, now: UnixSeconds) -> DeliveryView {
    let LineRow { command, name, online, stage, last_telemetry_at, standing, busy_with } = line;
    let facts = Facts {
        delivery: Some(command.delivery),
        outcome: command.outcome.as_ref(),
        times_sent: command.times_sent,
        changed_at: command.changed_at,
        overdue_at: command.overdue_at,
        cancel_requested_at: command.cancel_requested_at,
        hold: hold(&of.gate, stage, now),
        by_hand: of.by_hand,
        online,
        last_telemetry_at,
        standing,
        busy_with,
    };
    let waits_for = waits_for(&facts, now);
    DeliveryView {
        eui: command.eui,
        name,
        command_id: command.command_id,
        delivery: command.delivery,
        times_sent: command.times_sent,
        changed_at_unix_s: command.changed_at,
        cancel_requested_at_unix_s: command.cancel_requested_at,
        overdue: command.is_overdue(now),
        waits_for,
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
