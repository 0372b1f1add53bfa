//! Which gateways: a filter, and its SQL.

use keros_protocol::UnixSeconds;

use crate::access::{CustomerId, GroupId, Visible};
use crate::gateway::rule::{Condition, Range, Rule};
use crate::gateway::search::search_pattern;
use crate::gateway::status::{ConnectionStatus, Moments};
use crate::store::sql::Sql;
use crate::store::to_big;

/// Which gateways.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Filter {
    /// Of these customers.
    pub(crate) visible: Visible,
    /// Of this one of them.
    pub(crate) customer: Option<CustomerId>,
    /// Part of an EUI, a name or a description.
    pub(crate) search: Option<String>,
    /// With one of these statuses; all when empty.
    pub(crate) statuses: Vec<ConnectionStatus>,
    /// Member of this group.
    pub(crate) group: Option<Members>,
    /// That meet this.
    pub(crate) rule: Rule,
    /// Out of service or not; `None`: both.
    pub(crate) retired: Option<bool>,
    /// Connected or not; `None`: both.
    pub(crate) online: Option<bool>,
}

/// The members of a group: those that were put into it, and those of its customer that meet its rule. Never a retired one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Members {
    /// The group.
    pub(crate) group: GroupId,
    /// Whose it is.
    pub(crate) customer: CustomerId,
    /// Its rule.
    pub(crate) rule: Option<Rule>,
}

impl Filter {
    /// All gateways in service of these customers.
    pub(crate) fn all(visible: Visible) -> Self {
        Self {
            visible,
            customer: None,
            search: None,
            statuses: Vec::new(),
            group: None,
            rule: Rule::default(),
            retired: Some(false),
            online: None,
        }
    }

    /// The members of one group.
    pub(crate) fn members(members: Members) -> Self {
        Self { group: Some(members), ..Self::all(Visible::All) }
    }

    /// Whether few may match.
    pub(super) fn is_narrow(&self) -> bool {
        self.customer.is_some()
            || self.visible != Visible::All
            || self.search.is_some()
            || !self.statuses.is_empty()
            || self.group.is_some()
            || !self.rule.conditions.is_empty()
            || self.retired == Some(true)
            || self.online.is_some()
    }
}

/// [`ConnectionStatus::rank`] in SQL: the same table as `gateway/status.rs`, held against it by a test.
pub(super) fn push_rank(sql: &mut Sql, now: UnixSeconds) {
    let Moments { late_before, silent_before } = Moments::at(now);
    sql.push(
        "CASE WHEN COALESCE(g.last_telemetry_at, 0) = 0 THEN 2 WHEN COALESCE(g.last_telemetry_at, 0) < ",
    )
    .number(to_big(silent_before))
    .push(" AND g.online = 0 THEN 0 WHEN COALESCE(g.last_telemetry_at, 0) < ")
    .number(to_big(late_before))
    .push(" OR g.warnings <> '' THEN 1 ELSE 3 END");
}

/// How a statement goes through the gateways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Whichever way finds those that match: few do, or all of them are wanted.
    Pass,
    /// All gateways of a customer by kind, and of each whether it is a member.
    Kinds,
    /// In the order of an index: many match. SQLite takes the index of any column that is compared and sorts all that it finds; a column
    /// within an expression it leaves alone.
    Index,
}

/// The gateways `g` that match: all after the columns of a statement, but for what may follow WHERE.
pub(super) fn push_matching(sql: &mut Sql, filter: &Filter, way: Way, now: UnixSeconds) {
    match &filter.group {
        // From its members, however few or many they are: CROSS keeps SQLite to it.
        Some(Members { group, rule: None, .. }) if way == Way::Pass => {
            sql.push(" FROM group_members m CROSS JOIN gateways g WHERE m.group_id = ")
                .text(group.to_string());
            sql.push(" AND g.eui = m.eui AND ");
        }
        _ => {
            sql.push(" FROM gateways g WHERE ");
        }
    }
    push_filter(sql, filter, way, now);
}

fn push_filter(sql: &mut Sql, filter: &Filter, way: Way, now: UnixSeconds) {
    sql.push(match filter.retired {
        Some(true) => "g.retired_at IS NOT NULL",
        Some(false) => "g.retired_at IS NULL",
        None => "1 = 1",
    });
    if let Some(online) = filter.online {
        sql.push(" AND g.online = ").number(i64::from(online));
    }
    if let Visible::Only(customers) = &filter.visible {
        push_customers(sql, customers, way);
    }
    if let Some(customer) = filter.customer {
        push_customers(sql, &[customer], way);
    }
    if let Some(search) = &filter.search {
        sql.push(" AND g.search_text LIKE ").text(search_pattern(search)).push(" ESCAPE '!'");
    }
    if let Some(members) = &filter.group {
        push_members(sql, members, way);
    }
    push_rule(sql, &filter.rule);
    for (index, status) in filter.statuses.iter().enumerate() {
        sql.push(if index == 0 { " AND (" } else { " OR " });
        push_rank(sql, now);
        sql.push(" = ").number(status.rank());
    }
    if !filter.statuses.is_empty() {
        sql.push(")");
    }
}

fn push_customers(sql: &mut Sql, customers: &[CustomerId], way: Way) {
    sql.push(match way {
        Way::Pass | Way::Kinds => " AND g.customer_id IN ",
        Way::Index => " AND (g.customer_id || '') IN ",
    });
    sql.list(customers);
}

/// A gateway of another customer is never a member, whatever the table of members says.
fn push_members(sql: &mut Sql, members: &Members, way: Way) {
    push_customers(sql, &[members.customer], way);
    sql.push(" AND g.retired_at IS NULL");
    if way == Way::Pass && members.rule.is_none() {
        return;
    }
    sql.push(" AND (");
    let group = members.group.to_string();
    match way {
        Way::Pass | Way::Kinds => {
            sql.push("g.eui IN (SELECT m.eui FROM group_members m WHERE m.group_id = ").text(group);
        }
        Way::Index => {
            sql.push("EXISTS (SELECT 1 FROM group_members m WHERE m.eui = g.eui AND m.group_id = ")
                .text(group);
        }
    }
    sql.push(")");
    if let Some(rule) = &members.rule {
        sql.push(" OR (1 = 1");
        push_rule(sql, rule);
        sql.push(")");
    }
    sql.push(")");
}

/// [`Rule::is_met_by`] in SQL; a test holds the two against each other.
fn push_rule(sql: &mut Sql, rule: &Rule) {
    for condition in &rule.conditions {
        sql.push(" AND ");
        match condition {
            Condition::Model { is, models } => {
                sql.push("g.codename IS NOT NULL AND g.codename ")
                    .push(if *is { "IN " } else { "NOT IN " })
                    .list(models);
            }
            Condition::Label { has, labels } => {
                sql.push(if *has { "g.eui IN " } else { "g.eui NOT IN " });
                sql.push("(SELECT l.eui FROM gateway_labels l WHERE l.label IN ").list(labels).push(")");
            }
            Condition::Keros { within, ranges } => push_ranges(sql, *within, ranges),
        }
    }
}

fn push_ranges(sql: &mut Sql, within: bool, ranges: &[Range]) {
    // An empty key is an unknown version. As an expression, so that no list is taken through its index and then sorted.
    sql.push("g.keros_key <> '' AND ").push(if within { "(" } else { "NOT (" });
    for (index, range) in ranges.iter().enumerate() {
        sql.push(if index == 0 { "(1 = 1" } else { " OR (1 = 1" });
        if let Some(low) = &range.low {
            sql.push(" AND (g.keros_key || '') >= ").text(low.clone());
        }
        if let Some(high) = &range.high {
            sql.push(" AND (g.keros_key || '') < ").text(high.clone());
        }
        sql.push(")");
    }
    sql.push(")");
}
